import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.pacing import count_share, share, start_offset_s

SHARES = [
    # total, worker, workers, indices            meaning
    (0, 0, 1, []),  # nothing to do
    (3, 0, 1, [0, 1, 2]),  # one worker does everything
    (10, 0, 3, [0, 3, 6, 9]),  # the first worker takes what is left over
    (10, 2, 3, [2, 5, 8]),  # the last worker has one less
    (2, 2, 4, []),  # more workers than work: some have none
]


@pytest.mark.parametrize(("total", "worker", "workers", "indices"), SHARES)
def test_a_share_is_every_nth_index(total, worker, workers, indices):
    assert list(share(total, worker, workers)) == indices
    assert count_share(total, worker, workers) == len(indices)


@given(st.integers(0, 5000), st.integers(1, 200))
def test_shares_are_a_partition_and_differ_by_at_most_one(total, workers):
    shares = [share(total, worker, workers) for worker in range(workers)]
    assert sorted(index for part in shares for index in part) == list(range(total))
    counts = [count_share(total, worker, workers) for worker in range(workers)]
    assert sum(counts) == total
    assert max(counts) - min(counts) <= 1


STARTS = [
    # index, sessions, ramp-up, seconds   meaning
    (0, 1, 10.0, 0.0),  # a single session starts at once
    (0, 4, 10.0, 0.0),  # the first of several too
    (3, 4, 10.0, 7.5),  # the last one starts one gap before the end of the ramp-up
    (3, 4, 0.0, 0.0),  # without a ramp-up all start at once
]


@pytest.mark.parametrize(("index", "sessions", "ramp_up_s", "expected"), STARTS)
def test_session_starts_are_evenly_spaced(index, sessions, ramp_up_s, expected):
    assert start_offset_s(index, sessions, ramp_up_s) == expected


@given(st.integers(1, 1000), st.floats(0, 86400))
def test_session_starts_never_go_back_and_stay_within_the_ramp_up(sessions, ramp_up_s):
    starts = [start_offset_s(index, sessions, ramp_up_s) for index in range(sessions)]
    assert starts == sorted(starts)
    assert starts[-1] <= ramp_up_s


@pytest.mark.parametrize(("total", "worker", "workers"), [(-1, 0, 1), (1, 1, 1), (1, -1, 2)])
def test_a_share_that_cannot_be_is_refused(total, worker, workers):
    with pytest.raises(ValueError, match=r"is not one of|cannot share"):
        share(total, worker, workers)


def test_a_session_that_does_not_exist_has_no_start():
    with pytest.raises(ValueError, match="session 4 is not one of 4"):
        start_offset_s(4, 4, 1.0)

"""The packed seconds of a run are a plain sequence to whoever reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.metrics.intervals import CHUNK, Intervals
from chaperon_engine.metrics.snapshot import Interval, Percentiles


def second(number: int) -> Interval:
    latency = Percentiles(count=number, min=1, mean=1.5 * number, p50=number, max=2 * number)
    return Interval(
        second=number,
        requests=7 * number,
        ok=6 * number,
        failed=number,
        http_errors=0,
        in_flight=3,
        latency=latency,
        heat=[0] * 8 + [number % 97, 13 * number % 1009] + [0] * 19,
        verdict="good",
        cpu=number / 1000,
    )


bounds = st.none() | st.integers(-5 * CHUNK, 5 * CHUNK)


@given(st.integers(0, 4 * CHUNK + 3), bounds, bounds, st.sampled_from([None, 1, 2, 61, -1, -7]))
def test_it_reads_as_a_list_does(length: int, start: int, stop: int, step: int) -> None:
    expected = [second(number) for number in range(length)]
    packed = Intervals()
    packed.extend(expected)
    assert len(packed) == length
    assert packed[start:stop:step] == expected[start:stop:step]
    assert list(packed) == expected
    for place in (0, -1, length // 2):
        if length:
            assert packed[place] == expected[place]


def test_a_place_that_is_not_there_is_an_index_error() -> None:
    try:
        Intervals()[0]
    except IndexError:
        return
    raise AssertionError("no error")


def test_a_day_takes_megabytes() -> None:
    packed = Intervals()
    for number in range(20 * CHUNK):
        packed.append(second(number))
    kept = sum(map(len, packed._packed)) / (len(packed._packed) * CHUNK)
    assert kept * 86_400 < 10_000_000

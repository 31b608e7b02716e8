import math

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics.buckets import (
    MAX_INDEX,
    MAX_US,
    bucket_index,
    highest_equivalent,
    lowest_equivalent,
)
from chaperon_engine.metrics.histogram import (
    MAX_COUNT,
    CumulativeHistogram,
    checked_counts,
    merged,
    target_count,
)
from chaperon_engine.metrics.interval import IntervalHistogram, packed, unpacked
from chaperon_engine.metrics.model import HistogramDelta
from chaperon_engine.metrics.snapshot import HEATMAP_EDGES_US, PERCENTILES

REFERENCE = HdrHistogram(1, MAX_US, 3)
LATENCIES = st.one_of(
    st.integers(0, 5000), st.integers(0, 10_000_000), st.integers(0, MAX_US), st.just(MAX_US)
)
SHARDS = st.lists(st.lists(LATENCIES, max_size=60), min_size=1, max_size=5)


def recorded(values):
    interval = IntervalHistogram()
    for value in values:
        interval.record(value)
    return interval.take()


@given(LATENCIES)
def test_buckets_are_those_of_hdrhistogram(value):
    index = bucket_index(value)
    assert index == REFERENCE._counts_index_for(value)
    assert lowest_equivalent(index) == REFERENCE.get_lowest_equivalent_value(value)
    assert highest_equivalent(index) == REFERENCE.get_highest_equivalent_value(value)


@pytest.mark.parametrize(
    ("value", "lowest", "highest"),
    [
        (0, 0, 0),  # less than a microsecond
        (2047, 2047, 2047),  # the last bucket of one value
        (2048, 2048, 2049),  # the first of two
        (1_000_000, 999_936, 1_000_447),  # three digits at a second
        (MAX_US, 86_369_107_968, 86_436_216_831),  # the last bucket holds 24 hours
    ],
)
def test_a_bucket_has_three_digits(value, lowest, highest):
    index = bucket_index(value)
    assert (lowest_equivalent(index), highest_equivalent(index)) == (lowest, highest)
    assert highest - lowest <= value / 1000


@settings(max_examples=60)
@given(SHARDS)
def test_merged_shards_have_the_figures_that_hdrhistogram_gives_for_the_whole(shards):
    whole = HdrHistogram(1, MAX_US, 3)
    for shard in shards:
        for value in shard:
            whole.record_value(value)
    ours = merged(recorded(shard) for shard in shards)
    assert ours.count == whole.get_total_count()
    if not ours.count:
        return
    wanted = whole.get_percentile_to_value_dict([0.0, *PERCENTILES, 100.0])
    assert {p: ours.value_at(p) for p in wanted} == wanted
    assert ours.value_at(99.0) == whole.get_value_at_percentile(99.0)
    assert ours.lowest_us == whole.get_min_value()
    assert ours.highest_us == whole.get_max_value()
    assert ours.lowest_us <= ours.value_at(50) <= ours.value_at(99.999) <= ours.highest_us


@given(SHARDS)
def test_merging_loses_nothing_in_any_order(shards):
    values = [value for shard in shards for value in shard]
    ours = merged(recorded(shard) for shard in reversed(shards))
    assert ours.delta() == recorded(values)
    joined = CumulativeHistogram()
    for shard in shards:
        joined.merge(merged([recorded(shard)]))
    assert joined.delta() == recorded(values)
    if values:
        assert ours.mean_us == pytest.approx(math.fsum(values) / len(values))


@given(st.lists(st.integers(-(10**6), 2 * MAX_US), min_size=1, max_size=50))
def test_values_out_of_range_are_saturated_and_counted(values):
    delta = recorded(values)
    inside = [min(max(value, 0), MAX_US) for value in values]
    assert delta.saturated == sum(value != kept for value, kept in zip(values, inside, strict=True))
    assert sum(unpacked(delta)[1]) == len(values)
    assert (delta.min_us, delta.max_us, delta.sum_us) == (min(inside), max(inside), sum(inside))
    assert checked_counts([delta]) == [len(values)]


def test_taking_starts_a_new_interval():
    interval = IntervalHistogram()
    assert interval.take() is None
    interval.record(5)
    assert interval.take().max_us == 5
    assert interval.take() is None
    interval.record(3)
    assert interval.take() == packed([3], [1], sum_us=3, min_us=3, max_us=3)


def test_an_empty_histogram_has_zeros_everywhere():
    empty = CumulativeHistogram()
    assert empty.percentiles().p99 == 0
    assert (empty.value_at(50), empty.lowest_us, empty.highest_us, empty.mean_us) == (0, 0, 0, 0.0)
    assert empty.thin() == []
    assert empty.spectrum() == []
    assert sum(empty.heat_rows()) == 0
    assert empty.delta() is None


@pytest.mark.parametrize(
    ("count", "first_thin"),
    [
        (5, "p10"),  # nothing has ten samples above it
        (20, "p60"),  # p50 has exactly ten above it
        (1000, "p99_9"),  # p99 has exactly ten above it
        (100_000, "p99_999"),
        (1_000_000, None),  # a million is enough for all
    ],
)
def test_a_percentile_with_fewer_than_ten_samples_above_it_is_thin(count, first_thin):
    histogram = merged([packed([7], [count], sum_us=7 * count, min_us=7, max_us=7)])
    assert (histogram.thin() or [None])[0] == first_thin


@given(st.lists(st.integers(0, 200_000_000), max_size=80))
def test_heat_rows_hold_every_value_in_the_row_of_its_bucket(values):
    rows = merged([recorded(values)]).heat_rows()
    wanted = [0] * len(HEATMAP_EDGES_US)
    edges = [bucket_index(edge) for edge in HEATMAP_EDGES_US]
    for value in values:
        row = max((n for n, edge in enumerate(edges) if edge <= bucket_index(value)), default=0)
        wanted[row] += 1
    assert rows == wanted


@given(st.lists(LATENCIES, min_size=1, max_size=200))
def test_a_spectrum_ascends_and_ends_at_the_maximum(values):
    histogram = merged([recorded(values)])
    spectrum = histogram.spectrum()
    assert spectrum == sorted(spectrum)
    assert spectrum[-1] == (100.0, histogram.highest_us)
    assert len(spectrum) < 5 * 40


def test_the_rank_of_a_percentile_is_rounded_and_at_least_one():
    assert [target_count(p, 7) for p in (0, 10, 50, 99, 100, 120)] == [1, 1, 4, 7, 7, 7]


GOOD = {
    "buckets": b"\x03\0\x05\0", "counts": b"\x01\x02", "sum_us": 13, "min_us": 3, "max_us": 5,
    "saturated": 0,
}  # fmt: skip


def test_intervals_as_recorded_are_accepted():
    one = HistogramDelta(**GOOD)
    assert one == packed([3, 5], [1, 2], sum_us=13, min_us=3, max_us=5)
    wide = packed([2, 9], [1 << 33, 1], sum_us=(1 << 34) + 9, min_us=2, max_us=9)
    assert checked_counts([]) == []
    assert checked_counts([one, wide, one, one]) == [3, (1 << 33) + 1, 3, 3]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"buckets": b"", "counts": b""}, "without a bucket"),
        ({"buckets": b"\x03"}, "without a bucket"),
        ({"buckets": b"\x03\0\x05"}, "2 bytes of counts for 1 buckets"),
        ({"counts": b""}, "0 bytes of counts for 2 buckets"),
        ({"counts": b"\1\2\3"}, "3 bytes of counts for 2 buckets"),
        ({"counts": bytes(6)}, "6 bytes of counts for 2 buckets"),
        ({"counts": bytes(32)}, "32 bytes of counts for 2 buckets"),
        ({"buckets": b"\x05\0\x03\0"}, "do not ascend"),
        ({"buckets": b"\x05\0\x05\0"}, "do not ascend"),
        ({"buckets": b"\x03\0" + (MAX_INDEX + 1).to_bytes(2, "little")}, "outside the rec"),
        ({"buckets": b"\x03\0\xff\xff"}, "outside the recorded buckets"),
        ({"counts": b"\0\3"}, "below 1"),
        ({"counts": b"\1" + b"\0" * 7 + b"\xff" * 8}, "below 1"),
        ({"counts": b"\1" + b"\0" * 7 + b"\0" * 5 + b"\1\0\0"}, "count over"),
        ({"min_us": 4}, "outside the recorded buckets"),
        ({"max_us": 6}, "outside the recorded buckets"),
        ({"min_us": 5, "max_us": 3}, "not in order"),
        ({"min_us": -1}, "not in order or out of range"),
        ({"max_us": MAX_US + 1}, "out of range"),
        ({"sum_us": 16}, "sum does not fit"),
        ({"sum_us": 8}, "sum does not fit"),
        ({"saturated": 4}, "more values saturated"),
        ({"saturated": -1}, "more values saturated"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interval_that_no_recorder_makes_is_refused_wherever_it_stands(change, reason, place):
    deltas = [HistogramDelta(**GOOD), recorded([2000, 70_000])]
    deltas.insert(place, HistogramDelta(**GOOD | change))
    with pytest.raises(ValueError, match=reason):
        checked_counts(deltas)


HOSTILE = st.builds(
    HistogramDelta,
    buckets=st.one_of(
        st.binary(max_size=12),
        st.lists(st.integers(0, MAX_INDEX + 5), max_size=6).map(
            lambda numbers: b"".join(number.to_bytes(2, "little") for number in sorted(numbers))
        ),
    ),
    counts=st.binary(max_size=50),
    sum_us=st.integers(-5, 2**62),
    min_us=st.integers(-5, 2**62),
    max_us=st.integers(-5, 2**62),
    saturated=st.integers(-5, 5),
)


@given(st.lists(HOSTILE, max_size=4))
def test_hostile_intervals_raise_nothing_but_value_errors(deltas):
    try:
        counts = checked_counts(deltas)
    except ValueError:
        return
    assert merged(deltas).percentiles().count == sum(counts)


def test_a_sender_that_counts_beyond_all_numbers_gets_wrong_figures_and_breaks_nothing():
    histogram = CumulativeHistogram()
    most = MAX_COUNT
    delta = packed([3, 5], [most, most], sum_us=8 * most, min_us=3, max_us=5)
    for _ in range(10_001):
        histogram.add(delta, 2 * most)
    assert set(histogram.values_at((0, *PERCENTILES, 100))) <= {3, 5}
    assert histogram.percentiles().count == 10_001 * 2 * most
    assert sum(histogram.heat_rows()) > 0

"""Adding up many intervals is exact, in any pieces and whenever somebody looks."""

import random
from collections import Counter
from unittest import mock

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics import histogram as module
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.buckets import MAX_INDEX, MAX_US, bucket_index
from chaperon_engine.metrics.histogram import FRESH_BYTES, CumulativeHistogram
from chaperon_engine.metrics.interval import IntervalHistogram, combined, packed, unpacked
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.snapshot import PERCENTILES, View
from chaperon_engine.metrics.window import window_summary
from tests.metrics.fleet import Fleet, S

LATENCIES = st.one_of(st.integers(0, 3000), st.integers(0, 10_000_000), st.integers(0, MAX_US))
PARTS = st.lists(
    st.tuples(st.sampled_from(["add", "merge", "look"]), st.lists(LATENCIES, max_size=30)),
    max_size=8,
)


def recorded(values):
    interval = IntervalHistogram()
    for value in values:
        interval.record(value)
    return interval.take()


def summed(values):
    histogram = CumulativeHistogram()
    for start in range(0, len(values), 7):
        part = values[start : start + 7]
        histogram.add(recorded(part), len(part))
    return histogram


@settings(max_examples=50)
@given(PARTS)
def test_every_way_to_add_up_gives_the_same_counts(parts):
    histogram, wanted, values, deltas = CumulativeHistogram(), Counter(), [], []
    for how, part in parts:
        if how == "look":
            histogram.percentiles()
        elif part and how == "add":
            histogram.add(recorded(part), len(part))
        elif how == "merge":
            other = summed(part)
            histogram.merge(other)
            assert other.count == len(part)
        if how != "look":
            wanted.update(map(bucket_index, part))
            values += part
            deltas.append(recorded(part))
    delta = histogram.delta()
    assert delta == combined(deltas)
    if delta is None:
        assert not values
        return
    assert unpacked(delta) == (sorted(wanted), [wanted[index] for index in sorted(wanted)])
    assert (delta.sum_us, delta.min_us, delta.max_us) == (sum(values), min(values), max(values))
    reference = HdrHistogram(1, MAX_US, 3)
    for value in values:
        reference.record_value(value)
    for percentile in PERCENTILES:
        assert histogram.value_at(percentile) == reference.get_value_at_percentile(percentile)


@settings(max_examples=25)
@given(PARTS)
def test_sorting_and_counting_add_up_alike(parts):
    deltas = [recorded(part) for _, part in parts if part]
    found = []
    for below in (0, 1 << 30):
        histogram = CumulativeHistogram()
        with mock.patch.object(module, "SORTED_BELOW", below):
            for delta in deltas:
                histogram.add(delta, sum(unpacked(delta)[1]))
                histogram.percentiles()
        found.append(histogram.delta())
    assert found[0] == found[1] == combined(deltas)


def test_a_histogram_of_many_buckets_is_that_of_hdrhistogram():
    chance = random.Random(5)
    reference, histogram = HdrHistogram(1, MAX_US, 3), CumulativeHistogram()
    for _ in range(40):
        part = [int(chance.lognormvariate(9, 2)) for _ in range(100)]
        histogram.add(recorded(part), len(part))
        for value in part:
            reference.record_value(value)
    assert len(histogram.delta().buckets) > 2000
    assert histogram.values_at(PERCENTILES) == [
        reference.get_value_at_percentile(percentile) for percentile in PERCENTILES
    ]
    assert sum(histogram.heat_rows()) == histogram.count == 4000


def test_counts_of_every_size_add_up_exactly():
    sizes = [1, (1 << 8) - 1, 1 << 8, (1 << 16) - 1, 1 << 16, (1 << 32) - 1, 1 << 32, (1 << 40) - 1]
    histogram, deltas = CumulativeHistogram(), []
    for count in sizes:
        delta = packed([7, 9], [count, 1], sum_us=7 * count + 9, min_us=7, max_us=9)
        histogram.add(delta, count + 1)
        deltas.append(delta)
    assert unpacked(histogram.delta()) == ([7, 9], [sum(sizes), len(sizes)])
    assert combined(deltas) == histogram.delta()


def test_what_arrives_is_not_kept_as_it_came_without_end():
    histogram = CumulativeHistogram()
    delta = recorded(list(range(2000)))
    for _ in range(200):
        histogram.add(delta, 2000)
        assert sum(len(each.buckets) + len(each.counts) for each in histogram._fresh) <= FRESH_BYTES
    assert histogram.count == 400_000
    assert set(unpacked(histogram.delta())[1]) == {200}


def test_what_is_merged_stays_as_it_is():
    first, second = summed(list(range(2000))), summed([5, 700_000])
    before = first.delta(), second.delta()
    whole = CumulativeHistogram()
    whole.merge(first)
    whole.merge(second)
    whole.merge(second)
    assert (first.delta(), second.delta()) == before
    assert whole.count == 2004


FRAMES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.floats(0.1, 1.9),
        st.lists(
            st.tuples(st.sampled_from(["/a", "/b"]), st.integers(1, 90_000), st.booleans()),
            max_size=6,
        ),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(FRAMES, st.booleans())
def test_whoever_looks_while_frames_arrive_sees_the_same_at_the_end(frames, has_warmup):
    aggregates = [RunAggregate(3, warmup_s=2.0 if has_warmup else 0.0) for _ in range(2)]
    fleet, ends = Fleet(3), [0.0] * 3
    for aggregate in aggregates:
        aggregate.begin(0)
    watched, unwatched = aggregates
    requests = 0
    for worker, length_s, work in frames:
        for url, us, is_good in work:
            fleet.request(worker, url, us, failed="" if is_good else "reset")
        ends[worker] += length_s
        requests += len(work)
        frame = fleet.frame(worker, ends[worker])
        for aggregate in aggregates:
            assert aggregate.apply(frame)
        rows = watched.series_rows(View(kinds=("http",)))
        assert sum(row.requests for row in rows) == requests
        assert sum(row.latency.count + row.failed for row in rows) == requests
        for row in rows:
            watched.series_detail(row.id)
        watched.error_rows()
        for aggregate in aggregates:
            aggregate.advance(round(min(ends) * S))
        watched.series_rows(View(interval=True))
    for aggregate in aggregates:
        aggregate.finish(max(ends))
    assert list(watched.intervals) == list(unwatched.intervals)
    assert watched.metric_summaries() == unwatched.metric_summaries()
    assert watched.totals_summary() == unwatched.totals_summary()
    assert watched.error_rows() == unwatched.error_rows()
    assert watched.latency == unwatched.latency
    for view in (View(), View(interval=True)):
        assert watched.series_rows(view) == unwatched.series_rows(view)


def test_a_second_that_is_looked_at_in_the_middle_has_all_of_its_rows():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    aggregate.begin(0)
    for worker in (0, 1):
        fleet.request(worker, "/a", 1000 * (worker + 1), times=10)
        aggregate.apply(fleet.frame(worker, 1))
        assert aggregate.series_rows(View(kinds=("http",)))[0].requests == 10 * (worker + 1)
    aggregate.advance(S)
    (row,) = aggregate.series_rows(View(kinds=("http",), interval=True))
    assert (row.requests, row.per_s, row.latency.count) == (20, 20.0, 20)
    assert aggregate.latency_now == row.latency
    assert aggregate.requests_per_s == 20


def test_the_last_value_of_a_gauge_is_the_one_that_came_last():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    aggregate.begin(0)
    key = SeriesKey(kind="gauge", unit="", name="depth")
    for value in (3.0, 8.0):
        fleet.recorders[0].gauge(key, value)
        aggregate.apply(fleet.frame(0, value))
        (row,) = aggregate.series_rows(View(kinds=("gauge",)))
        assert row.value == value
    aggregate.finish(8.0)
    (row,) = aggregate.series_rows(View(kinds=("gauge",)))
    assert row.value == 8.0


@pytest.mark.parametrize("index", [MAX_INDEX + 1, 28_672, (1 << 16) - 1])
def test_a_journal_with_impossible_buckets_has_no_window(index):
    fleet = Fleet(1)
    fleet.request(0, times=3)
    frame = fleet.frame(0, 1)
    impossible = packed([index], [3], sum_us=3000, min_us=1000, max_us=1000)
    deltas = [msgspec.structs.replace(delta, expected=impossible) for delta in frame.deltas]
    with pytest.raises(ValueError, match="bucket"):
        window_summary([msgspec.structs.replace(frame, deltas=deltas)], 0, 0, 5)

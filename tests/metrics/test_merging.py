"""Adding up many intervals is exact, whichever way a histogram keeps its buckets and whenever
somebody looks."""

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
from chaperon_engine.metrics.histogram import (
    DENSE_FROM,
    MAX_US,
    CumulativeHistogram,
    IntervalHistogram,
    bucket_index,
)
from chaperon_engine.metrics.model import HistogramDelta, SeriesKey
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
        histogram.add(recorded(values[start : start + 7]))
    return histogram


@settings(max_examples=50)
@given(PARTS, st.sampled_from([1, 3, 20, DENSE_FROM]))
def test_every_way_to_keep_buckets_gives_the_same_counts(parts, dense_from):
    """`Counter` is how buckets were counted before there was a second way."""
    with mock.patch.object(module, "DENSE_FROM", dense_from):
        histogram, former, values = CumulativeHistogram(), Counter(), []
        for how, part in parts:
            if how == "look":
                histogram.percentiles()
            elif part and how == "add":
                histogram.add(recorded(part))
            elif how == "merge":
                other = summed(part)
                histogram.merge(other)
                assert other.count == len(part)
            if how != "look":
                former.update(map(bucket_index, part))
                values += part
        delta = histogram.delta()
        if not values:
            assert delta is None
            return
        assert dict(zip(delta.indices, delta.counts, strict=True)) == former
        assert delta.indices == sorted(former)
        assert (delta.sum_us, delta.min_us, delta.max_us) == (sum(values), min(values), max(values))
        reference = HdrHistogram(1, MAX_US, 3)
        for value in values:
            reference.record_value(value)
        for percentile in PERCENTILES:
            assert histogram.value_at(percentile) == reference.get_value_at_percentile(percentile)


def test_a_histogram_of_many_buckets_is_that_of_hdrhistogram():
    chance = random.Random(5)
    reference, histogram = HdrHistogram(1, MAX_US, 3), CumulativeHistogram()
    for _ in range(40):
        part = [int(chance.lognormvariate(9, 2)) for _ in range(100)]
        histogram.add(recorded(part))
        for value in part:
            reference.record_value(value)
    assert len(histogram.delta().indices) > 2 * DENSE_FROM
    assert histogram.values_at(PERCENTILES) == [
        reference.get_value_at_percentile(percentile) for percentile in PERCENTILES
    ]
    assert sum(histogram.heat_rows()) == histogram.count == 4000


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
    with mock.patch.object(module, "DENSE_FROM", 4):
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


@pytest.mark.parametrize("index", [-1, 28_672, 1 << 40])
def test_a_journal_with_impossible_buckets_has_no_window(index):
    fleet = Fleet(1)
    fleet.request(0, times=3)
    frame = fleet.frame(0, 1)
    deltas = [
        msgspec.structs.replace(delta, expected=HistogramDelta([index], [3], 3000, 1000, 1000))
        for delta in frame.deltas
    ]
    with pytest.raises(ValueError, match="bucket"):
        window_summary([msgspec.structs.replace(frame, deltas=deltas)], 0, 0, 5)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.histogram import merged
from chaperon_engine.metrics.interval import IntervalHistogram
from chaperon_engine.metrics.model import SeriesDelta
from chaperon_engine.metrics.window import WindowHistory, window_summary
from tests.metrics.fleet import Fleet, S


def latency_of(values):
    interval = IntervalHistogram()
    for value in values:
        interval.record(value)
    return merged([interval.take()])


SECONDS = st.lists(st.lists(st.integers(0, 10**7), max_size=20), min_size=1, max_size=12)


@given(SECONDS, st.integers(0, 12), st.integers(1, 6))
def test_a_window_has_the_percentiles_of_the_values_in_it(seconds, start, length):
    history = WindowHistory()
    for number, values in enumerate(seconds):
        history.append(number, CounterValues(sent=len(values)), latency_of(values))
    summary = history.summary(start, start + length)
    inside = [value for values in seconds[start : start + length] for value in values]
    if start >= len(seconds):
        assert summary is None
    else:
        assert summary.latency == latency_of(inside).percentiles()
        assert summary.totals.requests == len(inside)
        assert (summary.start_s, summary.end_s) == (start, min(start + length, len(seconds)))


@given(SECONDS)
def test_a_history_beyond_its_budget_coarsens_and_keeps_every_count(seconds):
    history = WindowHistory(budget_buckets=15)
    for number, values in enumerate(seconds):
        history.append(number, CounterValues(sent=len(values)), latency_of(values))
    whole = history.summary(0, len(seconds))
    values = [value for values in seconds for value in values]
    assert whole.latency == latency_of(values).percentiles()
    assert whole.totals.requests == len(values)
    for second in range(len(seconds)):
        part = history.summary(second, second + 1)
        assert part.start_s <= second < part.end_s


def test_a_window_of_a_run_and_of_its_journal_agree():
    fleet, aggregate, frames = Fleet(2), RunAggregate(2), []
    for second in range(5):
        for worker in (0, 1):
            fleet.request(worker, f"/{second % 2}", us=1000 * (second + 1), times=second + worker)
            frames.append(fleet.frame(worker, second + 1))
            aggregate.apply(frames[-1])
    aggregate.advance(5 * S)
    live = aggregate.window(1, 4)
    read = window_summary(frames, 0, 1, 4)
    assert (read.totals, read.latency) == (live.totals, live.latency)
    rows = {row.key.url: row for row in read.rows if row.key.kind == "http"}
    assert {url: row.requests for url, row in rows.items()} == {"/0": 5, "/1": 10}
    assert rows["/1"].per_s == pytest.approx(10 / 3)
    assert (rows["/1"].latency.min, rows["/1"].latency.max) == (2000, 4001)
    assert window_summary(frames, 0, 8, 9) is None
    assert aggregate.window(8, 9) is None


def test_a_journal_without_the_name_of_a_series_is_refused():
    fleet = Fleet(1)
    fleet.request(0)
    frame = fleet.frame(0, 1)
    frame.deltas.append(SeriesDelta(40, sent=1))
    with pytest.raises(ValueError, match="series 40 of worker 0 was never named"):
        window_summary([frame], 0, 0, 1)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.3, 1.7)), max_size=40))
def test_whatever_the_ticks_all_seconds_together_are_the_run(ticks):
    fleet, aggregate = Fleet(3), RunAggregate(3)
    now = [0.0, 0.0, 0.0]
    for worker, length in ticks:
        fleet.request(worker, us=round(length * 1000), times=3)
        now[worker] += length
        aggregate.apply(fleet.frame(worker, now[worker]))
        aggregate.advance(round(max(now) * S))
    aggregate.finish(max(now))
    assert sum(interval.requests for interval in aggregate.intervals) == 3 * len(ticks)
    assert [i.second for i in aggregate.intervals] == list(range(len(aggregate.intervals)))
    if ticks:
        window = aggregate.window(0, len(aggregate.intervals))
        assert window.latency == aggregate.latency
        assert window.totals.requests == aggregate.totals.requests

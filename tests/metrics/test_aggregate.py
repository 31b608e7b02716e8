import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.frames import FrameError
from chaperon_engine.metrics.model import (
    OTHER,
    WARMUP,
    ExceptionGroup,
    HealthSample,
    IterationCounts,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.metrics.snapshot import View
from chaperon_engine.metrics.summary import Distribution, ReportHealth, ReportMetric, ReportTotals
from chaperon_engine.runs.report import ReportWorker
from tests.metrics.fleet import MS, Fleet, S, http_key

REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # worker
        st.sampled_from(["/", "/a", "/b"]),
        st.integers(0, 3_000_000),  # us
        st.sampled_from(["ok", "bad", "failed", "tick"]),
    ),
    max_size=80,
)


def play(fleet, aggregate, steps, worker_of):
    """Record the steps, with a frame wherever a worker ticks; then the last frames."""
    now = dict.fromkeys(range(len(fleet.recorders)), 0.0)
    for worker, url, us, what in steps:
        worker = worker_of(worker)
        if what == "tick":
            now[worker] += 1
            aggregate.apply(fleet.frame(worker, now[worker]))
            aggregate.advance(round(now[worker] * S))
        elif what == "failed":
            fleet.request(worker, url, us, failed="reset")
        else:
            fleet.request(
                worker, url, us, status=200 if what == "ok" else 500, expected=what == "ok"
            )
    for worker in now:
        aggregate.apply(fleet.frame(worker, now[worker] + 0.5, last=True))
    aggregate.finish(max(now.values()) + 0.5)
    return aggregate


@settings(max_examples=40)
@given(REQUESTS)
def test_frames_of_several_workers_merge_to_what_one_worker_would_have_reported(steps):
    split = play(Fleet(3), RunAggregate(3), steps, lambda worker: worker)
    whole = play(Fleet(1), RunAggregate(1), steps, lambda worker: 0)

    def figures(aggregate):
        return {
            (metric.kind, metric.url): metric for metric in aggregate.metric_summaries()
        }, msgspec.structs.replace(aggregate.totals_summary(), requests_per_s=0)

    assert figures(split) == figures(whole)
    totals = split.totals
    assert totals == whole.totals
    for name in ("requests", "ok", "failed", "http_errors", "bytes_in"):
        assert sum(getattr(i, name) for i in split.intervals) == getattr(totals, name)
    assert sum(sum(interval.heat) for interval in split.intervals) == split.latency.count
    summary = split.totals_summary()
    assert split.latency.count == summary.service_time_us.count
    assert (split.latency.p99, split.latency.max) == (
        summary.service_time_us.p99, summary.service_time_us.max,
    )  # fmt: skip
    workers = [split.worker_summary(number) for number in range(3)]
    assert sum(worker.sent for worker in workers) == totals.requests
    assert sum(worker.ok + worker.failed + worker.in_flight for worker in workers) == sum(
        worker.sent for worker in workers
    )


def test_duplicates_are_ignored_and_gaps_refused():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0)
    first = fleet.frame(0, 1)
    fleet.frame(0, 2)
    third = fleet.frame(0, 3)
    assert aggregate.apply(first)
    assert not aggregate.apply(first)
    assert aggregate.totals.requests == 1
    with pytest.raises(FrameError, match="frame 2 where 1 was due"):
        aggregate.apply(third)


def test_frames_from_nowhere_or_from_the_future_are_refused():
    fleet, aggregate = Fleet(2), RunAggregate(1)
    with pytest.raises(FrameError, match="there is no worker 1"):
        aggregate.apply(fleet.frame(1, 1))
    with pytest.raises(FrameError, match="in the future"):
        aggregate.apply(fleet.frame(0, 10**6))


def test_keys_beyond_the_cap_are_folded_everywhere_or_nowhere():
    fleet, aggregate = Fleet(2, max_series=4), RunAggregate(2, max_series=4)
    fleet.request(0, "/a")
    fleet.request(0, "/b")
    fleet.request(1, "/c", times=3)
    fleet.request(1, "/a")
    assert not aggregate.table.is_full
    aggregate.apply(fleet.frame(0, 1))
    assert aggregate.table.is_full
    aggregate.apply(fleet.frame(1, 1))
    for recorder in fleet.recorders:
        recorder.accept_only(aggregate.table.accepted_keys())
    fleet.request(0, "/c", times=5)
    fleet.request(0, "/a")
    fleet.request(1, "/c", times=7)
    aggregate.apply(fleet.frame(0, 2))
    aggregate.apply(fleet.frame(1, 2))
    rows = {
        row.key.url or row.key.name: row.requests
        for row in aggregate.series_rows(View(kinds=("http",)))
    }
    assert rows == {"/a": 3, "/b": 1, OTHER: 15}
    assert aggregate.totals.requests == 19
    assert aggregate.folded == 3  # /c, its first byte, and worker 0's own folding of /c


def test_what_is_in_flight_when_its_key_is_folded_ends_in_other_even_if_the_worker_dies():
    fleet, aggregate = Fleet(1, max_series=2), RunAggregate(1, max_series=2)
    fleet.request(0, "/a")
    refused = fleet.recorders[0].http(http_key("/b"))
    refused.sent(1)
    refused.sent(1)
    refused.sent(1)
    aggregate.apply(fleet.frame(0, 1))
    fleet.recorders[0].accept_only(aggregate.table.accepted_keys())
    refused.completed(0, 0, MS, 200, True, 1)
    aggregate.apply(fleet.frame(0, 2))
    refused.completed(0, 0, MS, 200, True, 1)
    fleet.request(0, "/b")
    aggregate.worker_lost(0, fleet.counters.worker(0))
    aggregate.finish(2)
    (other,) = (m for m in aggregate.metric_summaries() if (m.kind, m.name) == ("http", OTHER))
    assert (other.count, sum(other.statuses.values()), aggregate.totals.in_flight) == (4, 3, 1)
    assert aggregate.totals.requests == fleet.counters.totals().sent == 5


def test_warm_up_does_not_use_up_the_table_of_series():
    fleet, aggregate = Fleet(1, max_series=4), RunAggregate(1, max_series=4)
    for second, phase in enumerate((WARMUP, "")):
        fleet.recorders[0].phase = phase
        for url in ("/a", "/b"):
            fleet.request(0, url)
        aggregate.apply(fleet.frame(0, second + 1))
    assert aggregate.folded == 0
    assert {(m.kind, m.url, m.phase) for m in aggregate.metric_summaries()} == {
        (kind, url, phase)
        for kind in ("http", "first_byte")
        for url in ("/a", "/b")
        for phase in ("", WARMUP)
    }


def test_warm_up_and_drain_count_apart_and_rates_divide_by_the_window_alone():
    fleet, aggregate = Fleet(1), RunAggregate(1, warmup_s=2)
    recorder = fleet.recorders[0]
    aggregate.end_load(5)
    aggregate.end_load(9)
    recorder.phase = WARMUP
    for second in range(7):
        if second == 2:
            recorder.phase = ""
        fleet.request(0, us=1000 * (second + 1), times=30)
        aggregate.apply(fleet.frame(0, second + 1, last=second == 6))
        aggregate.advance(round((second + 1.1) * S))
    aggregate.finish(7.0)
    assert aggregate.measured_s == 3
    assert aggregate.drain_s == 2
    assert [interval.phase for interval in aggregate.intervals] == [
        WARMUP, WARMUP, "", "", "", "drain", "drain",
    ]  # fmt: skip
    assert [interval.requests for interval in aggregate.intervals] == [30] * 7
    assert aggregate.totals.requests == 150
    assert aggregate.totals_summary().requests_per_s == 30
    assert aggregate.latency.count == 150
    rates = {(row.key.kind, row.key.phase): row.per_s for row in aggregate.series_rows(View())}
    assert rates["http", ""] == 30
    phases = {(metric.kind, metric.phase): metric for metric in aggregate.metric_summaries()}
    assert phases["http", WARMUP].count == 60
    assert phases["http", WARMUP].service_time_us.max == 2000


def test_what_warm_up_sent_and_the_measured_window_completed_counts_in_rates_alone():
    fleet, aggregate = Fleet(1), RunAggregate(1, warmup_s=1)
    aggregate.end_load(2)
    series = fleet.recorders[0].http(SeriesKey(kind="http", url="/", phase=WARMUP))
    for _ in range(5):
        series.sent(10)
    aggregate.apply(fleet.frame(0, 1.0))
    for count, end in ((3, 2.0), (2, 2.5)):
        for _ in range(count):
            series.completed(0, 500, 1000, 200, True, 10)
        aggregate.apply(fleet.frame(0, end, last=end > 2))
    aggregate.finish(2.5)
    assert aggregate.totals.requests == 0
    assert aggregate.totals_summary().requests_per_s == 3
    assert {metric.phase for metric in aggregate.metric_summaries()} == {WARMUP}


def test_a_second_in_which_the_load_ends_is_closed_after_the_frame_behind_the_end():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    aggregate.end_load(1.5)
    for end, times in ((1.0, 1), (1.5, 2), (2.0, 3)):
        fleet.request(0, times=times)
        aggregate.apply(fleet.frame(0, end))
        aggregate.advance(round(end * S))
    assert [interval.requests for interval in aggregate.intervals] == [1, 5]


def test_a_second_is_closed_when_all_live_workers_have_reported_past_it():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    fleet.request(0)
    fleet.request(1, times=2)
    aggregate.apply(fleet.frame(0, 1.0))
    aggregate.advance(round(1.1 * S))
    assert not aggregate.intervals
    # This worker ticks 0.4 s later; its next frame's middle lies in second 1.
    aggregate.apply(fleet.frame(1, 1.4))
    aggregate.advance(round(1.5 * S))
    assert [interval.requests for interval in aggregate.intervals] == [3]
    assert aggregate.requests_per_s == 3
    fleet.request(0)
    aggregate.apply(fleet.frame(0, 2.0, last=True))
    aggregate.advance(round(2.1 * S))
    assert len(aggregate.intervals) == 1
    fleet.request(1, times=4)
    aggregate.apply(fleet.frame(1, 2.4))
    aggregate.advance(round(2.5 * S))
    assert [interval.requests for interval in aggregate.intervals] == [3, 5]


def test_a_hanging_worker_delays_a_second_by_two_and_its_counts_come_later():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    for second in range(4):
        fleet.request(0, times=10)
        aggregate.apply(fleet.frame(0, second + 1))
        aggregate.advance((second + 1) * S)
    assert len(aggregate.intervals) == 2
    fleet.request(1, times=100)
    aggregate.apply(fleet.frame(1, 4))
    aggregate.finish(4)
    # Its frame's middle is second 2, the earliest that was still open.
    assert [interval.requests for interval in aggregate.intervals] == [10, 10, 110, 10]


def test_seconds_without_a_frame_are_empty_but_there():
    aggregate = RunAggregate(1)
    aggregate.advance(5 * S)
    assert [interval.second for interval in aggregate.intervals] == [0, 1, 2]
    assert aggregate.requests_per_s == 0
    assert aggregate.latency_now.count == 0


def test_time_that_passes_after_the_last_worker_has_ended_makes_no_seconds():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0, times=50)
    aggregate.apply(fleet.frame(0, 1))
    fleet.request(0)
    aggregate.apply(fleet.frame(0, 1.2, last=True))
    aggregate.advance(60 * S)
    aggregate.finish(1.2)
    assert [interval.requests for interval in aggregate.intervals] == [50, 1]
    assert aggregate.requests_per_s == 50
    assert aggregate.measured_s == 1.2


def test_in_flight_sessions_and_health_stand_in_the_interval():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    waiting = fleet.recorders[0].http(http_key())
    waiting.sent(1)
    waiting.sent(1)
    aggregate.apply(
        fleet.frame(
            0,
            1,
            sessions=SessionCounts(planned=5, started=4, finished=1),
            health=HealthSample(cpu=0.9, lag_p99_us=300),
        )
    )
    aggregate.apply(fleet.frame(1, 1, sessions=SessionCounts(planned=5, started=5)))
    aggregate.advance(S)
    (interval,) = aggregate.intervals
    assert (interval.in_flight, interval.active_sessions) == (2, 8)
    assert (interval.cpu, interval.lag_p99_us, interval.verdict) == (0.9, 300, "degraded")
    assert aggregate.health.reason.startswith("worker 0: CPU 90.0%")
    assert aggregate.sessions == SessionCounts(planned=10, started=9, finished=1)
    figures = aggregate.worker_figures(0)
    assert (figures.requests_per_s, figures.active_sessions) == (2.0, 3)


def test_lag_is_judged_by_the_median_of_its_own_second():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    for second, us in enumerate((100_000, 500)):
        fleet.request(0, us=us)
        aggregate.apply(fleet.frame(0, second + 1, health=HealthSample(lag_p99_us=4000)))
    aggregate.advance(2 * S)
    assert [interval.verdict for interval in aggregate.intervals] == ["good", "degraded"]


def test_the_drain_is_shown_and_not_judged():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    aggregate.end_load(1.5)
    for end, cpu in ((1.0, 0.1), (1.5, 0.2), (2.0, 0.99), (3.0, 0.98)):
        health = HealthSample(cpu=cpu, lag_p99_us=round(cpu * 20_000))
        fleet.request(0)
        aggregate.apply(fleet.frame(0, end, health=health, last=end == 3))
    aggregate.finish(3.0)
    assert aggregate.health_summary().verdict == "degraded"
    assert aggregate.health_summary().cpu == 0.2
    assert [interval.verdict for interval in aggregate.intervals] == ["degraded"] * 2 + ["good"]
    assert [interval.cpu for interval in aggregate.intervals] == [0.1, 0.99, 0.98]


def test_a_very_short_last_frame_is_not_judged():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    aggregate.apply(fleet.frame(0, 0.1, health=HealthSample(cpu=1.0), last=True))
    aggregate.finish(0.1)
    assert aggregate.health_summary().verdict == "good"


def test_rows_are_filtered_sorted_and_paged():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    for number in range(6):
        fleet.request(0, f"/item/{number}", us=10_000 - 1000 * number, times=number + 1)
    fleet.request(0, "/Basket", us=50, failed="reset", times=2)
    aggregate.apply(fleet.frame(0, 1))
    aggregate.advance(S)

    def urls(**view):
        rows = aggregate.series_rows(View(kinds=("http",), **view))
        return [row.key.url.removeprefix("/item/") for row in rows]

    assert urls() == ["5", "4", "3", "2", "1", "/Basket", "0"]
    assert urls(descending=False, limit=2) == ["0", "1"]
    assert urls(limit=2, offset=2) == ["3", "2"]
    assert urls(sort="p99", limit=2) == ["0", "1"]
    assert urls(sort="failed", limit=1) == ["/Basket"]
    assert urls(sort="label", descending=False, limit=2) == ["/Basket", "0"]
    assert urls(contains="BASK") == ["/Basket"]
    assert urls(limit=0) == []
    assert urls(sort="nonsense") == urls()
    assert len(aggregate.series_rows(View(limit=10**9))) == 13
    interval = aggregate.series_rows(View(kinds=("http",), limit=1, interval=True))
    assert interval == aggregate.series_rows(View(kinds=("http",), limit=1))


def test_a_view_counts_what_fits_it_and_can_leave_out_the_warm_up():
    fleet, aggregate = Fleet(1), RunAggregate(1, warmup_s=1.0)
    recorder = fleet.recorders[0]
    recorder.phase = WARMUP
    fleet.request(0, "/a")
    recorder.phase = ""
    fleet.request(0, "/a")
    fleet.request(0, "/b")
    aggregate.apply(fleet.frame(0, 1))
    http = View(kinds=("http",), limit=1)
    assert aggregate.series_count(http) == 3
    measured = View(kinds=("http",), warmup=False)
    assert aggregate.series_count(measured) == 2
    assert [row.key.phase for row in aggregate.series_rows(measured)] == ["", ""]
    assert aggregate.series_count(View(contains="/a")) == 4  # with the first bytes


def test_interval_rows_are_those_of_the_last_full_second():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    assert aggregate.series_rows(View(interval=True)) == []
    for second, us in enumerate((1000, 2000)):
        fleet.request(0, us=us, times=10 + second)
        aggregate.apply(fleet.frame(0, second + 1))
    aggregate.advance(2 * S)
    view = View(kinds=("http",))
    (now,) = aggregate.series_rows(msgspec.structs.replace(view, interval=True))
    (whole,) = aggregate.series_rows(view)
    assert (now.requests, now.latency.min, now.per_s) == (11, 2000, 11.0)
    assert (whole.requests, whole.latency.min, whole.per_s) == (21, 1000, 10.5)
    assert now.id == whole.id
    assert aggregate.latency_now.p50 == 2000


def test_the_detail_of_a_series_has_spectrum_classes_and_all_distributions():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0, us=1000, times=99)
    fleet.request(0, us=70_000, status=503, expected=False)
    fleet.request(0, us=5_000, failed="refused")
    aggregate.apply(fleet.frame(0, 1))
    (row,) = aggregate.series_rows(View(kinds=("http",)))
    detail = aggregate.series_detail(row.id)
    assert detail.row == row
    assert detail.statuses == {200: 99, 503: 1}
    assert detail.errors == {"refused": 1}
    assert (detail.unexpected.count, detail.failures.max) == (1, 5003)
    assert sum(count for _, count in detail.histogram) == 99
    assert aggregate.series_detail(99) is None
    assert aggregate.series_detail(-1) is None


def test_error_rows_name_class_origin_and_unexpected_status():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0, "/a", failed="refused", times=3)
    fleet.request(0, "/a", failed="generator_ports", times=2)
    fleet.request(0, "/b", failed="cancelled")
    fleet.request(0, "/b", status=503, expected=False, times=9)
    fleet.recorders[0].timed(SeriesKey(kind="connect", service="shop")).failed(1, "refused")
    aggregate.apply(fleet.frame(0, 1))
    assert [(row.label, row.code, row.origin, row.count) for row in aggregate.error_rows()] == [
        ("GET /b", "http_503", "target", 9),
        ("GET /a", "refused", "target", 3),
        ("GET /a", "generator_ports", "generator", 2),
        ("GET /b", "cancelled", "scenario", 1),
    ]


def test_checks_exceptions_and_custom_metrics_are_summed_over_workers():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    for number, recorder in enumerate(fleet.recorders):
        recorder.check("S", "s", "ok?", number == 0, "why")
        recorder.exception(ExceptionGroup("E", "f.py", 3, 1, f"m{number}", "tb"))
        recorder.count(SeriesKey(kind="counter", name="sold", unit="items"), 2.5)
        recorder.rate(SeriesKey(kind="rate", name="hit"), number == 0)
        recorder.gauge(SeriesKey(kind="gauge", name="depth"), number + 7)
        aggregate.apply(fleet.frame(number, 1))
        recorder.check("S", "s", "ok?", True)
        aggregate.apply(fleet.frame(number, 2))
    (check,) = aggregate.checks()
    assert (check.passed, check.failed, check.reason) == (3, 1, "why")
    (group,) = aggregate.exceptions()
    assert (group.count, group.message) == (2, "m0")
    values = {metric.name: metric.value for metric in aggregate.metric_summaries()}
    assert values == {"sold": 5.0, "hit": 0.5, "depth": 8.0}


def test_a_lost_worker_is_completed_from_shared_memory():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    fleet.request(0, times=10)
    fleet.request(1, times=10)
    for worker in (0, 1):
        sessions = SessionCounts(planned=3, started=3)
        iterations = IterationCounts(started=9, completed=7)
        aggregate.apply(fleet.frame(worker, 1, sessions=sessions, iterations=iterations))
    # What worker 1 does now no frame tells any more.
    fleet.request(1, times=4)
    fleet.request(1, failed="reset", times=2)
    fleet.request(1, "/unknown", status=500, expected=False)
    fleet.recorders[1].http(http_key()).sent(100)
    summary = aggregate.worker_lost(1, fleet.counters.worker(1))
    assert (summary.sent, summary.ok, summary.failed, summary.in_flight) == (18, 15, 2, 1)
    assert summary.missing_latencies == 7
    assert not aggregate.apply(fleet.frame(1, 2))
    aggregate.apply(fleet.frame(0, 2, last=True))
    aggregate.finish(2)
    shared = fleet.counters.totals()
    totals = aggregate.totals
    assert (totals.requests, totals.ok, totals.failed, totals.http_errors) == (28, 25, 2, 1)
    assert (totals.requests, totals.bytes_in, totals.bytes_out) == (
        shared.sent, shared.bytes_in, shared.bytes_out,
    )  # fmt: skip
    assert sum(interval.requests for interval in aggregate.intervals) == 28
    metrics = {m.url or m.name: m for m in aggregate.metric_summaries() if m.kind == "http"}
    assert (metrics["/"].count, metrics["/"].errors) == (27, {"worker_lost": 2})
    assert metrics[OTHER].http_errors == {"0": 1}
    assert metrics["/"].service_time_us.count == 20
    assert {row.origin for row in aggregate.error_rows() if row.code == "worker_lost"} == {
        "generator"
    }
    assert aggregate.sessions.interrupted == 3
    assert aggregate.iterations.interrupted == 2


def test_a_worker_that_dies_before_its_first_frame_is_counted_from_shared_memory():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.recorders[0].phase = WARMUP
    fleet.request(0, times=2)
    fleet.recorders[0].phase = ""
    fleet.request(0, times=3)
    assert aggregate.worker_lost(0, fleet.counters.worker(0)).sent == 3
    aggregate.finish(0.5)
    counts = {m.phase: m.count for m in aggregate.metric_summaries()}
    assert counts == {"": 3, WARMUP: 2}
    assert aggregate.intervals[0].requests == 5


@pytest.mark.parametrize("value", [0.25, 0.001, 12.5, 17, 100, 1999, 2048, 81_300, 0])
def test_a_trend_is_told_in_its_own_unit_with_three_decimals(value):
    fleet, aggregate = Fleet(1), RunAggregate(1)
    keys = [SeriesKey(kind="trend", unit=unit, name="size") for unit in ("EUR", "B", "us")]
    for key in keys:
        fleet.recorders[0].trend(key, value)
    aggregate.apply(fleet.frame(0, 1, last=True))
    aggregate.finish(1)
    euros, size, times = aggregate.metric_summaries()
    figures = euros.service_time_us
    assert (figures.min, figures.p50, figures.p99_999, figures.max) == (value,) * 4
    assert figures.mean == value
    assert aggregate.series_rows(View())[0].latency.p95 == value
    assert aggregate.series_detail(0).spectrum[-1][1] == value
    assert size.service_time_us == times.service_time_us
    assert size.service_time_us.mean == round(value)


def test_sessions_of_a_worker_that_died_before_its_first_frame_stay_planned():
    aggregate = RunAggregate(2, planned_sessions=5)
    aggregate.worker_lost(1, Fleet(2).counters.worker(1))
    assert aggregate.sessions.planned == 5


def test_summaries_have_exactly_the_fields_of_the_report():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0, times=2000)
    aggregate.apply(fleet.frame(0, 1, last=True))
    aggregate.finish(1)
    pairs = [
        (aggregate.totals_summary(), ReportTotals),
        (aggregate.metric_summaries()[-1], ReportMetric),
        (aggregate.worker_summary(0), ReportWorker),
        (aggregate.health_summary(), ReportHealth),
        (aggregate.totals_summary().service_time_us, Distribution),
    ]
    for summary, kind in pairs:
        assert set(summary.__struct_fields__) <= set(kind.__struct_fields__)
    totals = msgspec.convert(pairs[0][0], ReportTotals, from_attributes=True)
    assert totals.service_time_us.count == 2000
    assert totals.service_time_us.p99_999 == totals.service_time_us.max == 1000
    assert totals.service_time_us.thin == ["p99_9", "p99_99", "p99_999"]
    metric = msgspec.convert(pairs[1][0], ReportMetric, from_attributes=True)
    assert (metric.method, metric.count, metric.statuses) == ("GET", 2000, {"200": 2000})


def test_the_start_of_load_is_second_zero():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    aggregate.begin(1000 * S)
    fleet.recorders[0].begin(1000 * S)
    fleet.request(0)
    assert aggregate.apply(fleet.frame(0, 1001))
    aggregate.advance(1001 * S + MS)
    assert [interval.second for interval in aggregate.intervals] == [0]


def test_nothing_at_all_gives_empty_figures():
    aggregate = RunAggregate(2)
    aggregate.finish(0.0)
    assert aggregate.measured_s == 0
    assert aggregate.totals_summary().requests_per_s == 0
    assert aggregate.metric_summaries() == []
    assert aggregate.latency.count == 0
    assert aggregate.worker_summary(1).sent == 0
    assert CounterValues().in_flight == 0

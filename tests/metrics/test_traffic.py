"""What goes over WebSockets, added up over workers, and what makes labels distinct."""

import pytest

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.distinction import distinctions, kind_word
from chaperon_engine.metrics.model import WARMUP, SeriesKey
from chaperon_engine.metrics.window import window_summary
from tests.metrics.fleet import MS, Fleet, S


def messages(fleet, worker, kind):
    return fleet.recorders[worker].messages(SeriesKey(kind=kind, url="/ws"))


def echo(fleet, worker, *, times=1, ms=1):
    """Messages of 5 bytes that came back after so long."""
    for _ in range(times):
        sent = messages(fleet, worker, "ws_send")
        sent.record_ns(1000)
        sent.bytes_out += 5
        arrived = messages(fleet, worker, "ws_message")
        arrived.count += 1
        arrived.bytes_in += 5
        messages(fleet, worker, "ws_recv").record_ns(ms * MS)
        messages(fleet, worker, "ws_round_trip").record_ns(ms * MS)


def test_messages_of_all_workers_are_totals_of_their_own_beside_the_requests():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    for worker in (0, 1):
        messages(fleet, worker, "ws_connect").ended(MS, 101)
        echo(fleet, worker, times=10, ms=2)
        messages(fleet, worker, "ws_recv").failed(MS, "message_timeout")
    fleet.request(0)
    aggregate.apply(fleet.frame(0, 1.0))
    aggregate.apply(fleet.frame(1, 1.0))
    aggregate.advance(2 * S)
    now = aggregate.messages_now
    assert (now.messages, now.failed, now.round_trip.count) == (40, 2, 20)
    messages(fleet, 0, "ws_close").ended(MS, 1000)
    for worker in (0, 1):
        aggregate.apply(fleet.frame(worker, 1.5, last=True))
    aggregate.finish(1.5)

    totals = aggregate.messages.totals
    assert (totals.sent, totals.received, totals.failed) == (20, 20, 2)
    assert (totals.bytes_in, totals.bytes_out) == (100, 100)
    assert (totals.opened, totals.open) == (2, 1)
    summary = aggregate.messages.summary(aggregate.measured_s)
    assert summary.messages_per_s == pytest.approx(40 / 1.5)
    assert summary.round_trip_us.count == 20
    assert summary.round_trip_us.p50 == pytest.approx(2000, rel=0.01)
    assert (summary.receive_us.count, summary.receive_us.max) == (20, 2000)
    assert aggregate.totals.requests == 1
    assert aggregate.totals_summary().service_time_us.count == 1
    first, second = aggregate.intervals
    assert first.messages is not None
    assert (first.messages.sent, first.messages.received, sum(first.messages.heat)) == (20, 20, 20)
    assert second.messages is not None
    assert second.messages.sent == 0


def test_warm_up_counts_in_no_total_but_what_is_open():
    fleet, aggregate = Fleet(1), RunAggregate(1, warmup_s=1.0)
    fleet.recorders[0].phase = WARMUP
    key = SeriesKey(kind="ws_connect", url="/ws", phase=WARMUP)
    fleet.recorders[0].messages(key).ended(MS, 101)
    aggregate.apply(fleet.frame(0, 1.0))
    assert (aggregate.messages.totals.opened, aggregate.messages.totals.open) == (0, 1)


def test_the_sockets_of_a_lost_worker_are_open_no_more():
    fleet, aggregate = Fleet(2), RunAggregate(2)
    for worker in (0, 1):
        messages(fleet, worker, "ws_connect").ended(MS, 101)
        aggregate.apply(fleet.frame(worker, 1.0))
    aggregate.worker_lost(1, fleet.counters.worker(1))
    assert (aggregate.messages.totals.opened, aggregate.messages.totals.open) == (2, 1)


def test_a_second_without_sockets_says_nothing_of_them():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0)
    aggregate.apply(fleet.frame(0, 1.0, last=True))
    aggregate.finish(1.0)
    assert aggregate.intervals[0].messages is None
    assert not aggregate.messages.totals.are_there


def test_a_window_of_the_journal_has_its_messages():
    fleet = Fleet(1)
    echo(fleet, 0, times=3)
    first = fleet.frame(0, 1.0)
    echo(fleet, 0, times=5)
    window = window_summary([first, fleet.frame(0, 2.0)], 0, 1, 2)
    assert window is not None
    assert window.messages is not None
    assert (window.messages.messages, window.round_trip.count) == (10, 5)


def test_failures_of_sockets_are_among_the_errors_under_their_kind():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    messages(fleet, 0, "ws_recv").failed(MS, "message_timeout")
    aggregate.apply(fleet.frame(0, 1.0))
    (row,) = aggregate.error_rows()
    assert (row.label, row.code, row.count) == ("ws_recv /ws", "message_timeout", 1)


def test_the_median_that_delays_are_judged_by_is_that_of_round_trips_without_requests():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    echo(fleet, 0, times=3, ms=40)
    aggregate.apply(fleet.frame(0, 1.0))
    aggregate.advance(2 * S)
    assert aggregate.median_us == pytest.approx(40_000, rel=0.01)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([{}], [""]),
        ([{"session": "a"}, {"session": "b"}], ["a", "b"]),
        ([{"action": "get"}, {"action": "redirect"}], ["get", "redirect"]),
        (
            [{"scenario": "A"}, *({"scenario": name, "session": "x"} for name in "BA")],
            ["A", "x, B", "x, A"],
        ),
        ([{"service": ""}, {"service": "api"}], ["", "api"]),
    ],
)  # fmt: skip
def test_only_what_tells_series_of_one_label_apart_is_said(fields, words):
    keys = [SeriesKey(kind="connect", **each) for each in fields]
    assert distinctions(["connect target"] * len(keys), keys) == words


def test_nested_scenarios_are_called_after_what_runs_them():
    assert kind_word("call", "schedule_scenario") == "schedule_scenario"
    assert kind_word("call", "call_traced") == "call"
    assert kind_word("ws_recv", "ws_recv") == "ws_recv"

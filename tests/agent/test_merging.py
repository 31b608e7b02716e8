"""Frames of a host's workers as one stream: the same measurements, less often."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.agent.merging import WAIT_S, FrameMerger
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.frames import ConservationError, FrameError
from chaperon_engine.metrics.model import (
    OTHER,
    ExceptionGroup,
    Frame,
    HealthSample,
    IterationCounts,
    LogLine,
    LostWorker,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from tests.metrics.fleet import Fleet, S, http_key

WORKERS = 3

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("request"),
            st.integers(0, WORKERS - 1),
            st.sampled_from(["/", "/a", "/b"]),
            st.integers(0, 3_000_000),
            st.sampled_from(["ok", "bad", "failed", "begun"]),
        ),
        st.tuples(st.just("check"), st.integers(0, WORKERS - 1), st.booleans()),
        st.tuples(st.just("error"), st.integers(0, WORKERS - 1), st.integers(1, 3)),
        st.tuples(st.just("count"), st.integers(0, WORKERS - 1), st.integers(0, 9)),
        st.tuples(st.just("gauge"), st.integers(0, WORKERS - 1), st.integers(0, 9)),
        st.tuples(st.just("tick"), st.lists(st.integers(0, 20), min_size=3, max_size=3)),
    ),
    max_size=60,
)


class Host:
    """Workers whose frames go to one aggregate one by one and to another through the merger."""

    def __init__(self, workers: int = WORKERS, **keywords: Any):
        self.fleet = Fleet(workers)
        self.singles = RunAggregate(workers)
        self.merged = RunAggregate(1)
        self.merger = FrameMerger(range(workers), member=0, epoch=0, **keywords)
        self.taken: list[Frame] = []
        self.now = 0.0
        self._seq = 0

    def put(self, worker: int, end_s: float, **rest: Any) -> None:
        frame = self.fleet.frame(worker, end_s, **rest)
        assert self.singles.apply(frame)
        self.merger.put(worker, frame, self.now)

    def lose(self, worker: int) -> None:
        counters = self.fleet.counters.worker(worker)
        self.singles.worker_lost(worker, counters)
        self.merger.lose(worker, "killed", counters.slots_as_counted())

    def take(self) -> list[Frame]:
        """What is due, over a wire into the aggregate."""
        frames = []
        for frame in self.merger.take(self.now):
            sent = msgspec.structs.replace(frame, seq=self._seq)
            self._seq += 1
            frames.append(msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Frame))
            assert self.merged.apply(frames[-1])
        self.taken += frames
        return frames

    def finish(self, at_s: float) -> None:
        self.singles.finish(at_s)
        self.merged.finish(at_s)


def figures(aggregate: RunAggregate) -> dict[str, Any]:
    """What a report says, without the parts that a merged stream may order or judge otherwise."""
    metrics = {
        msgspec.json.encode([m.kind, m.url, m.name]): m for m in aggregate.metric_summaries()
    }
    return {
        "totals": aggregate.totals_summary(),
        "latency": aggregate.latency,
        "metrics": metrics,
        "checks": aggregate.checks(),
        "exceptions": aggregate.exceptions(),
        "sessions": aggregate.sessions,
        "iterations": aggregate.iterations,
        "seconds": [
            (i.second, i.requests, i.ok, i.failed, i.latency, i.heat) for i in aggregate.intervals
        ],
    }


def play(host: Host, steps: list[tuple[Any, ...]], loses: int | None) -> None:
    second = 0
    gauge_turn = 0
    for step in steps:
        match step:
            case ("request", worker, url, us, "begun"):
                host.fleet.recorders[worker].http(http_key(url)).sent(us)
            case ("request", worker, url, us, "failed"):
                host.fleet.request(worker, url, us, failed="reset")
            case ("request", worker, url, us, how):
                good = how == "ok"
                host.fleet.request(worker, url, us, status=200 if good else 500, expected=good)
            case ("check", worker, passed):
                host.fleet.recorders[worker].check("S", "s", "fast", passed, f"slow in {worker}")
            case ("error", worker, times):
                group = ExceptionGroup("E", "f.py", 1, times, f"in {worker}", "", "run", "s")
                host.fleet.recorders[worker].exception(group)
            case ("count", worker, amount):
                host.fleet.recorders[worker].count(SeriesKey(kind="counter", name="c"), amount)
            case ("gauge", worker, value):
                # A gauge is what was said last: in one tick only one worker says it.
                if worker == gauge_turn:
                    host.fleet.recorders[worker].gauge(SeriesKey(kind="gauge", name="g"), value)
            case ("tick", late_ms):
                second += 1
                gauge_turn = second % WORKERS
                for worker, late in enumerate(late_ms):
                    counts = SessionCounts(planned=4, started=second)
                    host.put(
                        worker,
                        second + late / 1000,
                        sessions=counts,
                        iterations=IterationCounts(started=second),
                    )
                host.take()
    for worker in range(WORKERS):
        if worker == loses:
            host.fleet.request(worker, "/fresh", 5)
            host.lose(worker)
        else:
            host.put(worker, second + 0.5, last=True, sessions=SessionCounts(planned=4, started=4))
    host.now += 10
    host.take()
    host.finish(second + 0.5)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.none() | st.integers(0, WORKERS - 1))
def test_an_aggregate_of_merged_frames_is_that_of_the_single_ones(steps, loses):
    host = Host()
    play(host, steps, loses)
    merged, singles = figures(host.merged), figures(host.singles)
    if loses is not None:  # What was lost counts in the second in which that became known.
        for found in (merged, singles):
            found["seconds"] = [sum(s[at] for s in found["seconds"]) for at in (1, 2, 3)]
    assert merged == singles
    assert host.merger.is_over
    assert [frame.last for frame in host.taken] == [False] * (len(host.taken) - 1) + [True]
    ticks = sum(step[0] == "tick" for step in steps)
    assert len(host.taken) == ticks + 1
    alone = [host.singles.worker_summary(number) for number in range(WORKERS)]
    whole = host.merged.worker_summary(0)
    assert whole.missing_latencies == sum(each.missing_latencies for each in alone)


def test_a_tick_waits_for_all_workers_but_not_for_one_that_hangs():
    host = Host(2)
    host.put(0, 1)
    assert host.take() == []
    host.put(1, 1.001)
    (frame,) = host.take()
    assert (frame.start_ns, frame.end_ns) == (0, 1_001_000_000)
    host.put(0, 2)
    assert host.take() == []
    host.now += WAIT_S
    assert len(host.take()) == 1
    host.put(1, 3)  # One frame for the two seconds in which it hung, beside the other's last.
    host.put(0, 3)
    assert [frame.end_ns // S for frame in host.take()] == [3, 3]


def test_times_are_those_of_the_coordinator():
    host = Host(1, shift_ns=5 * S)
    host.put(0, 1)
    (frame,) = host.take()
    assert (frame.start_ns, frame.end_ns) == (5 * S, 6 * S)


def test_health_is_the_worst_lag_the_mean_share_and_the_sum_of_memory():
    host = Host(2)
    host.put(0, 1, health=HealthSample(100, 900, 0.5, 0.1, 10, 1000, 5))
    host.put(1, 1, health=HealthSample(300, 400, 0.7, 0.3, 5, 2000, 6))
    (frame,) = host.take()
    assert frame.health == HealthSample(300, 900, 0.6, 0.2, 10, 3000, 11)


def test_logs_are_kept_up_to_the_bound_and_then_counted():
    host = Host(2)
    lines = [LogLine(0.5, "info", "worker", str(number)) for number in range(150)]
    host.put(0, 1, logs=lines, dropped_logs=3)
    host.put(1, 1, logs=lines)
    (frame,) = host.take()
    assert len(frame.logs) == 200
    assert frame.dropped_logs == 103


def test_lines_of_workers_say_on_which_host():
    host = Host(1, name="big one")
    host.put(
        0, 1, logs=[LogLine(0, "output", "worker 0", "hi"), LogLine(0, "info", "buyers-3", "ho")]
    )
    (frame,) = host.take()
    assert [line.source for line in frame.logs] == ["big one worker 0", "buyers-3"]


def test_a_worker_that_is_lost_after_everything_was_told_still_ends_the_stream():
    host = Host(2)
    host.fleet.request(0, times=2)
    host.put(0, 1, last=True)
    host.put(1, 1, sessions=SessionCounts(planned=2, started=2), iterations=IterationCounts(3))
    assert [frame.last for frame in host.take()] == [False]
    host.fleet.request(1, "/late", times=3)
    host.lose(1)
    (frame,) = host.take()
    assert frame.last
    assert [(lost.worker, lost.note) for lost in frame.lost] == [(1, "killed")]
    assert host.merged.totals.requests == 5
    assert host.merged.sessions.interrupted == 2
    assert host.merged.iterations.interrupted == 3
    assert host.merged.worker_summary(0).missing_latencies == 3
    rows = {metric.name or metric.url: metric for metric in host.merged.metric_summaries()}
    assert rows[OTHER].statuses == {"0": 3}


def test_keys_beyond_what_a_coordinator_takes_of_a_member_are_folded_here():
    host = Host(2, max_series=1)
    for number in range(3):
        host.fleet.request(0, f"/a{number}")
        host.fleet.request(1, f"/b{number}")
    frames = [host.fleet.frame(worker, 1) for worker in (0, 1)]
    merger = FrameMerger([0, 1], member=0, epoch=0, max_series=3)
    for worker, frame in enumerate(frames):
        merger.put(worker, frame, 0)
    (frame,) = merger.take(0)
    assert len(frame.new_series) == 12
    assert frame.folded_keys == 0
    merger = FrameMerger([0, 1], member=0, epoch=0, max_series=3)
    merger._max_named = 8
    for worker, single in enumerate(frames):
        merger.put(worker, single, 0)
    (frame,) = merger.take(0)
    assert frame.folded_keys == 4
    assert [key.name for _, key in frame.new_series[8:]] == [OTHER, OTHER]
    assert sum(delta.sent for delta in frame.deltas) == 12
    aggregate = RunAggregate(1)
    assert aggregate.apply(frame)
    assert aggregate.totals.requests == 6


def test_checks_and_exceptions_beyond_the_cap_are_one(monkeypatch):
    monkeypatch.setattr("chaperon_engine.agent.folding.CheckSums.max_places", 2)
    monkeypatch.setattr("chaperon_engine.agent.folding.ExceptionSums.max_places", 2)
    host = Host(2)
    for worker in (0, 1):
        for name in range(3):
            host.fleet.recorders[worker].check("S", "s", f"{worker}{name}", passed=True)
            group = ExceptionGroup("E", "f.py", worker * 10 + name, 2, "m", "", "run", "s")
            host.fleet.recorders[worker].exception(group)
        host.put(worker, 1)
    (frame,) = host.take()
    assert {check.name: check.passed for check in frame.checks} == {"00": 1, "01": 1, OTHER: 4}
    assert {group.line: group.count for group in frame.exceptions} == {0: 8, 1: 2} or {
        group.type for group in frame.exceptions
    } == {"E", OTHER}
    assert sum(group.count for group in frame.exceptions) == 12
    host.fleet.recorders[1].check("S", "s", "12", passed=True)
    host.put(0, 2)
    host.put(1, 2)
    (frame,) = host.take()
    assert [(check.name, check.passed) for check in frame.checks] == [(OTHER, 5)]


def test_a_frame_that_no_sound_worker_sends_is_refused():
    host = Host(1)
    frame = host.fleet.frame(0, 1)
    frame.deltas = [SeriesDelta(7, sent=1)]
    with pytest.raises(FrameError, match="not announced"):
        host.merger.put(0, frame, 0.0)


def test_lost_requests_must_be_counts_of_known_series_and_add_up():
    fleet, aggregate = Fleet(1), RunAggregate(1)
    fleet.request(0)
    aggregate.apply(fleet.frame(0, 1))

    def told(delta: SeriesDelta, totals: int) -> Frame:
        frame = fleet.frame(0, 2)
        frame.seq = 1
        frame.lost = [LostWorker(0, "killed", [delta])]
        frame.totals = msgspec.structs.replace(frame.totals, sent=totals)
        return frame

    number = next(n for n, key in enumerate(aggregate.table.keys) if key.kind == "http")
    for delta in (
        SeriesDelta(9, sent=1),
        SeriesDelta(number, sent=1, errors={"x": 1}),
        SeriesDelta(number, sent=-1),
    ):
        with pytest.raises(FrameError):
            aggregate.apply(told(delta, 2))
    with pytest.raises(ConservationError):
        aggregate.apply(told(SeriesDelta(number, sent=1), 7))
    assert aggregate.apply(told(SeriesDelta(number, sent=1), 2))
    assert aggregate.totals.requests == 2
    assert aggregate.totals.in_flight == 1

"""Merged frames say the same sums as the frames they are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import (
    CheckCount,
    Frame,
    HealthSample,
    LogLine,
    SeriesKey,
)
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.runs.merging import MAX_LOGS, merge_frames
from chaperon_engine.worker.queue import FrameQueue

HTTP = SeriesKey(kind="http", url="/")
GAUGE = SeriesKey(kind="gauge", unit="", name="depth")
SECOND = 1_000_000_000

ticks = st.lists(
    st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from([200, 503, 0])), max_size=8),
    min_size=1,
    max_size=12,
)


def frames_of(history: list[list[tuple[int, int]]]) -> list[Frame]:
    """A worker's frames: each tick has requests of (microseconds, status, or 0 for a failure)."""
    recorder = Recorder(RunCounters(1).worker(0))
    recorder.begin(0)
    frames = []
    for number, requests in enumerate(history):
        for took_us, status in requests:
            series = recorder.http(HTTP)
            series.sent(100)
            if status:
                end = took_us * 1000
                series.completed(0, end, end, status, status < 400, 50)
            else:
                series.failed(0, took_us * 1000, "reset")
        recorder.gauge(GAUGE, float(number))
        collection = recorder.collect((number + 1) * SECOND)
        frames.append(
            collection.frame(0, 0, number, health=HealthSample(lag_p99_us=number), last=False)
        )
    return frames


def summary(frames: list[Frame]) -> tuple[object, ...]:
    aggregate = RunAggregate(1)
    aggregate.begin(0)
    for frame in frames:
        assert aggregate.apply(frame)
    aggregate.finish(100.0)
    gauges = [metric.value for metric in aggregate.metric_summaries() if metric.kind == "gauge"]
    metrics = [metric for metric in aggregate.metric_summaries() if metric.kind != "gauge"]
    return aggregate.totals_summary(), metrics, gauges


@given(ticks, st.integers(1, 5))
def test_a_queue_that_is_full_merges_and_loses_nothing(
    history: list[list[tuple[int, int]]], waiting: int
) -> None:
    frames = frames_of(history)
    queue = FrameQueue(waiting)
    for frame in frames:
        queue.put(frame)
    assert len(queue) == min(waiting, len(frames))
    taken = []
    while (found := queue.take()) is not None:
        taken.append(found)
    assert [frame.seq for frame in taken] == list(range(len(taken)))
    assert taken[0].start_ns == 0
    assert taken[-1].end_ns == len(frames) * SECOND
    assert taken[-1].totals == frames[-1].totals
    assert summary(taken) == summary(frames)


def test_a_merged_frame_keeps_the_worse_health_the_newer_checks_and_bounded_logs() -> None:
    def frame(number: int) -> Frame:
        return Frame(
            worker=0,
            epoch=0,
            seq=number,
            start_ns=number,
            end_ns=number + 1,
            checks=[CheckCount("s", "p", "c", passed=number)],
            logs=[LogLine(0.0, "info", "x", str(number))] * 150,
            health=HealthSample(lag_p99_us=10 - number, cpu=number / 10),
        )

    merged = merge_frames(frame(1), frame(2))
    assert merged.checks == [CheckCount("s", "p", "c", passed=2)]
    assert (merged.health.lag_p99_us, merged.health.cpu) == (9, 0.2)
    assert (len(merged.logs), merged.dropped_logs) == (MAX_LOGS, 100)
    assert (merged.seq, merged.start_ns, merged.end_ns) == (1, 1, 3)

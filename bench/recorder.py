"""What recording costs: `python -m bench.recorder` prints nanoseconds per call and per histogram.

Also the costs of a tick: taking the deltas in the worker, checking and merging them in the
coordinator. The first line is a yardstick, the bucket formula alone in a bare loop: on the machine
where the target of 1 us per request and histogram was set it took 170 to 230 ns. What is done only
once is given in CPU time, so that a busy machine does not count.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable

import msgspec

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.histogram import CumulativeHistogram, checked_counts
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.metrics.snapshot import View

CALLS = 2_000
ROUNDS = 150
TICK_CALLS = 20_000


def best_ns(work: Callable[[], object], calls: int = 1) -> float:
    """Nanoseconds per call, the best of many short rounds: what disturbs only adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        work()
        best = min(best, time.perf_counter_ns() - start)
    return best / calls


def latencies_ns(count: int) -> list[int]:
    """Service times around 0.75 ms with a tail, as of a fast target."""
    rng = random.Random(1)
    return [int(rng.lognormvariate(13.5, 0.5)) for _ in range(count)]


def calls() -> None:
    """The hot path."""
    spans = latencies_ns(CALLS)
    recorder = Recorder(RunCounters(1).worker(0))
    http = recorder.http(SeriesKey(kind="http", method="GET", url="/"))
    timed = recorder.timed(SeriesKey(kind="call", name="browse"))
    counts: dict[int, int] = {}
    values = [span // 1000 for span in spans]

    def empty() -> None:
        for _span in spans:
            pass

    def yardstick() -> None:
        for value in values:
            shift = (value | 2047).bit_length() - 11
            index = ((shift + 1) << 10) + (value >> shift) - 1024
            try:
                counts[index] += 1
            except KeyError:
                counts[index] = 1

    def request() -> None:
        sent, completed = http.sent, http.completed
        for span in spans:
            sent(120)
            completed(0, span - 5000, span, 200, True, 430)

    def in_one_piece() -> None:
        sent, completed = http.sent, http.completed_at_once
        for span in spans:
            sent(120)
            completed(span, 200, 430)

    def duration() -> None:
        record = timed.record_ns
        for span in spans:
            record(span)

    loop = best_ns(empty, CALLS)
    formula = best_ns(yardstick, CALLS) - loop
    both = best_ns(request, CALLS) - loop
    print(f"yardstick (formula inline)  {formula:8.0f} ns")
    print(f"sent + completed            {both:8.0f} ns, two histograms, counters, status, bytes")
    print(f"  per histogram             {both / 2:8.0f} ns = {both / 2 / formula:.1f} yardsticks")
    whole = best_ns(in_one_piece, CALLS) - loop
    print(f"sent + completed_at_once    {whole:8.0f} ns, the same for a reply in one piece")
    print(f"TimedSeries.record_ns       {best_ns(duration, CALLS) - loop:8.0f} ns")


def tick() -> None:
    """What a busy series costs once a second."""
    recorder = Recorder(RunCounters(1).worker(0))
    timed = recorder.timed(SeriesKey(kind="call", name="browse"))
    for span in latencies_ns(TICK_CALLS):
        timed.record_ns(span)
    start = time.thread_time_ns()
    delta = timed.take()
    taken = time.thread_time_ns() - start
    assert delta is not None
    assert delta.expected is not None
    expected = delta.expected
    total = CumulativeHistogram()
    total.add(expected, delta.ok)

    def read() -> None:
        total.add(expected, delta.ok)
        total.percentiles()

    checked = best_ns(lambda: checked_counts([expected]))
    print(f"one series with {len(expected.buckets) // 2} buckets:")
    print(f"  take                      {taken / 1000:8.1f} us")
    print(f"  check                     {checked / 1000:8.1f} us")
    print(f"  merge and percentiles     {best_ns(read) / 1000:8.1f} us")


def full_table() -> None:
    """A tick of a worker with 2,000 series of 50 values each, and what it costs the coordinator."""
    counters = RunCounters(1)
    recorder = Recorder(counters.worker(0))
    aggregate = RunAggregate(1)
    spans = latencies_ns(50)
    urls = [SeriesKey(kind="http", method="GET", url=f"/{number}") for number in range(1000)]
    steps: list[int] = []
    applied = encoded = 0
    for second in range(3):
        for key in urls:
            series = recorder.http(key)
            for span in spans:
                series.sent(120)
                series.completed(0, span - 5000, span, 200, True, 430)
        collection = recorder.collect((second + 1) * 1_000_000_000)
        steps = []
        start = time.thread_time_ns()
        for _ in collection:
            steps.append(time.thread_time_ns() - start)
            start = time.thread_time_ns()
        frame = collection.frame(0, 0, second)
        encoded = len(msgspec.msgpack.encode(frame))
        start = time.thread_time_ns()
        aggregate.apply(frame)
        applied = time.thread_time_ns() - start
    reading = best_ns(counters.totals)
    view = View(sort="p99")
    start = time.thread_time_ns()
    aggregate.series_rows(view)
    sorted_once = time.thread_time_ns() - start
    print(f"2,000 series of 50 values, frame of {encoded / 1e6:.2f} MB:")
    print(f"  collect                   {sum(steps) / 1e6:8.1f} ms in {len(steps)} steps")
    print(f"  its longest step          {max(steps) / 1e6:8.2f} ms (target: under 2)")
    print(f"  apply                     {applied / 1e6:8.1f} ms")
    print(f"  rows sorted by p99        {sorted_once / 1e6:8.1f} ms, once a tick")
    print(f"  shared totals             {reading / 1e6:8.2f} ms")


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as in a worker
    calls()
    tick()
    full_table()

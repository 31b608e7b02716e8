"""What recording costs: `python -m bench.recorder` prints nanoseconds per call and per histogram.

Also the costs of a tick: taking the deltas in the worker, merging them in the coordinator.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.histogram import CumulativeHistogram, check_delta
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import Recorder

CALLS = 20_000
ROUNDS = 9


def best_ns(work: Callable[[], object], calls: int) -> float:
    """Nanoseconds per call, the best of several rounds: what disturbs only adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        work()
        best = min(best, time.perf_counter_ns() - start)
    return best / calls


def main() -> None:
    rng = random.Random(1)
    spans = [int(rng.lognormvariate(13.5, 0.5)) for _ in range(CALLS)]
    recorder = Recorder(RunCounters(1).worker(0))
    http = recorder.http(SeriesKey(kind="http", method="GET", url="/"))
    timed = recorder.timed(SeriesKey(kind="call", name="browse"))

    def empty() -> None:
        for _span in spans:
            pass

    def request() -> None:
        sent, completed = http.sent, http.completed
        for span in spans:
            sent(120)
            completed(0, span - 5000, span, 200, True, 430)

    def duration() -> None:
        record = timed.record_ns
        for span in spans:
            record(span)

    loop = best_ns(empty, CALLS)
    per_request = best_ns(request, CALLS) - loop
    print(f"sent + completed            {per_request:7.0f} ns, two histograms")
    print(f"  per histogram             {per_request / 2:7.0f} ns (target: at most 1000)")
    print(f"TimedSeries.record_ns       {best_ns(duration, CALLS) - loop:7.0f} ns")

    http.take()
    request()
    start = time.perf_counter_ns()
    delta = http.take()
    elapsed = time.perf_counter_ns() - start
    assert delta is not None
    assert delta.expected is not None
    buckets = len(delta.expected.indices)
    print(f"take, {buckets} buckets         {elapsed / 1000:7.1f} us")
    expected = delta.expected
    checking = best_ns(lambda: check_delta(expected), 1) / 1000
    print(f"check_delta, {buckets} buckets   {checking:7.1f} us")
    total = CumulativeHistogram()
    total.add(expected)
    adding = best_ns(lambda: total.add(expected), 1) / 1000
    print(f"merge, {buckets} buckets         {adding:7.1f} us")

    def read() -> None:
        total._ordered = None
        total.percentiles()

    print(f"percentiles, {buckets} buckets   {best_ns(read, 1) / 1000:7.1f} us")


if __name__ == "__main__":
    main()

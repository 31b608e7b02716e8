"""The course of a run, second by second, in bounded memory.

Two tiers: the latest seconds one by one, and the whole run in steps that double when there are too
many. Percentiles cannot be averaged, so a step shows the worst of its seconds; counts are summed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from chaperon_engine import Interval, MessageSecond

MAX_STEPS = 480
"""Steps of the whole run; reaching it doubles their length."""
RECENT_S = 300
"""Seconds that are kept one by one."""


@dataclass
class Step:
    """One or more neighbouring seconds."""

    start_s: int
    seconds: int
    """How many intervals have arrived in it."""
    requests: int
    failed: int
    http_errors: int
    in_flight: int
    p50: float
    p95: float
    p99: float
    max: float
    count: int
    """Latencies behind the percentiles."""
    heat: list[int]
    verdict: str
    load_requests: int = 0
    """Requests of the seconds in which load was made: a rate of the drain would mean nothing."""
    load_s: int = 0
    """How many these seconds are."""

    def add(self, other: Step) -> None:
        """Take in a later step."""
        self.seconds += other.seconds
        self.requests += other.requests
        self.load_requests += other.load_requests
        self.load_s += other.load_s
        self.failed += other.failed
        self.http_errors += other.http_errors
        self.in_flight = max(self.in_flight, other.in_flight)
        self.p50 = max(self.p50, other.p50)
        self.p95 = max(self.p95, other.p95)
        self.p99 = max(self.p99, other.p99)
        self.max = max(self.max, other.max)
        self.count += other.count
        width = max(len(self.heat), len(other.heat))
        mine = self.heat + [0] * (width - len(self.heat))
        theirs = other.heat + [0] * (width - len(other.heat))
        self.heat = [a + b for a, b in zip(mine, theirs, strict=True)]
        if _RANK.get(other.verdict, 0) > _RANK.get(self.verdict, 0):
            self.verdict = other.verdict


_RANK = {"good": 0, "degraded": 1, "saturated": 2}


def message_step(interval: Interval) -> Step:
    """A second of WebSockets: messages in place of requests, round trips in place of service
    times."""
    messages = interval.messages or MessageSecond()
    trip, count = messages.round_trip, messages.sent + messages.received
    is_load = interval.phase != "drain"
    return Step(
        start_s=interval.second,
        seconds=1,
        requests=count,
        failed=messages.failed,
        http_errors=0,
        in_flight=0,
        p50=trip.p50,
        p95=trip.p95,
        p99=trip.p99,
        max=trip.max,
        count=trip.count,
        heat=list(messages.heat),
        verdict=interval.verdict,
        load_requests=count if is_load else 0,
        load_s=1 if is_load else 0,
    )


def request_step(interval: Interval) -> Step:
    """A second of HTTP requests."""
    latency = interval.latency
    is_load = interval.phase != "drain"
    return Step(
        start_s=interval.second,
        seconds=1,
        requests=interval.requests,
        failed=interval.failed,
        http_errors=interval.http_errors,
        in_flight=interval.in_flight,
        p50=latency.p50,
        p95=latency.p95,
        p99=latency.p99,
        max=latency.max,
        count=latency.count,
        heat=list(interval.heat),
        verdict=interval.verdict,
        load_requests=interval.requests if is_load else 0,
        load_s=1 if is_load else 0,
    )


@dataclass
class History:
    """Steps of the whole run and its latest seconds."""

    step_of: Callable[[Interval], Step] = field(default=request_step)
    """What of a second is kept: requests, or messages."""
    steps: list[Step] = field(default_factory=list)
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=RECENT_S))
    step_s: int = 1
    """Length of the steps of the whole run."""
    last_s: int = -1
    """The newest second, -1 before the first."""

    def extend(self, intervals: Iterable[Interval]) -> bool:
        """Take in the intervals that are new, in order; True if there were any."""
        changed = False
        for interval in intervals:
            if interval.second <= self.last_s:
                continue
            self.last_s = interval.second
            self.recent.append(self.step_of(interval))
            self._add(self.step_of(interval))
            changed = True
        return changed

    def span(self, seconds: int | None) -> Sequence[Step]:
        """The latest `seconds`, or the whole run for None."""
        if seconds is None or (self.step_s == 1 and self.last_s < seconds):
            return self.steps
        first = self.last_s - seconds
        return [step for step in self.recent if step.start_s > first]

    def _add(self, step: Step) -> None:
        slot = step.start_s // self.step_s
        if self.steps and self.steps[-1].start_s // self.step_s == slot:
            self.steps[-1].add(step)
            return
        self.steps.append(step)
        if len(self.steps) > MAX_STEPS:
            self.step_s *= 2
            old, self.steps = self.steps, []
            for each in old:
                self._add(each)

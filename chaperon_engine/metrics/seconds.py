"""The run second by second, from the frames of several workers whose ticks do not coincide.

A frame belongs to the second in which its middle lies:

    second        |    4    |    5    |    6    |
    worker 0      |---------|---------|             middles 4.5, 5.5
    worker 1         |---------|---------|          middles 4.8, 5.8

A second is closed, and never changes again, when every live worker has reported so much that its
next frame's middle lies beyond the second, or two seconds after its end (a worker that hangs must
not stop the charts; after this process itself stood still, all have ten seconds to come back). A
frame that comes too late for its second counts in the earliest open one, and time between frames
longer than a second shows as a peak: counts are never dropped, only moved.
So the sums over all seconds are the sums of the run, warm-up and drain included.

What arrives is kept in its second, and added up and handed on to the run's totals in one piece:
when somebody looks at them, or when the second is closed. With many workers that is a few additions
instead of one for each frame and series.

Owns open seconds, their closing and the history of `Interval`s. Must not know series tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chaperon_engine.metrics.accumulate import SeriesTotals
from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.health import HealthTracker
from chaperon_engine.metrics.histogram import CumulativeHistogram
from chaperon_engine.metrics.intervals import Intervals
from chaperon_engine.metrics.model import (
    HTTP,
    MESSAGE_KINDS,
    WARMUP,
    Frame,
    HealthSample,
    SeriesDelta,
)
from chaperon_engine.metrics.snapshot import Interval
from chaperon_engine.metrics.traffic import MessageFigures
from chaperon_engine.metrics.window import WindowHistory

LAG_SECONDS: Final = 2
"""How long after its end a second is closed without the workers that have not reported."""

STOOD_STILL_S: Final = 5
"""When nobody asked for so long, it was this process that was not there."""
COMING_BACK_S: Final = 10
"""How long after that no second is closed without the workers that have not reported."""

DRAIN: Final = "drain"
"""Phase of the seconds after the load has ended."""

_MIN_HEALTH_S: Final = 0.2
"""Shorter frames (the last one of a worker) say nothing about a worker's health."""


@dataclass
class Second:
    """What is known of one second so far."""

    number: int
    requests: int = 0
    """This and the next ones: in warm-up too, as far as they were handed on."""
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    latency: CumulativeHistogram = field(default_factory=CumulativeHistogram)
    """Of the measured requests that ended in it; known once it is closed, like the next one."""
    warmup_latency: CumulativeHistogram = field(default_factory=CumulativeHistogram)
    messages: MessageFigures = field(default_factory=MessageFigures)
    """Those of warm-up too."""
    series: dict[int, SeriesTotals] = field(default_factory=dict)
    """What the run's totals have of it, by the run's number of the series."""
    fresh: dict[tuple[int, bool], list[SeriesDelta]] = field(default_factory=dict)
    """What they do not have yet, as it came: by the number, and whether it counts for rates."""
    samples: list[tuple[int, HealthSample]] = field(default_factory=list)
    drain_samples: list[tuple[int, HealthSample]] = field(default_factory=list)
    """Of frames after the load had ended: shown, and not judged."""

    def add(self, number: int, kind: str, delta: SeriesDelta, *, in_window: bool) -> None:
        """Add what a worker recorded for a series; requests of warm-up count here too."""
        self.fresh.setdefault((number, in_window), []).append(delta)
        if kind in MESSAGE_KINDS:
            self.messages.add(kind, delta)

    def hand_on(self, series: Sequence[SeriesTotals]) -> None:
        """Add what is fresh to the run's totals, which are in the order of their numbers."""
        for (number, in_window), deltas in self.fresh.items():
            fresh = SeriesTotals(series[number].key)
            fresh.add_all(deltas, in_window=in_window)
            series[number].absorb(fresh)
            if fresh.key.kind == HTTP:
                self._count(fresh)
            known = self.series.get(number)
            if known is None:
                self.series[number] = fresh
            else:
                known.absorb(fresh)
        self.fresh = {}

    def sum_up(self) -> None:
        """It is closed: the latencies of all its requests."""
        for totals in self.series.values():
            if totals.key.kind == HTTP:
                whole = self.warmup_latency if totals.key.phase else self.latency
                whole.merge(totals.expected)

    def counts(self) -> CounterValues:
        """Its request counts."""
        return CounterValues(
            self.requests,
            self.ok,
            self.failed,
            self.http_errors,
            self.bytes_in,
            self.bytes_out,
            self.retries,
        )

    def add_lost(self, values: CounterValues) -> None:
        """Add requests of a lost worker that are known from shared memory alone."""
        self._count(values)

    def _count(self, found: SeriesTotals | CounterValues) -> None:
        self.requests += found.sent
        self.ok += found.ok
        self.failed += found.failed
        self.http_errors += found.http_errors
        self.bytes_in += found.bytes_in
        self.bytes_out += found.bytes_out
        self.retries += found.retries

    @property
    def median_us(self) -> int | float:
        """The usual time that something took, which a delay of the generator is compared with:
        of requests, without any of round trips; 0 when unknown."""
        return self.whole_latency().percentiles().p50 or self.messages.round_trip.percentiles().p50

    def whole_latency(self) -> CumulativeHistogram:
        """Of all requests that ended in it; not to be changed."""
        if not self.warmup_latency.count:
            return self.latency
        whole = CumulativeHistogram()
        whole.merge(self.latency)
        whole.merge(self.warmup_latency)
        return whole


class SecondHistory:
    """Open seconds, and the intervals that were made of closed ones."""

    def __init__(
        self, workers: int, series: Sequence[SeriesTotals], *, warmup_s: float = 0.0
    ) -> None:
        """`series`: the run's totals, which grow elsewhere."""
        self._series = series
        self.intervals = Intervals()
        """All closed seconds, in order and without gaps."""
        self.last: Second | None = None
        """The last closed second that was full: what `now` means on the screen."""
        self.latency = CumulativeHistogram()
        """Of the measured requests in all closed seconds."""
        self.window = WindowHistory()
        self.health = HealthTracker()
        self.load_end_s: float | None = None
        """When iterations stopped (or will stop) starting."""
        self._warmup_s = warmup_s
        self._reported_s = dict.fromkeys(range(workers), 0.0)
        """How far each live worker has reported, in seconds since the start."""
        self._active = dict.fromkeys(range(workers), 0)
        self._open: dict[int, Second] = {}
        self._in_flight = 0
        self._asked_s = 0.0
        """When closing was last asked for."""
        self._patient_until_s = 0.0

    @property
    def next_second(self) -> int:
        """The earliest second that is not closed."""
        return len(self.intervals)

    def open_for(self, middle_s: float) -> Second:
        """The second that a frame with this middle counts in."""
        number = max(int(middle_s), self.next_second)
        second = self._open.get(number)
        if second is None:
            second = self._open[number] = Second(number)
        return second

    def report(self, frame: Frame, start_s: float, end_s: float) -> None:
        """A worker's frame was added: its health, its sessions and how far it has come."""
        middle_s = (start_s + end_s) / 2
        second = self.open_for(middle_s)
        if end_s - start_s >= _MIN_HEALTH_S:
            drains = self.phase_at(middle_s) == DRAIN
            samples = second.drain_samples if drains else second.samples
            samples.append((frame.worker, frame.health))
        self._active[frame.worker] = frame.sessions.active
        if frame.last:
            self.end_worker(frame.worker)
        elif frame.worker in self._reported_s:
            self._reported_s[frame.worker] = end_s

    def end_worker(self, worker: int) -> None:
        """No further frame comes from this worker."""
        self._reported_s.pop(worker, None)
        self._active[worker] = 0

    def hand_on(self) -> None:
        """Bring the run's totals up to date."""
        for number in sorted(self._open):
            self._open[number].hand_on(self._series)

    def advance(self, now_s: float) -> None:
        """Close what can be closed at this time. Without a live worker only `finish` closes."""
        if now_s - self._asked_s > STOOD_STILL_S:
            self._patient_until_s = now_s + COMING_BACK_S
        self._asked_s = max(self._asked_s, now_s)
        if not self._reported_s:
            return
        # The next frame of a worker ends at the next full second, or later.
        reported_s = min(self._reported_s.values())
        until = (reported_s + int(reported_s) + 1) / 2
        if now_s >= self._patient_until_s:
            until = max(until, now_s - LAG_SECONDS)
        while self.next_second + 1 <= until:
            self._close()

    def finish(self) -> None:
        """The run is over: close every second in which something was recorded."""
        while self._open:
            self._close(is_full=not self.intervals)

    def _close(self, *, is_full: bool = True) -> None:
        number = self.next_second
        second = self._open.pop(number, None) or Second(number)
        second.hand_on(self._series)
        second.sum_up()
        self._in_flight += second.requests - second.ok - second.failed
        whole = second.whole_latency()
        latency = whole.percentiles()
        verdict = self.health.observe(number, second.samples, second.median_us)
        samples = [sample for _, sample in (*second.samples, *second.drain_samples)]
        self.intervals.append(
            Interval(
                second=number,
                requests=second.requests,
                ok=second.ok,
                failed=second.failed,
                http_errors=second.http_errors,
                in_flight=self._in_flight,
                latency=latency,
                heat=whole.heat_rows(),
                active_sessions=sum(self._active.values()),
                verdict=verdict,
                phase=self.phase_at(number + 0.5),
                bytes_in=second.bytes_in,
                lag_p99_us=max((sample.lag_p99_us for sample in samples), default=0),
                cpu=max((sample.cpu for sample in samples), default=0.0),
                messages=second.messages.second(),
            )
        )
        self.latency.merge(second.latency)
        self.window.append(number, second.counts(), whole)
        if is_full:
            self.last = second

    def phase_at(self, moment_s: float) -> str:
        """`warmup`, empty or `drain`."""
        if moment_s < self._warmup_s:
            return WARMUP
        if self.load_end_s is not None and moment_s >= self.load_end_s:
            return DRAIN
        return ""

"""The verdict on the generator itself: could it have measured truly in this second?

Owns the limits and the bookkeeping over a run. Pure: samples come from the workers.

degraded    loop lag p99 above max(1 ms, 10 % of the median service time), CPU above 85 % of a core,
            or steal above 5 %
saturated   loop lag p99 above 10 ms, or CPU above 95 %
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from chaperon_engine.metrics.model import HealthSample
from chaperon_engine.metrics.snapshot import HealthView
from chaperon_engine.metrics.summary import ReportHealth
from chaperon_engine.units import show_us

GOOD: Final = "good"
DEGRADED: Final = "degraded"
SATURATED: Final = "saturated"
LEVELS: Final = (GOOD, DEGRADED, SATURATED)
"""Verdicts, better ones first."""

LAG_DEGRADED_US: Final = 1_000
LAG_SHARE_OF_MEDIAN: Final = 0.1
LAG_SATURATED_US: Final = 10_000
CPU_DEGRADED: Final = 0.85
CPU_SATURATED: Final = 0.95
STEAL_DEGRADED: Final = 0.05


class Verdict(NamedTuple):
    """Verdict on one worker in one second."""

    level: str
    """`good`, `degraded` or `saturated`."""
    reason: str = ""
    """The limit that was passed, with the figures; empty when good."""


def verdict(sample: HealthSample, median_us: float = 0.0) -> Verdict:
    """Judge one worker's second; `median_us` is the median service time, 0 when unknown."""
    lag, cpu = sample.lag_p99_us, sample.cpu
    if lag > LAG_SATURATED_US:
        return Verdict(SATURATED, _lag(lag, LAG_SATURATED_US))
    if cpu > CPU_SATURATED:
        return Verdict(SATURATED, _share("CPU", cpu, CPU_SATURATED))
    limit = max(LAG_DEGRADED_US, LAG_SHARE_OF_MEDIAN * median_us)
    if lag > limit:
        return Verdict(DEGRADED, _lag(lag, limit))
    if cpu > CPU_DEGRADED:
        return Verdict(DEGRADED, _share("CPU", cpu, CPU_DEGRADED))
    if sample.steal > STEAL_DEGRADED:
        return Verdict(DEGRADED, _share("steal", sample.steal, STEAL_DEGRADED))
    return Verdict(GOOD)


def _lag(lag_us: float, limit_us: float) -> str:
    return f"event loop lag p99 {show_us(lag_us)}, limit {show_us(limit_us)}"


def _share(what: str, share: float, limit: float) -> str:
    return f"{what} {share:.1%} of a core, limit {limit:.0%}"


class HealthTracker:
    """The verdicts of a run, second by second."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        """What people call members that are no workers of this machine."""
        self._worker_seconds = 0
        self._counts = {DEGRADED: 0, SATURATED: 0}
        self._first: dict[str, float] = {}
        self._now = Verdict(GOOD)
        self._worst = Verdict(GOOD)
        self._worst_lag_us = 0
        self._worst_cpu = 0.0
        self._worst_steal = 0.0

    def observe(
        self, second: int, samples: Iterable[tuple[int, HealthSample]], median_us: float = 0.0
    ) -> str:
        """Judge all workers' samples of one second, (worker, sample); gives the worst verdict.

        Seconds come in order. A second without samples keeps the present verdict out of the share.
        """
        worst = Verdict(GOOD)
        for worker, sample in samples:
            self._worker_seconds += 1
            found = verdict(sample, median_us)
            if found.level != GOOD:
                self._first.setdefault(DEGRADED, float(second))
                self._counts[DEGRADED] += 1
            if found.level == SATURATED:
                self._first.setdefault(SATURATED, float(second))
                self._counts[SATURATED] += 1
            if LEVELS.index(found.level) > LEVELS.index(worst.level):
                name = self.names.get(worker, f"worker {worker}")
                worst = Verdict(found.level, f"{name}: {found.reason}")
            self._worst_lag_us = max(self._worst_lag_us, sample.lag_p99_us)
            self._worst_cpu = max(self._worst_cpu, sample.cpu)
            self._worst_steal = max(self._worst_steal, sample.steal)
        self._now = worst
        if LEVELS.index(worst.level) > LEVELS.index(self._worst.level):
            self._worst = Verdict(worst.level, f"{worst.reason} (second {second})")
        return worst.level

    def _share_of(self, level: str) -> float:
        return self._counts[level] / self._worker_seconds if self._worker_seconds else 0.0

    def view(self) -> HealthView:
        """For a snapshot: the verdict now, and the shares so far."""
        return HealthView(
            verdict=self._now.level,
            reason=self._now.reason,
            degraded_share=self._share_of(DEGRADED),
            saturated_share=self._share_of(SATURATED),
            first_degraded_s=self._first.get(DEGRADED),
            first_saturated_s=self._first.get(SATURATED),
            worst=self._worst.level,
        )

    def summary(self) -> ReportHealth:
        """For the report: the worst verdict, and the reason it was given first."""
        return ReportHealth(
            verdict=self._worst.level,
            reason=self._worst.reason,
            degraded_share=self._share_of(DEGRADED),
            saturated_share=self._share_of(SATURATED),
            first_degraded_s=self._first.get(DEGRADED),
            first_saturated_s=self._first.get(SATURATED),
            lag_p99_us=self._worst_lag_us,
            cpu=self._worst_cpu,
            steal=self._worst_steal,
        )

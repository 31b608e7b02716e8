"""What is known of each worker of a run, and the sums over all of them.

Owns what a worker said last: counts of sessions and iterations, checks, exceptions, figures. Must
not know series, seconds or how frames are merged.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.frames import WorkerLedger
from chaperon_engine.metrics.model import (
    CheckCount,
    ExceptionGroup,
    Frame,
    HealthSample,
    IterationCounts,
    SessionCounts,
)
from chaperon_engine.metrics.summary import WorkerSummary


class WorkerFigures(msgspec.Struct, frozen=True):
    """What a worker's last frame says of it."""

    requests_per_s: float = 0.0
    """Sent, over the frame's own interval."""
    messages_per_s: float = 0.0
    """Sent and received over WebSockets, likewise."""
    active_sessions: int = 0
    health: HealthSample = msgspec.field(default_factory=HealthSample)


class KnownWorker:
    """Everything known of one worker."""

    def __init__(self, number: int, max_series: int) -> None:
        self.number = number
        self.ledger = WorkerLedger(number, max_series)
        self.sessions = SessionCounts()
        self.iterations = IterationCounts()
        self.checks: dict[tuple[str, str, str], CheckCount] = {}
        self.exceptions: dict[tuple[str, str, int], ExceptionGroup] = {}
        self.folded_keys = 0
        self.figures = WorkerFigures()
        self.measured = CounterValues()
        """Its HTTP requests of the measured run."""
        self.missing_latencies = 0
        self.is_lost = False

    def remember(self, frame: Frame) -> None:
        """Keep what a frame says that is cumulative."""
        self.sessions = msgspec.structs.replace(frame.sessions)
        self.iterations = msgspec.structs.replace(frame.iterations)
        self.folded_keys = frame.folded_keys
        for check in frame.checks:
            self.checks[check.scenario, check.session, check.name] = check
        for group in frame.exceptions:
            self.exceptions[group.type, group.file, group.line] = group

    def interrupt(self) -> None:
        """It is lost: what it was doing counts as interrupted."""
        self.sessions.interrupted += self.sessions.active
        self.iterations.interrupted += self.iterations.running
        self.figures = WorkerFigures()

    def summary(self) -> WorkerSummary:
        """The report's figures of it."""
        counts = self.measured
        return WorkerSummary(
            worker=self.number,
            sent=counts.sent,
            ok=counts.ok,
            failed=counts.failed,
            in_flight=counts.in_flight,
            missing_latencies=self.missing_latencies,
        )


def sessions_of(workers: Iterable[KnownWorker]) -> SessionCounts:
    """Over all of them."""
    return SessionCounts(
        *map(sum, zip(*(msgspec.structs.astuple(each.sessions) for each in workers), strict=True))
    )


def iterations_of(workers: Iterable[KnownWorker]) -> IterationCounts:
    """Over all of them."""
    return IterationCounts(
        *map(sum, zip(*(msgspec.structs.astuple(each.iterations) for each in workers), strict=True))
    )


def checks_of(workers: Iterable[KnownWorker]) -> list[CheckCount]:
    """All checks over all of them, by scenario, session and name."""
    merged: dict[tuple[str, str, str], CheckCount] = {}
    for worker in workers:
        for place, check in worker.checks.items():
            found = merged.get(place)
            if found is None:
                merged[place] = msgspec.structs.replace(check)
            else:
                found.passed += check.passed
                found.failed += check.failed
                found.reason = found.reason or check.reason
    return [merged[place] for place in sorted(merged)]


def exceptions_of(workers: Iterable[KnownWorker]) -> list[ExceptionGroup]:
    """Exceptions of user code over all of them, the most frequent first."""
    merged: dict[tuple[str, str, int], ExceptionGroup] = {}
    for worker in workers:
        for place, group in worker.exceptions.items():
            found = merged.get(place)
            if found is None:
                merged[place] = msgspec.structs.replace(group)
            else:
                found.count += group.count
    return sorted(merged.values(), key=lambda group: (-group.count, group.file, group.line))

"""Scheduled scenarios of a run: which worker runs which, and who waits for it. Sans-I/O.

    Schedule ──> placed on the worker with the fewest ──> Place ... Placed ──> Scheduled
       └── refused: the run is ending, nobody can take it, too many ──────────> Scheduled
    Withdraw, or the asking worker is gone ──> EndPlacement ... Placed (nobody is told)
    the worker that runs it is gone ──────────────────────────────────────────> Scheduled (lost)

Each scenario is handed out once. Must not know why a worker is gone, or whether the run may end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaperon_engine.coordinator.events import Send
from chaperon_engine.definition.scheduled import (
    OutcomeKind,
    ScheduledOutcome,
    ScheduledScenario,
)
from chaperon_engine.protocol.messages import EndPlacement, Place, Scheduled

MAX_OUTSTANDING: Final = 1_000
"""Scenarios that sessions of one worker may wait for at a time."""


@dataclass
class _Placement:
    number: int
    asker: int
    """Worker whose session waits."""
    request: int
    host: int
    """Worker that runs it."""
    is_awaited: bool = True


class Placements:
    """Decides where a scheduled scenario runs; one per run."""

    def __init__(self, workers: int) -> None:
        self._open: dict[int, _Placement] = {}
        """Those that run, by number."""
        self._by_request: dict[tuple[int, int], int] = {}
        """Awaited ones: the number by asking worker and request."""
        self._running = [0] * workers
        """How many run on each worker."""
        self._given = [0] * workers
        """How many each worker was given in all."""
        self._awaited = [0] * workers
        """How many sessions of each worker wait for."""
        self._next = 0

    def __len__(self) -> int:
        """How many run, awaited or not."""
        return len(self._open)

    def on(self, worker: int) -> int:
        """How many run on this worker."""
        return self._running[worker]

    def ask(
        self,
        worker: int,
        request: int,
        what: ScheduledScenario,
        able: Sequence[int],
        refusal: str = "",
    ) -> list[Send]:
        """A session of `worker` wants `what`; `able` workers could run it. `refusal` says why
        nothing is placed now."""
        if (worker, request) in self._by_request:
            refusal = f"request {request} of worker {worker} runs already"
        elif self._awaited[worker] >= MAX_OUTSTANDING:
            refusal = f"sessions of this worker wait for {MAX_OUTSTANDING:,} scheduled scenarios"
        elif not able and not refusal:
            refusal = "no worker can take it"
        if refusal:
            return [_told(worker, request, "refused", refusal)]
        host = min(able, key=lambda number: (self._running[number], self._given[number], number))
        placement = _Placement(self._next, worker, request, host)
        self._next += 1
        self._given[host] += 1
        self._running[host] += 1
        self._awaited[worker] += 1
        self._open[placement.number] = placement
        self._by_request[worker, request] = placement.number
        return [Send(host, Place(placement=placement.number, what=what))]

    def withdrawn(self, worker: int, request: int) -> list[Send]:
        """Nobody waits for a request any more."""
        number = self._by_request.pop((worker, request), None)
        if number is None:
            return []  # Its answer is under way.
        placement = self._open[number]
        placement.is_awaited = False
        self._awaited[worker] -= 1
        return [Send(placement.host, EndPlacement(placement=number))]

    def ended(self, worker: int, number: int, outcome: ScheduledOutcome) -> list[Send]:
        """A worker says how a placement ended."""
        placement = self._open.get(number)
        if placement is None or placement.host != worker:
            return []
        return self._close(placement, outcome)

    def gone(self, worker: int, why: str) -> list[Send]:
        """A worker has ended, one way or the other; `why` completes `worker 1 ...`."""
        actions: list[Send] = []
        for placement in list(self._open.values()):
            if placement.asker == worker and placement.is_awaited:
                actions += self.withdrawn(worker, placement.request)
            if placement.host == worker:
                reason = f"worker {worker}, on which it ran, {why}"
                actions += self._close(placement, ScheduledOutcome(kind="lost", reason=reason))
        return [action for action in actions if action.worker != worker]

    def _close(self, placement: _Placement, outcome: ScheduledOutcome) -> list[Send]:
        del self._open[placement.number]
        self._running[placement.host] -= 1
        if not placement.is_awaited:
            return []
        del self._by_request[placement.asker, placement.request]
        self._awaited[placement.asker] -= 1
        return [Send(placement.asker, Scheduled(request=placement.request, outcome=outcome))]


def _told(worker: int, request: int, kind: OutcomeKind, reason: str) -> Send:
    outcome = ScheduledOutcome(kind=kind, reason=reason)
    return Send(worker, Scheduled(request=request, outcome=outcome))

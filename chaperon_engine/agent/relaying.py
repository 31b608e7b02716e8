"""Scheduled scenarios of this host's sessions, and those that run here for others. Sans-I/O.

To the coordinator the host is one worker: requests get the host's own numbers, and what is placed
here goes to the worker that runs the fewest. A connection that ends takes all of it along, on both
sides: who waits is told, and what nobody waits for any more is cancelled.

Must not know: why a worker is gone, or a connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaperon_engine.agent.events import Tell
from chaperon_engine.crew.events import Send
from chaperon_engine.definition.scheduled import (
    OutcomeKind,
    ScheduledOutcome,
    ScheduledScenario,
)
from chaperon_engine.protocol.messages import (
    EndPlacement,
    Place,
    Placed,
    Schedule,
    Scheduled,
    Withdraw,
)

LOST_CONNECTION = "the connection to the coordinator broke"

Relayed = Send | Tell


@dataclass(frozen=True)
class _Asker:
    worker: int
    request: int
    """In the numbers of that worker."""


class Relay:
    """Numbers of requests and places of guests; one per agent."""

    def __init__(self, workers: int) -> None:
        self._next = 0
        self._asked: dict[int, _Asker] = {}
        """Who waits, by the host's number of the request."""
        self._hosts: dict[int, int] = {}
        """The worker that runs each placement."""
        self._running = [0] * workers

    def __len__(self) -> int:
        """How many scenarios run here for others."""
        return len(self._hosts)

    def ask(
        self, worker: int, request: int, what: ScheduledScenario, *, connected: bool
    ) -> list[Relayed]:
        """A session here wants a scenario run."""
        if not connected:
            return [_told(_Asker(worker, request), "refused", LOST_CONNECTION)]
        number, self._next = self._next, self._next + 1
        self._asked[number] = _Asker(worker, request)
        return [Tell(Schedule(request=number, what=what))]

    def withdrawn(self, worker: int, request: int) -> list[Relayed]:
        """The session waits no longer."""
        for number, asker in self._asked.items():
            if asker == _Asker(worker, request):
                del self._asked[number]
                return [Tell(Withdraw(request=number))]
        return []

    def answered(self, number: int, outcome: ScheduledOutcome) -> list[Relayed]:
        """The coordinator says how a scenario that was asked for here has ended."""
        asker = self._asked.pop(number, None)
        if asker is None:
            return []
        return [Send(asker.worker, Scheduled(request=asker.request, outcome=outcome))]

    def place(self, message: Place, able: list[int]) -> list[Relayed]:
        """The coordinator places a scenario here; `able` workers could run it."""
        if not able or message.placement in self._hosts:
            outcome = ScheduledOutcome(kind="refused", reason="no worker of this host can take it")
            return [Tell(Placed(placement=message.placement, outcome=outcome))]
        host = min(able, key=lambda number: (self._running[number], number))
        self._hosts[message.placement] = host
        self._running[host] += 1
        return [Send(host, message)]

    def end(self, placement: int) -> list[Relayed]:
        """Nobody waits for a placement any more."""
        host = self._hosts.get(placement)
        return [] if host is None else [Send(host, EndPlacement(placement=placement))]

    def ended(self, worker: int, message: Placed) -> list[Relayed]:
        """A worker here says how a placement ended."""
        if self._hosts.get(message.placement) != worker:
            return []
        del self._hosts[message.placement]
        self._running[worker] -= 1
        return [Tell(message)]

    def gone(self, worker: int, why: str) -> list[Relayed]:
        """A worker here has ended; `why` completes `the worker on which it ran ...`."""
        actions: list[Relayed] = []
        for asker in [asker for asker in self._asked.values() if asker.worker == worker]:
            actions += self.withdrawn(asker.worker, asker.request)
        outcome = ScheduledOutcome(kind="lost", reason=f"the worker on which it ran {why}")
        for placement in [number for number, host in self._hosts.items() if host == worker]:
            actions += self.ended(worker, Placed(placement=placement, outcome=outcome))
        return actions

    def disconnected(self) -> list[Relayed]:
        """The connection to the coordinator has ended."""
        actions: list[Relayed] = [
            _told(asker, "lost", LOST_CONNECTION) for asker in self._asked.values()
        ]
        self._asked.clear()
        for placement, host in self._hosts.items():
            actions.append(Send(host, EndPlacement(placement=placement)))
        self._hosts.clear()
        self._running = [0] * len(self._running)
        return actions


def _told(asker: _Asker, kind: OutcomeKind, reason: str) -> Send:
    outcome = ScheduledOutcome(kind=kind, reason=reason)
    return Send(asker.worker, Scheduled(request=asker.request, outcome=outcome))

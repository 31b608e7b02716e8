"""How sessions of this worker have scenarios run on some worker, and how that is told.

`Placement` has them run here: for trials, and wherever there is one worker and nobody to ask.
`RemotePlacement` asks the coordinator and runs here what the coordinator places here. Must not know
sockets: messages go out through a function and come in through `receive`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario, name_of
from chaperon_engine.protocol.messages import (
    EndPlacement,
    Message,
    Place,
    Placed,
    Release,
    Schedule,
    Scheduled,
    Withdraw,
    WorkerIdle,
)
from chaperon_engine.worker.guests import Guest, Guests

ToPlacement = Place | EndPlacement | Scheduled | Release


class Placement:
    """Runs here what is scheduled here. The port that sessions are given."""

    def __init__(self) -> None:
        self._guests: Guests | None = None

    def open(self, guests: Guests) -> None:
        """The load begins: from now on guests can run."""
        self._guests = guests

    def name_of(self, scenario: type[Scenario]) -> str:
        """See `RemotePort`."""
        return name_of(scenario, self._here.modules)

    async def schedule(self, what: ScheduledScenario) -> ScheduledOutcome:
        """See `RemotePort`."""
        ended: asyncio.Future[ScheduledOutcome] = asyncio.get_running_loop().create_future()
        guest = self._here.begin(what, lambda outcome: _settle(ended, outcome))
        try:
            return await ended
        finally:
            if guest is not None:
                guest.life.interrupt()

    async def settle(self, epoch: int) -> bool:
        """The sessions of this worker have ended; wait until no guest can come any more, or until
        it is woken: then False. `epoch`: of the newest shares that it took over."""
        await self._here.all_ended()
        return True

    def wake(self) -> None:
        """There are sessions again."""

    def abort(self) -> None:
        """Cancel what runs here."""
        if self._guests is not None:
            self._guests.abort()

    @property
    def _here(self) -> Guests:
        assert self._guests is not None
        return self._guests


class RemotePlacement(Placement):
    """Asks the coordinator, and takes what it places here."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        super().__init__()
        self._send = send
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[ScheduledOutcome]] = {}
        """By number of the request."""
        self._placed: dict[int, Guest] = {}
        """By number of the placement."""
        self._early: dict[int, ScheduledScenario] = {}
        """Placed here before the load of this worker began."""
        self._is_released = False
        self._wake = asyncio.Event()

    def open(self, guests: Guests) -> None:
        super().open(guests)
        for placement, what in self._early.items():
            self._begin(placement, what)
        self._early.clear()

    async def schedule(self, what: ScheduledScenario) -> ScheduledOutcome:
        request = next(self._numbers)
        answer: asyncio.Future[ScheduledOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        self._send(Schedule(request=request, what=what))
        try:
            return await answer
        finally:
            del self._waiting[request]
            if answer.cancelled():
                self._send(Withdraw(request=request))

    def receive(self, message: ToPlacement) -> None:
        """What the coordinator says."""
        match message:
            case Scheduled(request=request, outcome=outcome):
                # One that was withdrawn meanwhile is no longer there.
                if request in self._waiting:
                    _settle(self._waiting[request], outcome)
            case Place(placement=placement, what=what) if self._guests is None:
                self._early[placement] = what
            case Place(placement=placement, what=what):
                self._begin(placement, what)
            case EndPlacement(placement=placement) if placement in self._early:
                del self._early[placement]
                self._send(Placed(placement=placement, outcome=ScheduledOutcome(kind="refused")))
            case EndPlacement(placement=placement):
                if placement in self._placed:
                    self._placed[placement].life.interrupt()
            case Release():
                self._release()

    async def settle(self, epoch: int) -> bool:
        self._send(WorkerIdle(epoch=epoch))
        if not self._is_released:
            self._wake.clear()
            await self._wake.wait()
        return self._is_released and await super().settle(epoch)

    def wake(self) -> None:
        self._wake.set()

    def abort(self) -> None:
        super().abort()
        self._release()

    def _release(self) -> None:
        self._is_released = True
        self._wake.set()

    def _begin(self, placement: int, what: ScheduledScenario) -> None:
        def ended(outcome: ScheduledOutcome) -> None:
            self._placed.pop(placement, None)
            self._send(Placed(placement=placement, outcome=outcome))

        guest = self._here.begin(what, ended)
        if guest is not None:
            self._placed[placement] = guest


def _settle(future: asyncio.Future[ScheduledOutcome], outcome: ScheduledOutcome) -> None:
    if not future.done():
        future.set_result(outcome)

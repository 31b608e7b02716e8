"""Scenarios that run in this worker for sessions elsewhere, each as one session that runs once.

A guest is no session of the plan: it is counted in neither sessions nor iterations; what it
measures counts. Must not know who asked, or how that is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from random import Random

from chaperon_engine.definition.layers import deep_merge
from chaperon_engine.definition.scheduled import (
    Modules,
    ScheduledOutcome,
    ScheduledScenario,
    class_of,
)
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.worker import HttpWorker
from chaperon_engine.metrics.model import SessionCounts
from chaperon_engine.net.ports import Labels
from chaperon_engine.session import Session
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.failures import reason_of
from chaperon_engine.session.lifecycle import make_session, stop_measuring
from chaperon_engine.session.nested import context_for
from chaperon_engine.session.plain import pack, unpack, unpack_assigned, unpack_cookies
from chaperon_engine.units import show_duration
from chaperon_engine.worker.iteration import IN_SESSION, IterationTally, SessionLife

OnEnd = Callable[[ScheduledOutcome], None]


class Guests:
    """The guests of one worker."""

    def __init__(
        self, contexts: Mapping[str, PopulationContext], http: HttpWorker, modules: Modules
    ) -> None:
        """`contexts` are those of the populations, by name."""
        self.modules = modules
        self._contexts = contexts
        self._http = http
        self._running: set[Guest] = set()
        self._changed = asyncio.Event()

    def begin(self, what: ScheduledScenario, on_end: OnEnd) -> Guest | None:
        """Start a scenario; `on_end` is told how it ended, at once when it cannot begin."""
        try:
            base = self._contexts.get(what.population)
            if base is None:
                raise InvalidRequest(f"there is no population {what.population!r} in this worker")
            parts = tuple(class_of(name, self.modules) for name in what.scenarios)
            context = context_for(base, parts, what.name)
            session = _session_for(what, context, self._http)
        except Exception as error:
            on_end(ScheduledOutcome(kind="refused", reason=reason_of(error)))
            return None

        def ended(guest: Guest) -> None:
            self._running.discard(guest)
            self._changed.set()
            on_end(guest.outcome())

        guest = Guest(context, session, ended)
        self._running.add(guest)
        guest.life.start()
        return guest

    async def all_ended(self) -> None:
        """Wait until there is none."""
        while self._running:
            self._changed.clear()
            await self._changed.wait()

    def abort(self) -> None:
        """Cancel all of them; no teardown."""
        for guest in list(self._running):
            guest.life.interrupt(skip_teardown=True)


class Guest:
    """One guest: the host of its session's life."""

    def __init__(
        self, context: PopulationContext, session: Session, on_end: Callable[[Guest], None]
    ) -> None:
        self.context = context
        self.sessions = SessionCounts()
        self.iterations = IterationTally()
        self.open_below = 0
        self.task_context = copy_context()
        self.task_context.run(IN_SESSION.set, True)
        self.life = SessionLife(self, session)
        self._on_end = on_end

    def admits(self, iteration: int) -> bool:
        return iteration == 0

    def remaining_s(self) -> float:
        return 0.0

    def prepared(self) -> None:
        pass

    def ended(self, life: SessionLife) -> None:
        self._on_end(self)

    def outcome(self) -> ScheduledOutcome:
        """How it ended."""
        reason = self._fault()
        if not reason:
            try:
                return ScheduledOutcome(result=pack(self.life.session.assigned, "assigned value"))
            except InvalidRequest as error:
                reason = str(error)
        scenario = self.context.population.plan.scenario
        return ScheduledOutcome(kind="failed", reason=f"scenario {scenario}: {reason}")

    def _fault(self) -> str:
        counts = self.sessions
        if counts.timed_out:
            limit_s = self.context.population.settings.scenario_timeout_s or 0.0
            return f"it was not done within its scenario_timeout of {show_duration(limit_s)}"
        if counts.interrupted:
            return "it was cut off"
        if counts.failed or self.iterations.failed:
            errors = [error for kept in self.life.session.errors.values() for error in kept]
            return reason_of(errors[-1]) if errors else "it failed"
        return ""


def _session_for(what: ScheduledScenario, context: PopulationContext, http: HttpWorker) -> Session:
    population = context.population
    labels = Labels(population.plan.scenario, population.session_label)
    session = make_session(context, what.index, http.client(population.services, labels))
    config = unpack(what.config)
    session._config = deep_merge(population.config, config) if what.merge else config
    session._random = Random(what.seed)
    session.assigned = unpack_assigned(what.assigned)
    if cookies := unpack_cookies(what.cookies):
        session.cookies.load(cookies)
    if not what.is_measured:
        stop_measuring(session)
    return session

"""One session from its start to its end: init, iterations, teardown, and how each is counted.

    start delay -> init -> run, run, ... -> teardown -> end
                     |        |  failed: pause 1 ms, 2 ms ... 1 s, then the next
                     |        `- aborted, timed out, grace over: no further run
                     `- refused or raised: no run, no teardown

Must not know when sessions start or why a run ends; its host says whether an iteration may begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from inspect import isawaitable, iscoroutinefunction
from types import coroutine
from typing import Any, Final, Literal, Protocol

from chaperon_engine.errors import SessionAborted, SessionRefused
from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.session import Session, lifecycle
from chaperon_engine.session.assigned import Assigned, copied
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.failures import (
    cause_of,
    control_flow_of,
    is_counted_already,
    reason_of,
    waits_at,
)
from chaperon_engine.session.family import with_children

Outcome = Literal["failed", "timed_out", "interrupted"]

FIRST_PAUSE_S: Final = 0.001
LONGEST_PAUSE_S: Final = 1.0
TEARDOWN_LIMIT_S: Final = 2.0
"""Time for the teardown of a session that was cut off."""
CANCEL_EVERY_S: Final = 0.05
CANCEL_TIMES: Final = 20
"""User code that swallows so many cancellations, one second in all, is given up."""

IN_SESSION: ContextVar[bool] = ContextVar("in_session", default=False)
"""True in a session's task and in every task that its code makes."""


class IterationTally:
    """Iterations counted as they happen. Not `IterationCounts` itself: to change an attribute of a
    msgspec struct costs twice as much, and this is done twice in each iteration."""

    __slots__ = ("completed", "failed", "interrupted", "started")

    def __init__(self) -> None:
        self.started = 0
        self.completed = 0
        self.failed = 0
        self.interrupted = 0

    def counts(self) -> IterationCounts:
        """A copy for frames and reports."""
        return IterationCounts(self.started, self.completed, self.failed, self.interrupted)


class Host(Protocol):
    """What a session needs from its population and worker."""

    context: PopulationContext
    sessions: SessionCounts
    iterations: IterationTally
    task_context: Context
    """In it `IN_SESSION` is true."""

    open_below: int
    """Iterations with a smaller number may begin without `admits`: it costs as much as all else."""

    def admits(self, iteration: int) -> bool:
        """Whether a session may begin this iteration now; takes it from the shared ones."""
        ...

    def remaining_s(self) -> float:
        """Seconds until no iteration may begin any more; infinite when only the work decides."""
        ...

    def prepared(self) -> None:
        """A session has passed its `init`."""
        ...

    def ended(self, life: SessionLife) -> None:
        """The session has been counted and its task is over or given up."""
        ...


class SessionLife:
    """Runs one session as one task and counts it once."""

    __slots__ = (
        "_awake",
        "_cancels",
        "_context",
        "_host",
        "_is_iterating",
        "_is_over",
        "_loop",
        "_outcome",
        "_population",
        "_scenario",
        "_skips_teardown",
        "_snapshot",
        "_task",
        "_timeout",
        "_timer",
        "session",
    )

    def __init__(self, host: Host, session: Session) -> None:
        self.session = session
        self._host = host
        self._context = host.context
        self._population = host.context.population
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._scenario: Any = None
        self._outcome: Outcome | None = None
        self._is_iterating = False
        self._is_over = False
        self._skips_teardown = False
        self._snapshot: Assigned | None = None
        """What `init` assigned, when every iteration starts fresh."""
        self._awake: asyncio.Future[None] | None = None
        """Ends the present pause."""
        self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None
        """The next cancellation."""
        self._timeout: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; the session counts as started."""
        self._host.sessions.started += 1
        limit_s = self._population.settings.scenario_timeout_s
        if limit_s is not None:
            self._timeout = self._loop.call_later(limit_s, self.interrupt, "timed_out")
        self._task = self._host.task_context.run(self._loop.create_task, self._live())
        # A task that is cancelled before its first step never runs its code.
        self._task.add_done_callback(lambda task: self._finish())

    def interrupt(self, outcome: Outcome = "interrupted", *, skip_teardown: bool = False) -> None:
        """Cancel what the session does. It ends within bounded time, whatever its code does."""
        if self._is_over:
            return
        self._skips_teardown |= skip_teardown
        if self._outcome is None:
            self._outcome = outcome
        self._disarm()
        self._cancel()

    def wake(self) -> None:
        """End a pause between iterations, or the delay before the start, now."""
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    async def _live(self) -> None:
        is_prepared = False
        try:
            is_prepared = await self._prepare()
            if is_prepared:
                await self._iterate()
        except asyncio.CancelledError:
            if self._outcome is None:
                self._outcome = "interrupted"
        self._disarm()
        if is_prepared and not self._skips_teardown and not self._is_over:
            await self._tear_down()
        self._finish()

    async def _prepare(self) -> bool:
        """Delay, computed config, `init`; whether iterations may follow."""
        session = self.session
        try:
            delay_s = lifecycle.start_delay_s(session)
            if delay_s > 0:
                await self._pause(delay_s)
                if self._host.remaining_s() <= 0:
                    self._outcome = "interrupted"
                    return False
            await lifecycle.compute_config(session)
            self._scenario = self._population.scenario()
            await with_children(session, _as_coroutine(self._scenario.init)(session))
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                raise
            if self._outcome is None:
                self._fail(error, "init")
            return False
        self._host.prepared()
        if self._population.plan.fresh:
            self._snapshot = copied(session.assigned)
        return True

    @coroutine
    def _iterate(self) -> Generator[Any, Any, None]:
        """Run until the host admits no further iteration.

        An iteration's first step is driven by hand: if it ends there, it never waited, and the
        other sessions must get a turn. This costs less than anything that watches from outside
        (compare `actions.drive`, which is the same for single coroutines).
        """
        session, host, counts = self.session, self._host, self._host.iterations
        run = _as_coroutine(self._scenario.run)
        failures = 0
        number = 0
        while self._outcome is None and (number < host.open_below or host.admits(number)):
            session.iteration = number
            number += 1
            counts.started += 1
            self._is_iterating = True
            if self._snapshot is not None:
                lifecycle.refresh(session, self._snapshot)
            has_waited = True
            try:
                try:
                    work = run(session)
                    waited = work.send(None)
                    while True:
                        try:
                            yield waited
                        except GeneratorExit:
                            work.close()
                            raise
                        except BaseException as error:
                            waited = work.throw(error)
                        else:
                            break
                    yield from work
                except StopIteration:
                    has_waited = False
                if session._family is not None:
                    yield from session._family.settle().__await__()
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise
                if session._family is not None:
                    yield from session._family.end().__await__()
                if self._is_over:
                    return
                self._is_iterating = False
                if not self._survives(error):
                    return
                left_s = max(host.remaining_s(), FIRST_PAUSE_S)  # timers may fire early
                pause_s = min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S, left_s)
                failures = min(failures + 1, 20)
                yield from self._pause(pause_s).__await__()
            else:
                if self._is_over:
                    return
                counts.completed += 1
                failures = 0
                self._is_iterating = False
                if not has_waited:
                    yield

    def _survives(self, error: BaseException) -> bool:
        """Count an iteration that did not complete; whether the session goes on."""
        counts = self._host.iterations
        if self._outcome is not None:
            counts.interrupted += 1
            return False
        counts.failed += 1
        if control_flow_of(error) is not None:
            self._fail(error, "run")
            return False
        cause = cause_of(error)
        if not is_counted_already(error):
            family = self.session._family
            is_childs = family is not None and family.raised(cause)
            self._context.failures.add(cause, "child" if is_childs else "run")
        lifecycle.keep_error(self.session, "run", cause)
        self._uncancel()
        return True

    async def _tear_down(self) -> None:
        lifecycle.stop_measuring(self.session)
        if self._outcome in ("timed_out", "interrupted"):
            self._timer = self._loop.call_later(TEARDOWN_LIMIT_S, self._cancel)
        try:
            session = self.session
            await with_children(session, _as_coroutine(self._scenario.teardown)(session))
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                raise
            if self._timer is not None and self._cancels:
                self._log("warning", "teardown was cut off: its time was up")
            else:
                self._context.failures.add(cause_of(error), "teardown")

    def _fail(self, error: BaseException, where: str) -> None:
        """The session ends here: refused, aborted, or its `init` raised."""
        self._outcome = "failed"
        flow = control_flow_of(error)
        cause = cause_of(error) if flow is None else flow
        self._context.failures.add(cause, where)
        lifecycle.keep_error(self.session, where, cause)
        if isinstance(cause, SessionRefused):
            self._log("warning", f"refused: {cause.reason}")
        elif isinstance(cause, SessionAborted):
            self._log("warning", f"aborted: {cause.reason}")
        else:
            self._log("error", f"{where} failed: {reason_of(cause)}")

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._disarm()
        if self._timeout is not None:
            self._timeout.cancel()
        counts = self._host.sessions
        if self._is_iterating:
            self._host.iterations.interrupted += 1
        if self._outcome is None:
            counts.finished += 1
        else:
            setattr(counts, self._outcome, getattr(counts, self._outcome) + 1)
        lifecycle.close(self.session)
        self._host.ended(self)

    async def _pause(self, duration_s: float) -> None:
        """Wait, until `wake` at most."""
        self._awake = self._loop.create_future()
        timer = self._loop.call_later(duration_s, self.wake)
        try:
            await self._awake
        finally:
            timer.cancel()
            self._awake = None

    def _cancel(self) -> None:
        """Cancel the task, and again, for its code may swallow it; then give it up."""
        task = self._task
        if self._is_over or task is None:
            return
        if self._cancels < CANCEL_TIMES:
            self._cancels += 1
            task.cancel()
            self._timer = self._loop.call_later(CANCEL_EVERY_S, self._cancel)
            return
        place = waits_at(task.get_coro()) or "an unknown place"
        self._log("error", f"given up: its code swallows every cancellation, at {place}")
        if self._outcome is None:
            self._outcome = "interrupted"
        self._finish()

    def _disarm(self) -> None:
        """No further cancellation; forget those that have been delivered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._cancels = 0
        self._uncancel()

    def _uncancel(self) -> None:
        # Otherwise `asyncio.timeout` and TaskGroup would take old cancellations for new ones.
        while self._task is not None and self._task.cancelling():
            self._task.uncancel()

    def _log(self, level: str, text: str) -> None:
        self._context.book.add(level, self.session.id, text)


def _as_coroutine(
    function: Callable[[Session], Any],
) -> Callable[[Session], Coroutine[Any, Any, Any]]:
    """A method of a scenario as a coroutine function; people forget `async`, or decorate."""
    if iscoroutinefunction(function):
        return function

    async def called(session: Session) -> None:
        result = function(session)
        if isawaitable(result):
            await result

    return called

"""The children of one session: how they are admitted, started, waited for and ended.

    spawn ----> running ----> done | failed | aborted | cancelled ----> awaited
    spread -> waiting -^                                     settle: wait for all, at the end of
                                                             `run`; end: cancel all

No child outlives its parent: `settle` or `end` comes before whatever follows an iteration, and
code that swallows every cancellation is given up after half a second, as the worker does with
whole sessions. Must not know iterations, nor what a scenario is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Collection
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from chaperon_engine.actions.call import SessionFunction
from chaperon_engine.actions.signal import Mailbox
from chaperon_engine.actions.spawn import ChildHandle, ended
from chaperon_engine.errors import InvalidRequest, SessionRefused
from chaperon_engine.metrics.recorder import TimedSeries
from chaperon_engine.session.child import fork, run_child
from chaperon_engine.session.failures import cause_of, is_counted_already, waits_at
from chaperon_engine.session.kept import Kept

if TYPE_CHECKING:
    from chaperon_engine.session.session import Session

MAX_CHILDREN: Final = 10_000
"""Children of one session that run or were not awaited; the config `max_children` allows more."""
CANCEL_EVERY_S: Final = 0.05
CANCEL_TIMES: Final = 10
"""Half of what a session gets, so that a session outlives its children."""

T = TypeVar("T")


class Stoppable(Protocol):
    """A spread of calls."""

    def stop(self) -> None:
        """Start nothing any more."""
        ...


class Family:
    """Parent, children and mailbox of one session."""

    __slots__ = (
        "_cancels",
        "_delivered",
        "_ended_its_own",
        "_is_closed",
        "_is_ending",
        "_members",
        "_names",
        "_numbers",
        "_running",
        "_session",
        "_spreads",
        "_timer",
        "id",
        "mailbox",
        "parent",
    )

    def __init__(self, session: Session, identity: str, parent: Session | None = None) -> None:
        self._session = session
        self.id = identity
        """Id of the session."""
        self.parent = parent
        self.mailbox: Mailbox | None = None
        self._members: dict[ChildHandle, None] = {}
        """Children that nobody has awaited, in the order in which they were spawned."""
        self._names: dict[str, dict[ChildHandle, None]] = {}
        """The same by name; names stay for the iteration."""
        self._running: dict[ChildHandle, Session] = {}
        self._numbers = itertools.count()
        """Of children, over the life of the session, so that ids stay unique."""
        self._spreads: set[Stoppable] = set()
        """What will start further children."""
        self._is_closed = False
        """The session is over."""
        self._is_ending = False
        """Its children are being ended."""
        self._ended_its_own = False
        """It was ending its own children when its parent looked last."""
        self._timer: asyncio.TimerHandle | None = None
        """The next cancellation."""
        self._cancels = 0
        self._delivered: BaseException | None = None
        """The last error of a child that was raised to who awaited it."""

    # Who there is.

    @property
    def is_idle(self) -> bool:
        """Whether there is no child to wait for or to report."""
        return not self._members

    def named(self, name: str) -> list[ChildHandle]:
        """Children under a name that nobody has awaited. Raises InvalidRequest for an unknown."""
        handles = self._names.get(name)
        if handles is None:
            known = ", ".join(self._names) or "none"
            raise InvalidRequest(f"no child {name!r} was spawned; names are: {known}")
        return list(handles)

    def by_name(self) -> dict[str, list[ChildHandle]]:
        """All children that nobody has awaited."""
        return {name: list(handles) for name, handles in self._names.items() if handles}

    # Beginning.

    def admit(self, name: str, count: int = 1) -> list[ChildHandle]:
        """Handles of children that will start. Raises InvalidRequest when they are too many."""
        if self._is_closed or self._is_ending:
            raise InvalidRequest(f"{self.id} has ended or is being ended: it cannot spawn {name!r}")
        total = len(self._members) + count
        if total > MAX_CHILDREN and total > self._session.config("max_children", MAX_CHILDREN):
            raise InvalidRequest(
                f"{total:,} children of {self.id} at once are too many: await some of them, or "
                "allow more with the config max_children"
            )
        handles = [ChildHandle(self, name) for _ in range(count)]
        if len(self._names) > MAX_CHILDREN:
            self._names = {known: inner for known, inner in self._names.items() if inner}
        named = self._names.setdefault(name, {})
        for handle in handles:
            self._members[handle] = named[handle] = None
        return handles

    def start(
        self,
        handle: ChildHandle,
        function: SessionFunction,
        args: tuple[Any, ...],
        series: TimedSeries,
        lateness: TimedSeries | None = None,
        intended_ns: int = 0,
    ) -> None:
        """Start a child. With `lateness` it is recorded how long after `intended_ns` it runs."""
        handle.id = f"{self.id}/{handle.name}-{next(self._numbers)}"
        child = fork(self._session)
        child._family = Family(child, handle.id, self._session)
        self._running[handle] = handle._child = child
        handle.outcome = "running"
        work = run_child(child, handle, function, args, series, lateness, intended_ns)
        task = handle._task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda task: self._over(handle, task))

    def will_start(self, spread: Stoppable) -> None:
        """It starts children later. It says when it is through."""
        self._spreads.add(spread)

    def has_started(self, spread: Stoppable) -> None:
        """It starts no further children."""
        self._spreads.discard(spread)

    # Waiting.

    def waiting(self, future: asyncio.Future[T]) -> Awaitable[T]:
        """What to await in place of a future, so that the session's `every` runs."""
        return self._session._waiting(future)

    async def gather(self, handles: Collection[ChildHandle]) -> list[Any]:
        """Wait for all of them; their values. Then, if any failed, the first error is raised, and
        the others are reported."""
        await ended(self, handles)
        failed = [handle for handle in handles if handle.outcome == "failed"]
        # A refusal speaks for the whole session.
        failed.sort(key=lambda handle: not isinstance(handle._error, SessionRefused))
        for handle in failed[1:]:
            if handle in self._members:
                self._report(handle)
        if failed:
            for handle in handles:
                self._forget(handle)
            failed[0].result()
        return [handle.result() for handle in handles]

    async def settle(self) -> None:
        """Wait for all that nobody has awaited, as at the end of `run`; raise as `gather` does."""
        while self._members:
            await self.gather(list(self._members))
        self._clear()

    def delivered(self, handle: ChildHandle) -> None:
        """Somebody has awaited it."""
        self._forget(handle)
        if handle._error is not None:
            self._delivered = handle._error

    def raised(self, error: BaseException) -> bool:
        """Whether the error is that of a child, raised to who awaited it."""
        is_childs = self._delivered is error
        self._delivered = None
        return is_childs

    # Ending.

    async def end(self) -> None:
        """Cancel all children and wait until they have ended or were given up.

        Takes bounded time, and so is not cut short by cancellation: who cancels wants the same.
        """
        self._is_ending = True
        self._cancel_all()
        while self._running:
            try:
                await ended(_Patient(self), list(self._running))
            except asyncio.CancelledError:
                continue
        for handle in list(self._members):
            if handle.outcome == "failed":
                self._report(handle)
            self._forget(handle)
        self._clear()
        self._is_ending = False

    def close(self) -> None:
        """The session is over: whatever still runs is cancelled, without waiting for it."""
        self._is_closed = True
        for child in self._running.values():
            child._http.close()
        self._cancel_all()

    def cancel_child(self, handle: ChildHandle) -> None:
        """Cancel one child, once; or it never starts."""
        if handle.outcome == "waiting":
            handle.outcome = "cancelled"
            self._left(handle)
        elif handle in self._running:
            self._cancel_task(handle)

    def _cancel_all(self) -> None:
        for spread in list(self._spreads):
            spread.stop()
        for handle in list(self._members):
            if handle.outcome == "waiting":
                self.cancel_child(handle)
        if self._running and self._timer is None:
            self._cancels = 0
            self._cancel_running()

    def _cancel_running(self) -> None:
        self._timer = None
        self._cancels += 1
        for handle, child in list(self._running.items()):
            family = child._family
            assert family is not None
            ends_its_own = family._timer is not None
            # A child that has just given up its own gets a turn to end in.
            if self._cancels > CANCEL_TIMES and not ends_its_own and not family._ended_its_own:
                self._give_up(handle)
            else:
                self._cancel_task(handle)
            family._ended_its_own = ends_its_own
        if self._running:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CANCEL_EVERY_S, self._cancel_running)

    def _cancel_task(self, handle: ChildHandle) -> None:
        family, task = self._running[handle]._family, handle._task
        assert family is not None
        assert task is not None
        family._is_ending = True
        task.cancel()

    def _give_up(self, handle: ChildHandle) -> None:
        assert handle._task is not None
        place = waits_at(handle._task.get_coro()) or "an unknown place"
        text = f"given up: its code swallows every cancellation, at {place}"
        self._session._context.book.add("error", handle.id, text)
        handle.outcome = "cancelled"
        self._left(handle)

    def _over(self, handle: ChildHandle, task: asyncio.Task[None]) -> None:
        """The task of a child is done."""
        error = None if task.cancelled() else task.exception()
        if handle.outcome == "running":
            # Cancelled before its first step; anything else would be a mistake of ours.
            handle.outcome = "cancelled" if error is None else "failed"
            handle._error = error
        if handle in self._running:
            self._left(handle)

    def _left(self, handle: ChildHandle) -> None:
        child = self._running.pop(handle, None)
        handle._child = None
        handle._is_over = True
        if child is not None:
            child._close()
            if child._kept is not None:
                if self._session._kept is None:
                    self._session._kept = Kept()
                self._session._kept.merge(child._kept)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gates, handle._gates = handle._gates, None
        for gate in gates or ():
            gate.pass_one()

    def _forget(self, handle: ChildHandle) -> None:
        if self._members.pop(handle, self) is None:
            self._names[handle.name].pop(handle)

    def _clear(self) -> None:
        """Nothing is left of this iteration's children."""
        for spread in list(self._spreads):
            spread.stop()
        self._names.clear()
        self._forget_signals()

    def _forget_signals(self) -> None:
        if self.mailbox is not None:
            self.mailbox.clear()

    def _report(self, handle: ChildHandle) -> None:
        """Count an error that is raised to nobody."""
        assert handle._error is not None
        cause = cause_of(handle._error)
        if not is_counted_already(handle._error):
            self._session._context.failures.add(cause, "child")
        if self._session._kept is None:
            self._session._kept = Kept()
        self._session._kept.add_error(handle.name, cause)


class _Patient:
    """A parent that waits without calling its periodic functions."""

    def __init__(self, family: Family) -> None:
        self.delivered = family.delivered
        self.cancel_child = family.cancel_child

    def waiting(self, future: asyncio.Future[T]) -> Awaitable[T]:
        return future


async def with_children(session: Session, work: Awaitable[T]) -> T:
    """What a session does, and then its children, up to the end of all of them.

    When it fails they are cancelled; when a child fails that nobody awaited, it raises its error.
    """
    try:
        result = await work
        if session._family is not None:
            await session._family.settle()
    except BaseException as error:
        if session._family is not None and not isinstance(error, GeneratorExit):
            await session._family.end()
        raise
    return result

"""Functions that a session calls periodically while it waits."""

from __future__ import annotations

from asyncio import Future, get_running_loop, sleep
from asyncio import wait as wait_for_any
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from chaperon_engine.actions.call import SessionFunction, call

if TYPE_CHECKING:
    from chaperon_engine.session import Session

T = TypeVar("T")


@dataclass(slots=True)
class _Periodic:
    period_s: float
    function: SessionFunction
    args: tuple[Any, ...]
    due: float = 0.0
    """Loop time of the next call; 0 until the session waits for the first time."""
    is_running: bool = False


class Periodics:
    """The periodic functions of one session; saying one again replaces it.

    Calls are due on a fixed grid that begins when the session first waits. One that becomes due
    while the session does something else, or while it still runs, is made at the next wait, once
    however many were missed.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[SessionFunction, _Periodic] = {}

    def add(self, period_s: float, function: SessionFunction, args: tuple[Any, ...]) -> None:
        """Call `function` each `period_s` seconds, which is more than zero."""
        known = self._entries.get(function)
        if known is None or (known.period_s, known.args) != (period_s, args):
            self._entries[function] = _Periodic(period_s, function, args)

    async def wait(self, session: Session, duration_s: float) -> None:
        """Wait, and call what is due meanwhile; what a call raises ends the wait."""
        time = get_running_loop().time
        end = time() + duration_s
        while True:
            entry = self._next(time())
            if entry is None or entry.due > end:
                await sleep(max(end - time(), 0.0))
                return
            due = entry.due
            await sleep(max(due - time(), 0.0))
            await _call_if_due(session, entry, due)

    async def until(self, session: Session, future: Future[T]) -> T:
        """As `wait`, until a future is done; its result. It is cancelled when this fails."""
        time = get_running_loop().time
        try:
            while not future.done():
                entry = self._next(time())
                if entry is None:
                    break
                due = entry.due
                await wait_for_any((future,), timeout=max(due - time(), 0.0))
                if not future.done():
                    await _call_if_due(session, entry, due)
            return await future
        except BaseException:
            future.cancel()
            raise

    def _next(self, now: float) -> _Periodic | None:
        """Which is due next; those that run at this moment may wait themselves."""
        waiting = [entry for entry in self._entries.values() if not entry.is_running]
        for entry in waiting:
            entry.due = entry.due or now + entry.period_s
        return min(waiting, key=lambda entry: entry.due, default=None)


async def _call_if_due(session: Session, entry: _Periodic, due: float) -> None:
    if entry.due != due:
        return  # Another wait of this session has taken the call.
    missed = int((get_running_loop().time() - due) / entry.period_s)
    entry.due = due + (missed + 1) * entry.period_s
    entry.is_running = True
    try:
        await call(session, entry.function, entry.args)
    finally:
        entry.is_running = False

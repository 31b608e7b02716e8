"""The part of a session that sends signals to its children and its parent, and awaits them."""

from __future__ import annotations

import asyncio
from typing import Any

from chaperon_engine.actions.delay import wait_s
from chaperon_engine.actions.signal import ANY, MAX_QUEUED, Condition, Mailbox, Wanted
from chaperon_engine.actions.spawn import ChildHandle
from chaperon_engine.errors import CheckedTimeout, InvalidRequest
from chaperon_engine.session.children import Children
from chaperon_engine.session.family import Family
from chaperon_engine.session.waits import Waits
from chaperon_engine.units import Duration, show_duration


class Signals(Children, Waits):
    """Values between parent and child sessions, which run in the same worker.

    A signal goes to the first `await_signal` that it fits; until there is one it stays queued.
    What nobody awaited until the end of the iteration is forgotten.
    """

    __slots__ = ()

    def signal(self, to: str | ChildHandle, value: Any) -> int:
        """Send a value to all running children of a name, or to one; how many got it.

        Raises InvalidRequest when there never was such a child, or when one of them has too many
        signals waiting.
        """
        family = self._kin
        handles = [to] if isinstance(to, ChildHandle) else family.named(to)
        sent = 0
        for handle in handles:
            child = handle._child
            if child is not None:
                _put(child._kin, value)
                sent += 1
        return sent

    def signal_parent(self, value: Any) -> None:
        """Send a value to the session that spawned this one. Raises InvalidRequest as `signal`."""
        family = self._family
        if family is None or family.parent is None:
            raise InvalidRequest(f"{self.id} is no child: it has no parent to signal")
        _put(family.parent._kin, value)

    async def await_signal(
        self,
        value: Any = ANY,
        *,
        where: Condition | None = None,
        timeout: Duration | None = None,
    ) -> Any:
        """Wait for a signal and return it: one equal to `value`, for which `where` is true.

        Others stay queued. Raises CheckedTimeout when none has come after `timeout`; without one
        only the end of the session ends the wait.
        """
        limit_s = None if timeout is None else wait_s(timeout, self, "timeout")
        box = _mailbox(self._kin)
        loop = asyncio.get_running_loop()
        wanted = Wanted(loop, value, where)
        box.want(wanted)
        if not wanted.future.done():
            timer = None if limit_s is None else loop.call_later(limit_s, _expire, wanted)
            try:
                await self._waiting(wanted.future)
            finally:
                box.unwant(wanted)
                if timer is not None:
                    timer.cancel()
        if wanted.error is not None:
            raise wanted.error
        if not wanted.is_there:
            raise CheckedTimeout(f"no {wanted} within {show_duration(limit_s or 0.0)}; {box}")
        return wanted.signal

    async def await_signal_or_timeout(
        self, value: Any = ANY, *, timeout: Duration, where: Condition | None = None
    ) -> Any:
        """As `await_signal` with a time-out, which must be given."""
        return await self.await_signal(value, where=where, timeout=timeout)


def _mailbox(family: Family) -> Mailbox:
    if family.mailbox is None:
        family.mailbox = Mailbox()
    return family.mailbox


def _put(family: Family, value: Any) -> None:
    if not _mailbox(family).put(value):
        raise InvalidRequest(
            f"{family.id} has {MAX_QUEUED:,} signals waiting that it does not await"
        )


def _expire(wanted: Wanted) -> None:
    if not wanted.future.done():
        wanted.future.set_result(None)

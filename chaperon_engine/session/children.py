"""The part of a session that has children: calls that run beside it, each in a session of its own.

A child is a fork of its parent. How it lives and ends is `family`'s business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from chaperon_engine.actions.call import SessionFunction, check_function
from chaperon_engine.actions.delay import wait_s
from chaperon_engine.actions.spawn import ChildHandle, SpreadHandle
from chaperon_engine.actions.spread import due_count, due_offset_ns
from chaperon_engine.clock import now_ns
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.session.core import SessionCore
from chaperon_engine.session.family import Family
from chaperon_engine.units import Duration, count

STARTS_PER_TURN: Final = 50
"""Children that a spread starts before others get a turn of the loop."""
_GRAIN_S: Final = 0.001
"""Timers of the loop are no finer; a shorter wait would be a busy one."""


class Children(SessionCore):
    """Child sessions, and calls spread over time."""

    __slots__ = ()

    def spawn(self, function: SessionFunction, *args: Any, name: str | None = None) -> ChildHandle:
        """Call a function beside this session, in a child session: `function(child, *args)`.

        `await` the handle for its value; or `join` all of a name (default: the function's). What
        nobody awaits is awaited at the end of `run`, before the iteration counts as completed.
        Raises InvalidRequest when there are too many children.
        """
        check_function(function, "spawn")
        name = name or _name_of(function)
        family = self._kin
        handle = family.admit(name)[0]
        series = self._context.call_series("spawn", name, measured=self._is_measured)
        family.start(handle, function, args, series)
        return handle

    def cc_spread(
        self,
        function: SessionFunction,
        *args: Any,
        rate: int,
        interval: Duration = 1,
        name: str | None = None,
    ) -> SpreadHandle:
        """Spawn `rate` calls, evenly over `interval`; returns at once.

        Call number i is due i * interval / rate after this call, whatever the others do. How late
        each of them starts is recorded as the metric `<name> start delay`. `await` the handle, or
        `join(name)`, for the values of all.
        """
        check_function(function, "cc_spread")
        try:
            calls = count(rate, "rate")
        except ValueError as error:
            raise InvalidRequest(str(error)) from None
        interval_ns = int(wait_s(interval, self, "interval") * 1e9)
        if calls == 0 or interval_ns == 0:
            raise InvalidRequest(
                f"cc_spread takes a rate and an interval above zero, not {rate!r} and {interval!r}"
            )
        name = name or _name_of(function)
        family = self._kin
        handles = tuple(family.admit(name, calls))
        _Spread(self, family, handles, function, args, interval_ns).start_due()
        return SpreadHandle(handles, family.gather)

    def join(self, name: str) -> Coroutine[Any, Any, list[Any]]:
        """Wait for all children of a name that nobody has awaited; their values in spawn order.

        If any failed, the error of the first is raised when all are over.
        """
        return self._kin.gather(self._kin.named(name))

    async def join_all(self) -> dict[str, list[Any]]:
        """As `join` for all names; values by name."""
        family = self._kin
        names = family.by_name()
        await family.gather([handle for handles in names.values() for handle in handles])
        return {name: [handle.result() for handle in names[name]] for name in names}

    def task(self, name: str) -> list[ChildHandle]:
        """The children of a name that nobody has awaited, in spawn order."""
        return self._kin.named(name)

    @property
    def _kin(self) -> Family:
        family = self._family
        if family is None:
            family = self._family = Family(self._session, self.id)
        return family


class _Spread:
    """Starts the calls of one spread when they are due."""

    __slots__ = (
        "_args",
        "_context",
        "_family",
        "_function",
        "_handles",
        "_interval_ns",
        "_next",
        "_session",
        "_start_ns",
        "_timer",
    )

    def __init__(
        self,
        session: SessionCore,
        family: Family,
        handles: tuple[ChildHandle, ...],
        function: SessionFunction,
        args: tuple[Any, ...],
        interval_ns: int,
    ) -> None:
        self._session = session
        self._family = family
        self._handles = handles
        self._function = function
        self._args = args
        self._interval_ns = interval_ns
        self._next = 0
        self._start_ns = now_ns()
        self._timer: asyncio.Handle | None = None
        family.will_start(self)

    def start_due(self) -> None:
        """Start everything that is due, and come back when more is.

        Timers may fire early: then nothing is due yet.
        """
        total = len(self._handles)
        while self._next < total and self._handles[self._next].outcome != "waiting":
            self._next += 1  # Cancelled.
        elapsed_ns = now_ns() - self._start_ns
        due = due_count(elapsed_ns, total, self._interval_ns)
        for _ in range(min(STARTS_PER_TURN, due - self._next)):
            self._start(self._next)
            self._next += 1
        if self._next >= total:
            self._family.has_started(self)
            return
        loop = asyncio.get_running_loop()
        if self._next < due:
            self._timer = loop.call_soon(self.start_due)
        else:
            wait_ns = due_offset_ns(self._next, total, self._interval_ns) - elapsed_ns
            self._timer = loop.call_later(max(_GRAIN_S, wait_ns / 1e9), self.start_due)

    def stop(self) -> None:
        """Start nothing any more."""
        self._family.has_started(self)
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, number: int) -> None:
        handle = self._handles[number]
        if handle.outcome != "waiting":
            return
        context, measured = self._session._context, self._session._is_measured
        offset_ns = due_offset_ns(number, len(self._handles), self._interval_ns)
        self._family.start(
            handle,
            self._function,
            self._args,
            context.call_series("cc_spread", handle.name, measured=measured),
            context.duration_series("cc_spread", f"{handle.name} start delay", measured=measured),
            self._start_ns + offset_ns,
        )


def _name_of(function: SessionFunction) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return name

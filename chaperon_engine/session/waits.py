"""The part of a session that waits, and what it does periodically meanwhile."""

from __future__ import annotations

from asyncio import Future, sleep
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from chaperon_engine.actions.call import SessionFunction, check_function
from chaperon_engine.actions.delay import Wait, random_wait_s, wait_s
from chaperon_engine.actions.every import Periodics
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.session.core import SessionCore
from chaperon_engine.units import Duration

T = TypeVar("T")


class Waits(SessionCore):
    """Delays; and `every`, which runs in all waits of a session."""

    __slots__ = ()

    def delay(self, duration: Wait, *, random: Wait = 0) -> Coroutine[Any, Any, None]:
        """Wait; `random` adds a random part between zero and itself."""
        pause_s = wait_s(duration, self)
        if random != 0:
            pause_s += random_wait_s(random, self, "random")
        return self._wait(pause_s)

    def random_delay(self, duration: Wait) -> Coroutine[Any, Any, None]:
        """Wait for a random time between zero and `duration`."""
        return self._wait(random_wait_s(duration, self))

    def every(self, period: Duration, function: SessionFunction, *args: Any) -> None:
        """From now on call a function periodically while the session waits: in delays, for its
        children, for signals and for messages. As the config key `interval`.

        The same function again replaces it. Children have periodic functions of their own only.
        """
        check_function(function, "every")
        period_s = wait_s(period, self, "period")
        if period_s <= 0:
            raise InvalidRequest(f"period must be more than zero seconds, not {period!r}")
        if self._periodics is None:
            self._periodics = Periodics()
            for sockets in (self._sockets or {}).values():
                for socket in sockets.values():
                    socket.waiting = self._waiting
        self._periodics.add(period_s, function, args)

    def _wait(self, pause_s: float) -> Coroutine[Any, Any, None]:
        if self._periodics is None:
            return sleep(pause_s)
        return self._periodics.wait(self._session, pause_s)

    def _waiting(self, future: Future[T]) -> Awaitable[T]:
        """What to await in place of `future`, so that `every` runs meanwhile.

        As with the future itself, who is cancelled in it cancels the future; so does a periodic
        function that raises.
        """
        if self._periodics is None:
            return future
        return self._periodics.until(self._session, future)

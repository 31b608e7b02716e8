"""Deadlines of all that is in flight in a worker: one timer for everything, none per wait."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from chaperon_engine.clock import now_ns

_FINEST_TICK_S = 0.01
_COARSEST_TICK_S = 0.25
_TICKS_PER_TIMEOUT = 50
"""A deadline is noticed at most one tick late: by 2 % of the shortest time-out in use."""


class Sweep(ABC):
    """Looks at deadlines from time to time, while there are any: they cost a wait nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sweeping = False
        """Whether the next look at deadlines is planned; off while nothing is in flight."""
        self._tick_s = _COARSEST_TICK_S
        self._timer: asyncio.TimerHandle | None = None

    def tighten(self, timeout_s: float) -> None:
        """A time-out that is in use: deadlines are looked at often enough for the shortest."""
        tick_s = max(_FINEST_TICK_S, timeout_s / _TICKS_PER_TIMEOUT)
        if tick_s < self._tick_s:
            self._tick_s = tick_s
            if self._timer is not None:
                self._timer.cancel()
                self._timer = self.loop.call_later(tick_s, self._sweep)

    def start_sweep(self) -> None:
        """Something is in flight again."""
        self.sweeping = True
        self._timer = self.loop.call_later(self._tick_s, self._sweep)

    def stop_sweep(self) -> None:
        """Nothing is in flight any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.sweeping = False

    @abstractmethod
    def expire(self, now: int) -> bool:
        """Fails what is past its deadline; whether anything else is in flight."""

    def _sweep(self) -> None:
        if self.expire(now_ns()):
            self._timer = self.loop.call_later(self._tick_s, self._sweep)
        else:
            self.sweeping = False
            self._timer = None

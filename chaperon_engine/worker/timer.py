"""A periodic timer that says how late it was: timerfd on Linux, the loop's timers elsewhere.

The loop's own timers have a grain of 1 ms and may fire early, which is as much as what is to be
measured; a timerfd is exact. Must not know what the lateness is used for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

from chaperon_engine.platform import open_timerfd

LOOP_GRAIN_NS = 1_000_000
"""Lateness of the loop's own timers that says nothing."""


class LatenessTimer:
    """Calls `on_late` with the lateness in nanoseconds of each expiry, missed ones included."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, period_ns: int, on_late: Callable[[int], None]
    ):
        self._loop = loop
        self._period_ns = period_ns
        self._on_late = on_late
        self._due_ns = time.monotonic_ns() + period_ns
        self._handle: asyncio.TimerHandle | None = None
        self._descriptor = open_timerfd(self._due_ns, period_ns)
        if self._descriptor is None:
            self._arm()
        else:
            loop.add_reader(self._descriptor, self._expired)

    @property
    def is_exact(self) -> bool:
        """Whether the operating system's own timer is used."""
        return self._descriptor is not None

    def close(self) -> None:
        """Stop; may be called twice."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _expired(self) -> None:
        assert self._descriptor is not None
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        self._report(0)

    def _arm(self) -> None:
        delay_ns = max(0, self._due_ns - time.monotonic_ns())
        self._handle = self._loop.call_later(delay_ns / 1e9, self._fired)

    def _fired(self) -> None:
        self._report(LOOP_GRAIN_NS)
        self._arm()

    def _report(self, grain_ns: int) -> None:
        now = time.monotonic_ns()
        # Every expiry that a blocked loop missed counts: one long block is not one sample.
        while self._due_ns <= now:
            self._on_late(max(0, now - self._due_ns - grain_ns))
            self._due_ns += self._period_ns

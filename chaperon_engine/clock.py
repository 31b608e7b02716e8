"""Clocks. Measurements use the monotonic clock only; wall clock is for labels.

Everything that makes decisions over time takes a `Clock` and so can be tested with a fake one.
The hot path calls `now_ns` directly.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

now_ns = time.monotonic_ns
"""Monotonic nanoseconds, comparable between the processes of one machine."""


class Clock(Protocol):
    """A source of monotonic seconds and of labels."""

    def monotonic(self) -> float:
        """Monotonic seconds; only differences have a meaning."""
        ...

    def label(self) -> datetime:
        """The wall clock, in UTC: for names of files and for people, never for arithmetic."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def label(self) -> datetime:
        return datetime.now(UTC)

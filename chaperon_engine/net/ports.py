"""What connections need from those around them: where measurements go, and under which labels.

Describes shapes only; `metrics` has the implementations. Must not know how they record.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chaperon_engine.metrics.model import SeriesKey


class TimedSink(Protocol):
    """A series of durations: dns, connect, tls, pool_wait."""

    def record_ns(self, elapsed_ns: int) -> None:
        """It succeeded and took so long."""

    def failed(self, elapsed_ns: int, code: str) -> None:
        """It failed after so long; `code` is the error class."""


class RecorderPort(Protocol):
    """The worker's recorder, as far as connections need it."""

    def timed(self, key: SeriesKey) -> TimedSink:
        """The series of a key; asked anew for each event, because the phase may have changed."""

    def count(self, key: SeriesKey, amount: float) -> None:
        """Adds to a counter."""


class Labels(NamedTuple):
    """What the series of a client's connections have in common."""

    scenario: str = ""
    session: str = ""
    is_measured: bool = True
    """Whether how they are made is recorded."""

"""What the client needs from those around it: where measurements go, and under which labels.

Describes shapes only; `metrics` has the implementations. Must not know how they record.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chaperon_engine.metrics.model import SeriesKey


class HttpSink(Protocol):
    """The series of one kind of request. `ok + failed + in flight = sent` at every moment."""

    def sent(self, bytes_out: int) -> None:
        """A request was tried; `bytes_out` is what was handed to a connection for it by now."""

    def wrote(self, bytes_out: int) -> None:
        """So many more bytes of a request that counts as sent were handed to a connection."""

    def completed(
        self,
        start_ns: int,
        first_byte_ns: int,
        end_ns: int,
        status: int,
        expected: bool,
        bytes_in: int,
    ) -> None:
        """Its reply is complete and valid. Stamps are monotonic; `bytes_in` includes the head."""

    def failed(self, start_ns: int, end_ns: int, code: str, bytes_in: int = 0) -> None:
        """It ended without a complete valid reply; `code` is the error class."""

    def retried(self) -> None:
        """The send that follows is a second one after a stale connection."""


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


class SeriesFor(Protocol):
    """Finds the series of a redirect hop."""

    def __call__(self, service: str, method: str, path: str) -> HttpSink:
        """The series for a request to this service, with the path as it will be sent."""


class Labels(NamedTuple):
    """What the series of a client's connections have in common."""

    scenario: str = ""
    session: str = ""

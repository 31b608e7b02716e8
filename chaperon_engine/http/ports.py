"""What the client needs from those around it: where its requests are recorded.

Describes shapes only; `metrics` has the implementations. Must not know how they record.
"""

from __future__ import annotations

from typing import Protocol


class HttpSink(Protocol):
    """The series of one kind of request. `ok + failed + in flight = sent` at every moment."""

    def sent(self, bytes_out: int) -> None:
        """A request was tried; `bytes_out` is what was handed to a connection for it by now."""

    def wrote(self, bytes_out: int) -> None:
        """So many more bytes of a request that counts as sent were handed to a connection."""

    def completed_at_once(self, elapsed_ns: int, status: int, bytes_in: int) -> None:
        """As `completed`, for an expected reply whose first byte and last arrived together."""

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


class SeriesFor(Protocol):
    """Finds the series of a redirect hop."""

    def __call__(self, service: str, method: str, path: str) -> HttpSink:
        """The series for a request to this service, with the path as it will be sent."""

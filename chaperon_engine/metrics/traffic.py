"""What goes over the WebSockets of a run, added up over their series: sums and round trips.

Owns which kind of series says what. Must not know frames, seconds or the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chaperon_engine.metrics.histogram import CumulativeHistogram
from chaperon_engine.metrics.model import MESSAGE_KINDS, SeriesDelta, SeriesKey
from chaperon_engine.metrics.snapshot import MessageSecond, MessageTotals, Percentiles
from chaperon_engine.metrics.summary import ReportMessages


@dataclass
class MessageFigures:
    """Sums over deltas of WebSocket series; those of other kinds are passed over."""

    opened: int = 0
    closed: int = 0
    sent: int = 0
    received: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    round_trip: CumulativeHistogram = field(default_factory=CumulativeHistogram)
    receive: CumulativeHistogram = field(default_factory=CumulativeHistogram)

    def add(self, kind: str, delta: SeriesDelta) -> None:
        """Add what a worker recorded for a series of this kind."""
        if kind not in MESSAGE_KINDS:
            return
        self.failed += delta.failed
        if kind == "ws_message":
            self.received += delta.ok
            self.bytes_in += delta.bytes_in
        elif kind == "ws_send":
            self.sent += delta.ok
            self.bytes_out += delta.bytes_out
        elif kind == "ws_connect":
            self.opened += delta.ok
        elif kind == "ws_close":
            self.closed += delta.ok + delta.failed
        elif kind == "ws_round_trip" and delta.expected is not None:
            self.round_trip.add(delta.expected, delta.expected_count)
        elif kind == "ws_recv" and delta.expected is not None:
            self.receive.add(delta.expected, delta.expected_count)

    @property
    def messages(self) -> int:
        """Sent and received."""
        return self.sent + self.received

    def totals(self, open_now: int) -> MessageTotals:
        """In the words of a snapshot; `open_now` sockets are open, whenever they were opened."""
        return MessageTotals(
            opened=self.opened,
            open=open_now,
            sent=self.sent,
            received=self.received,
            failed=self.failed,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
        )

    def second(self) -> MessageSecond | None:
        """As one second of a run; None when there was nothing."""
        if not (self.messages or self.failed or self.opened or self.closed):
            return None
        return MessageSecond(
            sent=self.sent,
            received=self.received,
            failed=self.failed,
            round_trip=self.round_trip.percentiles(),
            heat=self.round_trip.heat_rows() if self.round_trip.count else [],
        )

    def summary(self, open_now: int, messages_per_s: float) -> ReportMessages:
        """For the report."""
        return ReportMessages(
            opened=self.opened,
            open=open_now,
            sent=self.sent,
            received=self.received,
            failed=self.failed,
            messages_per_s=messages_per_s,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            round_trip_us=self.round_trip.distribution(),
            receive_us=self.receive.distribution(),
        )


class RunMessages:
    """The WebSockets of a whole run: the measured figures, and how many are open in which worker.

    Sockets outlive warm-up: what is open counts in all phases, everything else in the measured run.
    """

    def __init__(self, workers: int) -> None:
        self._measured = MessageFigures()
        self._in_window = 0
        self._open = [0] * workers

    def add(self, worker: int, key: SeriesKey, delta: SeriesDelta, *, in_window: bool) -> int:
        """Add what a worker recorded for a series; the messages in it."""
        if key.kind not in MESSAGE_KINDS:
            return 0
        if key.kind == "ws_connect":
            self._open[worker] += delta.ok
        elif key.kind == "ws_close":
            self._open[worker] -= delta.ok + delta.failed
        messages = delta.ok if key.kind in ("ws_send", "ws_message") else 0
        if not key.phase:
            self._measured.add(key.kind, delta)
            if in_window:
                self._in_window += messages
        return messages

    def worker_lost(self, worker: int) -> None:
        """Its sockets ended with it."""
        self._open[worker] = 0

    @property
    def totals(self) -> MessageTotals:
        """Sums over all frames so far."""
        return self._measured.totals(self._open_now)

    @property
    def round_trip(self) -> Percentiles:
        """Of all measured round trips."""
        return self._measured.round_trip.percentiles()

    def summary(self, measured_s: float) -> ReportMessages:
        """For the report; rates divide by the measured window."""
        rate = self._in_window / measured_s if measured_s > 0 else 0.0
        return self._measured.summary(self._open_now, rate)

    @property
    def _open_now(self) -> int:
        # A socket whose opening was recorded nowhere may be closed where that is recorded.
        return max(sum(self._open), 0)

"""What one worker records for one series of a WebSocket: durations, messages, bytes, codes.

As `series`, whose hot path it extends. `ok + failed = sent`: a series counts what has ended.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from chaperon_engine.metrics.model import COUNTED_KINDS, SeriesDelta, SeriesKey
from chaperon_engine.metrics.series import TimedSeries


class MessageSeries(TimedSeries):
    """One of the kinds whose names begin with `ws_` in one worker."""

    __slots__ = ("_is_counted", "_statuses", "bytes_in", "bytes_out", "count", "exact")

    def __init__(self, key: SeriesKey, number: int) -> None:
        super().__init__(key, number)
        self.exact = self._expected.exact
        """Of the histogram: durations below `EXACT_BELOW_US` us are counted here by who has them,
        because a call would cost more than the counting."""
        self._is_counted = key.kind in COUNTED_KINDS
        self._statuses: defaultdict[int, int] = defaultdict(int)
        self.count = 0
        """Messages since the last take; of a kind without a distribution only."""
        self.bytes_in = 0
        """Payload since the last take."""
        self.bytes_out = 0

    def ended(self, elapsed_ns: int, status: int) -> None:
        """Something ended after this long with the status of a reply, or a close code."""
        self._statuses[status] += 1
        self._expected.record(elapsed_ns // 1000)

    def broke(self, elapsed_ns: int, code: str, status: int = 0) -> None:
        """It failed, with a status if there was one."""
        if status:
            self._statuses[status] += 1
        self.failed(elapsed_ns, code)

    def take(self) -> SeriesDelta | None:
        """What happened since the last call, or None when nothing did."""
        delta = super().take()
        if delta is None:
            if not self.count:
                return None
            delta = SeriesDelta(self.id)
        if self._is_counted:
            delta.ok = self.count
            delta.sent = delta.ok + delta.failed
            self.count = 0
        delta.bytes_in, self.bytes_in = self.bytes_in, 0
        delta.bytes_out, self.bytes_out = self.bytes_out, 0
        if self._statuses:
            delta.statuses = dict(self._statuses)
            self._statuses.clear()
        return delta


class _NullMessages(MessageSeries):
    """Records nothing that is ever taken."""

    __slots__ = ()

    def record_ns(self, elapsed_ns: int) -> None:
        pass

    def record(self, value: int) -> None:
        pass

    def failed(self, elapsed_ns: int, code: str) -> None:
        pass

    def ended(self, elapsed_ns: int, status: int) -> None:
        pass

    def broke(self, elapsed_ns: int, code: str, status: int = 0) -> None:
        pass

    def take(self) -> None:
        # Counted all the same: sockets count in the series' own attributes.
        pass


NULL_MESSAGES: Final[MessageSeries] = _NullMessages(SeriesKey(kind="ws_message"), 0)
"""A MessageSeries that records nothing."""

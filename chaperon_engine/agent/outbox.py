"""Frames on their way to the coordinator: numbered, kept until acknowledged, sent again after a
return. Sans-I/O.

    put ──> waiting ──> sent ──> acknowledged (gone)
               ^          │
               └──────────┘  the connection was lost: sent again from where the coordinator says

A frame that was ever sent stays as it is, because the coordinator may have applied it. Of those
that were never sent the newest two become one when too many wait: sums stay exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.merging import merge_frames

WINDOW = 16
"""Frames that may be sent and not yet acknowledged."""
MAX_WAITING = 64
"""Frames that are kept apart from each other: a minute's."""


class Outbox:
    """The frames of one host that the coordinator does not have yet."""

    def __init__(
        self, frames: Iterable[Frame] = (), *, next_seq: int = 0, max_waiting: int = MAX_WAITING
    ):
        """`frames`: what an earlier process left, in order, up to `next_seq`."""
        self.next_seq = next_seq
        """Number of the frame that is put next."""
        self._kept: deque[Frame] = deque(frames)
        self._max_waiting = max_waiting
        self._send_next = self.next_seq - len(self._kept)
        """Number of the frame that is to be sent next on this connection."""
        self._never_sent = self.next_seq
        """From this number on no frame was ever sent; those of another process may have been."""
        self._gauges: set[int] = set()

    def __len__(self) -> int:
        """Frames that are not acknowledged."""
        return len(self._kept)

    @property
    def oldest(self) -> int:
        """Number of the oldest frame that is not acknowledged, or of the next."""
        return self.next_seq - len(self._kept)

    def put(self, frame: Frame) -> Frame:
        """Number and keep the newest frame. The answer is what is kept: it takes the place of an
        earlier frame with its number."""
        self._gauges.update(number for number, key in frame.new_series if key.kind == "gauge")
        if len(self._kept) >= self._max_waiting and self._never_sent < self.next_seq:
            kept = merge_frames(self._kept.pop(), frame, frozenset(self._gauges))
        else:
            kept = msgspec.structs.replace(frame, seq=self.next_seq)
            self.next_seq += 1
        self._kept.append(kept)
        return kept

    def due(self) -> list[Frame]:
        """Frames to send now, in order; they count as sent."""
        first = self.oldest
        until = min(self.next_seq, first + WINDOW)
        frames = [self._kept[seq - first] for seq in range(self._send_next, until)]
        self._send_next = max(self._send_next, until)
        self._never_sent = max(self._never_sent, self._send_next)
        return frames

    def acknowledged(self, next_seq: int) -> None:
        """The coordinator has all frames before this number. Raises ValueError when it cannot."""
        if next_seq > self._never_sent:
            raise ValueError(f"frame {next_seq - 1} is acknowledged and was never sent")
        while self._kept and self.oldest < next_seq:
            self._kept.popleft()
        self._send_next = max(self._send_next, self.oldest)

    def resumed(self, next_seq: int) -> None:
        """On a new connection the coordinator wants the frames from this number on. Raises
        ValueError when they are not here."""
        self.acknowledged(next_seq)
        if next_seq < self.oldest:
            raise ValueError(f"the coordinator lacks frame {next_seq}, which it had acknowledged")
        self._send_next = next_seq

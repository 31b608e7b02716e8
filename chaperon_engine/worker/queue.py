"""Frames on their way to the coordinator: never lost, never waited for.

Owns: sequence numbers, and merging when the coordinator does not keep up. Sans-I/O.
"""

from __future__ import annotations

from collections import deque

import msgspec

from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.merging import merge_frames

MAX_WAITING = 8
"""Frames that wait apart from each other; from then on the newest two become one."""


class FrameQueue:
    """The frames of one worker that have not been handed to the transport."""

    def __init__(self, max_waiting: int = MAX_WAITING):
        self._max_waiting = max_waiting
        self._waiting: deque[Frame] = deque()
        self._gauges: set[int] = set()
        self._seq = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, frame: Frame) -> None:
        """Add the newest frame; its sequence number is given when it is taken."""
        for number, key in frame.new_series:
            if key.kind == "gauge":
                self._gauges.add(number)
        if len(self._waiting) >= self._max_waiting:
            frame = merge_frames(self._waiting.pop(), frame, frozenset(self._gauges))
        self._waiting.append(frame)

    def take(self) -> Frame | None:
        """The oldest frame, numbered without gaps; None when there is none."""
        if not self._waiting:
            return None
        frame = msgspec.structs.replace(self._waiting.popleft(), seq=self._seq)
        self._seq += 1
        return frame

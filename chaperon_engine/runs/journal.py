"""The journal: an append-only record from which the report can be made again.

Each record is a u32 length and a u32 crc32 (big endian) and that many bytes of msgpack, a tagged
union. The writer syncs once a second. The reader stops at the first record that is cut short or
damaged: what a killed engine or a full disk leaves is a torn tail.

Size budget: frames are written as they come until half of the budget is used; then pairs of frames
of a worker are merged into one, from three quarters on four, and so on up to 64 seconds a frame.
Counts and percentiles stay exact, only the resolution in time is lost, and, if the engine is
killed, the seconds that had not been written.

Must not know: how a report is made of it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from chaperon_engine.errors import UserError
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import MAX_FRAME_BYTES
from chaperon_engine.runs.merging import merge_frames
from chaperon_engine.version import __version__

FORMAT = 2
BUDGET_BYTES = 512 * 1024 * 1024
MAX_LEVEL = 6
"""Coarsest resolution: 2 ** 6 ticks a frame."""
_HEADER_BYTES = 8
_ENCODER = msgspec.msgpack.Encoder()
_Kind = TypeVar("_Kind", bound="Record")


class Record(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Base of all records; the tag is the class name."""


class Header(Record, frozen=True, kw_only=True):
    """First record, written when the load begins."""

    format: int = FORMAT
    run_id: str
    start_ns: int
    """Monotonic time of second 0 of the run."""
    started_at: str
    """ISO 8601, UTC; a label."""
    workers: list[tuple[int, int, int | None]]
    """(worker, pid, core)."""


class FrameRecord(Record, frozen=True, kw_only=True):
    """One frame of a worker, or several merged. Sequence numbers are the journal's own."""

    frame: Frame


class WorkerLost(Record, frozen=True, kw_only=True):
    """A worker died; its shared counters as they stood then."""

    worker: int
    note: str
    slots: list[list[int]]
    """For each of its series in order the words of its slot, see `metrics.counters`."""


class Steered(Record, frozen=True, kw_only=True):
    """Somebody, or a limit, stopped or aborted the run."""

    at_s: float
    action: str
    by: str


class Stated(Record, frozen=True, kw_only=True):
    """Something that the report says of an agent, as soon as it was known."""

    reason: str


class Ended(Record, frozen=True, kw_only=True):
    """Last record of a run whose engine lived to its end."""

    at_s: float
    status: str
    partial: bool
    reasons: list[str]


AnyRecord = Header | FrameRecord | WorkerLost | Steered | Stated | Ended


class JournalWriter:
    """Appends records; one writer for one file."""

    def __init__(self, path: Path, *, budget_bytes: int = BUDGET_BYTES):
        self._file = open(path, "xb", buffering=0, opener=_private)  # noqa: SIM115
        self._budget_bytes = budget_bytes
        self._written = 0
        self._unsynced = False
        self._level = 0
        self._pending: dict[int, tuple[Frame, int]] = {}
        self._sequence: dict[int, int] = {}
        self._gauges: dict[int, set[int]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._written

    @property
    def ticks_per_frame(self) -> int:
        """Present resolution."""
        return 1 << self._level

    def append(self, record: AnyRecord) -> None:
        """Write one record. Frames go through `append_frame`. Raises OSError (a full disk)."""
        self._write_all(framed(record))
        self._unsynced = True

    def append_frame(self, frame: Frame) -> None:
        """Write one frame, or keep it to be merged when the budget is running out."""
        for number, key in frame.new_series:
            if key.kind == "gauge":
                self._gauges.setdefault(frame.worker, set()).add(number)
        kept, ticks = self._pending.pop(frame.worker, (None, 0))
        if kept is not None:
            gauges = frozenset(self._gauges.get(frame.worker, ()))
            frame = merge_frames(kept, frame, gauges)
        ticks += 1
        if ticks >= self.ticks_per_frame or frame.last:
            self._write_frame(frame)
        else:
            self._pending[frame.worker] = (frame, ticks)

    def flush(self, worker: int | None = None) -> None:
        """Write the frames that wait to be merged, of one worker or of all."""
        for number in list(self._pending) if worker is None else [worker]:
            kept = self._pending.pop(number, None)
            if kept is not None:
                self._write_frame(kept[0])

    def sync(self) -> None:
        """Make what was appended durable. Raises OSError."""
        if self._unsynced:
            self._unsynced = False
            _sync(self._file.fileno())

    def begin_sync(self) -> Callable[[], None] | None:
        """The work for a thread that makes what was appended so far durable; None when it is. It
        may go on after `close`. Both raise OSError."""
        if not self._unsynced:
            return None
        self._unsynced = False
        return partial(_sync_and_close, os.dup(self._file.fileno()))

    def close(self) -> None:
        """Write what waits, sync and close. Raises OSError; closed in any case."""
        try:
            self.flush()
            self.sync()
        finally:
            self._file.close()

    def _write_frame(self, frame: Frame) -> None:
        seq = self._sequence.get(frame.worker, 0)
        self._sequence[frame.worker] = seq + 1
        self.append(FrameRecord(frame=msgspec.structs.replace(frame, seq=seq)))
        left = self._budget_bytes - self._written
        while self._level < MAX_LEVEL and left < self._budget_bytes >> (self._level + 1):
            self._level += 1

    def _write_all(self, data: bytes) -> None:
        start = self._written
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view)
                view = view[written:]
        except OSError:
            # What stands behind a torn record could not be read: leave none in the middle.
            os.ftruncate(self._file.fileno(), start)
            self._file.seek(start)
            raise
        self._written = start + len(data)


def framed(record: Record) -> bytes:
    """A record as it stands in a file: length, checksum, content."""
    body = _ENCODER.encode(record)
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


class RecordReader(Generic[_Kind]):
    """The readable records of a file, in order."""

    def __init__(self, path: Path, kinds: Any):
        """`kinds`: the union of the records that may stand there."""
        self._path = path
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self.torn_bytes = 0
        """Bytes at the end that are no whole record; known after the iteration."""

    def __iter__(self) -> Iterator[_Kind]:
        try:
            file = open(self._path, "rb")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{self._path} cannot be read: {error.strerror}") from None
        with file:
            size = os.fstat(file.fileno()).st_size
            position = 0
            while True:
                head = file.read(_HEADER_BYTES)
                length = int.from_bytes(head[:4], "big")
                if len(head) < _HEADER_BYTES or length > min(MAX_FRAME_BYTES, size - position):
                    break
                body = file.read(length)
                if len(body) < length or zlib.crc32(body) != int.from_bytes(head[4:], "big"):
                    break
                try:
                    record: _Kind = self._decoder.decode(body)
                except (msgspec.MsgspecError, RecursionError, ValueError):
                    break
                position += _HEADER_BYTES + length
                yield record
            self.torn_bytes = size - position


class JournalReader(RecordReader[AnyRecord]):
    """The readable records of a run's journal, in order. Raises UserError for one of another
    format."""

    def __init__(self, path: Path):
        super().__init__(path, AnyRecord)

    def __iter__(self) -> Iterator[AnyRecord]:
        for record in super().__iter__():
            if isinstance(record, Header) and record.format != FORMAT:
                raise UserError(
                    f"{self._path} has format {record.format}, and Chaperon {__version__} reads "
                    f"format {FORMAT}: use the version that the run was made with"
                )
            yield record


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _sync_and_close(descriptor: int) -> None:
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


_sync = getattr(os, "fdatasync", os.fsync)
"""macOS has no fdatasync."""

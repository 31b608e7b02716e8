"""What an agent has measured and not delivered, on disk: it outlives the agent.

agents/<name>-<digest>/   0700, below the user's data folder; the digest is of run and name
    journal               Opened, then KeptFrame and Acknowledged as they come
    lock                  locked as long as the agent lives

A frame takes the place of an earlier one with its number. When everything is acknowledged and the
file is long, it begins anew with the newest frame, from which the closing one is made: what an
agent that was killed leaves is delivered by `chaperon worker join` with the same run and name.

Must not know: sockets, or when a frame counts as acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaperon_engine.errors import UserError
from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.directory import Lock, agent_folder, home
from chaperon_engine.runs.journal import framed
from chaperon_engine.runs.kept import Acknowledged, AgentRecord, KeptFrame, Opened, read_kept
from chaperon_engine.text import visible

ROOM_BYTES = 4 * 1024 * 1024
"""A longer file begins anew as soon as nothing in it is needed."""
SYNC_EVERY_S = 1.0


@dataclass(frozen=True)
class Left:
    """What an agent that was killed left behind."""

    opened: Opened
    frames: list[Frame]
    """Those that were not acknowledged, in order, and the one that closes the stream."""
    next_seq: int
    """Number after the last frame."""
    died: bool
    """It was killed before its load had ended, and lost what it had not yet written."""


class AgentJournal:
    """The journal of one agent. What the disk refuses is said once and ends nothing."""

    def __init__(self, run_id: str, name: str, on_trouble: Callable[[str], None] = print):
        """Take the place of this agent on this machine. Raises UserError when a living agent has
        it, or when there is no place to write."""
        self.folder = home() / agent_folder(run_id, name)
        self._run_id = run_id
        self._name = name
        self._on_trouble = on_trouble
        self._descriptor: int | None = None
        self._opened: Opened | None = None
        self._newest: Frame | None = None
        self._next_seq = 0
        self._size = 0
        self._synced_at = 0.0
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = Lock.take(self.folder / "lock", f"{os.getpid()}\n")
        except OSError as error:
            raise UserError(f"{visible(self.folder)} cannot be used: {error.strerror}") from None
        if lock is None:
            raise UserError(
                f"an agent {visible(name)!r} of this run lives on this machine already: give this "
                "one another name with --name"
            )
        self._lock = lock

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "journal"

    def left(self) -> Left | None:
        """What an earlier agent of this name left and did not deliver; None when there is
        nothing that could be delivered."""
        kept = read_kept(self.path) if self.path.exists() else None
        if kept is None or kept.opened.run_id != self._run_id:
            return None
        undelivered = [frame for frame in kept.frames if frame.seq >= kept.acknowledged]
        if not undelivered:
            return None
        return Left(kept.opened, undelivered, undelivered[-1].seq + 1, kept.died)

    def begin(self, instance: bytes, member: int, epoch: int) -> None:
        """The load begins; whatever an earlier agent left is gone."""
        self._opened = Opened(
            run_id=self._run_id, name=self._name, instance=instance, member=member, epoch=epoch
        )
        self._write(lambda: self._begin_anew())

    def keep(self, frame: Frame) -> None:
        """Write a frame down."""
        self._newest = frame
        self._write(lambda: self._append(KeptFrame(frame=frame)))

    def acknowledged(self, next_seq: int) -> None:
        """All frames before this number are safe."""
        if next_seq <= self._next_seq:
            return
        self._next_seq = next_seq
        is_empty = self._newest is not None and self._newest.seq < next_seq
        if is_empty and self._size > ROOM_BYTES:
            self._write(self._begin_anew)
        else:
            self._write(lambda: self._append(Acknowledged(next_seq=next_seq)))

    def close(self, *, delivered: bool) -> None:
        """The agent ends; what is delivered needs no journal."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if delivered or not self.path.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.forget()

    def set_aside(self) -> Path:
        """The run does not take what is in the journal: keep it where it stops nobody."""
        target = self.folder.with_name(f"{self.folder.name}.refused-{time.time_ns()}")
        target.mkdir(mode=0o700)
        return self.path.rename(target / "journal")

    def _begin_anew(self) -> None:
        """A new file takes the place of the old one, so that one can always be read."""
        temporary = self.path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        before, self._descriptor = self._descriptor, os.open(temporary, flags, 0o600)
        if before is not None:
            os.close(before)
        self._size = 0
        assert self._opened is not None
        self._append(self._opened)
        if self._newest is not None:
            self._append(KeptFrame(frame=self._newest))
            self._append(Acknowledged(next_seq=self._next_seq))
        os.replace(temporary, self.path)

    def _append(self, record: AgentRecord) -> None:
        assert self._descriptor is not None
        view = memoryview(framed(record))
        start = self._size
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # What stands behind a torn record could not be read.
            os.ftruncate(self._descriptor, start)
            raise
        self._size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        now = time.monotonic()
        if now - self._synced_at >= SYNC_EVERY_S:
            self._synced_at = now
            os.fsync(self._descriptor)

    def _write(self, write: Callable[[], None]) -> None:
        if self._opened is None:
            return
        try:
            write()
        except OSError as error:
            self._opened = None
            self._on_trouble(
                f"{visible(self.path)} cannot be written ({error.strerror}): what is not yet "
                "delivered is kept in memory alone"
            )

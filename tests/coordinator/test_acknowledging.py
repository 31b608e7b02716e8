"""Agents hear that their frames are safe when the journal is on disk, and not before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chaperon_engine.coordinator.acknowledging import Acknowledger
from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.journal import JournalReader, JournalWriter


class Disk:
    """Syncs when it is let."""

    def __init__(self) -> None:
        self.begun = 0
        self.let = threading.Event()
        self.error: OSError | None = None
        self.failures: list[OSError] = []

    def begin_sync(self) -> Callable[[], None] | None:
        self.begun += 1
        return self._sync

    def _sync(self) -> None:
        assert self.let.wait(10)
        if self.error is not None:
            raise self.error

    def sync_failed(self, error: OSError) -> None:
        self.failures.append(error)


async def settle(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a thread has no event of this loop
            await asyncio.sleep(0.001)


async def test_frames_are_acknowledged_after_the_sync_and_the_newest_stands_for_all() -> None:
    disk, told = Disk(), list[tuple[int, int]]()
    acknowledger = Acknowledger(disk, lambda link, seq: told.append((link, seq)))
    acknowledger.frame(1, 1)
    acknowledger.frame(1, 2)
    acknowledger.frame(2, 7)
    acknowledger.look()
    await settle(lambda: disk.begun == 1)
    acknowledger.frame(1, 3)
    acknowledger.look()
    acknowledger.look()
    assert (disk.begun, told) == (1, [])
    disk.let.set()
    await settle(lambda: len(told) == 2)
    assert told == [(1, 2), (2, 7)]
    acknowledger.look()
    await settle(lambda: len(told) == 3)
    assert (disk.begun, told[-1]) == (2, (1, 3))
    acknowledger.look()
    assert disk.begun == 2, "nobody waits, and a second has not passed"


async def test_a_disk_that_refuses_is_told_of_and_frames_are_acknowledged_from_memory() -> None:
    disk, told = Disk(), list[tuple[int, int]]()
    disk.error = OSError(28, "No space left on device")
    disk.let.set()
    acknowledger = Acknowledger(disk, lambda link, seq: told.append((link, seq)))
    acknowledger.frame(1, 1)
    acknowledger.look()
    await settle(lambda: bool(told))
    assert disk.failures == [disk.error]


@pytest.mark.parametrize("is_closed", [False, True])
def test_what_was_written_is_synced_though_the_journal_is_closed_meanwhile(
    tmp_path: Path, is_closed: bool
) -> None:
    writer = JournalWriter(tmp_path / "journal")
    assert writer.begin_sync() is None
    writer.append_frame(Frame(worker=0, epoch=0, seq=0, start_ns=0, end_ns=1))
    work = writer.begin_sync()
    assert work is not None
    assert writer.begin_sync() is None
    if is_closed:
        writer.close()
    work()
    assert len(list(JournalReader(tmp_path / "journal"))) == 1
    if not is_closed:
        writer.close()

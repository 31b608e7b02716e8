"""Makes the journal durable, and then tells agents that their frames are safe.

One sync at a time, in a thread, so that a slow disk never stops the loop; what comes meanwhile is
part of the next one. So there are no more syncs than ticks, however many frames arrive.

Must not know: what stands in the journal, or who the agents are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

SYNC_EVERY_S: Final = 1.0
"""Without anybody who waits for it."""


class Durable(Protocol):
    """What is to be made durable."""

    def begin_sync(self) -> Callable[[], None] | None:
        """The work for a thread that makes all that was written so far durable; None when that is
        done or impossible."""
        ...

    def sync_failed(self, error: OSError) -> None: ...


class Acknowledger:
    """Who waits for the disk; one per run."""

    def __init__(self, kept: Durable, acknowledge: Callable[[int, int], None]):
        """`acknowledge` gets the number of a connection and that of the first frame to come."""
        self._kept = kept
        self._acknowledge = acknowledge
        self._waiting: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._synced_at = time.monotonic()

    def frame(self, link: int, next_seq: int) -> None:
        """All frames before `next_seq` have been written, and their sender waits for the word."""
        self._waiting[link] = next_seq

    def look(self) -> None:
        """To be called at each tick."""
        is_due = self._waiting or time.monotonic() - self._synced_at >= SYNC_EVERY_S
        if self._task is None and is_due:
            waiting, self._waiting = self._waiting, {}
            self._task = asyncio.create_task(self._sync(waiting))

    def close(self) -> None:
        """Nobody waits any more; a sync that is under way ends by itself."""
        if self._task is not None:
            self._task.cancel()

    async def _sync(self, waiting: dict[int, int]) -> None:
        self._synced_at = time.monotonic()
        work = self._kept.begin_sync()
        if work is not None:
            try:
                await asyncio.to_thread(work)
            except OSError as error:
                # The run says so and goes on; its figures are in memory.
                self._kept.sync_failed(error)
        self._task = None
        for link, next_seq in waiting.items():
            self._acknowledge(link, next_seq)

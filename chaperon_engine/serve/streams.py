"""Server-sent events: how many streams there may be, heartbeats, and peers that do not read.

A slow peer gets the newest state when it has taken the last one, never a backlog: each stream has
its own source, which is asked only then. Must not know: what the events say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web

from chaperon_engine.client.archive import attach
from chaperon_engine.errors import ChaperonError, UserError
from chaperon_engine.metrics.snapshot import View
from chaperon_engine.serve.documents import event
from chaperon_engine.serve.keeper import QueueKeeper

MAX_STREAMS = 32
HEARTBEAT_S = 5.0
WRITE_TIMEOUT_S = 20.0
"""A peer that has taken nothing for this long is gone."""


class TooManyStreams(UserError):
    """No further stream is opened."""


class Streams:
    """All streams of one server."""

    def __init__(
        self,
        *,
        limit: int = MAX_STREAMS,
        heartbeat_s: float = HEARTBEAT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ):
        self._limit = limit
        self._heartbeat_s = heartbeat_s
        self._write_timeout_s = write_timeout_s
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def count(self) -> int:
        """Streams that are open."""
        return len(self._tasks)

    async def send(
        self, request: web.Request, source: AsyncGenerator[bytes, None]
    ) -> web.StreamResponse:
        """Send the events of `source` until it ends or the peer goes. Raises TooManyStreams."""
        if len(self._tasks) >= self._limit:
            raise TooManyStreams(f"{self._limit} streams of events are open: close one first")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            async with contextlib.aclosing(source):
                async with asyncio.timeout(self._write_timeout_s):
                    await response.prepare(request)
                async for part in self._with_heartbeats(source):
                    async with asyncio.timeout(self._write_timeout_s):
                        await response.write(part)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._tasks.discard(task)
        return response

    def close(self) -> None:
        """End all streams."""
        for task in self._tasks:
            task.cancel()

    async def _with_heartbeats(self, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        coming: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(source))
                done, _ = await asyncio.wait({coming}, timeout=self._heartbeat_s)
                if not done:
                    yield b": heartbeat\n\n"
                    continue
                part, coming = coming.result(), None
                if part is None:
                    return
                yield part
        finally:
            if coming is not None:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    return await anext(source, None)


async def queue_events(keeper: QueueKeeper) -> AsyncGenerator[bytes, None]:
    """The whole queue, now and after each change."""
    version = -1
    while True:
        version = await keeper.changed_since(version)
        yield event(
            "queue",
            {
                "running": keeper.running(),
                "scheduled": keeper.scheduled(),
                "ended": keeper.ended(),
            },
        )


async def run_events(
    keeper: QueueKeeper, id: str, view: View, rate_hz: float
) -> AsyncGenerator[bytes, None]:
    """One entry and, while it runs, its snapshots; ends with the entry that has ended."""
    shown = None
    followed = False
    version = -1
    while True:
        version = await keeper.changed_since(version)
        entry = keeper.find(id)
        if entry is None:
            return
        if entry != shown:
            shown = entry
            yield event("entry", entry)
        if entry.has_ended:
            return
        if entry.run_id and not followed:
            followed = True
            # What happens to the run is told by its entry.
            with contextlib.suppress(ChaperonError, OSError):
                async with await attach(entry.run_id) as client:
                    await client.subscribe(view, rate_hz)
                    async for snapshot in client.snapshots():
                        yield event("snapshot", snapshot)

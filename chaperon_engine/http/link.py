"""A transport with its place in a pool: how bytes leave, and how it is given up.

Owns backpressure in both directions. Must not know replies; `connection` adds them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaperon_engine.errors import ActionError
    from chaperon_engine.http.pool import Pool
    from chaperon_engine.http.response import Response
    from chaperon_engine.http.service import Target


class Link(asyncio.Protocol):
    """The half of a connection that knows nothing of what it carries."""

    __slots__ = (
        "closing",
        "fault",
        "paused",
        "pool",
        "response",
        "resumed",
        "target",
        "transport",
        "worker",
    )

    def __init__(self, target: Target, pool: Pool) -> None:
        self.target = target
        self.worker = target.worker
        self.pool = pool
        self.fault: ActionError | None = None
        """Why it ended before it was used."""
        self.transport: asyncio.Transport | None = None
        self.response: Response | None = None
        """The exchange in flight; None while idle."""
        self.closing = False
        self.paused = False
        """The transport's buffer is full."""
        self.resumed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.pool.opening -= 1
        # A link is always a Connection, which this module must not know.
        self.pool.connections.append(self)  # type: ignore[arg-type]
        self.worker.connections.add(self)  # type: ignore[arg-type]

    def drop(self) -> None:
        """Takes the connection out of use at once, without waiting for the peer."""
        if self.closing:
            return
        self.closing = True
        self._wake_writer()
        if self.transport is not None:
            self.pool.remove(self)  # type: ignore[arg-type]
            # Not close(): on TLS it would go on downloading the rest of a body.
            self.transport.abort()

    def write(self, response: Response, data: bytes) -> bool:
        """Sends more of a request's body. False: the exchange has ended, the rest is not wanted."""
        if self.response is not response or self.closing:
            return False
        self.transport.write(data)  # type: ignore[union-attr]
        return True

    async def drained(self) -> None:
        """Waits while the transport's buffer is full; lets others run in any case."""
        if not self.paused or self.closing:
            await asyncio.sleep(0)
            return
        if self.resumed is None:
            self.resumed = self.worker.create_future()
        await asyncio.shield(self.resumed)

    def pause_reading(self) -> None:
        """The reader of a stream is behind: the peer must wait."""
        if not self.closing:
            self.transport.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self) -> None:
        """The reader of a stream has caught up."""
        if not self.closing:
            self.transport.resume_reading()  # type: ignore[union-attr]

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._wake_writer()

    def _wake_writer(self) -> None:
        resumed = self.resumed
        if resumed is not None:
            self.resumed = None
            if not resumed.done():
                resumed.set_result(None)

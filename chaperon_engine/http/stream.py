"""The body of a reply that is read piece by piece while it arrives.

Holds at most `HIGH_WATER` bytes and one read of the socket; beyond it the connection stops reading
and the server is slowed down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chaperon_engine.errors import ActionError
from chaperon_engine.http.decode import Decoder

if TYPE_CHECKING:
    from chaperon_engine.http.connection import Connection
    from chaperon_engine.http.response import Response

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024


class BodyStream:
    """Pieces between a connection and the one scenario that reads them."""

    __slots__ = (
        "_connection",
        "_decoded",
        "_decoder",
        "_error",
        "_paused",
        "_pieces",
        "_response",
        "_size",
        "_waiter",
    )

    def __init__(self, connection: Connection, response: Response, decoder: Decoder | None):
        self._connection: Connection | None = connection
        """None when the exchange has ended."""
        self._response = response
        self._decoder = decoder
        self._decoded: Iterator[bytes] | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the connection calls.

    def put(self, piece: bytes) -> None:
        """More of the body arrived."""
        if not piece:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause_reading()
        self._wake()

    def finish(self, error: Exception | None) -> None:
        """The exchange has ended; with an error the reader gets it after what has arrived."""
        if self._paused and self._connection is not None:
            self._connection.resume_reading()
        self._paused = False
        self._connection = None
        self._error = error
        self._wake()

    # What the reader calls.

    async def next(self) -> bytes | None:
        """The next piece, None at the end. Raises the ActionError that ended the exchange."""
        while True:
            if self._decoded is not None:
                piece = self._decode_step()
                if piece is not None:
                    return piece
            if self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                if self._paused and self._size < LOW_WATER and self._connection is not None:
                    self._paused = False
                    self._connection.resume_reading()
                if self._decoder is None:
                    return piece
                self._decoded = self._decoder.steps(piece)
            elif self._error is not None:
                raise self._error
            elif self._connection is None:
                if self._decoder is not None:
                    self._decoder.finish()
                return None
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def close(self) -> None:
        """The reader leaves: what has not ended yet counts as cancelled."""
        connection = self._connection
        if connection is not None and connection.response is self._response:
            connection.cancel()
        self._connection = None
        self._pieces.clear()

    def _decode_step(self) -> bytes | None:
        assert self._decoded is not None
        try:
            return next(self._decoded)
        except StopIteration:
            self._decoded = None
            return None
        except ActionError as error:
            if self._connection is not None and self._connection.response is self._response:
                self._connection.fail(error)
            raise

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

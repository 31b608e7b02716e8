"""The coordinator's ends of the two socketpairs to one worker, as messages. Must not decide.

One pair for each direction: a write to a worker that has ended fails and closes its socket, which
must not take along what that worker said before.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from chaperon_engine.protocol.codec import ProtocolError, encode, from_worker_decoder
from chaperon_engine.protocol.messages import FromWorker, Message


class WorkerLink:
    """Calls `on_message` for each message, `on_error` for bytes that are none (then no more)."""

    def __init__(
        self,
        on_message: Callable[[FromWorker], None],
        on_error: Callable[[ProtocolError], None],
    ):
        self._incoming = _Incoming(on_message, on_error)
        self._outgoing: asyncio.Transport | None = None

    @property
    def is_closed(self) -> bool:
        """The worker closed its end, or is gone, and all that it said has been heard."""
        return self._incoming.is_closed

    async def connect(self, commands: socket.socket, frames: socket.socket) -> None:
        """Use both sockets, which belong to this link from now on."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._incoming, sock=frames)
        transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=commands)
        self._outgoing = transport

    def send(self, message: Message) -> None:
        """Hand over; what a hanging worker does not read is small and stays in memory."""
        if self._outgoing is not None and not self._outgoing.is_closing():
            self._outgoing.write(encode(message))

    def close(self) -> None:
        """Drop both connections."""
        if self._outgoing is not None:
            self._outgoing.abort()
        self._incoming.close()


class _Incoming(asyncio.Protocol):
    def __init__(
        self,
        on_message: Callable[[FromWorker], None],
        on_error: Callable[[ProtocolError], None],
    ):
        self._on_message = on_message
        self._on_error = on_error
        self._decoder = from_worker_decoder()
        self._transport: asyncio.Transport | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as error:
            self.close()
            self._on_error(error)
            return
        for message in messages:
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

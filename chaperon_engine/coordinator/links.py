"""The coordinator's end of the socketpair to one worker, as messages. Must not decide anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from chaperon_engine.protocol.codec import ProtocolError, encode, from_worker_decoder
from chaperon_engine.protocol.messages import FromWorker, Message


class WorkerLink(asyncio.Protocol):
    """Calls `on_message` for each message, `on_error` for bytes that are none (then no more)."""

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
        """The worker closed its end, or is gone."""

    async def connect(self, control: socket.socket) -> None:
        """Use `control`, which belongs to this link from now on."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=control)

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

    def send(self, message: Message) -> None:
        """Hand over; what a hanging worker does not read is small and stays in memory."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message))

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

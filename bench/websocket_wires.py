"""Other libraries as the frame layer behind the same session call: for the comparison alone.

They do what an echo needs and no more: no compression, no fragments, no limits.
"""

from __future__ import annotations

import asyncio
import base64
import os
from abc import ABC, abstractmethod
from typing import Any

from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter
from aiohttp.base_protocol import BaseProtocol
from picows import WSMsgType
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from chaperon_engine.net.headers import Headers, parse_head

_UNLIMITED = 2**30


class _Wire(asyncio.Protocol, ABC):
    """The part that all have in common."""

    def __init__(self, socket: Any, options: Any) -> None:
        self.socket = socket
        self.transport: Any = None
        self.is_upgraded = False
        self.reply = Headers([])
        self.upgrade_ns = 1
        self.done = asyncio.get_running_loop().create_future()

    def begin(self, fields: Any) -> Any:
        return self

    async def upgraded(self) -> None:
        await self.done

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self.socket.path} HTTP/1.1\r\nHost: {self.socket.target.host}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    @abstractmethod
    def write(self, kind: Any, payload: bytes) -> None:
        """Sends a message."""

    def answered(self, head: bytes) -> None:
        self.reply = Headers(parse_head(head))
        self.is_upgraded = True
        self.socket.opened("", False, self.write)
        self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.socket.lost()

    def close(self, code: int, reason: str = "") -> None:
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class WebsocketsWire(_Wire):
    """websockets without I/O."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.protocol = ClientProtocol(parse_uri(self.socket.url), max_size=None)
        self.protocol.send_request(self.protocol.connect())
        self.flush()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            self.transport.write(data)

    def write(self, kind: WSMsgType, payload: bytes) -> None:
        if kind is WSMsgType.TEXT:
            self.protocol.send_text(payload)
        else:
            self.protocol.send_binary(payload)
        self.flush()

    def data_received(self, data: bytes) -> None:
        protocol = self.protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if not isinstance(event, Frame):
                self.answered(b"")
            elif event.opcode is Opcode.TEXT:
                self.socket.arrived(bytes(event.data).decode(), len(event.data))


class AiohttpWire(_Wire):
    """aiohttp's C reader and its writer."""

    def answered(self, head: bytes) -> None:
        loop = asyncio.get_running_loop()
        base = BaseProtocol(loop)
        self.queue = WebSocketDataQueue(base, _UNLIMITED, loop=loop)
        self.reader = WebSocketReader(self.queue, _UNLIMITED, False, True)
        self.messages = self.queue._buffer
        self.writer = WebSocketWriter(base, self.transport, use_mask=True)
        super().answered(head)

    def write(self, kind: WSMsgType, payload: bytes) -> None:
        self.writer._write_websocket_frame(payload, 1 if kind is WSMsgType.TEXT else 2, 0)

    def data_received(self, data: bytes) -> None:
        if not self.is_upgraded:
            self.answered(data)
            return
        self.reader.feed_data(data)
        messages = self.messages
        while messages:
            message, size = messages.popleft()
            self.socket.arrived(message.data, size)

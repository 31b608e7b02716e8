"""The routes that wait and push: WebSocket echo and the Firehose channels.

The channels speak as the Firehose server does: `PUT` publishes; a `GET` with
`?last_message_sequence=N` (or `?since=N`) is a long poll for the next message after N; a WebSocket
gets every message as it comes. A message is delivered as
`{"message": <text>, "last_sequence": <int>}`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from chaperon_engine.target import limits
from chaperon_engine.target.channels import Channel, Channels, Message
from chaperon_engine.target.replies import (
    JSON_HEAD,
    TEXT_HEAD,
    Refused,
    json_body,
    query_number,
    whole_number,
)
from chaperon_engine.target.stats import Stats

SEQUENCE_HEADER = "X-Last-Message-Sequence"
"""Of long polls and publications: the channel's sequence number that the reply speaks of."""

DEFAULT_POLL_MS = 20_000
"""Milliseconds after which a long poll ends with 204, as in Firehose."""

_CHANNEL_PREFIX = "/channel/"
_NO_ROOM = "there are too many channels with readers"


class Sockets:
    """The handlers and what they share: the channels and the open WebSockets of one target."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._channels = Channels()
        self._open: set[web.WebSocketResponse] = set()
        self._polls: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """End all that waits: long polls get 204, WebSockets a close with 1001."""
        for poll in self._polls:
            poll.cancel()
        goodbyes = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"the target ends")
            for socket in self._open
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(*goodbyes, return_exceptions=True)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """Every text or binary message comes back as it was."""
        socket = await self._accept(request)
        counts = self._stats.websocket
        try:
            async for message in socket:
                counts.received(len(message.data))
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
                counts.sent(len(message.data))
        finally:
            self._release(socket)
        return socket

    async def channel(self, request: web.Request) -> web.StreamResponse:
        """Publish with PUT or POST, long-poll with GET, subscribe with a WebSocket."""
        name = request.match_info["name"]
        if request.method in ("PUT", "POST"):
            body = await request.read()
            if len(body) > limits.MAX_CHANNEL_MESSAGE:
                most = limits.MAX_CHANNEL_MESSAGE
                raise Refused(413, f"a message has at most {most} bytes")
            message = self._publish(name, body.decode(errors="replace"))
            return web.Response(status=202, headers={SEQUENCE_HEADER: str(message.sequence)})
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._subscribe(request, self._get(name))
        return await self._poll(request, self._get(name))

    async def batch(self, request: web.Request) -> web.Response:
        """Publish many: a JSON list of `{"channel": "/channel/x", "payload": ...}`.

        Firehose's other form, an object of channel to `{"payload": ...}`, is taken as well. Its
        `ttl` and `buffer_size` are accepted and have no effect: buffers are bounded anyway.
        """
        document = json_body(await request.read(), "the body")
        if isinstance(document, dict):
            document = [
                {"channel": name, **entry} if isinstance(entry, dict) else entry
                for name, entry in document.items()
            ]
        if not isinstance(document, list):
            raise Refused(400, "the body must be a JSON list or object of messages")
        for entry in document:
            if not isinstance(entry, dict) or not isinstance(entry.get("channel"), str):
                raise Refused(400, "each message must be an object with channel and payload")
        for entry in document:
            payload = entry.get("payload")
            text = payload if isinstance(payload, str) else msgspec.json.encode(payload).decode()
            if len(text) > limits.MAX_CHANNEL_MESSAGE:
                raise Refused(413, f"a message has at most {limits.MAX_CHANNEL_MESSAGE} bytes")
            self._publish(entry["channel"].removeprefix(_CHANNEL_PREFIX).lstrip("/"), text)
        return web.Response(status=202)

    def _get(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            raise Refused(503, _NO_ROOM)
        return channel

    def _publish(self, name: str, payload: str) -> Message:
        message = self._channels.publish(name, payload)
        if message is None:
            raise Refused(503, _NO_ROOM)
        return message

    async def _poll(self, request: web.Request, channel: Channel) -> web.Response:
        since = request.query.get("last_message_sequence", request.query.get("since", "0"))
        sequence = whole_number("last_message_sequence", since, 0, 10**17)
        wait_ms = query_number(request, "timeout", DEFAULT_POLL_MS, 0, 10**9)
        waiting = asyncio.ensure_future(channel.next(sequence))
        self._polls.add(waiting)
        try:
            await asyncio.wait([waiting], timeout=min(wait_ms, limits.MAX_WAIT_MS) / 1000)
            if waiting.done() and not waiting.cancelled():
                message = waiting.result()
                return web.Response(
                    body=_frame(message),
                    headers={**JSON_HEAD, SEQUENCE_HEADER: str(message.sequence)},
                )
            last = str(channel.last_sequence)
            return web.Response(status=204, headers={**TEXT_HEAD, SEQUENCE_HEADER: last})
        finally:
            waiting.cancel()
            self._polls.discard(waiting)

    async def _subscribe(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        """Send the channel's messages until the client leaves; publish what it sends.

        `{"last_message_sequence": N}` or `{"message_sequence": N}` from the client is Firehose's
        subscription: sent again is what is kept after N. `{"ping": "PING"}` gets `{"pong":
        "PONG"}`. Every other message is published, and comes back as all subscribers get it.
        """
        channel.subscribers += 1
        sender: asyncio.Task[None] | None = None
        try:
            # A message published from here on is delivered, even while the upgrade is under way.
            start = channel.last_sequence
            socket = await self._accept(request)
            try:
                sender = asyncio.ensure_future(self._forward(socket, channel, start))
                async for message in socket:
                    self._stats.websocket.received(len(message.data))
                    order = _firehose_order(message.data)
                    if isinstance(order, int):
                        if order:
                            sender.cancel()
                            sender = asyncio.ensure_future(self._forward(socket, channel, order))
                    elif order == "ping":
                        await self._send(socket, '{"pong":"PONG"}')
                    else:
                        data = message.data
                        text = data if isinstance(data, str) else data.decode(errors="replace")
                        self._publish(request.match_info["name"], text)
            finally:
                self._release(socket)
        finally:
            channel.subscribers -= 1
            if sender is not None:
                sender.cancel()
        return socket

    async def _forward(
        self, socket: web.WebSocketResponse, channel: Channel, sequence: int
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while not socket.closed:
                message = channel.after(sequence) or await channel.next(sequence)
                sequence = message.sequence
                await self._send(socket, _frame(message).decode())

    async def _send(self, socket: web.WebSocketResponse, text: str) -> None:
        await socket.send_str(text)
        self._stats.websocket.sent(len(text))

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=limits.MAX_WEBSOCKET_MESSAGE, timeout=1.0
        )
        if not socket.can_prepare(request):
            raise Refused(426, "this route is for WebSockets")
        await socket.prepare(request)
        self._stats.websocket.opened += 1
        self._open.add(socket)
        return socket

    def _release(self, socket: web.WebSocketResponse) -> None:
        self._open.discard(socket)
        self._stats.websocket.closed += 1


def _frame(message: Message) -> bytes:
    return msgspec.json.encode({"message": message.payload, "last_sequence": message.sequence})


def _firehose_order(data: str | bytes) -> int | str | None:
    """What a message from a subscriber orders: a sequence to start from, "ping", or nothing."""
    if len(data) > 200:
        return None
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(document, dict) or len(document) != 1:
        return None
    if document == {"ping": "PING"}:
        return "ping"
    for name in ("last_message_sequence", "message_sequence"):
        sequence = document.get(name)
        if isinstance(sequence, int) and 0 <= sequence < 10**17:
            return sequence
    return None

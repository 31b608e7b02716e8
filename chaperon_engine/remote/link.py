"""One authenticated connection between machines, as messages in both directions.

Owns: framing, the caps on what is sent and on what waits to be sent, and how a connection ends.
Must not know: handshakes, or what a message makes anybody do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from chaperon_engine.protocol.codec import MessageDecoder, ProtocolError, encode
from chaperon_engine.protocol.messages import FromClient, FromEngine, Message
from chaperon_engine.protocol.wire import FromAgent, Role, ToAgent

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""A peer that does not read loses its connection when this much waits for it."""
HIGH_WATER_BYTES = 1024 * 1024
"""`drained` waits while more than this waits for the peer."""
CLOSING_S = 2.0
"""How long a peer has to take what was sent before `close`."""
SILENT_S = 15.0
"""What the operating system waits for a sign of life before it gives a connection up."""

Received = TypeVar("Received")


class Link(asyncio.Protocol, Generic[Received]):
    """Calls `on_message` for each message and `on_closed` once, with the reason in words.

    Nothing is read before `begin`, so whoever gets a link may take its time.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        decoder: MessageDecoder[Received],
        *,
        role: Role,
        name: str,
        address: str,
        max_frame_bytes: int,
        token_name: str = "",
        on_lost: Callable[[], None] | None = None,
    ):
        """`transport` belongs to the link from now on and must not be reading; `on_lost` is called
        when the connection is gone, whoever has the link."""
        self.role = role
        self.name = name
        """As the peer calls itself: printable, at most 64 characters; not unique."""
        self.address = address
        """Of the peer, `HOST:PORT`."""
        self.token_name = token_name
        """See `handshake.Accepted`."""
        self._transport = transport
        self._decoder = decoder
        self._max_frame_bytes = max_frame_bytes
        self._on_lost = on_lost
        self._on_message: Callable[[Received], None] | None = None
        self._on_closed: Callable[[str], None] | None = None
        self._reason: str | None = None
        self._is_lost = False
        self._closer: asyncio.TimerHandle | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        transport.set_protocol(self)

    @property
    def is_closed(self) -> bool:
        """Nothing more can be sent, and no further message will be given out."""
        return self._reason is not None

    @property
    def waiting_bytes(self) -> int:
        """What was sent and is not yet with the operating system."""
        return 0 if self._is_lost else self._transport.get_write_buffer_size()

    def begin(
        self, on_message: Callable[[Received], None], on_closed: Callable[[str], None]
    ) -> None:
        """Give out messages from now on; `on_closed` is called even if the peer has gone already,
        and never from within this call."""
        self._on_message, self._on_closed = on_message, on_closed
        if self._is_lost:
            asyncio.get_running_loop().call_soon(self._say_closed)
        elif not self.is_closed:
            self._transport.resume_reading()

    def send(self, message: Message) -> bool:
        """Hand over; False when the connection is gone. Raises ProtocolError when the message is
        longer than the peer takes, and nothing is sent."""
        if self.is_closed:
            return False
        frame = encode(message)
        if len(frame) > self._max_frame_bytes:
            raise ProtocolError(
                f"{type(message).__name__} of {len(frame):,} bytes is longer than "
                f"the {self._max_frame_bytes:,} that {self.address} takes"
            )
        if self.waiting_bytes + len(frame) > MAX_WAITING_BYTES:
            self.abort("it does not read what it is sent")
            return False
        self._transport.write(frame)
        return True

    async def drained(self) -> bool:
        """Wait until little waits for the peer; False when the connection is gone."""
        await self._can_write.wait()
        return not self.is_closed

    def close(self, farewell: Message | None = None) -> None:
        """Send what waits and the farewell, then hang up, at the latest after `CLOSING_S`."""
        if self.is_closed:
            return
        if farewell is not None and not self.send(farewell):
            return
        self._end("closed by this side")
        self._transport.close()
        if not self._is_lost:
            loop = asyncio.get_running_loop()
            self._closer = loop.call_later(CLOSING_S, self._transport.abort)

    def dismiss(self, farewell: Message, within_s: float) -> None:
        """Instead of `begin`: answer with the farewell whatever the peer says, and hang up. On
        these connections it is the peer who speaks first; one that does not is not waited for."""
        timer = asyncio.get_running_loop().call_later(within_s, self.abort, "it said nothing")
        self.begin(lambda message: self.close(farewell), lambda reason: timer.cancel())

    def abort(self, reason: str) -> None:
        """Hang up at once."""
        if not self.is_closed:
            self._end(reason)
            self._transport.abort()

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._can_write.set()

    # what the loop calls

    def data_received(self, data: bytes) -> None:
        if self.is_closed:
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as error:
            self.abort(str(error))
            return
        for message in messages:
            # A message may make the one who gets it close the link.
            if self.is_closed or self._on_message is None:
                return
            self._on_message(message)

    def pause_writing(self) -> None:
        if not self.is_closed:
            self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        if self._closer is not None:
            self._closer.cancel()
        if self._on_lost is not None:
            self._on_lost()
        if not self.is_closed:
            self._end("the connection was closed" if error is None else _said(error))
        self._say_closed()

    def _say_closed(self) -> None:
        if self._on_closed is not None and self._reason is not None:
            on_closed, self._on_closed = self._on_closed, None
            self._on_message = None
            on_closed(self._reason)


def _said(error: Exception) -> str:
    return f"the connection was lost: {error or type(error).__name__}"


AgentLink = Link[FromAgent]
"""The coordinator's end of a connection to an agent."""
CoordinatorLink = Link[ToAgent]
"""The agent's end."""
ViewerLink = Link[FromClient]
"""The coordinator's end of a connection to an observer or operator."""
EngineLink = Link[FromEngine]
"""The viewer's end."""

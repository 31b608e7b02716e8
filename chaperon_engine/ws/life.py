"""The life of a WebSocket: unread messages, deadlines, own pings, and its one end.

Owns that every end has one class, is recorded once and reaches who waits. Must not know frames
(`wire` does) nor what a scenario may call (`socket` does).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionError,
    CloseTimeout,
    ConnectionLost,
    MessageBacklog,
    MessageTimeout,
    PongTimeout,
    WebSocketClosed,
    WebSocketNotOpen,
)
from chaperon_engine.text import visible
from chaperon_engine.ws.matching import Message
from chaperon_engine.ws.opening import Phases
from chaperon_engine.ws.options import MAX_QUEUE_BYTES

if TYPE_CHECKING:
    from chaperon_engine.net.headers import Headers
    from chaperon_engine.ws.options import ConnectOptions
    from chaperon_engine.ws.series import SocketSeries
    from chaperon_engine.ws.target import WsTarget
    from chaperon_engine.ws.wire import Wire
    from chaperon_engine.ws.worker import WsWorker

Arrival = tuple[Message, int, int]
"""A message, its size on the wire, and when it arrived."""
Waiting = Callable[["asyncio.Future[Arrival]"], Awaitable[Arrival]]
Transmit = Callable[[Any, bytes], Any]
"""Takes frame type and payload."""

CLOSE_TIMEOUT_S: Final = 10.0
"""For the answer to a closing handshake."""
_LINGER_S: Final = 1.0
"""After it, for the server to end the connection: who ends it keeps the port busy for a while."""
_ABNORMAL: Final = 1006

CONNECTING, OPEN, CLOSING, CLOSED = range(4)


class SocketLife:
    """Everything of a WebSocket but the verbs."""

    __slots__ = (
        "_begun_ns", "_close_deadline_ns", "_closed", "_deadline_ns", "_error", "_limits",
        "_next_ping_ns", "_ping", "_ping_sent_ns", "_queue", "_queued_bytes", "_resumed",
        "_sent_ns", "_state", "_transmit", "_waiter", "_wire", "close_code", "close_reason",
        "compressed", "is_paused", "path", "phases", "series", "subprotocol", "target", "waiting",
        "worker",
    )  # fmt: skip

    def __init__(
        self,
        worker: WsWorker,
        target: WsTarget,
        path: str,
        series: SocketSeries,
        options: ConnectOptions,
    ) -> None:
        self.worker = worker
        self.target = target
        self.path = path
        """Path and query as sent."""
        self.series = series
        self.waiting: Waiting | None = None
        """What is awaited in place of the future of a receive; None: the future itself."""
        self.subprotocol = ""
        """The one that the server chose; empty: none."""
        self.compressed = False
        """Whether messages are compressed."""
        self.close_code: int | None = None
        """Of the server's close frame (1005: without a code), 1006 for none; None: still open."""
        self.close_reason = ""
        """What the server said to it."""
        self.phases = Phases()
        self.is_paused = False
        """The server does not read what was sent."""
        self._limits = options
        self._wire: Wire | None = None
        self._state = CONNECTING
        self._error: Callable[[], ActionError] | None = None
        """Makes the error that every use of this socket raises after its end."""
        self._queue: deque[Arrival] = deque()
        """Unread messages with their size on the wire and the time of their arrival."""
        self._queued_bytes = 0
        self._waiter: asyncio.Future[Arrival] | None = None
        """Of the receive that waits; it gets the next message, past the queue."""
        self._transmit: Transmit | None = None
        """Sends a message; None unless the socket is open."""
        self._deadline_ns = 0
        self._resumed: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._close_deadline_ns = 0
        self._begun_ns = 0
        """When closing began."""
        self._sent_ns = 0
        """When the last message was sent that no `await_recv` has answered; 0: there is none."""
        self._next_ping_ns = 0
        self._ping_sent_ns = 0
        self._ping = 0

    # What it is.

    @property
    def url(self) -> str:
        """Full URL."""
        return self.target.shown_origin + self.path

    @property
    def about(self) -> str:
        """Which socket a message speaks of."""
        return visible(self.url)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._state == OPEN

    @property
    def headers(self) -> Headers | None:
        """Header fields of the reply to the upgrade; None when it is closed."""
        return None if self._wire is None else self._wire.reply

    def __repr__(self) -> str:
        state = ("connecting", "open", "closing", "closed")[self._state]
        return f"<WebSocket {self.about} {state}>"

    # The end.

    def abort(self) -> None:
        """Ends the connection without a handshake."""
        wire = self._wire
        if self._state in (OPEN, CLOSING):
            begun_ns = self._begun_ns or now_ns()
            self._end(partial(WebSocketNotOpen, f"closed by the scenario: {self.about}"))
            self.series.of("ws_close").ended(now_ns() - begun_ns, self.close_code or _ABNORMAL)
        self._state = CLOSED
        if wire is not None:
            wire.abort()

    def give_up(self) -> None:
        """It could not be opened."""
        self._state = CLOSED
        wire = self._wire
        if wire is not None:
            wire.abort()
            if not wire.is_upgraded:
                self._gone()

    def fail(self, error: ActionError, code: int, *, is_said: bool = False) -> None:
        """The server broke a rule or a limit: says so with a close code, unless that `is_said`
        already, and ends the connection."""
        wire = self._wire
        if self._state not in (OPEN, CLOSING) or wire is None:
            return
        now = now_ns()
        text = f"{error}: {self.about}"
        self.series.of("ws_close").broke(now - (self._begun_ns or now), error.code, code)
        self._end(partial(type(error), text))
        if code and not is_said:
            wire.close(code)
        wire.abort()

    def _end(self, error: Callable[[], ActionError]) -> None:
        """No further message; who waits is told."""
        self._state = CLOSED
        self._transmit = None
        self._error = error
        if self.close_code is None:
            self.close_code = _ABNORMAL
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error())
        for future in (self._resumed, self._closed):
            if future is not None and not future.done():
                future.set_result(None)
        self._waiter = self._resumed = None

    def _refusal(self) -> ActionError:
        if self._error is not None:
            return self._error()
        return WebSocketNotOpen(f"not open: {self.about}")

    # What the wire and the sweep say.

    def attach(self, wire: Wire) -> None:
        """The frame layer, before it is connected."""
        self._wire = wire
        self.worker.sockets.add(self)

    def opened(self, subprotocol: str, compressed: bool, transmit: Transmit) -> None:
        """The upgrade is accepted; messages may follow at once."""
        self._state = OPEN
        self._transmit = transmit
        self.subprotocol = subprotocol
        self.compressed = compressed
        interval_s = self._limits.ping_interval_s
        if interval_s is not None:
            self._next_ping_ns = now_ns() + int(interval_s * 1e9)
            self.worker.tighten(min(interval_s, self._limits.ping_timeout_s))
            self._watch()

    def arrived(self, message: Message, size: int) -> None:
        """A complete message of `size` bytes."""
        if self._state == CLOSED:
            return
        arrived_ns = now_ns()
        series = self.series.ws_message or self.series.of("ws_message")
        series.count += 1
        series.bytes_in += size
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result((message, size, arrived_ns))
                return
        queue = self._queue
        queue.append((message, size, arrived_ns))
        self._queued_bytes += size
        if len(queue) > self._limits.max_queue:
            limit = f"{self._limits.max_queue} messages"
        elif self._queued_bytes > MAX_QUEUE_BYTES:
            limit = f"{MAX_QUEUE_BYTES} bytes"
        else:
            return
        self.fail(MessageBacklog(f"more than {limit} wait unread"), 1008)

    def ponged(self, payload: bytes) -> None:
        """A pong arrived."""
        if self._ping_sent_ns and payload == b"%d" % self._ping:
            self.series.of("ws_ping").record_ns(now_ns() - self._ping_sent_ns)
            self._ping_sent_ns = 0

    def close_received(self, code: int, reason: str) -> None:
        """The server's close frame: an answer to ours, or the first."""
        now = now_ns()
        self.close_code, self.close_reason = code, reason
        wire = self._wire
        if self._state == OPEN and wire is not None:
            said = f" ({visible(reason)})" if reason else ""
            self._error = partial(
                WebSocketClosed,
                f"the server closed the WebSocket with {code}{said}: {self.about}",
                code,
                reason,
            )
            self._state = CLOSING
            self._transmit = None
            self._begun_ns = now
            wire.close(code)
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_exception(self._error())
        self._close_deadline_ns = now + int(_LINGER_S * 1e9)
        self._watch()

    def lost(self) -> None:
        """The connection is gone."""
        now = now_ns()
        if self._state == CLOSING and self.close_code is not None:
            self.series.of("ws_close").ended(now - self._begun_ns, self.close_code)
            self._end(self._error or self._refusal)
        elif self._state in (OPEN, CLOSING):
            words = (
                "in the closing handshake" if self._state == CLOSING else "without a close frame"
            )
            error = partial(
                ConnectionLost, f"the server ended the connection {words}: {self.about}"
            )
            self._fail_closing(error)
            self.series.of("ws_close").broke(now - (self._begun_ns or now), ConnectionLost.code)
            self._end(error)
        self._gone()

    def _gone(self) -> None:
        self._wire = None
        self.worker.forget(self)

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.is_paused = True

    def resume(self) -> None:
        """It has room again."""
        self.is_paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def expire(self, now: int) -> bool:
        """Fails what is past its deadline; whether there are deadlines left."""
        waiter = self._waiter
        if waiter is not None and not waiter.done() and now >= self._deadline_ns:
            self._waiter = None
            waiter.set_exception(MessageTimeout())
        if self._close_deadline_ns and now >= self._close_deadline_ns:
            self._close_deadline_ns = 0
            self._close_in_vain()
        if self._next_ping_ns and self._state == OPEN:
            self._keep_pinging(now)
        return bool(
            (self._waiter is not None and not self._waiter.done())
            or self._close_deadline_ns
            or (self._next_ping_ns and self._state == OPEN)
        )

    def _keep_pinging(self, now: int) -> None:
        limits = self._limits
        if self._ping_sent_ns:
            if now >= self._ping_sent_ns + int(limits.ping_timeout_s * 1e9):
                self.series.of("ws_ping").failed(now - self._ping_sent_ns, PongTimeout.code)
                self._ping_sent_ns = 0
                self.fail(PongTimeout(f"no pong within {limits.ping_timeout_s:g} s"), 1001)
        elif now >= self._next_ping_ns and self._wire is not None:
            assert limits.ping_interval_s is not None
            self._next_ping_ns = now + int(limits.ping_interval_s * 1e9)
            self._ping += 1
            self._ping_sent_ns = now_ns()
            self._wire.ping(b"%d" % self._ping)

    def _close_in_vain(self) -> None:
        """The server does not answer the closing handshake, or does not end the connection."""
        wire = self._wire
        if self._state != CLOSING or wire is None:
            return
        now = now_ns()
        if self.close_code is not None:
            self.series.of("ws_close").ended(now - self._begun_ns, self.close_code)
            self._end(self._error or self._refusal)
        else:
            error = partial(
                CloseTimeout,
                f"no answer to the close frame within {CLOSE_TIMEOUT_S:g} s: {self.about}",
            )
            self.series.of("ws_close").broke(now - self._begun_ns, CloseTimeout.code)
            self._fail_closing(error)
            self._end(error)
        wire.abort()

    def _fail_closing(self, error: Callable[[], ActionError]) -> None:
        closed = self._closed
        if closed is not None and not closed.done():
            closed.set_exception(error())

    def _watch(self) -> None:
        if not self.worker.sweeping:
            self.worker.start_sweep()

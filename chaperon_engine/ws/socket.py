"""`WebSocket`: an open socket in the hands of a scenario: messages out, messages in, its end.

Owns the queue of unread messages, deadlines, own pings, and that every end has one class and is
recorded once. Must not know frames (`wire` does) nor sessions.

An echo costs no task, no timer and no `asyncio.timeout`: deadlines are looked at by the worker's
sweep. A message always passes the queue, also when somebody waits, so that none is lost with a wait
that is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionCancelled,
    ActionError,
    CloseTimeout,
    ConnectionLost,
    InvalidRequest,
    MessageBacklog,
    MessageTimeout,
    PongTimeout,
    TotalTimeout,
    WebSocketClosed,
    WebSocketNotOpen,
)
from chaperon_engine.text import visible
from chaperon_engine.ws.matching import (
    NOTHING,
    Decoding,
    Message,
    check_decoding,
    decoded,
    shown,
    test_of,
)
from chaperon_engine.ws.opening import Phases
from chaperon_engine.ws.options import MAX_QUEUE_BYTES
from chaperon_engine.ws.wire import BINARY, TEXT

if TYPE_CHECKING:
    from chaperon_engine.net.headers import Headers
    from chaperon_engine.ws.options import ConnectOptions
    from chaperon_engine.ws.series import SocketSeries
    from chaperon_engine.ws.target import WsTarget
    from chaperon_engine.ws.wire import Wire
    from chaperon_engine.ws.worker import WsWorker

Waiting = Callable[["asyncio.Future[None]"], Awaitable[None]]
Kind = Literal["text", "binary"]

_CLOSE_TIMEOUT_S: Final = 10.0
"""For the answer to a closing handshake."""
_LINGER_S: Final = 1.0
"""After it, for the server to end the connection: who ends it keeps the port busy for a while."""
_ABNORMAL: Final = 1006
_SHOWN_MISSES: Final = 5
_MAX_REASON_BYTES: Final = 123

_CONNECTING, _OPEN, _CLOSING, _CLOSED = range(4)


class WebSocket:
    """One WebSocket of a session. Several tasks may send; one receives at a time."""

    __slots__ = (
        "_begun_ns", "_close_deadline_ns", "_closed", "_deadline_ns", "_error", "_limits",
        "_next_ping_ns", "_ping", "_ping_sent_ns", "_queue", "_queued_bytes", "_resumed",
        "_sent_ns", "_state", "_waiter", "_wire", "close_code", "close_reason", "compressed",
        "is_paused", "path", "phases", "series", "subprotocol", "target", "waiting", "worker",
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
        self.waiting: Waiting = _plainly
        """What is awaited in place of the future of a receive."""
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
        self._state = _CONNECTING
        self._error: Callable[[], ActionError] | None = None
        """Makes the error that every use of this socket raises after its end."""
        self._queue: deque[tuple[Message, int, int]] = deque()
        """Unread messages with their size on the wire and the time of their arrival."""
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
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
        return self._state == _OPEN

    @property
    def headers(self) -> Headers | None:
        """Header fields of the reply to the upgrade; None when it is closed."""
        return None if self._wire is None else self._wire.reply

    def __repr__(self) -> str:
        state = ("connecting", "open", "closing", "closed")[self._state]
        return f"<WebSocket {self.about} {state}>"

    # Messages out.

    async def send(
        self, message: Any = NOTHING, *, type: Kind | None = None, json: Any = NOTHING
    ) -> None:
        """Send text, bytes, or JSON. Waits only while the server does not read."""
        start = now_ns()
        if message.__class__ is str and type is None:
            kind = TEXT
            try:
                payload = message.encode()
            except UnicodeEncodeError:
                raise InvalidRequest("message contains half a surrogate pair") from None
        else:
            kind, payload = encoded(message, type, json)
        wire = self._wire
        if self._state != _OPEN or wire is None:
            error = self._refusal()
            self.series.ws_send.failed(0, error.code)
            raise error
        self._sent_ns = start
        wire.write(kind, payload)
        if self.is_paused:
            await self._drained(start)
        self.series.ws_send.sent(now_ns() - start, len(payload))

    async def _drained(self, start: int) -> None:
        """Waits until the server has read."""
        if self._resumed is None:
            self._resumed = self.worker.loop.create_future()
        limit_s = self.target.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._resumed)
        except TimeoutError:
            error: ActionError = TotalTimeout(
                f"the server did not read within {limit_s:g} s: {self.about}"
            )
        except asyncio.CancelledError:
            self.series.ws_send.failed(now_ns() - start, ActionCancelled.code)
            raise
        else:
            if self._state == _OPEN:
                return
            error = self._refusal()
        self.series.ws_send.failed(now_ns() - start, error.code)
        raise error

    # Messages in.

    async def recv(self, *, timeout: float | None = None, decode: Decoding | None = None) -> Any:
        """The next message. `timeout` in seconds; default: the service's."""
        queue = self._queue
        start = now_ns()
        if not queue:
            await self._wait(start, timeout)
        message, size, arrived_ns = queue.popleft()
        self._queued_bytes -= size
        self.series.ws_recv.record_ns(arrived_ns - start if arrived_ns > start else 0)
        if decode is None:
            return message
        check_decoding(decode)
        return decoded(message, decode)

    async def await_recv(
        self,
        expected: Any = NOTHING,
        *,
        json: Any = NOTHING,
        timeout: float | None = None,
        keep: bool = False,
        decode: Decoding | None = None,
    ) -> Any:
        """The next message that equals `expected`, that the function `expected` likes, or that is
        JSON with all of `json` in it. Others are dropped, or kept for later with `keep`."""
        queue = self._queue
        start = now_ns()
        is_plain = decode is None and json is NOTHING and isinstance(expected, (str, bytes))
        test = None if is_plain else test_of(expected, json, decode)
        deadline = start + int((self.target.timeout_s if timeout is None else timeout) * 1e9)
        passed = 0
        """Messages at the head of the queue that did not fit and are kept."""
        misses: list[Message] = []
        missed = 0
        while True:
            while len(queue) > passed:
                message, size, arrived_ns = queue[passed]
                fits, value = (message == expected, message) if test is None else test(message)
                if fits or not keep:
                    del queue[passed]
                    self._queued_bytes -= size
                else:
                    passed += 1
                if fits:
                    self._matched(start, arrived_ns)
                    return value
                missed += 1
                if missed <= _SHOWN_MISSES:
                    misses.append(message)
            try:
                await self._wait(start, timeout, deadline)
            except MessageTimeout as error:
                raise MessageTimeout(f"{error}; {_what_came(misses, missed)}") from None

    def _matched(self, start: int, arrived_ns: int) -> None:
        self.series.ws_recv.record_ns(arrived_ns - start if arrived_ns > start else 0)
        sent_ns = self._sent_ns
        if 0 < sent_ns <= arrived_ns:
            self._sent_ns = 0
            self.series.ws_round_trip.record_ns(arrived_ns - sent_ns)

    async def _wait(self, start: int, timeout: float | None, deadline: int = 0) -> None:
        """Until another message is there, or an error is raised and recorded."""
        if self._state == _CLOSED or self._error is not None:
            error = self._refusal()
            self.series.ws_recv.failed(now_ns() - start, error.code)
            raise error
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            raise InvalidRequest("another task waits for a message of this WebSocket already")
        if not deadline:
            limit_s = self.target.timeout_s if timeout is None else timeout
            deadline = start + int(limit_s * 1e9)
        worker = self.worker
        if timeout is not None:
            worker.tighten(timeout)
        self._deadline_ns = deadline
        self._waiter = waiter = worker.loop.create_future()
        if not worker.sweeping:
            worker.start_sweep()
        try:
            await self.waiting(waiter)
        except ActionError as error:
            self.series.ws_recv.failed(now_ns() - start, error.code)
            if isinstance(error, MessageTimeout):
                limit_s = (deadline - start) / 1e9
                raise MessageTimeout(f"no message within {limit_s:g} s: {self.about}") from None
            raise
        except BaseException:
            self.series.ws_recv.failed(now_ns() - start, ActionCancelled.code)
            raise

    # The end.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes with a handshake; of a socket that is closed already, nothing is left to do.

        Raises CloseTimeout or ConnectionLost when the server does not answer as it should.
        """
        check_close(code, reason)
        if self._state == _OPEN:
            self._state = _CLOSING
            self._error = partial(WebSocketNotOpen, f"closed by the scenario: {self.about}")
            self._begun_ns = now_ns()
            self._close_deadline_ns = self._begun_ns + int(_CLOSE_TIMEOUT_S * 1e9)
            assert self._wire is not None
            self._wire.close(code, reason)
            self._watch()
        if self._state != _CLOSING:
            return
        if self._closed is None:
            self._closed = self.worker.loop.create_future()
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Ends the connection without a handshake."""
        wire = self._wire
        if self._state in (_OPEN, _CLOSING):
            begun_ns = self._begun_ns or now_ns()
            self._end(partial(WebSocketNotOpen, f"closed by the scenario: {self.about}"))
            self.series.ws_close.ended(now_ns() - begun_ns, self.close_code or _ABNORMAL)
        self._state = _CLOSED
        if wire is not None:
            wire.abort()

    def give_up(self) -> None:
        """It could not be opened."""
        self._state = _CLOSED
        wire = self._wire
        if wire is not None:
            wire.abort()
            if not wire.is_upgraded:
                self._gone()

    def fail(self, error: ActionError, code: int) -> None:
        """The server broke a rule or a limit: says so with a close code and ends the connection."""
        wire = self._wire
        if self._state not in (_OPEN, _CLOSING) or wire is None:
            return
        now = now_ns()
        text = f"{error}: {self.about}"
        self.series.ws_close.broke(now - (self._begun_ns or now), error.code, code)
        self._end(partial(type(error), text))
        if code:
            wire.close(code)
        wire.abort()

    def _end(self, error: Callable[[], ActionError]) -> None:
        """No further message; who waits is told."""
        self._state = _CLOSED
        self._error = error
        if self.close_code is None:
            self.close_code = _ABNORMAL
        for future in (self._waiter, self._resumed, self._closed):
            if future is not None and not future.done():
                if future is self._waiter:
                    future.set_exception(error())
                else:
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

    def opened(self, subprotocol: str, compressed: bool) -> None:
        """The upgrade is accepted; messages may follow at once."""
        self._state = _OPEN
        self.subprotocol = subprotocol
        self.compressed = compressed
        interval_s = self._limits.ping_interval_s
        if interval_s is not None:
            self._next_ping_ns = now_ns() + int(interval_s * 1e9)
            self.worker.tighten(min(interval_s, self._limits.ping_timeout_s))
            self._watch()

    def arrived(self, message: Message, size: int) -> None:
        """A complete message of `size` bytes."""
        arrived_ns = now_ns()
        series = self.series.ws_message
        series.count += 1
        series.bytes_in += size
        queue = self._queue
        queue.append((message, size, arrived_ns))
        self._queued_bytes += size
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
                return
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
            self.series.ws_ping.record_ns(now_ns() - self._ping_sent_ns)
            self._ping_sent_ns = 0

    def close_received(self, code: int, reason: str) -> None:
        """The server's close frame: an answer to ours, or the first."""
        now = now_ns()
        self.close_code, self.close_reason = code, reason
        wire = self._wire
        if self._state == _OPEN and wire is not None:
            said = f" ({visible(reason)})" if reason else ""
            self._error = partial(
                WebSocketClosed,
                f"the server closed the WebSocket with {code}{said}: {self.about}",
                code,
                reason,
            )
            self._state = _CLOSING
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
        if self._state == _CLOSING and self.close_code is not None:
            self.series.ws_close.ended(now - self._begun_ns, self.close_code)
            self._end(self._error or self._refusal)
        elif self._state in (_OPEN, _CLOSING):
            words = (
                "in the closing handshake" if self._state == _CLOSING else "without a close frame"
            )
            error = partial(
                ConnectionLost, f"the server ended the connection {words}: {self.about}"
            )
            self._fail_closing(error)
            self.series.ws_close.broke(now - (self._begun_ns or now), ConnectionLost.code)
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
        if self._next_ping_ns and self._state == _OPEN:
            self._keep_pinging(now)
        return bool(
            (self._waiter is not None and not self._waiter.done())
            or self._close_deadline_ns
            or (self._next_ping_ns and self._state == _OPEN)
        )

    def _keep_pinging(self, now: int) -> None:
        limits = self._limits
        if self._ping_sent_ns:
            if now >= self._ping_sent_ns + int(limits.ping_timeout_s * 1e9):
                self.series.ws_ping.failed(now - self._ping_sent_ns, PongTimeout.code)
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
        if self._state != _CLOSING or wire is None:
            return
        now = now_ns()
        if self.close_code is not None:
            self.series.ws_close.ended(now - self._begun_ns, self.close_code)
            self._end(self._error or self._refusal)
        else:
            error = partial(
                CloseTimeout,
                f"no answer to the close frame within {_CLOSE_TIMEOUT_S:g} s: {self.about}",
            )
            self.series.ws_close.broke(now - self._begun_ns, CloseTimeout.code)
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


def encoded(message: Any, kind: Kind | None, json: Any) -> tuple[Any, bytes]:
    """Frame type and payload of a message. Raises InvalidRequest."""
    if (message is NOTHING) == (json is NOTHING):
        raise InvalidRequest("ws_send takes one message, or json=")
    if kind not in (None, "text", "binary"):
        raise InvalidRequest(f"type must be 'text' or 'binary', not {visible(repr(kind), 80)}")
    try:
        if json is not NOTHING:
            return (BINARY if kind == "binary" else TEXT), msgspec.json.encode(json)
        if isinstance(message, str):
            return (BINARY if kind == "binary" else TEXT), message.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("message contains half a surrogate pair") from None
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise InvalidRequest(f"json cannot be encoded: {visible(error)}") from None
    if not isinstance(message, (bytes, bytearray, memoryview)):
        raise InvalidRequest(
            f"message must be text or bytes, not {type(message).__name__}; json= takes values"
        )
    payload = bytes(message)
    if kind != "text":
        return BINARY, payload
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("message is sent as text and is not UTF-8") from None
    return TEXT, payload


def check_close(code: int, reason: str) -> None:
    """Raises InvalidRequest for a close code or reason that must not be sent."""
    is_known = code in range(1000, 1015) and code not in (1004, 1005, 1006)
    if isinstance(code, bool) or not (is_known or code in range(3000, 5000)):
        raise InvalidRequest(
            f"code must be 1000 to 1014 or 3000 to 4999, not {visible(repr(code))}"
        )
    if len(reason.encode("utf-8", "replace")) > _MAX_REASON_BYTES:
        raise InvalidRequest(f"reason must not be longer than {_MAX_REASON_BYTES} bytes")


def _what_came(misses: list[Message], missed: int) -> str:
    if not missed:
        return "nothing arrived"
    words = ", ".join(shown(message) for message in misses)
    more = f" and {missed - len(misses)} more" if missed > len(misses) else ""
    return f"what arrived did not fit: {words}{more}"


def _plainly(future: asyncio.Future[None]) -> Awaitable[None]:
    return future

"""`WebSocket`: an open socket in the hands of a scenario: send, receive, close.

Must not know frames nor sessions; what becomes of it is `life`'s business.

An echo costs no task, no timer and no `asyncio.timeout`: deadlines are looked at by the worker's
sweep. It is recorded here, in the series' own counts: a call would cost more than the recording.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, Literal

import msgspec

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionCancelled,
    ActionError,
    InvalidRequest,
    MessageTimeout,
    TotalTimeout,
    WebSocketNotOpen,
)
from chaperon_engine.metrics.buckets import EXACT_BELOW_US
from chaperon_engine.text import visible
from chaperon_engine.ws.life import CLOSE_TIMEOUT_S, CLOSED, CLOSING, OPEN, Arrival, SocketLife
from chaperon_engine.ws.matching import (
    NOTHING,
    Decoding,
    Message,
    check_decoding,
    decoded,
    shown,
    test_of,
)
from chaperon_engine.ws.wire import BINARY, TEXT, is_close_code

Kind = Literal["text", "binary"]

_SHOWN_MISSES: Final = 5
_NO_MISSES: Final[list[Message]] = []
_MAX_REASON_BYTES: Final = 123


class WebSocket(SocketLife):
    """One WebSocket of a session. Several tasks may send; one receives at a time."""

    __slots__ = ()

    # Messages out.

    async def send(
        self, message: Any = NOTHING, *, type: Kind | None = None, json: Any = NOTHING
    ) -> None:
        """Send text, bytes, or JSON. Waits only while the server does not read."""
        start = now_ns()
        if message.__class__ is str and type is None and json is NOTHING:
            kind = TEXT
            try:
                payload = message.encode()
            except UnicodeEncodeError:
                raise InvalidRequest("message contains half a surrogate pair") from None
        else:
            kind, payload = encoded(message, type, json)
        transmit = self._transmit
        if transmit is None:
            error = self._refusal()
            self.series.of("ws_send").failed(0, error.code)
            raise error
        self._sent_ns = start
        transmit(kind, payload)
        if self.is_paused:
            await self._drained(start)
        series = self.series.ws_send or self.series.of("ws_send")
        series.bytes_out += len(payload)
        elapsed_us = (now_ns() - start) // 1000
        if elapsed_us < EXACT_BELOW_US:
            series.exact[elapsed_us] += 1
        else:
            series.record(elapsed_us)

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
            self.series.of("ws_send").failed(now_ns() - start, ActionCancelled.code)
            raise
        else:
            if self._state == OPEN:
                return
            error = self._refusal()
        self.series.of("ws_send").failed(now_ns() - start, error.code)
        raise error

    # Messages in.

    async def recv(self, *, timeout: float | None = None, decode: Decoding | None = None) -> Any:
        """The next message. `timeout` in seconds; default: the service's."""
        if decode is not None:
            check_decoding(decode)
        start = now_ns()
        if self._queue:
            message, size, arrived_ns = self._queue.popleft()
            self._queued_bytes -= size
        else:
            waiter = self._begin_wait(start, timeout)
            try:
                message, size, arrived_ns = await (
                    waiter if self.waiting is None else self.waiting(waiter)
                )
            except BaseException as error:
                raise self._waited_in_vain(waiter, error, start) from None
        elapsed_us = (arrived_ns - start) // 1000 if arrived_ns > start else 0
        series = self.series.ws_recv or self.series.of("ws_recv")
        if elapsed_us < EXACT_BELOW_US:
            series.exact[elapsed_us] += 1
        else:
            series.record(elapsed_us)
        return message if decode is None else decoded(message, decode)

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
        test = None
        if decode is not None or json is not NOTHING or expected.__class__ is not str:
            test = test_of(expected, json, decode)
        start = now_ns()
        queue = self._queue
        passed = missed = 0
        """Messages that did not fit: those kept at the head of the queue, and all of them."""
        misses: list[Message] = _NO_MISSES
        while True:
            if len(queue) > passed:
                arrival = queue[passed]
                del queue[passed]
                self._queued_bytes -= arrival[1]
            else:
                if timeout is None and self._waiter is None and self._transmit is not None:
                    # The same as `_begin_wait` does, for the common case.
                    worker = self.worker
                    self._deadline_ns = start + self.target.timeout_ns
                    self._waiter = waiter = worker.create_future()
                    if not worker.sweeping:
                        worker.start_sweep()
                else:
                    waiter = self._begin_wait(start, timeout)
                waiting = self.waiting
                try:
                    arrival = await (waiter if waiting is None else waiting(waiter))
                except BaseException as error:
                    failure = self._waited_in_vain(waiter, error, start)
                    if isinstance(failure, MessageTimeout):
                        failure = MessageTimeout(f"{failure}; {_what_came(misses, missed)}")
                    raise failure from None
            message, size, arrived_ns = arrival
            if test is None:
                fits, value = message == expected, message
            else:
                fits, value = test(message)
            if fits:
                elapsed_us = (arrived_ns - start) // 1000 if arrived_ns > start else 0
                series = self.series.ws_recv or self.series.of("ws_recv")
                if elapsed_us < EXACT_BELOW_US:
                    series.exact[elapsed_us] += 1
                else:
                    series.record(elapsed_us)
                sent_ns = self._sent_ns
                if 0 < sent_ns <= arrived_ns:
                    self._sent_ns = 0
                    elapsed_us = (arrived_ns - sent_ns) // 1000
                    series = self.series.ws_round_trip or self.series.of("ws_round_trip")
                    if elapsed_us < EXACT_BELOW_US:
                        series.exact[elapsed_us] += 1
                    else:
                        series.record(elapsed_us)
                return value
            if keep:
                queue.insert(passed, arrival)
                self._queued_bytes += size
                passed += 1
            missed += 1
            if missed <= _SHOWN_MISSES:
                misses = [*misses, message]

    def _begin_wait(self, start: int, timeout: float | None) -> asyncio.Future[Arrival]:
        """What is done when another message is there; `start` is when the call was made."""
        if self._error is not None or self._state == CLOSED:
            error = self._refusal()
            self.series.of("ws_recv").failed(now_ns() - start, error.code)
            raise error
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            raise InvalidRequest("another task waits for a message of this WebSocket already")
        worker = self.worker
        if timeout is None:
            self._deadline_ns = start + self.target.timeout_ns
        else:
            self._deadline_ns = start + int(timeout * 1e9)
            worker.tighten(timeout)
        self._waiter = waiter = worker.create_future()
        if not worker.sweeping:
            worker.start_sweep()
        return waiter

    def _waited_in_vain(
        self, waiter: asyncio.Future[Arrival], error: BaseException, start: int
    ) -> BaseException:
        """Records the end of a wait without a message; what to raise."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            # Cancelled in the turn in which the message came: the next receive gets it.
            arrival = waiter.result()
            self._queue.appendleft(arrival)
            self._queued_bytes += arrival[1]
        code = error.code if isinstance(error, ActionError) else ActionCancelled.code
        self.series.of("ws_recv").failed(now_ns() - start, code)
        if isinstance(error, MessageTimeout):
            limit_s = (self._deadline_ns - start) / 1e9
            return MessageTimeout(f"no message within {limit_s:g} s: {self.about}")
        return error

    # The end.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes with a handshake; of a socket that is closed already, nothing is left to do.

        Raises CloseTimeout or ConnectionLost when the server does not answer as it should.
        """
        check_close(code, reason)
        if self._state == OPEN:
            self._state = CLOSING
            self._transmit = None
            self._error = partial(WebSocketNotOpen, f"closed by the scenario: {self.about}")
            self._begun_ns = now_ns()
            self._close_deadline_ns = self._begun_ns + int(CLOSE_TIMEOUT_S * 1e9)
            assert self._wire is not None
            self._wire.close(code, reason)
            self._watch()
        if self._state != CLOSING:
            return
        if self._closed is None:
            self._closed = self.worker.loop.create_future()
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            self.abort()
            raise


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
    if not isinstance(code, int) or not is_close_code(code):
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

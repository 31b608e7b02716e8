"""One connection: requests out, replies in. The innermost loop of a load test.

Owns the life of an exchange from the write of its first byte to its record in the series. Must not
know sessions, cookies, redirects, how connections are opened, or how a reply is parsed.

A request mostly gets a reply that it has had before, byte for byte, or but for its body, or for the
values of fields that mean nothing here. Such a reply needs no parser: the parser said of a head
like it where a reply ends. It is completed in `data_received` itself. All others go through the
connection's `Assembly`.

Callables are read from their slots into locals before they are called: CPython 3.11 specializes the
attribute then, and not when it looks like a method.
"""

from __future__ import annotations

import asyncio
from asyncio import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionCancelled,
    ActionError,
    FirstByteTimeout,
    ProtocolViolation,
    TotalTimeout,
)
from chaperon_engine.http.assembly import Assembly
from chaperon_engine.http.decode import Decoder, decode_body, decoder_for
from chaperon_engine.http.faults import reply_lost
from chaperon_engine.http.headers import Headers, parse_head
from chaperon_engine.http.link import Link
from chaperon_engine.http.stream import BodyStream
from chaperon_engine.http.usual import UsualReply

if TYPE_CHECKING:
    from chaperon_engine.http.pool import Pool
    from chaperon_engine.http.ports import HttpSink
    from chaperon_engine.http.response import Response
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

STALE_RETRY = "stale_retry"
"""Error class of a first send that met a closed keep-alive connection and was sent again."""


class StaleConnection(Exception):
    """A kept-alive connection was closed before any byte of the reply; the call sends again."""


class Connection(Link):
    """An established connection, idle or with exactly one exchange in flight."""

    __slots__ = (
        "_assembly", "_called_ns", "_is_over", "_rules", "_series", "first_byte_ns", "future",
        "reused", "start_ns", "uploading",
    )  # fmt: skip

    def __init__(self, target: Target, pool: Pool) -> None:
        super().__init__(target, pool)
        self.future: asyncio.Future[Response] | None = None
        self.start_ns = 0
        self.first_byte_ns = 0
        self._called_ns = 0
        """When the call was made; 0: when its request was sent."""
        self.reused = False
        """Has served an exchange before: the server may have closed it in the meantime."""
        self.uploading = False
        """The request's body is not sent completely."""
        self._is_over = False
        """The peer has closed the connection."""
        self._assembly = Assembly(target)

    # What the client calls.

    def send(
        self,
        response: Response,
        series: HttpSink,
        rules: Rules,
        wire: bytes,
        called_ns: int = 0,
    ) -> asyncio.Future[Response]:
        """Begins an exchange on this idle connection; the request already counts as sent.

        The future has the reply when it is complete (with `rules.stream`: when its head is), or
        raises an ActionError or StaleConnection. `called_ns` is when the call was made; 0: now.
        """
        worker = self.worker
        self.response = response
        self._series = series
        self._rules = rules
        create_future = worker.create_future
        self.future = future = create_future()
        self._called_ns = called_ns
        self.start_ns = now_ns()
        self.transport.write(wire)  # type: ignore[union-attr]
        if not worker.sweeping:
            worker.start_sweep()
        return future

    def cancel(self) -> None:
        """Drops the connection; an exchange in flight counts as cancelled by the scenario."""
        response = self.response
        if response is not None:
            self.spoil(response, ActionCancelled(f"the call was given up: {response.about}"))
        self.drop()

    def spoil(self, response: Response, error: Exception) -> None:
        """Ends this exchange, if it still lasts, as cancelled; `error` is what the call raises."""
        if self.response is response:
            self.response = None
            self._series.failed(
                self.start_ns, now_ns(), ActionCancelled.code, self._assembly.received
            )
            self._deliver(response, error)
            self.drop()

    def fail(self, error: ActionError) -> None:
        """The exchange ends without a complete valid reply; so does the connection."""
        response = self.response
        assert response is not None
        self.response = None
        self._series.failed(self.start_ns, now_ns(), error.code, self._assembly.received)
        self._deliver(response, error)
        self.drop()

    def expire(self, now: int) -> bool:
        """Fails the exchange when one of its deadlines has passed. False: it has time left."""
        response = self.response
        if response is None:
            return False
        rules = self._rules
        received = self._assembly.received
        if now >= (self._called_ns or self.start_ns) + rules.timeout_ns:
            what = "the reply was not complete" if received else "no reply"
            limit_s = rules.timeout_ns / 1e9
            self.fail(TotalTimeout(f"{what} within {limit_s:g} s: {response.about}"))
        elif not received and now >= self.start_ns + rules.first_byte_ns:
            limit_s = rules.first_byte_ns / 1e9
            self.fail(
                FirstByteTimeout(f"no byte of the reply within {limit_s:g} s: {response.about}")
            )
        else:
            return False
        return True

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:
            if not self.closing:
                self._unsolicited()
            return
        usual = response.request.usual
        if self._assembly.received:
            self._assemble(data)
            return
        if data == usual.wire:
            response.content = usual.content
        elif len(data) == usual.size and data.startswith(usual.head):
            response.content = data[len(usual.head) :]
        else:
            alike = self._alike(data, response)
            if alike is None:
                self.first_byte_ns = now_ns()
                self._assemble(data, is_first=True)
                return
            usual = alike
        end_ns = now_ns()
        # The same steps as in `_complete`. What has a usual reply has plain rules and no upload.
        response.head = usual.head
        response.status = status = usual.status
        response.is_special = usual.is_special
        response.start_ns = start_ns = self.start_ns
        response.first_byte_ns = response.end_ns = end_ns
        response.received = received = usual.size
        if status < 400:
            response.expected = True
            self._series.completed_at_once(end_ns - start_ns, status, received)
        else:
            response.expected = False
            self._series.completed(start_ns, end_ns, end_ns, status, False, received)
        self.response = None
        try:  # noqa: SIM105 - a context manager costs more than the whole line
            self.future.set_result(response)  # type: ignore[union-attr]
        except InvalidStateError:  # the call was cancelled a moment ago
            pass
        self.future = None  # or an idle connection would keep its last reply
        self.reused = True
        pool = self.pool
        if pool.waiters:
            pool.release(self)
        else:
            pool.idle.append(self)

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(error)
        self.worker.forget(self)

    # How an exchange goes on.

    def _alike(self, data: bytes, response: Response) -> UsualReply | None:
        """A reply in one piece whose head has a known shape: from now on the usual one."""
        rules = self._rules
        if not rules.is_plain or self.uploading:
            return None
        for shape in self.target.shapes:
            match = shape.match
            found = match(data)
            if found is not None:
                end = found.end()
                length = len(data) - end
                if (
                    length != int(found[1])
                    or length > rules.max_body_bytes
                    or end > rules.max_header_bytes
                ):
                    return None
                response.content = content = data[end:]
                usual = UsualReply(data[:end], content, data, shape.facts)
                response.request.usual = usual
                return usual
        return None

    def _learn(self, response: Response) -> None:
        """A complete reply to a plain request: the next ones may be like it."""
        assembly = self._assembly
        head, facts = assembly.head, assembly.facts
        if assembly.is_known:
            body = assembly.body
            response.request.usual = UsualReply(head, body, head + body, facts)
        else:
            self.target.learn(head, facts)

    def _assemble(self, data: bytes, is_first: bool = False) -> None:
        """A reply, or a part of one, for the parser."""
        response, rules, assembly = self.response, self._rules, self._assembly
        assert response is not None
        try:
            if assembly.feed(data, rules, response):
                end_ns = now_ns()
                if is_first:
                    self.first_byte_ns = end_ns
                self._complete(end_ns)
            elif assembly.head:
                if rules.stream:
                    self._stream(response).put(assembly.piece)
                elif rules.read:
                    assembly.keep()
        except ActionError as error:
            self.fail(error)

    def _stream(self, response: Response) -> BodyStream:
        """Where the body goes piece by piece; with the first of them the call gets its reply.

        Raises ActionError for a content coding that nobody knows.
        """
        stream = response.stream
        if stream is not None:
            return stream
        future, rules, assembly = self.future, self._rules, self._assembly
        assert future is not None
        decoder: Decoder | None = None
        if rules.decode:
            decoder = decoder_for(Headers(parse_head(assembly.head)), rules)
        self._fill_in(response)
        response.expected = False
        with suppress(Exception):  # the scenario's own predicate; it is asked again at the end
            response.expected = rules.expects(response.status)
        response.stream = stream = BodyStream(self, response, decoder)
        if not future.done():
            future.set_result(response)
        return stream

    def _fill_in(self, response: Response) -> None:
        """What is known of a reply when its head is complete."""
        assembly = self._assembly
        response.head = assembly.head
        response.status = assembly.facts.status
        response.is_special = assembly.facts.is_special
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns

    # How an exchange ends.

    def _complete(self, end_ns: int) -> None:
        """The reply is complete; its last byte was parsed at `end_ns`.

        Raises ActionError when its body is no good.
        """
        response, rules, assembly = self.response, self._rules, self._assembly
        assert response is not None
        self._fill_in(response)
        facts, received = assembly.facts, assembly.received
        response.end_ns = end_ns
        response.received = received
        broken: Exception | None = None
        self._take_body(response)
        try:
            response.expected = expected = rules.expects(facts.status)
        except Exception as error:  # the scenario's own predicate
            response.expected = expected = False
            broken = error
        start_ns, first_byte_ns = self.start_ns, self.first_byte_ns
        if expected and first_byte_ns == end_ns:
            self._series.completed_at_once(end_ns - start_ns, facts.status, received)
        else:
            self._series.completed(
                start_ns, first_byte_ns, end_ns, facts.status, expected, received
            )
        self.response = None
        if broken is not None or rules.stream:
            self._deliver(response, broken)
        else:
            if not self.future.done():  # type: ignore[union-attr]
                self.future.set_result(response)  # type: ignore[union-attr]
            self.future = None  # or an idle connection would keep its last reply
        if assembly.has_extra:
            self._unsolicited()
        elif not facts.keeps_alive or rules.close or self._is_over or self.uploading:
            self.drop()
        else:
            self.reused = True
            if rules.is_plain and assembly.is_repeatable and response.request.body is None:
                self._learn(response)
            assembly.reset(after_head=rules.is_head)
            self.pool.release(self)

    def _take_body(self, response: Response) -> None:
        """The body of a complete reply. Raises ActionError."""
        rules, assembly = self._rules, self._assembly
        if rules.stream:
            self._stream(response).put(assembly.piece)
        elif not rules.read:
            response.content = None
        elif rules.decode:
            response.content = decode_body(assembly.body, response.headers, rules)
        else:
            response.content = assembly.body

    def _deliver(self, response: Response, error: Exception | None) -> None:
        """Tells the call, or the reader of its stream, how the exchange ended."""
        future, self.future = self.future, None
        if response.stream is not None:
            response.stream.finish(error)
        elif error is not None and future is not None and not future.done():
            future.set_exception(error)

    def _ended(self, error: Exception | None) -> None:
        """The peer closed or reset the connection."""
        response = self.response
        if response is None:
            self.drop()
        elif self._assembly.received:
            self._is_over = True
            try:
                self._assembly.end(error, response)
                self._complete(now_ns())
            except ActionError as fault:
                self.fail(fault)
        elif self.reused and self._rules.retry:
            self.response = None
            self._series.failed(self.start_ns, now_ns(), STALE_RETRY)
            self._deliver(response, StaleConnection())
            self.drop()
        else:
            self.fail(reply_lost(error, response.about))

    def _unsolicited(self) -> None:
        """Bytes arrived that no request had asked for."""
        self.fault = ProtocolViolation(f"{self.target.where} sent bytes before a request")
        self.target.count_unsolicited()
        self.drop()

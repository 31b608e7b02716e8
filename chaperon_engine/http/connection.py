"""One connection: bytes in, replies out. The innermost loop of a load test.

Owns the life of an exchange from the write of its first byte to its record in the series. Must not
know sessions, cookies, redirects, or how connections are opened.

The parser is asked for as little as possible, because a callback into Python costs as much as the
parsing of the whole reply:

- Header fields are not collected by callbacks: the raw head is kept, and parsed when somebody
  looks. This also takes away the parser's quadratic cost for a header value in many pieces.
- The callbacks are methods of lists (`ReplySink`), which all connections to a target share: what
  the parser says is taken over before it hears of another connection.
- What a head says (`HeadFacts`) is remembered: most replies of a load test have one of a few heads,
  and a request mostly gets the same again.
- A plain reply in one read is completed in `data_received` itself, from local variables. All others
  are put together in the connection's attributes, which are at rest otherwise.

Callables are read from their slots into locals before they are called: CPython 3.11 specializes the
attribute then, and not when it looks like a method.
"""

from __future__ import annotations

import asyncio
from asyncio import InvalidStateError
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from httptools import HttpResponseParser

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionCancelled,
    ActionError,
    BodyCutShort,
    FirstByteTimeout,
    ProtocolViolation,
    TooLarge,
    TotalTimeout,
)
from chaperon_engine.http.decode import Decoder, decode_body, decoder_for
from chaperon_engine.http.faults import invalid_reply, reply_lost
from chaperon_engine.http.headers import (
    NO_FACTS,
    Headers,
    HeadFacts,
    ends_with_connection,
    parse_head,
    read_facts,
)
from chaperon_engine.http.link import Link
from chaperon_engine.http.pool import list_for_one
from chaperon_engine.http.stream import BodyStream

if TYPE_CHECKING:
    from chaperon_engine.http.pool import Pool
    from chaperon_engine.http.ports import HttpSink
    from chaperon_engine.http.response import Response
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

STALE_RETRY = "stale_retry"
"""Error class of a first send that met a closed keep-alive connection and was sent again."""

_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class StaleConnection(Exception):
    """A kept-alive connection was closed before any byte of the reply; the call sends again."""


class ReplySink:
    """What a parser says of the bytes that it is being fed.

    `begin` and `complete` hold a permit each: the parser takes one at the begin of a reply, and the
    other at its end. So the first byte of a reply that nobody asked for raises IndexError inside
    the parser. Between two feeds both permits are there, and no piece of a body.
    """

    __slots__ = ("begin", "complete", "on_body", "on_message_begin", "on_message_complete",
                 "pieces")  # fmt: skip

    def __init__(self) -> None:
        self.begin: list[None] = list_for_one()
        self.complete: list[None] = list_for_one()
        self.pieces: list[bytes] = list_for_one()
        """Body, as the parser hands it out."""
        self.on_body = self.pieces.append
        self.on_message_begin = self.begin.pop
        self.on_message_complete = self.complete.pop
        self.take()

    def take(self) -> Sequence[bytes]:
        """The pieces of a body; renews the permits that were taken."""
        for permits in (self.begin, self.complete):
            if not permits:
                permits.append(None)
        pieces = tuple(self.pieces)
        self.pieces.clear()
        return pieces


class Connection(Link):
    """An established connection, idle or with exactly one exchange in flight."""

    __slots__ = (
        "_body_bytes", "_called_ns", "_chunks", "_facts", "_feed", "_has_begun", "_has_extra",
        "_head", "_is_over", "_pieces", "_raw", "_received", "_rules", "_series", "_sink",
        "first_byte_ns", "future", "reused", "start_ns", "uploading",
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
        self._received = 0
        """Bytes of this reply, interim replies included."""
        self._raw = b""
        """Bytes received until the head is known."""
        self._head = b""
        """Empty until the head is complete; ends in an empty line."""
        self._facts: HeadFacts = NO_FACTS
        """What the head says."""
        self._has_begun = False
        """The parser has seen the begin of the reply."""
        self._has_extra = False
        """More came than the reply."""
        self._is_over = False
        """The peer has closed the connection."""
        self._chunks: Sequence[bytes] = ()
        """Body of this read."""
        self._pieces: list[bytes] | None = None
        """Body of earlier reads; None for a reply that came in one."""
        self._body_bytes = 0
        """Bytes of the body in earlier reads."""
        self._sink = target.sink
        self._new_parser()

    def _new_parser(self) -> None:
        self._feed = HttpResponseParser(self._sink).feed_data

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
            self._series.failed(self.start_ns, now_ns(), ActionCancelled.code, self._received)
            self._deliver(response, error)
            self.drop()

    def fail(self, error: ActionError, end_ns: int = 0) -> None:
        """The exchange ends without a complete valid reply; so does the connection."""
        response = self.response
        assert response is not None
        self.response = None
        self._series.failed(self.start_ns, end_ns or now_ns(), error.code, self._received)
        self._deliver(response, error)
        self.drop()

    def expire(self, now: int) -> bool:
        """Fails the exchange when one of its deadlines has passed. False: it has time left."""
        response = self.response
        if response is None:
            return False
        rules = self._rules
        if now >= (self._called_ns or self.start_ns) + rules.timeout_ns:
            what = "the reply was not complete" if self._received else "no reply"
            limit_s = rules.timeout_ns / 1e9
            self.fail(TotalTimeout(f"{what} within {limit_s:g} s: {response.about}"))
        elif not self._received and now >= self.start_ns + rules.first_byte_ns:
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
        if self._received:
            self._more_received(data)
            return
        first_byte_ns = now_ns()
        feed = self._feed
        try:
            feed(data)
        except Exception as error:
            self._begin(data, first_byte_ns)
            self._fed(now_ns(), error)
            return
        end_ns = now_ns()
        sink = self._sink
        request = response.request
        received = len(data)
        if not (
            data.startswith(request.usual_head)
            and not sink.complete
            and len(sink.pieces) == 1
            and received <= self._rules.max_body_bytes
            and not self.uploading
        ):
            self._begin(data, first_byte_ns)
            self._fed(end_ns)
            return
        # The same steps as in `_finish`. Who has a usual head has plain rules, too.
        response.content = sink.pieces.pop()
        sink.begin.append(None)
        sink.complete.append(None)
        facts = request.usual_facts
        response.head = request.usual_head
        response.status = status = facts.status
        response.is_special = facts.is_special
        response.expected = expected = status < 400
        response.start_ns = start_ns = self.start_ns
        response.first_byte_ns = first_byte_ns
        response.end_ns = end_ns
        response.received = received
        self._series.completed(start_ns, first_byte_ns, end_ns, status, expected, received)
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

    def _begin(self, data: bytes, first_byte_ns: int) -> None:
        """Keeps the first read of a reply that is not completed at once."""
        self.first_byte_ns = first_byte_ns
        self._raw = data
        self._received = len(data)

    def _more_received(self, data: bytes) -> None:
        if not self._head:
            self._raw += data
        self._received += len(data)
        if self._has_begun:
            self._sink.begin.pop()
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        feed = self._feed
        refusal: Exception | None = None
        try:
            feed(data)
        except Exception as error:
            refusal = error
        self._fed(now_ns(), refusal)

    def _fed(self, end_ns: int, refusal: Exception | None = None) -> None:
        """The parser took what arrived, or refused it; `end_ns` is when it was done."""
        sink = self._sink
        is_complete = not sink.complete
        self._has_begun = not sink.begin
        self._chunks = sink.take()
        # What is refused after the end is not ours (or follows an interim reply).
        self._has_extra = is_complete and refusal is not None
        if is_complete:
            self._finish(end_ns)
        elif refusal is not None:
            assert self.response is not None
            self.fail(invalid_reply(refusal, self.response.about))
        else:
            self._progress()

    def _skip_interim(self) -> None:
        """What has arrived begins with a complete interim reply: parse on after it."""
        raw, response = self._raw, self.response
        assert response is not None
        start = 0
        while raw.startswith(_INTERIM, start):
            if raw.startswith(b"01", start + 10):
                about = response.about
                self.fail(ProtocolViolation(f"the server switched protocols (101): {about}"))
                return
            end = raw.find(b"\r\n\r\n", start)
            if end < 0:
                break
            start = end + 4
        self._raw = rest = raw[start:]
        if self._received - len(rest) > self._rules.max_header_bytes:
            self.fail(_too_large_head(self._rules))
            return
        self._new_parser()
        self._parse(rest)

    def _progress(self) -> None:
        """More of the reply is to come."""
        rules = self._rules
        if not self._head and not self._take_head():
            return
        if rules.is_head:
            self._finish(now_ns())
            return
        stream = self.response.stream  # type: ignore[union-attr]
        if rules.stream and stream is None:
            try:
                stream = self._start_stream()
            except ActionError as error:  # a content coding that nobody knows
                self.fail(error)
                return
        chunks = self._chunks
        if not chunks:
            return
        piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = ()
        self._body_bytes += len(piece)
        if self._body_bytes > rules.max_body_bytes:
            self.fail(_too_large_body(rules))
        elif stream is not None:
            stream.put(piece)
        elif rules.read:
            if self._pieces is None:
                self._pieces = []
            self._pieces.append(piece)

    def _take_head(self) -> bool:
        """Cuts the head out of what has arrived. False: it is not complete, or was refused."""
        raw, rules = self._raw, self._rules
        response = self.response
        assert response is not None
        end = raw.find(b"\r\n\r\n") + 4
        if (
            self._received - len(raw) + end if end > 3 else self._received
        ) > rules.max_header_bytes:
            self.fail(_too_large_head(rules))
            return False
        if end <= 3:
            return False
        head = raw[:end]
        facts = self.target.facts.get(head)
        if facts is None:
            facts = read_facts(head)
            if facts is None:
                self.fail(ProtocolViolation(f"the reply is not HTTP/1.x: {response.about}"))
                return False
            if facts.fields > rules.max_headers:
                limit = rules.max_headers
                self.fail(TooLarge(f"the reply has more than {limit} header fields"))
                return False
            self.target.remember(head, facts)
        self._head = head
        self._facts = facts
        self._raw = b""
        return True

    def _start_stream(self) -> BodyStream:
        """The head is complete: the call gets its reply, the body follows."""
        response, future = self.response, self.future
        assert response is not None
        assert future is not None
        decoder: Decoder | None = None
        if self._rules.decode:
            decoder = decoder_for(Headers(parse_head(self._head)), self._rules)
        response.status = self._facts.status
        response.head = self._head
        response.is_special = self._facts.is_special
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns
        response.expected = False
        with suppress(Exception):  # the scenario's own predicate; it is asked again at the end
            response.expected = self._rules.expects(self._facts.status)
        response.stream = stream = BodyStream(self, response, decoder)
        if not future.done():
            future.set_result(response)
        return stream

    # How an exchange ends.

    def _finish(self, end_ns: int) -> None:
        """The last byte of the reply is parsed."""
        response = self.response
        assert response is not None
        rules = self._rules
        received = self._received
        if not self._head:
            if self._raw.startswith(_INTERIM):
                self._skip_interim()
                return
            if not self._take_head():
                if self.response is not None:
                    self.fail(ProtocolViolation(f"the reply is not HTTP/1.x: {response.about}"))
                return
        head = self._head
        facts = self._facts
        response.status = status = facts.status
        response.head = head
        response.is_special = facts.is_special
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns
        response.end_ns = end_ns
        response.received = received
        broken: Exception | None = None
        try:
            self._conclude(response)
            response.expected = expected = rules.expects(status)
        except ActionError as error:
            self.fail(error, end_ns)
            return
        except Exception as error:  # the scenario's own predicate
            response.expected = expected = False
            broken = error
        self._series.completed(
            self.start_ns, self.first_byte_ns, end_ns, status, expected, received
        )
        self.response = None
        if broken is not None or response.stream is not None:
            self._deliver(response, broken)
        else:
            if not self.future.done():  # type: ignore[union-attr]
                self.future.set_result(response)  # type: ignore[union-attr]
            self.future = None  # or an idle connection would keep its last reply
        self._received = self._body_bytes = 0
        self._head = self._raw = b""
        self._has_begun = False
        if self._has_extra:
            self._unsolicited()
        elif not facts.keeps_alive or rules.close or self._is_over or self.uploading:
            self.drop()
        else:
            self.reused = True
            if rules.is_plain:
                response.request.usual_head = head
                response.request.usual_facts = facts
            elif rules.is_head:
                # A Content-Length in its reply leaves the parser waiting for a body.
                self._new_parser()
            self.pool.release(self)

    def _conclude(self, response: Response) -> None:
        """The body of a complete reply. Raises ActionError."""
        rules = self._rules
        chunks = self._chunks
        if rules.is_head:
            self._has_extra = self._has_extra or bool(chunks)
            chunks = ()
        body = b"".join(chunks)
        self._chunks = ()
        if self._body_bytes + len(body) > rules.max_body_bytes:
            raise _too_large_body(rules)
        if rules.stream:
            stream = response.stream or self._start_stream()
            stream.put(body)
            return
        if self._pieces is not None:
            self._pieces.append(body)
            body = b"".join(self._pieces)
            self._pieces = None
        if rules.decode and rules.read:
            body = decode_body(body, Headers(parse_head(response.head)), rules)
        response.content = body if rules.read else None

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
        elif not self._received:
            if self.reused and self._rules.retry:
                self.response = None
                self._series.failed(self.start_ns, now_ns(), STALE_RETRY)
                self._deliver(response, StaleConnection())
                self.drop()
            else:
                self.fail(reply_lost(error, response.about))
        elif self._head and error is None and ends_with_connection(self._head):
            self._is_over = True
            self._finish(now_ns())
        else:
            where = "body" if self._head else "head"
            self.fail(
                BodyCutShort(f"the connection ended in the {where} of the reply: {response.about}")
            )

    def _unsolicited(self) -> None:
        """Bytes arrived that no request had asked for."""
        self.fault = ProtocolViolation(f"{self.target.where} sent bytes before a request")
        self.target.count_unsolicited()
        self.drop()


def _too_large_head(rules: Rules) -> TooLarge:
    return TooLarge(f"the head of the reply passes {rules.max_header_bytes} bytes")


def _too_large_body(rules: Rules) -> TooLarge:
    return TooLarge(f"the body of the reply passes {rules.max_body_bytes} bytes")

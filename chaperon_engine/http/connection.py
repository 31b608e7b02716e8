"""One connection: bytes in, replies out. The innermost loop of a load test.

Owns the life of an exchange from the write of its first byte to its record in the series. Must not
know sessions, cookies, redirects, or how connections are opened.

The parser is asked for as little as possible, because a callback into Python costs as much as the
parsing of the whole reply:

- Header fields are not collected by callbacks: the raw head is kept, and parsed when somebody
  looks. This also takes away the parser's quadratic cost for a header value in many pieces.
- `on_body` is `list.append` itself.
- `on_message_begin` and `on_message_complete` are `list.pop` on the list of permits. Each request
  adds two; none left means that the reply is complete, and the first byte of a reply that nobody
  asked for raises IndexError inside the parser.
- What a head says (`HeadFacts`) is remembered: most replies of a load test have one of a few heads,
  and mostly of one size.

Callables are read from their slots into locals before they are called: CPython 3.11 specializes the
attribute then, and not when it looks like a method.
"""

from __future__ import annotations

import asyncio
from asyncio import InvalidStateError
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
from chaperon_engine.http.stream import BodyStream

if TYPE_CHECKING:
    from chaperon_engine.http.pool import Pool
    from chaperon_engine.http.ports import HttpSink
    from chaperon_engine.http.response import Response
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

STALE_RETRY = "stale_retry"
"""Error class of a first send that met a closed keep-alive connection and was sent again."""

_TWO = (None, None)
_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class StaleConnection(Exception):
    """A kept-alive connection was closed before any byte of the reply; the call sends again."""


class Connection(Link):
    """An established connection, idle or with exactly one exchange in flight."""

    __slots__ = (
        "_body_bytes", "_chunks", "_facts", "_feed", "_has_extra", "_head", "_is_over",
        "_permits", "_pieces", "_raw", "_received", "_rules", "_series", "deadline_ns",
        "first_byte_ns", "future", "on_body", "on_message_begin", "on_message_complete",
        "reused", "start_ns", "uploading",
    )  # fmt: skip

    def __init__(self, target: Target, pool: Pool) -> None:
        super().__init__(target, pool)
        self.future: asyncio.Future[Response] | None = None
        self.start_ns = 0
        self.first_byte_ns = 0
        self.deadline_ns = 0
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
        self._has_extra = False
        """More came than the reply."""
        self._is_over = False
        """The peer has closed the connection."""
        self._pieces: list[bytes] | None = None
        """Body of earlier reads; None for a reply that came in one."""
        self._body_bytes = 0
        """Bytes of the body in earlier reads."""
        self._permits: list[None] = []
        """Two for each request: one for the begin of its reply, one for the end."""
        self._chunks: list[bytes] = []
        """Body of this read, as the parser hands it out."""
        self.on_body = self._chunks.append
        self.on_message_begin = self.on_message_complete = self._permits.pop
        self._new_parser()

    def _new_parser(self) -> None:
        self._feed = HttpResponseParser(self).feed_data

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
        self._permits.extend(_TWO)
        self.start_ns = start = now_ns()
        self.deadline_ns = (called_ns or start) + rules.timeout_ns
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
        if now >= self.deadline_ns:
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
        if self.response is None:
            if not self.closing:
                self._unsolicited()
            return
        if not self._received:
            self.first_byte_ns = now_ns()
            self._raw = data
        elif not self._head:
            self._raw += data
        self._received += len(data)
        feed = self._feed
        try:
            feed(data)
        except Exception as error:
            self._refused(error)
            return
        if self._permits:
            self._progress()
        else:
            self._finish()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(error)
        self.worker.forget(self)
        # The parser holds callbacks of this object: break the cycle rather than wait for a GC.
        del self._feed

    # How an exchange goes on.

    def _refused(self, error: Exception) -> None:
        """The parser does not take these bytes as part of a reply."""
        if self._permits:
            assert self.response is not None
            self.fail(invalid_reply(error, self.response.about))
        else:
            # The reply is complete: what follows it is not ours (or follows an interim reply).
            self._has_extra = True
            self._finish()

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
        self._has_extra = False
        self._permits.extend(_TWO)
        self._new_parser()
        feed = self._feed
        try:
            feed(rest)
        except Exception as error:
            self._refused(error)
            return
        if self._permits:
            self._progress()
        else:
            self._finish()

    def _progress(self) -> None:
        """More of the reply is to come."""
        rules = self._rules
        if not self._head and not self._take_head():
            return
        if rules.is_head:
            self._permits.clear()
            self._finish()
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
        chunks.clear()
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

    def _finish(self) -> None:
        """The last byte of the reply is parsed."""
        end_ns = now_ns()
        response = self.response
        assert response is not None
        rules = self._rules
        received = self._received
        head = self._head
        if head:
            facts = self._facts
        else:
            target = self.target
            raw = self._raw
            head = raw[: target.head_size]
            if head in target.facts:
                self._head = head
                self._facts = facts = target.facts[head]
            elif raw.startswith(_INTERIM):
                self._skip_interim()
                return
            elif self._take_head():
                head = self._head
                facts = self._facts
            else:
                if self.response is not None:
                    self.fail(ProtocolViolation(f"the reply is not HTTP/1.x: {response.about}"))
                return
        response.status = status = facts.status
        response.head = head
        response.is_special = facts.is_special
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns
        response.end_ns = end_ns
        response.received = received
        chunks = self._chunks
        broken: Exception | None = None
        if (
            rules.is_plain
            and len(chunks) == 1
            and not self._body_bytes
            and received <= rules.max_body_bytes
        ):
            response.content = chunks.pop()
            response.expected = expected = status < 400
        else:
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
            try:  # noqa: SIM105 - a context manager costs more than the whole line
                self.future.set_result(response)  # type: ignore[union-attr]
            except InvalidStateError:  # the call was cancelled a moment ago
                pass
            self.future = None  # or an idle connection would keep its last reply
        self._received = 0
        self._head = self._raw = b""
        if (
            facts.keeps_alive
            and rules.is_plain
            and not (self._has_extra or self._is_over or self.uploading)
        ):
            self.reused = True
            pool = self.pool
            if pool.waiters:
                pool.release(self)
            else:
                pool.idle.append(self)
        else:
            self._reset(rules, facts.keeps_alive)

    def _conclude(self, response: Response) -> None:
        """The body of a reply that is not plain and in one piece. Raises ActionError."""
        rules = self._rules
        chunks = self._chunks
        if rules.is_head:
            self._has_extra = self._has_extra or bool(chunks)
            chunks.clear()
        body = b"".join(chunks)
        chunks.clear()
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
        self._body_bytes = 0
        if rules.decode and rules.read:
            body = decode_body(body, Headers(parse_head(response.head)), rules)
        if rules.read:
            response.content = body

    def _reset(self, rules: Rules, keeps_alive: bool) -> None:
        """After a reply that was not plain: ready for the next one, or of no further use."""
        if self._has_extra:
            self._unsolicited()
        elif not keeps_alive or rules.close or self._is_over or self.uploading:
            self.drop()
        else:
            self._body_bytes = 0
            self.reused = True
            if rules.is_head:
                # A Content-Length in its reply leaves the parser waiting for a body.
                self._new_parser()
            self.pool.release(self)

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
            self._finish()
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

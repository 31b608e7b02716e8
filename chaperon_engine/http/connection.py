"""One connection: bytes in, replies out. The innermost loop of a load test.

Owns the life of an exchange from the write of its first byte to its record in the series. Must not
know sessions, cookies, redirects, or how connections are opened.

The parser is asked for as little as possible, because each callback into Python costs as much as
the parsing of the whole reply:

- Header fields are not collected by callbacks. The raw head is kept and parsed when somebody looks.
  This also takes away the parser's quadratic cost for a header value in many pieces.
- `on_body` is `list.append` itself.
- `on_message_begin` is `list.pop` on the list of permits: each request adds one, so the first byte
  of a reply that nobody asked for raises IndexError in the parser.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpResponseParser

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
from chaperon_engine.http.faults import reply_lost
from chaperon_engine.http.headers import Headers, parse_head
from chaperon_engine.http.stream import BodyStream
from chaperon_engine.text import visible

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


class Connection(asyncio.Protocol):
    """An established connection, idle or with exactly one exchange in flight."""

    __slots__ = (
        "_body_bytes",
        "_chunks",
        "_complete",
        "_extra",
        "_feed",
        "_head",
        "_interim_end",
        "_keep",
        "_keep_alive",
        "_permits",
        "_pieces",
        "_raw",
        "_received",
        "_rules",
        "_series",
        "_skip",
        "_status",
        "_status_code",
        "closing",
        "deadline_ns",
        "fault",
        "first_byte_ns",
        "future",
        "on_body",
        "on_message_begin",
        "paused",
        "pool",
        "response",
        "resumed",
        "reused",
        "start_ns",
        "target",
        "transport",
        "uploading",
        "worker",
    )

    def __init__(self, target: Target, pool: Pool) -> None:
        self.target = target
        self.worker = target.worker
        self.pool = pool
        self.fault: ActionError | None = None
        """Why it ended before it was used."""
        self.transport: asyncio.Transport | None = None
        self.response: Response | None = None
        """The exchange in flight; None while idle."""
        self.future: asyncio.Future[Response] | None = None
        self.start_ns = 0
        self.first_byte_ns = 0
        self.deadline_ns = 0
        self.reused = False
        """Has served an exchange before: the server may have closed it in the meantime."""
        self.closing = False
        self.uploading = False
        """The request's body is not sent completely."""
        self.paused = False
        """The transport's buffer is full."""
        self.resumed: asyncio.Future[None] | None = None
        self._received = 0
        self._status = 0
        self._head = b""
        self._raw: bytes | bytearray = b""
        """Bytes received until the head is complete."""
        self._skip = 0
        """Where in `_raw` the head begins, after interim replies."""
        self._interim_end = 0
        self._complete = self._keep = self._extra = False
        self._pieces: list[bytes] | None = None
        """Body of earlier reads; None for a reply that came in one."""
        self._body_bytes = 0
        self._permits: list[None] = []
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        self.on_message_begin = self._permits.pop
        self._new_parser()

    def _new_parser(self) -> None:
        parser = HttpResponseParser(self)
        self._feed = parser.feed_data
        self._status_code = parser.get_status_code
        self._keep_alive = parser.should_keep_alive

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
        self.future = future = worker.create_future()
        self._permits.append(None)
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
            self.response = None
            self._series.failed(self.start_ns, now_ns(), "cancelled", self._received)
            self._deliver(response, ActionCancelled(f"the call was given up: {_about(response)}"))
        self.drop()

    def spoil(self, response: Response, error: Exception) -> None:
        """The scenario's own code failed in the middle of the exchange: it gets its error."""
        if self.response is response:
            self.response = None
            self._series.failed(self.start_ns, now_ns(), "cancelled", self._received)
            self._deliver(response, error)
            self.drop()

    def write(self, response: Response, data: bytes) -> bool:
        """Sends more of a request's body. False: the exchange has ended, the rest is not wanted."""
        if self.response is not response or self.closing:
            return False
        self.transport.write(data)  # type: ignore[union-attr]
        return True

    async def drained(self) -> None:
        """Waits while the transport's buffer is full; lets others run in any case."""
        if not self.paused or self.closing:
            await asyncio.sleep(0)
            return
        if self.resumed is None:
            self.resumed = self.worker.create_future()
        await asyncio.shield(self.resumed)

    def pause_reading(self) -> None:
        """The reader of a stream is behind: the peer must wait."""
        if not self.closing:
            self.transport.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self) -> None:
        """The reader of a stream has caught up."""
        if not self.closing:
            self.transport.resume_reading()  # type: ignore[union-attr]

    def fail(self, error: ActionError) -> None:
        """Ends the exchange in flight with this error."""
        self._fail(error)

    def drop(self) -> None:
        """Takes the connection out of use at once, without waiting for the peer."""
        if self.closing:
            return
        self.closing = True
        self._wake_writer()
        self.pool.remove(self)
        if self.transport is not None:
            # Not close(): on TLS it would go on downloading the rest of a body.
            self.transport.abort()

    def expire(self, now: int) -> bool:
        """Fails the exchange when one of its deadlines has passed. False: it has time left."""
        response = self.response
        if response is None:
            return False
        if now >= self.deadline_ns:
            limit_s = self._rules.timeout_ns / 1e9
            what = "no reply" if not self._received else "the reply was not complete"
            self._fail(TotalTimeout(f"{what} within {limit_s:g} s: {_about(response)}"))
        elif not self._received and now >= self.start_ns + self._rules.first_byte_ns:
            limit_s = self._rules.first_byte_ns / 1e9
            self._fail(
                FirstByteTimeout(f"no byte of the reply within {limit_s:g} s: {_about(response)}")
            )
        else:
            return False
        return True

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.pool.opening -= 1
        self.pool.connections.append(self)
        self.worker.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.response is None:
            if not self.closing:
                self._unsolicited()
            return
        if not self._received:
            self.first_byte_ns = now_ns()
            self._raw = data
        elif not self._status:
            self._append_to_head(data)
        self._received += len(data)
        try:
            self._feed(data)
        except Exception as error:
            if not self._complete:
                self._fail(_violation(error, self.response))
                return
            self._extra = True
        if self._complete:
            self._finish()
        else:
            self._progress()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(error)
        self.worker.forget(self)
        # The parser holds callbacks of this object: break the cycle rather than wait for a GC.
        del self._feed, self._status_code, self._keep_alive

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._wake_writer()

    # What the parser calls.

    def on_headers_complete(self) -> None:
        raw, skip = self._raw, self._skip
        status = self._status_code()
        end = raw.find(b"\r\n\r\n", skip)
        # The parser also takes leading line ends, and other protocols and versions.
        if end < 0 or not raw.startswith(b"HTTP/1.", skip) or status < 100:
            raise ProtocolViolation("the reply is not HTTP/1.x")
        rules = self._rules
        if end > rules.max_header_bytes:
            raise TooLarge(f"the head of the reply passes {rules.max_header_bytes} bytes")
        if status < 200:
            if status == 101:
                raise ProtocolViolation("the server switched protocols without being asked")
            self._interim_end = end + 4
            return
        self._head = head = bytes(raw[skip : end + 2])
        if head.count(b"\n") > rules.max_headers + 1:
            raise TooLarge(f"the reply has more than {rules.max_headers} header fields")
        self._status = status
        if rules.is_head:
            self._keep = _keeps_alive(head)
            self._extra = len(raw) > end + 4
            self._complete = True

    def on_message_complete(self) -> None:
        if self._complete:
            return
        if self._interim_end:
            self._skip, self._interim_end = self._interim_end, 0
            self._permits.append(None)
            return
        self._keep = self._keep_alive()
        self._complete = True

    # How an exchange goes on and ends.

    def _append_to_head(self, data: bytes) -> None:
        if not isinstance(self._raw, bytearray):
            self._raw = bytearray(self._raw)
        self._raw += data

    def _progress(self) -> None:
        """More of the reply is to come."""
        rules = self._rules
        if not self._status:
            if self._received > rules.max_header_bytes:
                limit = rules.max_header_bytes
                self._fail(TooLarge(f"the head of the reply passes {limit} bytes"))
            return
        self._raw = b""
        stream = self.response.stream  # type: ignore[union-attr]
        if rules.stream and stream is None:
            stream = self._start_stream()
        chunks = self._chunks
        if not chunks:
            return
        piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._body_bytes += len(piece)
        if self._body_bytes > rules.max_body_bytes:
            self._fail(TooLarge(f"the body of the reply passes {rules.max_body_bytes} bytes"))
        elif stream is not None:
            stream.put(piece)
        elif rules.read:
            if self._pieces is None:
                self._pieces = []
            self._pieces.append(piece)

    def _start_stream(self) -> BodyStream:
        response, future = self.response, self.future
        assert response is not None
        assert future is not None
        response.status = self._status
        response.head = self._head
        response.expected = _expects(self._rules, self._status)
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns
        response.stream = stream = BodyStream(self, response, self._decoder())
        if not future.done():
            future.set_result(response)
        return stream

    def _decoder(self) -> Decoder | None:
        if not self._rules.decode:
            return None
        return decoder_for(Headers(parse_head(self._head)), self._rules)

    def _finish(self) -> None:
        """The last byte of the reply is parsed."""
        end = now_ns()
        response = self.response
        assert response is not None
        rules = self._rules
        status = self._status
        received = self._received
        chunks = self._chunks
        if rules.is_head:
            chunks.clear()  # bytes after the head, which end the connection below
        if len(chunks) == 1:
            body = chunks.pop()
        else:
            body = b"".join(chunks)
            chunks.clear()
        if received > rules.max_body_bytes and self._body_bytes + len(body) > rules.max_body_bytes:
            self._fail(TooLarge(f"the body of the reply passes {rules.max_body_bytes} bytes"))
            return
        if rules.stream:
            stream = response.stream or self._start_stream()
            stream.put(body)
        elif self._pieces is not None:
            self._pieces.append(body)
            body = b"".join(self._pieces)
            self._pieces = None
        response.status = status
        response.head = self._head
        response.start_ns = self.start_ns
        response.first_byte_ns = self.first_byte_ns
        response.end_ns = end
        response.received = received
        if rules.read and not rules.stream:
            if rules.decode:
                try:
                    body = decode_body(body, Headers(parse_head(self._head)), rules)
                except ActionError as error:
                    self._fail(error, end)
                    return
            response.content = body
        broken: Exception | None = None
        if rules.expect is None:
            expected = status < 400
        else:
            try:
                expected = rules.expects(status)
            except Exception as error:  # the scenario's own predicate
                expected, broken = False, error
        response.expected = expected
        self._series.completed(self.start_ns, self.first_byte_ns, end, status, expected, received)
        self.response = None
        future = self.future
        self.future = None
        if response.stream is not None:
            response.stream.finish()
        elif not future.done():  # type: ignore[union-attr]
            if broken is None:
                future.set_result(response)  # type: ignore[union-attr]
            else:
                future.set_exception(broken)  # type: ignore[union-attr]
        self._received = self._status = 0
        self._raw = b""
        self._complete = False
        if self._extra:
            self._unsolicited()
        elif not self._keep or rules.close or self.uploading:
            self.drop()
        else:
            self.reused = True
            if rules.is_head:
                # A Content-Length in its reply leaves the parser waiting for a body.
                self._new_parser()
            self._skip = self._body_bytes = 0
            pool = self.pool
            if pool.waiters:
                pool.release(self)
            else:
                pool.idle.append(self)

    def _fail(self, error: ActionError, end_ns: int = 0) -> None:
        """The exchange ends without a complete valid reply; so does the connection."""
        response = self.response
        assert response is not None
        self.response = None
        self._series.failed(self.start_ns, end_ns or now_ns(), error.code, self._received)
        self._deliver(response, error)
        self.drop()

    def _deliver(self, response: Response, error: Exception) -> None:
        if response.stream is not None:
            response.stream.fail(error)
        elif self.future is not None and not self.future.done():
            self.future.set_exception(error)
        self.future = None

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
                self._fail(reply_lost(error, _about(response)))
        elif self._status and error is None and _ends_with_connection(self._head):
            self._keep = False
            self._finish()
        else:
            where = "body" if self._status else "head"
            self._fail(
                BodyCutShort(
                    f"the connection ended in the {where} of the reply: {_about(response)}"
                )
            )

    def _unsolicited(self) -> None:
        """Bytes arrived that no request had asked for."""
        self.fault = ProtocolViolation(f"{self.target.where} sent bytes before a request")
        self.target.count_unsolicited()
        self.drop()

    def _wake_writer(self) -> None:
        resumed = self.resumed
        if resumed is not None:
            self.resumed = None
            if not resumed.done():
                resumed.set_result(None)


def _about(response: Response) -> str:
    return f"{response.method} {visible(response.url)}"


def _expects(rules: Rules, status: int) -> bool:
    """As `rules.expects`; a predicate of the scenario that raises is asked again at the end."""
    try:
        return rules.expects(status)
    except Exception:
        return False


def _violation(error: Exception, response: Response) -> ActionError:
    """The error for a reply that the parser or one of our callbacks refused."""
    cause = error.__context__
    if isinstance(cause, ActionError):
        return type(cause)(f"{cause}: {_about(response)}")
    if isinstance(error, HttpParserError):
        return ProtocolViolation(
            f"the reply is not valid HTTP ({visible(error)}): {_about(response)}"
        )
    raise error


def _keeps_alive(head: bytes) -> bool:
    """Whether the connection may be used again, by the head alone."""
    connection = Headers(parse_head(head)).get("connection", "").lower()
    if head.startswith(b"HTTP/1.0"):
        return "keep-alive" in connection
    return "close" not in connection


def _ends_with_connection(head: bytes) -> bool:
    """Whether the end of the connection is the end of the body."""
    headers = Headers(parse_head(head))
    coding = headers.get("transfer-encoding")
    if coding is not None:
        return not coding.lower().rstrip().endswith("chunked")
    return "content-length" not in headers

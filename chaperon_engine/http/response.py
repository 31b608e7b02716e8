"""A reply as the scenario sees it. Heads are parsed and text is decoded when asked for.

Must not know sockets: a connection fills it in, a `BodyStream` feeds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from chaperon_engine.errors import DecodeError, InvalidRequest
from chaperon_engine.http.headers import Headers, parse_head, reason_phrase
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.http.request import Prepared
    from chaperon_engine.http.stream import BodyStream


class Phases(NamedTuple):
    """What came before a request could be sent, in nanoseconds; zero for a kept-alive
    connection that was free."""

    called_ns: int = 0
    """When the call was made, monotonic; 0: when the request was sent."""
    wait_ns: int = 0
    dns_ns: int = 0
    connect_ns: int = 0
    tls_ns: int = 0


NO_PHASES = Phases()


class Timings(NamedTuple):
    """Where the time of one request went, in microseconds."""

    wait_us: float
    """For a free connection."""
    dns_us: float
    connect_us: float
    """TCP."""
    tls_us: float
    first_byte_us: float
    """From the request sent until the first byte of the reply."""
    service_us: float
    """From the request sent until the last byte of the reply."""
    total_us: float
    """From the call until the last byte of the reply."""


class Response:
    """A complete reply, or with `stream=True` one whose body is still to come."""

    __slots__ = (
        "_headers",
        "_history",
        "_phases",
        "_stream",
        "content",
        "end_ns",
        "expected",
        "first_byte_ns",
        "head",
        "is_special",
        "received",
        "request",
        "start_ns",
        "status",
    )

    request: Prepared
    status: int
    head: bytes
    """Status line and fields as received, CRLF after each."""
    is_special: bool
    """Whether it may be a redirect or set a cookie."""
    expected: bool
    """Whether the status is one that the call expected."""
    received: int
    """Bytes of the reply on the wire, head included."""
    start_ns: int
    first_byte_ns: int
    end_ns: int
    content: bytes | None
    """The body, when it was read."""
    _headers: Headers
    _history: tuple[Response, ...]
    _phases: Phases
    _stream: BodyStream

    def __init__(self, request: Prepared) -> None:
        # On the hot path: nothing is set that the connection fills in, or that few replies have.
        self.request = request

    @property
    def history(self) -> tuple[Response, ...]:
        """The redirects that led here, first to last."""
        try:
            return self._history
        except AttributeError:
            return ()

    @history.setter
    def history(self, history: tuple[Response, ...]) -> None:
        self._history = history

    @property
    def phases(self) -> Phases:
        """What came before the request could be sent."""
        try:
            return self._phases
        except AttributeError:
            return NO_PHASES

    @phases.setter
    def phases(self, phases: Phases) -> None:
        self._phases = phases

    @property
    def stream(self) -> BodyStream | None:
        """The body that is still to come; None unless the call asked for it."""
        try:
            return self._stream
        except AttributeError:
            return None

    @stream.setter
    def stream(self, stream: BodyStream) -> None:
        self._stream = stream

    @property
    def method(self) -> str:
        """Method as sent."""
        return self.request.method

    @property
    def path(self) -> str:
        """Path and query as sent."""
        return self.request.path

    @property
    def about(self) -> str:
        """Method and URL, fit for a terminal."""
        return f"{self.method} {visible(self.url)}"

    @property
    def ok(self) -> bool:
        """Whether the status is one that the call expected (by default below 400)."""
        return self.expected

    @property
    def url(self) -> str:
        """The URL that was asked for, as sent."""
        return self.request.origin + self.request.path

    @property
    def reason(self) -> str:
        """Reason phrase as the server sent it; foreign text."""
        return reason_phrase(self.head)

    @property
    def headers(self) -> Headers:
        """Header fields, case-insensitive."""
        try:
            return self._headers
        except AttributeError:
            self._headers = Headers(parse_head(self.head))
            return self._headers

    @property
    def body(self) -> bytes:
        """The whole body. Raises InvalidRequest when the call discarded or streams it."""
        content = None if self.stream else self.content
        if content is None:
            how = "is streamed: use chunks()" if self.stream else "was discarded: read=False"
            raise InvalidRequest(f"the body of {self.about} {how}")
        return content

    @property
    def text(self) -> str:
        """The body as text by the charset of Content-Type, else UTF-8; bad bytes are replaced.

        Raises DecodeError when the charset is unknown.
        """
        charset = _charset(self.headers.get("content-type", ""))
        try:
            return self.body.decode(charset, "replace")
        except (LookupError, ValueError):
            raise DecodeError(f"the reply names the unknown charset {visible(charset)}") from None

    def json(self) -> Any:
        """The body parsed as JSON. Raises DecodeError when it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"the body of {self.about} is not JSON: {visible(error)}") from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body of a call with `stream=True`, piece by piece as it arrives.

        The server is slowed down while nobody asks. Leaving early drops the connection and counts
        the request as cancelled. A body that is already complete comes as one piece.
        """
        stream = self.stream
        if stream is None:
            if self.body:
                yield self.body
            return
        try:
            while (piece := await stream.next()) is not None:
                yield piece
        finally:
            stream.close()

    def close(self) -> None:
        """Ends a streamed reply early; nothing to do for others."""
        if self.stream is not None:
            self.stream.close()

    @property
    def timings(self) -> Timings:
        """Where the time went; a streamed reply has no end before its last byte."""
        phases = self.phases
        end = getattr(self, "end_ns", self.first_byte_ns)
        return Timings(
            phases.wait_ns / 1000,
            phases.dns_ns / 1000,
            phases.connect_ns / 1000,
            phases.tls_ns / 1000,
            (self.first_byte_ns - self.start_ns) / 1000,
            (end - self.start_ns) / 1000,
            (end - (phases.called_ns or self.start_ns)) / 1000,
        )

    def __repr__(self) -> str:
        return f"<Response {getattr(self, 'status', 'in flight')} {self.about}>"


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or "utf-8"
    return "utf-8"

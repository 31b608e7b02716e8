"""Framing of replies: what is a body, when it ends, and whether the connection lives on."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.errors import BodyCutShort, ConnectionLost, ProtocolViolation
from chaperon_engine.http import HttpWorker, Labels
from chaperon_engine.http.connection import Connection
from chaperon_engine.http.response import Response
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import Recorder
from tests.http.conftest import Harness, Servers, ok

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    b"5;ext=1\r\nhello\r\n7\r\n, world\r\n0\r\nTrailer: x\r\n\r\n"
)

# Replies that end by themselves: bytes, status, body, whether the connection lives on.
REPLIES: list[tuple[bytes, int, bytes, bool]] = [
    (ok(), 200, b"hi", True),
    (ok(b""), 200, b"", True),
    (ok(b"a" * 300_000), 200, b"a" * 300_000, True),
    (CHUNKED, 200, b"hello, world", True),
    (ok(headers="Connection: close\r\n"), 200, b"hi", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
    ),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, b"", True),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(), 200, b"hi", True),
    (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 x\r\n\r\n" + ok(b"after"),
        200,
        b"after",
        True,
    ),
    (b"HTTP/1.1 404 Not Found\r\ncontent-length:3\r\n\r\nno!", 404, b"no!", True),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    (b"HTTP/1.1 500 \xe4h\r\nContent-Length: 0\r\nX:\r\n\r\n", 500, b"", True),
]


class Wire:
    """A connection without a socket: a reply goes in byte by byte if need be."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.recorder = Recorder(RunCounters(1).worker(0))
        self.worker = HttpWorker(loop, self.recorder)
        service = ResolvedService(name="target", base_url="http://h")
        self.state = self.worker.client({"target": service}, Labels()).service("target")
        self.series = self.recorder.http(SeriesKey(kind="http"))
        self.aborted = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def exchange(
        self, pieces: list[bytes], method: str = "GET", *, eof: bool = False
    ) -> tuple[asyncio.Future[Response], Connection]:
        self.state.pool.opening += 1
        connection = Connection(self.state.target, self.state.pool)
        connection.connection_made(self)  # type: ignore[arg-type]
        prepared = self.state.target.prepare(method, "/")
        self.series.sent(1)
        future = connection.send(Response(prepared), self.series, prepared.rules, b"")
        for piece in pieces:
            connection.data_received(piece)
        if eof:
            connection.eof_received()
        return future, connection


@pytest.fixture
def wire() -> Iterator[Wire]:
    loop = asyncio.new_event_loop()
    made = Wire(loop)
    yield made
    if made.worker._timer is not None:
        made.worker._timer.cancel()
    loop.close()
    assert made.series.in_flight == 0


@pytest.mark.parametrize(("reply", "status", "body", "lives"), REPLIES)
def test_a_valid_reply_is_parsed_and_the_connection_kept_or_dropped(
    wire: Wire, reply: bytes, status: int, body: bytes, lives: bool
) -> None:
    future, connection = wire.exchange([reply])
    response = future.result()
    assert (response.status, response.body) == (status, body)
    assert (connection in wire.state.pool.idle) is lives
    assert wire.aborted is not lives


@pytest.mark.parametrize("number", range(len(REPLIES)))
def test_any_split_of_a_valid_reply_parses_the_same(number: int) -> None:
    reply, status, body, lives = REPLIES[number]
    loop = asyncio.new_event_loop()
    wire = Wire(loop)
    whole = wire.exchange([reply])[0].result()

    @settings(max_examples=60, deadline=None)
    @given(cuts=st.lists(st.integers(1, len(reply) - 1), max_size=12))
    def check(cuts: list[int]) -> None:
        edges = [0, *sorted(set(cuts)), len(reply)]
        pieces = [reply[a:b] for a, b in itertools.pairwise(edges)]
        future, connection = wire.exchange(pieces)
        response = future.result()
        assert (response.status, response.body) == (status, body)
        assert response.headers.pairs == whole.headers.pairs
        assert response.received == len(reply)
        assert (connection in wire.state.pool.idle) is lives
        connection.drop()

    check()
    loop.run_until_complete(asyncio.sleep(0))
    if wire.worker._timer is not None:
        wire.worker._timer.cancel()
    loop.close()


def test_a_reply_byte_by_byte_parses_the_same(wire: Wire) -> None:
    for reply, status, body, _ in REPLIES:
        if len(reply) < 1000:
            response = wire.exchange([bytes([byte]) for byte in reply])[0].result()
            assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
    ],
)
def test_a_reply_to_head_ends_with_its_head_and_the_connection_serves_again(
    wire: Wire, reply: bytes
) -> None:
    future, connection = wire.exchange([reply], "HEAD")
    assert future.result().body == b""
    wire.state.pool.idle.remove(connection)
    prepared = wire.state.target.prepare("GET", "/")
    wire.series.sent(1)
    again = connection.send(Response(prepared), wire.series, prepared.rules, b"")
    connection.data_received(ok(b"next"))
    assert again.result().body == b"next"


def test_a_body_after_a_reply_to_head_ends_the_connection(wire: Wire) -> None:
    for rest in (b"hi", b"h"):
        future, connection = wire.exchange([ok(b"hi")[:-2] + rest], "HEAD")
        assert future.result().body == b""
        assert connection.closing


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nraw", b"raw"),
    ],
)
def test_a_body_that_ends_with_the_connection_is_complete(
    wire: Wire, reply: bytes, body: bytes
) -> None:
    for pieces in ([reply], [bytes([byte]) for byte in reply]):
        future, connection = wire.exchange(pieces, eof=True)
        assert future.result().body == body
        assert connection.closing


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", ConnectionLost),
        (b"HTTP/1.1 200", BodyCutShort),
        (b"HTTP/1.1 100 Continue\r\n\r\n", BodyCutShort),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", BodyCutShort),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", BodyCutShort),
    ],
)
def test_a_reply_that_the_end_of_the_connection_cuts_short_fails(
    wire: Wire, reply: bytes, error: type[Exception]
) -> None:
    future, _ = wire.exchange([reply] if reply else [], eof=True)
    assert isinstance(future.exception(), error)


def test_bytes_after_a_complete_reply_drop_the_connection_and_are_counted(wire: Wire) -> None:
    for extra in (b"H", b"garbage", ok(b"another"), b"\0"):
        future, connection = wire.exchange([ok() + extra])
        assert future.result().body == b"hi"
        assert connection.closing
        future, connection = wire.exchange([ok(), extra])
        assert future.result().body == b"hi"
        assert connection.closing


class _Lines:
    """Collects what the header callbacks of the parser would have told."""

    wanted: ClassVar[set[str]] = {"on_header"}

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))


_names = st.text("abcXYZ0-9_.!", min_size=1, max_size=8)
_values = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20
)


@settings(max_examples=200, deadline=None)
@given(fields=st.lists(st.tuples(_names, _values), max_size=8))
def test_fields_read_from_the_raw_head_are_those_that_the_parser_reports(
    fields: list[tuple[str, str]],
) -> None:
    from httptools import HttpResponseParser

    head = "HTTP/1.1 200 OK\r\n" + "".join(f"X{name}:{value}\r\n" for name, value in fields)
    reply = head.encode("latin-1") + b"Content-Length: 0\r\n\r\n"
    told = _Lines()
    HttpResponseParser(told).feed_data(reply)
    loop = asyncio.new_event_loop()
    wire = Wire(loop)
    response = wire.exchange([reply])[0].result()
    assert response.headers.pairs == told.pairs
    wire.worker._timer.cancel()  # type: ignore[union-attr]
    loop.close()


# The same replies through other clients.


@pytest.mark.parametrize(
    ("reply", "method", "closes"),
    [
        *((reply, "GET", not lives) for reply, _, _, lives in REPLIES),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "GET", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "HEAD", False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(gzip.compress(b"z" * 99, mtime=0)), gzip.compress(b"z" * 99, mtime=0)),
            "GET",
            False,
        ),
    ],
)
async def test_other_clients_see_the_same_reply(
    servers: Servers, harness: Harness, reply: bytes, method: str, closes: bool
) -> None:
    server = await servers.replying(reply, then_close=closes)
    harness.add("target", server.url)
    ours = await harness.call(method, decode=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url, allow_redirects=False) as theirs,
    ):
        body = await theirs.read()
    assert (ours.status, ours.body) == (theirs.status, body)
    pairs = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in theirs.raw_headers
    ]
    assert [(name.lower(), value) for name, value in ours.headers.pairs] == pairs
    if b"\xe4" not in reply:  # httpx reads fields as UTF-8 where it can
        async with httpx.AsyncClient() as client:
            third = await client.request(method, server.url)
        assert (ours.status, ours.body) == (third.status_code, third.content)
        for name in ours.headers:
            assert ours.headers[name] == third.headers[name]


async def test_headers_are_case_insensitive_and_keep_several_values(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.replying(ok(b'{"a": [1]}', "X-One: 1\r\nx-one:  2 \r\n"))
    harness.add("target", server.url)
    response = await harness.call()
    assert response.headers["X-ONE"] == "1, 2"
    assert response.headers.all("x-One") == ["1", "2"]
    assert "x-one" in response.headers
    assert response.headers.get("nothing") is None
    assert response.json() == {"a": [1]}
    assert response.reason == "OK"
    assert response.url == f"{server.url}/"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "grün".encode(), "grün"),
        ("text/plain; charset=latin-1", "grün".encode("latin-1"), "grün"),
        ('text/plain; a=b; Charset="UTF-16"', "grün".encode("utf-16"), "grün"),
        ("", b"\xff", "�"),
    ],
)
async def test_text_is_decoded_by_its_charset(
    servers: Servers, harness: Harness, content_type: str, body: bytes, text: str
) -> None:
    server = await servers.replying(ok(body, f"Content-Type: {content_type}\r\n"))
    harness.add("target", server.url)
    assert (await harness.call()).text == text


async def test_a_refused_protocol_switch_is_a_violation(servers: Servers, harness: Harness) -> None:
    reply = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nbytes"
    server = await servers.replying(reply)
    harness.add("target", server.url)
    with pytest.raises(ProtocolViolation, match="101"):
        await harness.call()
    assert harness.counts == (1, 0, 1)


async def test_a_body_is_discarded_when_the_call_says_so(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.replying(ok(b"x" * 2_000_000))
    harness.add("target", server.url)
    response = await harness.call(read=False)
    assert response.received > 2_000_000
    with pytest.raises(ValueError, match="read=False"):
        _ = response.body
    assert harness.series.bytes_in == response.received
    assert (await harness.call()).body == b"x" * 2_000_000
    assert server.connections == 1


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        (None, False),
        (404, True),
        (200, False),
        ({200, 404}, True),
        (range(400, 500), True),
        (lambda status: status == 404, True),
    ],
)
async def test_an_expected_status_is_no_http_error(
    servers: Servers, harness: Harness, expect: Any, expected: bool
) -> None:
    server = await servers.replying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    harness.add("target", server.url)
    response = await harness.call(expect=expect)
    assert response.ok is expected
    assert harness.series.http_errors == (0 if expected else 1)
    assert harness.counts == (1, 1, 0)


async def test_a_predicate_that_raises_counts_as_unexpected_and_is_raised(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.replying(ok())
    harness.add("target", server.url)
    with pytest.raises(ZeroDivisionError):
        await harness.call(expect=lambda status: 1 / 0)
    assert harness.counts == (1, 1, 0)
    assert harness.series.http_errors == 1
    await harness.call()
    assert server.connections == 1

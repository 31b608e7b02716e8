"""A reply with the same head as last time is completed on a shorter way: with the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chaperon_engine.http.connection import Connection
from chaperon_engine.http.request import Prepared
from chaperon_engine.http.response import Response
from tests.http.test_replies import Wire

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Line:
    """Connections that send one prepared request again and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wire = Wire(loop)
        self.prepared: Prepared = self.wire.state.target.prepare("GET", "/")

    def connect(self) -> Connection:
        self.wire.state.pool.opening += 1
        connection = Connection(self.wire.state.target, self.wire.state.pool)
        connection.connection_made(self.wire)  # type: ignore[arg-type]
        return connection

    def send(self, connection: Connection) -> asyncio.Future[Response]:
        self.wire.series.sent(1)
        response = Response(self.prepared)
        return connection.send(response, self.wire.series, self.prepared.rules, b"")

    def warm(self, reply: bytes = HEAD + b"hi") -> Connection:
        connection = self.connect()
        for _ in range(2):
            future = self.send(connection)
            connection.data_received(reply)
            assert future.result().body == b"hi"
        return connection


@pytest.fixture
def line() -> Iterator[Line]:
    loop = asyncio.new_event_loop()
    made = Line(loop)
    yield made
    if made.wire.worker._timer is not None:
        made.wire.worker._timer.cancel()
    loop.close()
    assert made.wire.series.in_flight == 0


@pytest.mark.parametrize("reply", [HEAD + b"yo", CHUNKED + b"2\r\nyo\r\n0\r\n\r\n"])
def test_a_reply_with_the_usual_head_may_be_cut_anywhere(line: Line, reply: bytes) -> None:
    connection = line.warm(reply.replace(b"yo", b"hi"))
    for cut in range(1, len(reply)):
        future = line.send(connection)
        connection.data_received(reply[:cut])
        assert not future.done()
        connection.data_received(reply[cut:])
        response = future.result()
        assert (response.status, response.body, response.received) == (200, b"yo", len(reply))
        assert not connection.closing


@pytest.mark.parametrize("kept", [True, False])
def test_the_same_head_with_another_body_is_told_from_the_same_reply(
    line: Line, *, kept: bool
) -> None:
    line.warm()
    size = 10 if kept else 10_000
    head = HEAD.replace(b"2\r", b"%d\r" % size)
    connection = line.connect()
    for letter in (b"a", b"a", b"b", b"a"):
        future = line.send(connection)
        connection.data_received(head + letter * size)
        response = future.result()
        assert (response.body, response.head) == (letter * size, head)
        assert response.received == len(head) + size
        assert response.start_ns <= response.first_byte_ns <= response.end_ns


def test_a_reply_that_ends_the_connection_is_never_taken_for_the_usual_one(line: Line) -> None:
    for head in (HEAD[:-2] + b"Connection: close\r\n\r\n", HEAD.replace(b"1.1", b"1.0")):
        for _ in range(2):
            connection = line.connect()
            future = line.send(connection)
            connection.data_received(head + b"hi")
            assert future.result().body == b"hi"
            assert connection.closing


def test_bytes_after_a_reply_with_the_usual_head_end_the_connection(line: Line) -> None:
    for extra in (b"H", HEAD + b"no"):
        connection = line.warm()
        future = line.send(connection)
        connection.data_received(HEAD + b"hi" + extra)
        assert future.result().body == b"hi"
        assert connection.closing


def test_another_head_than_the_usual_one_is_told_apart(line: Line) -> None:
    connection = line.warm()
    for head, status in ((HEAD.replace(b"200", b"503"), 503), (HEAD[:-2] + b"X: y\r\n\r\n", 200)):
        future = line.send(connection)
        connection.data_received(head + b"hi")
        assert (future.result().status, future.result().head) == (status, head)


def test_a_reply_in_parts_is_not_disturbed_by_replies_to_other_connections(line: Line) -> None:
    slow, fast = line.warm(), line.warm()
    waiting = line.send(slow)
    slow.data_received(HEAD + b"a")
    quick = line.send(fast)
    fast.data_received(HEAD + b"hi")
    assert quick.result().body == b"hi"
    slow.data_received(b"b")
    assert waiting.result().body == b"ab"


def test_a_refused_reply_leaves_nothing_behind_for_other_connections(line: Line) -> None:
    broken, sound = line.warm(), line.warm()
    failing = line.send(broken)
    broken.data_received(CHUNKED + b"2\r\nhi\r\nnonsense\r\n")
    assert failing.exception() is not None
    future = line.send(sound)
    sound.data_received(HEAD + b"hi")
    assert future.result().body == b"hi"


def test_a_head_without_a_shape_becomes_the_usual_one_when_it_has_come_before(line: Line) -> None:
    connection = line.connect()
    before = line.prepared.usual

    def reply(field: bytes) -> Response:
        future = line.send(connection)
        connection.data_received(HEAD[:-2] + b"X-Empty:\r\nX-Id: " + field + b"\r\n\r\nhi")
        response = future.result()
        assert (response.body, response.headers["x-id"]) == (b"hi", field.decode())
        assert response.first_byte_ns == response.end_ns
        return response

    for number in range(200):
        reply(b"%d" % number)
    assert line.prepared.usual is before
    reply(b"again")
    assert line.prepared.usual is before
    reply(b"again")
    assert b"again" in line.prepared.usual.head

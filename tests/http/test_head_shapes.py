"""A reply whose head has a known shape needs no parser: with the parser's result for every byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.errors import TooLarge
from chaperon_engine.http.headers import read_facts
from chaperon_engine.http.usual import HeadShape, shape_of
from tests.http.test_usual_heads import Line

FIELDS = (
    b"Server: nginx",
    b"Date: Sun, 22 Nov 2026 10:00:00 GMT",
    b"Content-Length: 4",
    b"Connection: keep-alive",
    b"X-Request-Id: 7f3a",
    b"Set-Cookie: s=1; Path=/",
)
STATUS = b"HTTP/1.1 200 OK"


def head_of(*fields: bytes, status: bytes = STATUS) -> bytes:
    return b"\r\n".join((status, *fields, b"", b""))


HEAD = head_of(*FIELDS)


def shape(head: bytes) -> HeadShape | None:
    facts = read_facts(head)
    assert facts is not None
    return shape_of(head, facts)


def outcome(line: Line, reply: bytes) -> tuple[object, ...]:
    """What the caller and the connection's owner see of a reply that arrives in one piece."""
    connection = line.connect()
    future = line.send(connection)
    connection.data_received(reply)
    if not future.done():
        connection.cancel()
        future.exception()
        return ("incomplete",)
    error = future.exception()
    if error is not None:
        return type(error), connection.closing
    response = future.result()
    fields = response.headers.items()
    return (
        response.status, response.body, list(fields), response.received, response.expected,
        response.is_special, connection.closing, response.first_byte_ns == response.end_ns,
    )  # fmt: skip


@contextmanager
def new_lines(count: int) -> Iterator[list[Line]]:
    loop = asyncio.new_event_loop()
    made = [Line(loop) for _ in range(count)]
    yield made
    for line in made:
        if line.wire.worker._timer is not None:
            line.wire.worker._timer.cancel()
        assert line.wire.series.in_flight == 0
    loop.close()


@pytest.fixture
def line() -> Iterator[Line]:
    with new_lines(1) as (made,):
        yield made


@pytest.fixture(scope="module")
def lines() -> Iterator[tuple[Line, Line]]:
    """One that has learned the shape of `HEAD`, and one that never learns any."""
    with new_lines(2) as (learned, ignorant):
        assert outcome(learned, HEAD + b"body")[0] == 200
        assert len(learned.wire.state.target.shapes) == 1
        learned.wire.state.target._to_learn = ignorant.wire.state.target._to_learn = 0
        yield learned, ignorant


def agree(lines: tuple[Line, Line], reply: bytes) -> tuple[object, ...]:
    learned, ignorant = (outcome(line, reply) for line in lines)
    assert learned == ignorant
    return learned


@pytest.mark.parametrize("byte", range(256))
def test_any_byte_in_a_value_is_taken_or_refused_as_the_parser_does(
    lines: tuple[Line, Line], byte: int
) -> None:
    for place in (b"7f3a", b"nginx", b"s=1", b"4\r", b"keep", b"200", b"Date"):
        at = HEAD.index(place) + 1
        agree(lines, HEAD[:at] + bytes([byte]) + HEAD[at:] + b"body")
        agree(lines, HEAD[:at] + bytes([byte]) + HEAD[at + 1 :] + b"body")


@given(data=st.data())
def test_any_change_of_a_reply_ends_as_the_parser_says(
    lines: tuple[Line, Line], data: st.DataObject
) -> None:
    reply = bytearray(HEAD + b"body")
    alphabet = st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"\xff", b"a", b""]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(reply)))
        width = data.draw(st.integers(0, 3))
        reply[at : at + width] = data.draw(st.one_of(alphabet, st.binary(max_size=4)))
    agree(lines, bytes(reply))


@given(
    values=st.lists(st.binary(max_size=30), min_size=3, max_size=3),
    length=st.integers(0, 12),
    body=st.binary(max_size=12),
)
def test_any_values_and_any_length_end_as_the_parser_says(
    lines: tuple[Line, Line], values: list[bytes], length: int, body: bytes
) -> None:
    server, number, cookie = values
    head = head_of(
        b"Server: " + server, FIELDS[1], b"Content-Length: %d" % length, FIELDS[3],
        b"X-Request-Id: " + number, b"Set-Cookie: " + cookie,
    )  # fmt: skip
    agree(lines, head + body)


def test_values_and_lengths_may_differ_and_nothing_else() -> None:
    known = shape(HEAD)
    assert known is not None
    for old, new in ((b"7f3a", b"0123456789"), (b"s=1", b"s=\xc3\xa9"), (b"10:00:00", b"10:00:01")):
        assert known.match(HEAD.replace(old, new))
    found = known.match(HEAD.replace(b": 4", b": 123") + b"x" * 123)
    assert found is not None
    assert int(found[1]) == 123
    for old, new in (
        (b"200", b"201"), (b"HTTP/1.1", b"HTTP/1.0"), (b"keep-alive", b"close"), (b": 4", b": +4"),
        (b": 4", b": 04"), (b"Server", b"server"), (b"Server: nginx\r\n", b""),
        (b"Date", b"Transfer-Encoding: chunked\r\nDate"), (b"nginx", b"ngi\r\n nx"),
    ):  # fmt: skip
        assert known.match(HEAD.replace(old, new)) is None


@pytest.mark.parametrize(
    "head",
    [
        head_of(b"Content-Length: 0", status=b"HTTP/1.1 304 Not Modified"),
        head_of(b"Content-Length: 0", status=b"HTTP/1.1 204 No Content"),
        head_of(b"Content-Length: 4", b"Connection: close"),
        head_of(b"Content-Length: 4", b"Content-Length: 4"),
        head_of(b"Content-Length: 4", b"X-Folded:", b" value"),
        head_of(b"Transfer-Encoding: chunked"),
    ],
)
def test_heads_that_must_always_be_parsed_have_no_shape(head: bytes) -> None:
    assert shape(head) is None


def test_requests_with_options_learn_from_each_other(line: Line) -> None:
    outcome(line, HEAD + b"body")
    line.prepared = line.wire.state.target.prepare("GET", "/elsewhere")
    assert outcome(line, HEAD.replace(b"7f3a", b"other") + b"body")[1] == b"body"
    assert line.prepared.usual.content == b"body"


def test_a_server_that_invents_fields_is_not_learned_from_for_ever(line: Line) -> None:
    target = line.wire.state.target
    for number in range(100):
        reply = head_of(b"X-%d: 1" % number, b"Content-Length: 2") + b"hi"
        assert outcome(line, reply)[1] == b"hi"
    newest = target.shapes
    assert len(newest) == 8
    outcome(line, head_of(b"Y: 1", b"Content-Length: 2") + b"hi")
    assert target.shapes is newest


def test_limits_hold_for_replies_of_a_known_shape(line: Line) -> None:
    outcome(line, HEAD + b"body")
    line.prepared.rules = replace(line.prepared.rules, max_body_bytes=4, max_header_bytes=200)
    assert outcome(line, HEAD.replace(b"7f3a", b"other") + b"body")[1] == b"body"
    assert outcome(line, HEAD.replace(b": 4", b": 5") + b"fiver")[0] is TooLarge
    assert outcome(line, HEAD.replace(b"7f3a", b"x" * 80) + b"body")[0] is TooLarge


def test_calls_that_ask_for_something_special_go_through_the_parser(line: Line) -> None:
    outcome(line, HEAD + b"body")
    line.prepared.rules = replace(line.prepared.rules, expect=503)
    assert outcome(line, HEAD.replace(b"7f3a", b"other") + b"body")[4] is False
    assert line.prepared.usual.size == 0

"""Replies of a hostile server: each ends in its error class, in time and in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from chaperon_engine.errors import (
    ActionError,
    BodyCutShort,
    ConnectionLost,
    DecodeError,
    FirstByteTimeout,
    ProtocolViolation,
    TooLarge,
    TotalTimeout,
)
from chaperon_engine.http import Response
from tests.http.conftest import Harness, Servers, ok, read_request, until

HEAD = b"HTTP/1.1 200 OK\r\n"

BAD_REPLIES: dict[str, tuple[bytes, type[ActionError]]] = {
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProtocolViolation),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", ProtocolViolation),
    "another protocol": (b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ProtocolViolation),
    "line ends first": (b"\r\n\r\n" + ok(), ProtocolViolation),
    "one line end first": (b"\r\n" + ok(), ProtocolViolation),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", ProtocolViolation),
    "status below 100": (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", ProtocolViolation),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", ProtocolViolation),
    "bare CR": (b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nhi", ProtocolViolation),
    "folded field": (HEAD + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi", ProtocolViolation),
    "space before colon": (HEAD + b"Content-Length : 2\r\n\r\nhi", ProtocolViolation),
    "no field name": (HEAD + b": x\r\n\r\n", ProtocolViolation),
    "NUL in a field": (HEAD + b"A: b\0c\r\nContent-Length: 0\r\n\r\n", ProtocolViolation),
    "ESC in a field name": (HEAD + b"A\x1b: b\r\n\r\n", ProtocolViolation),
    "negative length": (HEAD + b"Content-Length: -1\r\n\r\n", ProtocolViolation),
    "length of letters": (HEAD + b"Content-Length: ten\r\n\r\n", ProtocolViolation),
    "huge length": (HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", ProtocolViolation),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", ProtocolViolation),
    "length and chunked": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ProtocolViolation,
    ),
    "chunk size of letters": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhi\r\n",
        ProtocolViolation,
    ),
    "negative chunk size": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n",
        ProtocolViolation,
    ),
    "huge chunk size": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 17 + b"\r\nhi",
        ProtocolViolation,
    ),
    "chunk longer than said": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        ProtocolViolation,
    ),
    "header bomb": (HEAD + b"A: " + b"x" * 1_000_000 + b"\r\n\r\n", TooLarge),
    "too many fields": (HEAD + b"A: b\r\n" * 300 + b"Content-Length: 0\r\n\r\n", TooLarge),
    "endless status line": (b"HTTP/1.1 200 " + b"x" * 200_000, TooLarge),
    "endless interim replies": (b"HTTP/1.1 103 x\r\nA: b\r\n\r\n" * 20_000, TooLarge),
    "large body": (ok(b"x" * 1_100_000), TooLarge),
    "large chunked body": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%b\r\n" % (b"x" * 4096) * 300,
        TooLarge,
    ),
    "body of many tiny chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_050_000,
        TooLarge,
    ),
    "protocol switch": (
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        ProtocolViolation,
    ),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
async def test_a_bad_reply_ends_in_its_error_class(
    servers: Servers, harness: Harness, name: str
) -> None:
    reply, error = BAD_REPLIES[name]
    server = await servers.replying(reply)
    harness.add("target", server.url, timeout_s=20, max_body_bytes=1_000_000)
    started = time.process_time()
    with pytest.raises(error):
        await harness.call("POST")
    assert time.process_time() - started < 2
    assert harness.counts == (1, 0, 1)
    assert harness.errors() == {error.code: 1}
    assert not harness.client.service("target").pool.connections


CUT: dict[str, tuple[bytes, type[ActionError]]] = {
    "nothing": (b"", ConnectionLost),
    "in the status line": (b"HTTP/1.", BodyCutShort),
    "in the fields": (HEAD + b"Content-Le", BodyCutShort),
    "in the body": (HEAD + b"Content-Length: 10\r\n\r\nhi", BodyCutShort),
    "in a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", BodyCutShort),
    "before the last chunk": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        BodyCutShort,
    ),
}


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("name", CUT)
async def test_a_connection_that_ends_too_early(
    servers: Servers, harness: Harness, name: str, resets: bool
) -> None:
    part, error = CUT[name]
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(part)
        await writer.drain()
        if resets:
            if part:
                await arrived.wait()
            writer.transport.abort()
        else:
            writer.write_eof()
            await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    call = asyncio.create_task(harness.call("POST"))
    if resets and part:
        await until(lambda: any(c._assembly.received for c in harness.worker.connections))
    arrived.set()
    with pytest.raises(error):
        await call
    assert harness.errors() == {error.code: 1}


async def test_a_reset_in_a_body_without_length_is_no_complete_reply(
    servers: Servers, harness: Harness
) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import socket
        import struct

        await read_request(reader)
        writer.write(HEAD + b"\r\nhalf")
        await arrived.wait()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    call = asyncio.create_task(harness.call())
    await until(lambda: any(c._assembly._body_bytes for c in harness.worker.connections))
    arrived.set()
    with pytest.raises(BodyCutShort):
        await call


async def test_a_reply_before_the_request_is_a_violation(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    with pytest.raises(ProtocolViolation):
        await harness.call("POST")
    assert harness.errors() == {"protocol": 1}


async def test_escape_sequences_never_reach_a_message(servers: Servers, harness: Harness) -> None:
    server = await servers.replying(
        b"HTTP/1.1 200 \x1b[2J\x1b]0;x\x07\r\nContent-Length: 2\r\nContent-Type: a; "
        b"charset=\xe2\x80\xaeevil\r\n\r\nhi"
    )
    harness.add("target", server.url)
    response = await harness.call()
    assert "\x1b" not in repr(response)
    with pytest.raises(DecodeError) as decoding:
        _ = response.text
    assert str(decoding.value).isprintable()


@pytest.mark.parametrize(
    ("first", "drip", "error", "within_s"),
    [
        (b"", b"", FirstByteTimeout, 0.3),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", TotalTimeout, 0.6),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"x", TotalTimeout, 0.6),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", TotalTimeout, 0.6),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", TotalTimeout, 0.6),
        (HEAD + b"\r\n", b"x", TotalTimeout, 0.6),
        (b"", b"HTTP/1.1 103 x\r\n\r\n", TotalTimeout, 0.6),
    ],
)
async def test_a_slow_reply_ends_at_its_deadline(
    servers: Servers,
    harness: Harness,
    first: bytes,
    drip: bytes,
    error: type[ActionError],
    within_s: float,
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while drip:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url, timeout_s=0.4, first_byte_timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(error):
        await harness.call()
    took = time.monotonic() - started
    assert (0.2 if error is FirstByteTimeout else 0.4) <= took < within_s + 1
    assert harness.errors() == {error.code: 1}


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: bytes(brotli.compress(data, quality=3)),
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
}


async def drain(response: Response) -> bytes:
    """The whole body of a streamed reply."""
    return b"".join([piece async for piece in response.chunks()])


def coded(coding: str, body: bytes) -> bytes:
    return ok(body, f"Content-Encoding: {coding}\r\n")


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_bomb_is_stopped_at_the_cap_on_decoded_bytes(
    servers: Servers, harness: Harness, coding: str
) -> None:
    server = await servers.replying(coded(coding, ENCODERS[coding](bytes(100 * 1024 * 1024))))
    harness.add("target", server.url, max_decoded_bytes=1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge):
        await harness.call(decode=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024
    assert harness.errors() == {"too_large": 1}


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_damaged_coding_fails_the_request(
    servers: Servers, harness: Harness, coding: str
) -> None:
    good = ENCODERS[coding](bytes(range(256)) * 50)
    for bad in (good[: len(good) // 2], b"\xff" * 40):
        server = await servers.replying(coded(coding, bad))
        harness.add("target", server.url)
        client = harness.another_client()
        with pytest.raises(DecodeError):
            await harness.call(decode=True, client=client)
        response = await harness.call(decode=True, stream=True, client=client)
        with pytest.raises(DecodeError):
            await drain(response)
        client.close()


async def test_an_unknown_coding_and_a_tower_of_codings_are_refused(
    servers: Servers, harness: Harness
) -> None:
    for coding in ("rot13", "gzip, gzip, gzip, gzip"):
        server = await servers.replying(coded(coding, b"abc"))
        harness.add("target", server.url)
        client = harness.another_client()
        for stream in (False, True):
            with pytest.raises(DecodeError):
                await harness.call(decode=True, client=client, stream=stream)
        client.close()


async def test_random_bytes_never_hang_or_break_the_client(
    servers: Servers, harness: Harness
) -> None:
    import random

    rng = random.Random(7)
    template = ok(b"some body", "Transfer-Encoding: identity\r\nX: y\r\n")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        damaged = bytearray(template)
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        writer.write(bytes(damaged))

    server = await servers.raw(handler)
    harness.add("target", server.url, timeout_s=2)
    for _ in range(100):
        (result,) = await asyncio.gather(harness.call("POST"), return_exceptions=True)
        if isinstance(result, BaseException):
            assert isinstance(result, ActionError)
            assert str(result).isprintable()
    sent, succeeded, failed = harness.counts
    assert sent == 100 == succeeded + failed

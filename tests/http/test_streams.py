"""Bodies read piece by piece, and decoded ones."""

from __future__ import annotations

import asyncio

import pytest

from chaperon_engine.errors import BodyCutShort, TooLarge, TotalTimeout
from chaperon_engine.http.stream import HIGH_WATER
from tests.http.conftest import Harness, Servers, ok, read_request, until
from tests.http.test_hostile import ENCODERS, coded, drain

BODY = bytes(range(256)) * 8000


async def test_a_stream_arrives_piece_by_piece_and_counts_at_its_end(
    servers: Servers, harness: Harness
) -> None:
    go = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"3\r\none\r\n")
            await go.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    server = await servers.raw(handler)
    harness.add("target", server.url)
    response = await harness.call(stream=True)
    assert (response.status, response.ok, response.headers["x"]) == (200, True, "y")
    assert harness.counts == (1, 0, 0)
    pieces = response.chunks()
    assert await anext(pieces) == b"one"
    go.set()
    assert [piece async for piece in pieces] == [b"two"]
    assert harness.counts == (1, 1, 0)
    assert response.timings.service_us > 0
    with pytest.raises(ValueError, match=r"chunks\(\)"):
        _ = response.body
    await harness.call(stream=True)
    assert server.connections == 1


async def test_a_slow_reader_slows_the_server_down(servers: Servers, harness: Harness) -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        total = 64 * 1024 * 1024
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        while sent < total:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    response = await harness.call(stream=True)
    stream = response.stream
    assert stream is not None
    await until(lambda: stream._paused)
    assert stream._size < HIGH_WATER + 600_000
    assert sent < 64 * 1024 * 1024
    total = 0
    async for piece in response.chunks():
        total += len(piece)
    assert total == 64 * 1024 * 1024
    assert harness.counts == (1, 1, 0)


async def test_leaving_a_stream_early_counts_as_cancelled(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    response = await harness.call(stream=True)
    async for _ in response.chunks():
        break
    await until(lambda: harness.counts == (1, 0, 1))
    (await harness.call(stream=True)).close()
    assert harness.errors() == {"cancelled": 2}


async def test_a_stream_that_is_cut_or_too_slow_raises_in_the_reader(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        if request.path == "/hang":
            await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    for path, error in (("/cut", BodyCutShort), ("/hang", TotalTimeout)):
        response = await harness.call("POST", path, stream=True, timeout_s=0.2)
        pieces = response.chunks()
        assert await anext(pieces) == b"half"
        with pytest.raises(error):
            await anext(pieces)
    assert harness.errors() == {"body_cut_short": 1, "timeout_total": 1}


@pytest.mark.parametrize("coding", ENCODERS)
async def test_codings_are_undone_when_asked_for(
    servers: Servers, harness: Harness, coding: str
) -> None:
    encoded = ENCODERS[coding](BODY)
    server = await servers.replying(coded(coding, encoded))
    harness.add("target", server.url)
    assert (await harness.call()).body == encoded
    assert "accept-encoding" not in server.requests[0].headers
    assert (await harness.call(decode=True)).body == BODY
    assert coding in server.requests[1].headers["accept-encoding"]
    response = await harness.call(decode=True, stream=True)
    assert await drain(response) == BODY
    assert (await harness.call("HEAD", decode=True)).body == b""


async def test_several_codings_members_and_bare_deflate(servers: Servers, harness: Harness) -> None:
    import zlib

    raw = zlib.compressobj(wbits=-15)
    gzip = ENCODERS["gzip"]
    bodies = {
        "gzip, br": ENCODERS["br"](gzip(BODY)),
        "x-gzip": gzip(BODY[:1000]) + gzip(BODY[1000:]),
        "deflate": raw.compress(BODY) + raw.flush(),
        "identity": BODY,
    }
    for coding, body in bodies.items():
        server = await servers.replying(coded(coding, body))
        harness.add(coding, server.url)
        assert (await harness.call(service=coding, decode=True)).body == BODY


async def test_a_bomb_in_a_stream_is_stopped_and_counted(
    servers: Servers, harness: Harness
) -> None:
    bomb = ENCODERS["zstd"](bytes(50 * 1024 * 1024))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok(bomb, "Content-Encoding: zstd\r\n")[:-1])
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url, max_decoded_bytes=1_000_000)
    response = await harness.call(decode=True, stream=True)
    with pytest.raises(TooLarge):
        await drain(response)
    assert harness.errors() == {"too_large": 1}

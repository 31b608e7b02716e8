"""Servers that break the protocol or its spirit: each ends in its class, in bounded time."""

from __future__ import annotations

import asyncio
import resource
import struct
import time
import zlib

import pytest

from chaperon_engine import Session
from chaperon_engine.errors import (
    ActionError,
    CloseTimeout,
    ConnectionLost,
    MessageTimeout,
    PongTimeout,
    TotalTimeout,
    WebSocketClosed,
)
from tests.ws.harness import (
    BINARY,
    CLOSE,
    MORE,
    PING,
    PONG,
    TEXT,
    Behaviour,
    Peer,
    accepted,
    close_frame,
    frame,
    of_kind,
    saying,
    serving,
    walk,
)  # fmt: skip

LENGTH_64 = struct.pack("!BBQ", 0x82, 127, 2**62)


def deflated(data: bytes) -> bytes:
    codec = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (codec.compress(data) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("data", "code", "words", "said"),
    [
        (frame(b"x", mask=b"abcd"), "protocol", "masked", 1002),
        (frame(b"x", bits=2), "protocol", "reserved bit", 1002),
        (frame(b"x", bits=1), "protocol", "reserved bit", 1002),
        (frame(b"x", bits=4), "protocol", "reserved bit", 1002),
        (frame(b"x", PING, bits=4), "protocol", "reserved bit", 1002),
        (frame(b"x", 3), "protocol", "opcode", 1002),
        (frame(b"x", 15), "protocol", "opcode", 1002),
        (frame(b"x" * 126, PING), "protocol", "125 bytes", 1002),
        (frame(b"x", PING, fin=False), "protocol", "fragmented control", 1002),
        (b"\x81\x7e\x00\x05hello", "protocol", "16-bit", 1002),
        (b"\x81\x7f" + struct.pack("!Q", 5) + b"hello", "protocol", "64-bit", 1002),
        (b"\x82\xff" + b"\xff" * 12, "protocol", "masked", 1002),
        (b"\x82\x7f" + b"\xff" * 8, "protocol", "64-bit", 1002),
        (LENGTH_64, "too_large", "passes 1000 bytes", 1009),
        (frame(b"x" * 1_001, BINARY), "too_large", "passes 1000 bytes", 1009),
        (frame(b"x" * 600, TEXT, fin=False) + frame(b"x" * 600, MORE), "too_large", "1000", 1009),
        (frame(b"x", MORE), "protocol", "continues nothing", 1002),
        (frame(b"x", fin=False) + frame(b"y"), "protocol", "inside another", 1002),
        (frame(b"\xff\xfe"), "protocol", "not UTF-8", 1007),
        (frame(b"\xc3", fin=False) + frame(b"(", MORE), "protocol", "not UTF-8", 1007),
        (frame(b"\x03", CLOSE), "protocol", "close code", 1002),
        (close_frame(1005), "protocol", "close code", 1002),
        (close_frame(999), "protocol", "close code", 1002),
        (close_frame(2000), "protocol", "close code", 1002),
        (close_frame(5000), "protocol", "5000", 1002),
        (close_frame(1000, b"\xff"), "protocol", "UTF-8", 1007),
    ],
)  # fmt: skip
async def test_a_frame_that_must_not_be_ends_the_socket(
    data: bytes, code: str, words: str, said: int
) -> None:
    frames: list[tuple[int, bytes]] = []

    async def behave(peer: Peer) -> None:
        peer.send(frame(b"before") + data)
        frames.append(await peer.frame())
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect(max_message_bytes=1_000)
        assert await session.ws_recv() == "before"
        with pytest.raises(ActionError, match=words) as caught:
            await session.ws_recv(timeout=2)
        assert caught.value.code == code
        assert not isinstance(caught.value, MessageTimeout)
        with pytest.raises(ActionError):
            await session.ws_send("more")

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_close").errors == {code: 1}
    opcode, payload = frames[0]
    assert opcode == CLOSE
    assert int.from_bytes(payload[:2], "big") == said


async def test_a_bomb_of_deflate_is_stopped_at_the_limit() -> None:
    bomb = deflated(b"\x00" * (64 << 20))
    assert len(bomb) < 100_000

    async def behave(peer: Peer) -> None:
        peer.send(peer.accept("Sec-WebSocket-Extensions: permessage-deflate"))
        peer.send(frame(deflated(b"fine"), bits=4) + frame(bomb, BINARY, bits=4))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect(compression=True, max_message_bytes="1MiB")
        assert await session.ws_recv() == "fine"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ActionError, match="inflated message passes 1048576 bytes") as caught:
            await session.ws_recv()
        assert caught.value.code == "too_large"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024

    async with serving(behave) as url:
        await walk(url, steps)


@pytest.mark.parametrize(
    ("answer", "data", "words"),
    [
        ("permessage-deflate", frame(b"\xff\xff\xff", bits=4), "cannot be inflated"),
        ("permessage-deflate; server_max_window_bits=16", b"", "not offered"),
        ("permessage-deflate; client_max_window_bits=8", b"", "not offered"),
        ("permessage-deflate; x=1", b"", "not offered"),
        ("permessage-deflate, permessage-deflate", b"", "not offered"),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", b"",
         "not offered"),
    ],
)  # fmt: skip
async def test_compression_that_was_not_agreed_ends_the_socket(
    answer: str, data: bytes, words: str
) -> None:
    async def behave(peer: Peer) -> None:
        peer.send(peer.accept(f"Sec-WebSocket-Extensions: {answer}") + data)
        await peer.gone()

    async def steps(session: Session) -> None:
        async def both() -> None:
            await session.ws_connect(compression=True)
            await session.ws_recv()

        with pytest.raises(ActionError, match=words) as caught:
            await both()
        assert caught.value.code == "protocol"

    async with serving(behave) as url:
        await walk(url, steps)


@pytest.mark.parametrize(
    "answer",
    ["permessage-deflate; server_no_context_takeover; client_no_context_takeover",
     'permessage-deflate; server_max_window_bits="9"; client_max_window_bits=9',
     "permessage-deflate;client_max_window_bits=15"],
)  # fmt: skip
async def test_every_agreement_on_compression_works(answer: str) -> None:
    messages = [b"abc" * 500, b"abc" * 400, b"", b"xyz" * 300]

    async def behave(peer: Peer) -> None:
        peer.send(peer.accept(f"Sec-WebSocket-Extensions: {answer}"))
        bits = 9 if "=9" in answer or '"9"' in answer else 15
        inflate = zlib.decompressobj(-bits)
        for message in messages:
            opcode, payload = await peer.frame()
            if "client_no_context" in answer:
                inflate = zlib.decompressobj(-bits)
            assert inflate.decompress(payload + b"\x00\x00\xff\xff") == message
            codec = zlib.compressobj(9, zlib.DEFLATED, -bits)
            packed = (codec.compress(message) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]
            half = len(packed) // 2
            peer.send(frame(packed[:half], opcode, fin=False, bits=4))
            peer.send(frame(packed[half:], MORE))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect(compression=True)
        for message in messages:
            await session.ws_send(message)
            assert await session.ws_recv() == message

    async with serving(behave) as url:
        await walk(url, steps)


@pytest.mark.parametrize(("piece", "code"), [(b"x" * 1_000, "too_large"), (b"", "timeout_message")])
async def test_endless_fragments_end_at_the_limit_or_at_the_time_out(
    piece: bytes, code: str
) -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"x", fin=False))
        while True:
            peer.send(frame(piece, MORE, fin=False) * 50)
            await peer.writer.drain()
            await asyncio.sleep(0.001)

    async def steps(session: Session) -> None:
        await session.ws_connect(max_message_bytes=1_000_000)
        start = time.monotonic()
        with pytest.raises(ActionError) as caught:
            await session.ws_recv(timeout=0.3)
        assert caught.value.code == code
        assert time.monotonic() - start < 2

    async with serving(accepted(behave)) as url:
        await walk(url, steps)


async def test_a_server_that_goes_away_without_a_close_frame_is_a_lost_connection() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"a") + b"\x81\x7e\x01")  # and half a head
        await peer.writer.drain()

    async def steps(session: Session) -> None:
        socket = await session.ws_connect()
        assert await session.ws_recv() == "a"
        with pytest.raises(ConnectionLost, match="without a close frame"):
            await session.ws_recv()
        assert socket.close_code == 1006

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_close").errors == {"reset": 1}


async def deaf(peer: Peer) -> None:
    await peer.gone()


async def hanging_up(peer: Peer) -> None:
    await peer.frame()


@pytest.mark.parametrize(
    ("behaviour", "error"), [(deaf, CloseTimeout), (hanging_up, ConnectionLost)]
)
async def test_a_close_that_nobody_answers_is_given_up(
    behaviour: Behaviour, error: type[ActionError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaperon_engine.ws.socket.CLOSE_TIMEOUT_S", 0.1)

    async def steps(session: Session) -> None:
        await session.ws_connect()
        with pytest.raises(error):
            await session.ws_close()
        await session.ws_connect()
        session.ws_reset()

    async with serving(accepted(behaviour)) as url:
        ran = await walk(url, steps)
    close = of_kind(ran, "ws_close")
    assert (close.errors, close.statuses) == ({error.code: 1}, {1006: 1})


async def test_a_server_that_closes_and_keeps_the_connection_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chaperon_engine.ws.life._LINGER_S", 0.05)

    async def behave(peer: Peer) -> None:
        peer.send(close_frame(1001))
        assert await peer.frame() == (CLOSE, struct.pack("!H", 1001))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect()
        with pytest.raises(WebSocketClosed):
            await session.ws_recv()
        await session.ws_close()

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_close").statuses == {1001: 1}


async def test_a_close_frame_without_a_code_is_answered_in_kind() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"", CLOSE))
        assert await peer.frame() == (CLOSE, b"")

    async def steps(session: Session) -> None:
        await session.ws_connect()
        with pytest.raises(WebSocketClosed, match="with 1005"):
            await session.ws_recv()

    async with serving(accepted(behave)) as url:
        await walk(url, steps)


async def test_own_pings_are_measured_and_a_missing_pong_ends_a_half_open_socket() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"nobody asked", PONG))
        for _ in range(3):
            opcode, payload = await peer.frame()
            assert opcode == PING
            peer.send(frame(payload, PONG))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect(ping_interval=0.03, ping_timeout=0.1)
        with pytest.raises(PongTimeout, match=r"no pong within 0\.1 s"):
            await session.ws_recv(timeout=5)

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    pings = of_kind(ran, "ws_ping")
    assert (pings.ok, pings.errors) == (3, {"timeout_pong": 1})
    assert of_kind(ran, "ws_close").errors == {"timeout_pong": 1}


async def test_a_server_that_does_not_read_holds_a_sender_up_until_the_time_out() -> None:
    async def behave(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(3_600)

    async def steps(session: Session) -> None:
        await session.ws_connect()

        async def flood() -> None:
            for _ in range(100):
                await session.ws_send(b"x" * 1_000_000)

        with pytest.raises(TotalTimeout, match="did not read within"):
            await flood()

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps, timeout_s=0.2)
    assert of_kind(ran, "ws_send").errors == {"timeout_total": 1}


async def test_a_flood_of_pings_is_not_answered_faster_than_it_is_read() -> None:
    async def behave(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        for _ in range(400):
            peer.send(frame(b"x" * 125, PING) * 400)
            await peer.writer.drain()
        peer.send(frame(b"done"))
        peer.writer.transport.resume_reading()
        await peer.gone()

    async def steps(session: Session) -> None:
        socket = await session.ws_connect()
        assert await session.ws_recv(timeout=20) == "done"
        assert socket._wire is not None
        transport = socket._wire.transport
        assert transport is not None
        assert transport.underlying_transport.get_write_buffer_size() < 1_000_000

    async with serving(accepted(behave)) as url:
        await walk(url, steps)


async def test_garbage_after_a_valid_upgrade_ends_as_a_violation() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect()
        with pytest.raises(ActionError) as caught:
            await session.ws_recv()
        assert caught.value.code == "protocol"

    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nhello")) as url:
        await walk(url, steps)

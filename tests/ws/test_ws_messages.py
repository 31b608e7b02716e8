"""What goes out and comes in: kinds of messages, waiting, matching, several sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaperon_engine import Session
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import (
    DecodeError,
    InvalidRequest,
    MessageBacklog,
    MessageTimeout,
    WebSocketClosed,
    WebSocketNotOpen,
)
from chaperon_engine.target import start
from tests.ws.harness import (
    BINARY,
    MORE,
    PING,
    PONG,
    TEXT,
    Peer,
    accepted,
    close_frame,
    echoing,
    frame,
    of_kind,
    saying,
    serving,
    walk,
)  # fmt: skip


async def test_text_bytes_and_json_go_out_as_they_are_and_come_back() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect("/")
        for message in ("", "héllo", "x" * 125, "x" * 126, "x" * 65_536, b"", b"\xff\x00" * 40_000):
            await session.ws_send(message)
            assert await session.ws_recv() == message
        await session.ws_send(json={"a": [1, None], "b": "ü"})
        assert await session.ws_recv(decode="json") == {"a": [1, None], "b": "ü"}
        await session.ws_send("text as bytes", type="binary")
        assert await session.ws_recv() == b"text as bytes"
        await session.ws_send(b"bytes as text", type="text")
        assert await session.ws_recv(decode=str.upper) == "BYTES AS TEXT"
        await session.ws_close()

    async with serving(echoing) as url:
        ran = await walk(url, steps)
    sent, arrived = of_kind(ran, "ws_send"), of_kind(ran, "ws_message")
    assert (sent.ok, sent.failed) == (10, 0)
    assert (arrived.ok, arrived.failed) == (10, 0)
    assert sent.bytes_out == arrived.bytes_in > 145_000
    assert of_kind(ran, "ws_recv").ok == 10
    assert of_kind(ran, "ws_connect").statuses == {101: 1}
    assert of_kind(ran, "ws_close").statuses == {1000: 1}
    assert of_kind(ran, "upgrade").ok == of_kind(ran, "connect").ok == 1


async def test_messages_in_fragments_with_control_frames_between_arrive_whole() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"one ", TEXT, fin=False) + frame(b"are you there", PING))
        assert await peer.frame() == (PONG, b"are you there")
        for byte in "two ü".encode():
            peer.send(frame(bytes([byte]), MORE, fin=False))
        peer.send(frame(b"", MORE) + frame(b"\x00", BINARY, fin=False) + frame(b"\xff", MORE))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect()
        assert await session.ws_recv() == "one two ü"
        assert await session.ws_recv() == b"\x00\xff"

    async with serving(accepted(behave)) as url:
        await walk(url, steps)


async def test_messages_that_came_with_the_head_of_the_reply_are_there() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect()
        assert [await session.ws_recv() for _ in range(3)] == ["a", "b", "c"]

    async with serving(saying(frame(b"a") + frame(b"b") + frame(b"c"))) as url:
        await walk(url, steps)


async def test_await_recv_drops_what_does_not_fit_or_keeps_it_for_later() -> None:
    messages = ["a", '{"n": 1, "more": [1]}', "b", '{"n": 2, "more": {"x": 1, "y": 2}}', "c", "d"]

    async def steps(session: Session) -> None:
        await session.ws_connect()
        found = await session.ws_await_recv(json={"n": 2, "more": {"x": 1}}, keep=True)
        assert found == {"n": 2, "more": {"x": 1, "y": 2}}
        assert (
            await session.ws_await_recv(lambda text: text > "b", keep=True)
            == '{"n": 1, "more": [1]}'
        )
        assert await session.ws_await_recv("b") == "b"
        assert await session.ws_await_recv("d") == "d"
        with pytest.raises(MessageTimeout, match="nothing arrived"):
            await session.ws_await_recv("c", timeout=0.05)

    async with serving(saying(b"".join(frame(text.encode()) for text in messages))) as url:
        ran = await walk(url, steps)
    received = of_kind(ran, "ws_recv")
    assert (received.ok, received.errors) == (4, {"timeout_message": 1})


async def test_a_time_out_says_what_arrived_instead_visibly_and_not_all_of_it() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect("/feed")
        with pytest.raises(MessageTimeout) as caught:
            await session.ws_await_recv("never", timeout=0.05)
        text = str(caught.value)
        assert "no message within 0.05 s" in text
        assert "\\x1b" in text
        assert "and 4 more" in text
        assert text.isprintable()
        assert len(text) < 1_000

    data = frame(b"\x1b[2Jx" * 1_000) + frame(b"\x00" * 5_000, BINARY) + frame(b"z") * 7
    async with serving(saying(data)) as url:
        await walk(url, steps)


async def test_round_trips_go_from_a_send_to_the_arrival_of_its_match() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"early"))
        while True:
            _, payload = await peer.frame()
            await asyncio.sleep(0.02)
            peer.send(frame(b"noise") + frame(payload))

    async def steps(session: Session) -> None:
        await session.ws_connect(series="echo")
        assert await session.ws_await_recv("early") == "early"
        for number in range(3):
            await session.ws_send(f"ping {number}")
            assert await session.ws_await_recv(f"ping {number}") == f"ping {number}"

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    trips = of_kind(ran, "ws_round_trip")
    assert trips.ok == 3
    assert trips.expected.min_us >= 20_000
    assert {key.label for key in ran.series if key.kind.startswith("ws_")} == {"echo"}


async def test_sockets_of_a_session_are_told_apart_by_name_and_service() -> None:
    async def steps(session: Session) -> None:
        first = await session.ws_connect("/a")
        second = await session.ws_connect("/b", name="second")
        other = await session.service("push").ws_connect("/c")
        with pytest.raises(InvalidRequest, match="open already: ws_close or ws_reset"):
            await session.ws_connect("/again")
        await session.ws_send("1")
        await session.ws_send("2", name="second")
        await session.service("push").ws_send("3")
        assert await second.recv() == "2"
        assert await other.recv() == "3"
        assert await first.recv() == "1"
        await session.ws_close(name="second")
        session.ws_reset()
        with pytest.raises(WebSocketNotOpen, match="ws_connect it first"):
            await session.ws_send("4")
        with pytest.raises(WebSocketNotOpen):
            await first.send("5")
        assert await (await session.ws_connect("/a")).close() is None
        assert not first.is_open
        assert other.is_open

    async with serving(echoing) as url, serving(echoing) as push:
        ran = await walk(url, steps, services={"api": url, "push": push})
    closes = [delta for key, delta in ran.series.items() if key.kind == "ws_close"]
    assert sum(delta.statuses.get(1006, 0) for delta in closes) == 2  # reset, end of the session
    assert sum(delta.ok for delta in closes) == 4


async def test_more_unread_messages_than_allowed_end_the_socket_and_name_the_limit() -> None:
    async def steps(session: Session) -> None:
        socket = await session.ws_connect(max_queue=3)
        while socket.is_open:
            await session.delay(0.005)
        assert [await session.ws_recv() for _ in range(4)] == ["m"] * 4
        with pytest.raises(MessageBacklog, match="more than 3 messages wait unread"):
            await session.ws_recv()

    async with serving(saying(frame(b"m") * 10)) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_close").errors == {"ws_backlog": 1}


async def test_what_the_server_sent_before_it_closed_is_read_before_its_close_is_raised() -> None:
    async def steps(session: Session) -> None:
        socket = await session.ws_connect()
        assert await session.ws_recv() == "last"
        with pytest.raises(WebSocketClosed, match=r"with 4007 \(go away\)") as caught:
            await session.ws_recv()
        assert (caught.value.close_code, caught.value.reason) == (4007, "go away")
        assert (socket.close_code, socket.close_reason) == (4007, "go away")
        with pytest.raises(WebSocketClosed):
            await session.ws_send("too late")
        await session.ws_connect()  # the name is free

    async with serving(saying(frame(b"last") + close_frame(4007, b"go away"))) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_send").errors == {"ws_closed": 1}
    assert of_kind(ran, "ws_close").statuses[4007] >= 1


async def test_one_task_receives_at_a_time_and_several_send() -> None:
    async def steps(session: Session) -> None:
        socket = await session.ws_connect()
        waiting = asyncio.ensure_future(socket.recv())
        await asyncio.sleep(0)
        with pytest.raises(InvalidRequest, match="another task waits"):
            await socket.recv()
        await asyncio.gather(*(socket.send(f"{number}") for number in range(20)))
        found = [await waiting, *[await socket.recv() for _ in range(19)]]
        assert found == [f"{number}" for number in range(20)]

    async with serving(echoing) as url:
        await walk(url, steps)


async def test_a_cancelled_wait_loses_no_message() -> None:
    async def steps(session: Session) -> None:
        socket = await session.ws_connect()
        waiting = asyncio.ensure_future(socket.recv())
        await asyncio.sleep(0)
        socket.arrived("at the same moment", 18)
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled() or waiting.result() == "at the same moment"
        if waiting.cancelled():
            assert await socket.recv() == "at the same moment"

    async with serving(echoing) as url:
        await walk(url, steps)


async def test_every_runs_while_a_session_waits_for_a_message() -> None:
    calls: list[int] = []
    called = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await called.wait()
        peer.send(frame(b"enough"))
        await peer.gone()

    async def steps(session: Session) -> None:
        def call(session: Session) -> None:
            calls.append(1)
            if len(calls) == 3:
                called.set()

        session.every(0.01, call)
        await session.ws_connect()
        assert await session.ws_recv() == "enough"

    async with serving(accepted(behave)) as url:
        await walk(url, steps)


async def test_arguments_that_cannot_be_are_refused_with_their_name() -> None:
    async def steps(session: Session) -> None:
        for keywords, words in (
            ({"headers": {"Upgrade": "h2c"}}, "Upgrade is set by the client"),
            ({"headers": {"X": "a\r\nb"}}, "control character"),
            ({"subprotocols": ["a b"]}, "subprotocols"),
            ({"subprotocols": "chat"}, "subprotocols must be a list"),
            ({"timeout": 0}, "timeout must be more"),
            ({"max_queue": 0}, "max_queue must be at least 1"),
            ({"max_message_bytes": "many"}, "max_message_bytes"),
            ({"compression": "gzip"}, "compression must be True or False"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await session.ws_connect("/", **keywords)  # type: ignore[arg-type]
        await session.ws_connect()
        for call, words in (
            (session.ws_send(3), "must be text or bytes"),
            (session.ws_send("a", json=1), "one message"),
            (session.ws_send(b"\xff", type="text"), "not UTF-8"),
            (session.ws_send("\ud800"), "surrogate"),
            (session.ws_await_recv(), "an expected value"),
            (session.ws_await_recv({"a": 1}), "use json="),
            (session.ws_recv(decode="xml"), "decode must be"),  # type: ignore[arg-type]
            (session.ws_close(code=1005), "code must be"),
            (session.ws_close(reason="x" * 124), "reason must not"),
        ):
            with pytest.raises(InvalidRequest, match=words):
                await call
        await session.ws_send("no json")
        with pytest.raises(DecodeError, match="not JSON"):
            await session.ws_recv(decode="json")

    async with serving(echoing) as url:
        await walk(url, steps)


async def test_conservation_of_messages_against_the_count_of_the_target() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect("/ws/echo")
        for number in range(50):
            await session.ws_send(json={"number": number, "session": session.index})
            await session.ws_await_recv(json={"number": number})
        await session.ws_close()

    async with await start() as target:
        ran = await walk(target.url, steps, sessions=8)
        counted = target.stats.websocket
    sent, arrived = of_kind(ran, "ws_send"), of_kind(ran, "ws_message")
    assert sent.ok == arrived.ok == of_kind(ran, "ws_round_trip").ok == 400
    assert of_kind(ran, "ws_connect").ok == of_kind(ran, "ws_close").ok == 8
    assert (counted.messages_in, counted.messages_out) == (400, 400)
    assert (counted.bytes_in, counted.bytes_out) == (sent.bytes_out, arrived.bytes_in)


async def test_received_messages_are_kept_with_store_results_and_no_more_than_twenty() -> None:
    seen: dict[str, list[Any]] = {}
    errors: dict[str, list[str]] = {}

    async def child(session: Session) -> None:
        await session.ws_connect("/child")
        await session.ws_send(json={"of": "child"})
        await session.ws_recv(decode="json")

    async def steps(session: Session) -> None:
        await session.ws_connect("/feed")
        await session.ws_connect("/other", name="b", series="other")
        for number in range(25):
            await session.ws_send(f"{number}")
            await session.ws_recv()
        await session.ws_send("x", name="b")
        await session.ws_await_recv("x", name="b")
        with pytest.raises(MessageTimeout):
            await session.ws_recv(name="b", timeout=0.01)
        await session.spawn(child)
        seen.update({action: list(kept) for action, kept in session.results.items()})
        errors.update({a: [type(e).__name__ for e in kept] for a, kept in session.errors.items()})

    async with serving(echoing) as url:
        await walk(url, steps, settings=SessionSettings(store_results=True))
        assert seen == {
            "ws_recv /feed": [f"{number}" for number in range(5, 25)],
            "ws_await_recv other": ["x"],
            "ws_recv /child": [{"of": "child"}],
        }
        assert errors == {"ws_recv other": ["MessageTimeout"]}
        seen.clear()
        errors.clear()
        await walk(url, steps)
    assert (seen, errors) == ({}, {})

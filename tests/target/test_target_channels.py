"""The Firehose channels: the bounded buffers alone, then publishing, polling and subscribing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from chaperon_engine.target import RunningTarget, channels
from chaperon_engine.target.channels import Channel, Channels


def sequences_after(channel: Channel, sequence: int) -> list[int]:
    found = []
    while (message := channel.after(sequence)) is not None:
        sequence = message.sequence
        found.append(sequence)
    return found


def test_a_reader_gets_the_oldest_kept_message_after_the_one_it_knows() -> None:
    board = Channels()
    for number in range(1, 6):
        board.publish("x", str(number))
    channel = board.get("x")
    assert channel is not None
    assert sequences_after(channel, 2) == [3, 4, 5]
    assert sequences_after(channel, 5) == []
    assert sequences_after(channel, 99) == []


def test_a_buffer_keeps_only_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_CHANNEL_BUFFER", 3)
    board = Channels()
    for number in range(10):
        board.publish("x", str(number))
    channel = board.get("x")
    assert channel is not None
    assert sequences_after(channel, 1) == [8, 9, 10]
    assert board.kept_bytes == 3


def test_all_channels_together_keep_bounded_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_CHANNEL_BYTES", 100)
    board = Channels()
    for number in range(50):
        board.publish(f"c{number % 5}", "x" * 10)
        assert board.kept_bytes <= 100


def test_the_longest_unused_channel_gives_way_unless_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "MAX_CHANNELS", 2)
    board = Channels()
    read = board.get("read")
    assert read is not None
    read.subscribers += 1
    board.publish("old", "x")
    assert board.get("new") is not None
    assert board.get("read") is read
    assert len(board) == 2
    assert board.kept_bytes == 0
    new = board.get("new")
    assert new is not None
    new.subscribers += 1
    assert board.get("one too many") is None


async def test_a_long_poll_gets_what_is_published_while_it_waits(
    client: aiohttp.ClientSession,
    target: RunningTarget,
    in_flight_becomes: Callable[[RunningTarget, int], Awaitable[None]],
) -> None:
    polls = [asyncio.ensure_future(client.get("/channel/news")) for _ in range(3)]
    await in_flight_becomes(target, 3)
    async with client.put("/channel/news", data=b'{"hello":"world"}') as reply:
        assert reply.status == 202
        assert reply.headers["X-Last-Message-Sequence"] == "1"
    for poll in polls:
        async with await poll as reply:
            assert await reply.json() == {"message": '{"hello":"world"}', "last_sequence": 1}


async def test_a_long_poll_without_news_ends_with_204(client: aiohttp.ClientSession) -> None:
    async with client.put("/channel/quiet", data=b"old"):
        pass
    async with client.get("/channel/quiet", params={"timeout": "10"}) as reply:
        assert reply.status == 204
        assert reply.headers["X-Last-Message-Sequence"] == "1"


@pytest.mark.parametrize("name", ["last_message_sequence", "since"])
async def test_a_long_poll_catches_up_from_the_sequence_it_knows(
    client: aiohttp.ClientSession, name: str
) -> None:
    for text in (b"one", b"two", b"three"):
        async with client.post("/channel/a/b", data=text):
            pass
    async with client.get("/channel/a/b", params={name: "1"}) as reply:
        assert await reply.json() == {"message": "two", "last_sequence": 2}


async def test_a_subscriber_gets_every_message_in_order(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/channel/live") as socket:
        await socket.send_json({"last_message_sequence": 0})
        for number in range(20):
            async with client.put("/channel/live", data=str(number).encode()):
                pass
        for number in range(20):
            expected = {"message": str(number), "last_sequence": number + 1}
            assert await socket.receive_json(timeout=5) == expected


async def test_a_subscriber_can_publish_and_all_get_it(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/channel/talk") as ann, client.ws_connect("/channel/talk") as bob:
        await ann.send_str("hi")
        for socket in (ann, bob):
            assert await socket.receive_json(timeout=5) == {"message": "hi", "last_sequence": 1}


async def test_a_subscriber_that_comes_back_gets_what_it_missed(
    client: aiohttp.ClientSession,
) -> None:
    for text in (b"one", b"two", b"three"):
        async with client.put("/channel/back", data=text):
            pass
    async with client.ws_connect("/channel/back") as socket:
        await socket.send_json({"last_message_sequence": 1})
        assert [(await socket.receive_json(timeout=5))["message"] for _ in range(2)] == [
            "two",
            "three",
        ]


async def test_a_subscriber_keeps_its_socket_alive_with_pings(
    client: aiohttp.ClientSession,
) -> None:
    async with client.ws_connect("/channel/x") as socket:
        await socket.send_json({"ping": "PING"})
        assert await socket.receive_json(timeout=5) == {"pong": "PONG"}


async def test_a_batch_publishes_to_many_channels(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/channel/a") as first, client.ws_connect("/channel/b") as second:
        batch = [
            {"channel": "/channel/a", "payload": {"n": 1}, "ttl": 1000, "buffer_size": 10},
            {"channel": "/b", "payload": "text"},
        ]
        async with client.put("/channels@firehose", json=batch) as reply:
            assert reply.status == 202
        async with client.put("/channels@firehose", json={"/b": {"payload": "2"}}) as reply:
            assert reply.status == 202
        assert (await first.receive_json(timeout=5))["message"] == '{"n":1}'
        assert (await second.receive_json(timeout=5))["message"] == "text"
        assert (await second.receive_json(timeout=5))["message"] == "2"


@pytest.mark.parametrize("body", [b"1", b"[1]", b'[{"payload": 1}]', b'{"x": 1}', b"{"])
async def test_a_batch_that_is_none_is_refused(client: aiohttp.ClientSession, body: bytes) -> None:
    async with client.put("/channels@firehose", data=body) as reply:
        assert reply.status == 400


async def test_the_echo_route_refuses_a_plain_request(client: aiohttp.ClientSession) -> None:
    async with client.get("/ws/echo") as reply:
        assert reply.status == 426

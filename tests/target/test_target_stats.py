"""The counts of `/stats` are exact: by route, method, status, bytes and WebSocket messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from chaperon_engine.target import RunningTarget


async def read_stats(client: aiohttp.ClientSession) -> dict[str, Any]:
    async with client.get("/stats") as reply:
        document: dict[str, Any] = await reply.json()
        return document


async def test_nothing_is_counted_before_the_first_request_and_stats_never(
    client: aiohttp.ClientSession,
) -> None:
    for _ in range(3):
        stats = await read_stats(client)
    assert stats["requests"] == 0
    assert stats["routes"] == {}


async def test_concurrent_requests_are_counted_exactly(client: aiohttp.ClientSession) -> None:
    async def ask(method: str, path: str, body: bytes | None = None) -> None:
        async with client.request(method, path, data=body, allow_redirects=False) as reply:
            await reply.read()

    await asyncio.gather(
        *(ask("GET", "/") for _ in range(50)),
        *(ask("HEAD", "/") for _ in range(5)),
        *(ask("POST", "/echo", b"12345") for _ in range(20)),
        *(ask("GET", "/bytes/100000") for _ in range(3)),
        *(ask("GET", "/chunked?chunks=4&size=10") for _ in range(2)),
        *(ask("GET", f"/nowhere/{index}") for index in range(7)),
        *(ask("DELETE", "/json") for _ in range(4)),
        *(ask("PROPFIND", "/") for _ in range(2)),
        ask("GET", "/status/503"),
        ask("GET", "/redirect/2"),
    )
    stats = await read_stats(client)
    assert stats["requests"] == 95
    assert stats["in_flight"] == 0
    assert stats["aborted"] == 0
    assert stats["statuses"] == {"200": 80, "302": 1, "404": 7, "405": 6, "503": 1}
    routes = stats["routes"]
    assert routes["/"]["GET"]["requests"] == 50
    assert routes["/"]["GET"]["bytes_out"] == 50 * 200
    assert routes["/"]["HEAD"]["bytes_out"] == 0
    assert routes["/"]["(other)"]["statuses"] == {"405": 2}
    assert routes["/echo"]["POST"]["bytes_in"] == 100
    assert routes["/echo"]["POST"]["bytes_out"] == 100
    assert routes["/bytes/{count}"]["GET"]["bytes_out"] == 300_000
    assert routes["/chunked"]["GET"]["bytes_out"] == 80
    assert routes["(unmatched)"]["GET"]["statuses"] == {"404": 7}
    assert routes["/json"]["DELETE"]["statuses"] == {"405": 4}


async def test_a_request_under_way_is_in_flight(
    client: aiohttp.ClientSession,
    target: RunningTarget,
    in_flight_becomes: Callable[[RunningTarget, int], Awaitable[None]],
) -> None:
    poll = asyncio.ensure_future(client.get("/channel/quiet", params={"timeout": "5000"}))
    await in_flight_becomes(target, 1)
    assert (await read_stats(client))["statuses"] == {}
    async with client.put("/channel/quiet", data=b"now"):
        pass
    async with await poll as reply:
        assert reply.status == 200
    assert (await read_stats(client))["in_flight"] == 0


async def test_a_client_that_leaves_in_mid_body_is_counted_as_aborted(
    client: aiohttp.ClientSession,
    target: RunningTarget,
    in_flight_becomes: Callable[[RunningTarget, int], Awaitable[None]],
) -> None:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(b"GET /bytes/100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readexactly(1000)
    writer.transport.abort()
    await in_flight_becomes(target, 0)
    stats = await read_stats(client)
    assert stats["aborted"] == 1
    assert 0 < stats["bytes_out"] < 100_000_000


async def test_websocket_messages_are_counted_both_ways(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ws/echo") as socket:
        for payload in ("abc", "de"):
            await socket.send_str(payload)
            assert await socket.receive_str(timeout=5) == payload
        await socket.send_bytes(b"\x00" * 10)
        assert await socket.receive_bytes(timeout=5) == b"\x00" * 10
        websocket = (await read_stats(client))["websocket"]
    assert websocket == {
        "opened": 1,
        "open": 1,
        "messages_in": 3,
        "messages_out": 3,
        "bytes_in": 15,
        "bytes_out": 15,
    }


async def test_a_reset_starts_from_zero(client: aiohttp.ClientSession) -> None:
    async with client.get("/flaky", params={"rate": "0.5"}):
        pass
    async with client.post("/stats/reset") as reply:
        assert (await reply.json())["requests"] == 0
    async with client.get("/flaky", params={"rate": "0.5"}) as reply:
        assert reply.status == 200
    assert (await read_stats(client))["requests"] == 1

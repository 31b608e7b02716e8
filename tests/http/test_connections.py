"""Connections of a session: reuse, limits, concurrency, cancellation, stale ones, leaks."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from chaperon_engine.errors import (
    ActionCancelled,
    ConnectionLost,
    ConnectionRefused,
    InvalidRequest,
    TotalTimeout,
)
from tests.http.conftest import Harness, Request, Server, Servers, ok, read_request, until


async def echo_server(servers: Servers, delay: random.Random | None = None) -> Server:
    """Answers with the path of the request, after a random while."""
    server: Server

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            server.requests.append(request)
            if delay is not None:
                await asyncio.sleep(delay.random() * 0.005)
            body = request.path.encode() * 20
            reply = ok(body)
            cut = len(reply) // 2
            writer.write(reply[:cut])
            if delay is not None:
                await asyncio.sleep(delay.random() * 0.003)
            writer.write(reply[cut:])

    server = await servers.raw(handler)
    return server


async def test_requests_in_a_row_share_one_connection(servers: Servers, harness: Harness) -> None:
    server = await echo_server(servers)
    harness.add("target", server.url)
    for number in range(20):
        response = await harness.call("GET", f"/{number}")
        assert response.body.startswith(f"/{number}/".encode()[:2])
    assert server.connections == 1
    assert harness.timed("connect") == {"ok": 1, "errors": {}}
    assert harness.timed("pool_wait")["ok"] == 0


async def test_concurrent_calls_open_at_most_the_limit_and_wait_in_line(
    servers: Servers, harness: Harness
) -> None:
    server = await echo_server(servers, random.Random(1))
    harness.add("target", server.url, max_connections=3)
    responses = await asyncio.gather(*(harness.call("GET", f"/{n}") for n in range(20)))
    for number, response in enumerate(responses):
        assert response.body == f"/{number}".encode() * 20
    assert server.connections == 3
    assert harness.timed("pool_wait")["ok"] == 17
    waited = [r.timings.wait_us for r in responses]
    assert sorted(waited)[2] == 0 < sorted(waited)[3]


async def test_each_session_has_its_own_connections_and_a_worker_pool_is_shared(
    servers: Servers, harness: Harness
) -> None:
    server = await echo_server(servers)
    harness.add("target", server.url)
    harness.add("shared", server.url, pool="worker", max_connections=2)
    clients = [harness.another_client() for _ in range(5)]
    await asyncio.gather(*(harness.call(client=client) for client in clients))
    assert server.connections == 5
    await asyncio.gather(*(harness.call(client=c, service="shared") for c in clients))
    assert server.connections == 7
    for client in clients:
        client.close()
    # A shared connection outlives the sessions.
    await harness.call(service="shared")
    assert server.connections == 7
    with pytest.raises(InvalidRequest, match="ended"):
        await harness.call(client=clients[0], service="shared")


async def test_a_cancelled_call_aborts_its_connection(servers: Servers, harness: Harness) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if request.path != "/slow":
                writer.write(ok(b"quick"))

    server = await servers.raw(answer)
    harness.add("target", server.url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await harness.call("GET", "/slow")
    assert harness.errors() == {"cancelled": 1}
    assert (await harness.call()).body == b"quick"
    assert server.connections == 2
    assert harness.counts == (2, 1, 1)


async def test_random_cancellation_and_concurrency_never_deliver_another_body(
    servers: Servers, harness: Harness
) -> None:
    rng = random.Random(42)
    server = await echo_server(servers, rng)
    harness.add("target", server.url, max_connections=4)
    right = wrong = cancelled = 0

    async def caller(number: int) -> None:
        nonlocal right, wrong, cancelled
        for step in range(12):
            path = f"/{number}-{step}"
            try:
                async with asyncio.timeout(rng.choice([0.001, 0.004, 0.01, 5])):
                    response = await harness.call("GET", path)
            except TimeoutError:
                cancelled += 1
                continue
            if response.body == path.encode() * 20:
                right += 1
            else:
                wrong += 1

    await asyncio.gather(*(caller(number) for number in range(16)))
    assert wrong == 0
    assert right > 20
    assert cancelled > 20
    assert right + cancelled == 16 * 12
    sent, succeeded, failed = harness.counts
    assert sent == succeeded + failed
    # A reply may be complete in the moment in which its call is cancelled.
    assert succeeded >= right


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_a_stale_connection_is_replaced_once_for_idempotent_methods(
    servers: Servers, harness: Harness, method: str
) -> None:
    served = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await read_request(reader)
        served += 1
        writer.write(ok(b""))
        # The second request of the connection is read and never answered.
        await read_request(reader)
        served += 1

    server = await servers.raw(handler)
    harness.add("target", server.url)
    await harness.call()
    response = await harness.call(method)
    assert response.status == 200
    assert server.connections == 2
    assert served == 3
    assert harness.counts == (3, 2, 1)
    assert harness.errors() == {"stale_retry": 1}
    assert harness.series.retries == 1


async def test_a_stale_connection_fails_other_methods(servers: Servers, harness: Harness) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        await read_request(reader)

    server = await servers.raw(handler)
    harness.add("target", server.url)
    await harness.call()
    with pytest.raises(ConnectionLost):
        await harness.call("POST")
    assert harness.errors() == {"reset": 1}
    assert harness.series.retries == 0


async def test_a_request_is_sent_a_second_time_only_once(
    servers: Servers, harness: Harness
) -> None:
    answers = 1

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        await read_request(reader)
        if answers:
            answers -= 1
            writer.write(ok())
            await read_request(reader)

    server = await servers.raw(handler)
    harness.add("target", server.url)
    await harness.call()
    with pytest.raises(ConnectionLost):
        await harness.call()
    assert harness.errors() == {"stale_retry": 1, "reset": 1}
    assert harness.counts == (3, 1, 2)


async def test_a_new_connection_that_closes_is_not_tried_again(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.answering(lambda request: None)
    harness.add("target", server.url)
    with pytest.raises(ConnectionLost):
        await harness.call()
    assert server.connections == 1


async def test_a_closed_idle_connection_is_simply_replaced(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        await writer.drain()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    for _ in range(3):
        await harness.call("POST")
        await until(lambda: not harness.worker.connections)
    assert server.connections == 3
    assert harness.counts == (3, 3, 0)


async def test_bytes_on_an_idle_connection_drop_it_and_are_counted(
    servers: Servers, harness: Harness
) -> None:
    go = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        await go.wait()
        writer.write(ok(b"nobody asked"))
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url)
    await harness.call()
    assert len(harness.client.service("target").pool.idle) == 1
    go.set()
    await until(lambda: not harness.worker.connections)
    assert harness.unsolicited() == 1
    assert harness.counts == (1, 1, 0)


async def test_closing_a_session_ends_its_calls_as_cancelled(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url, max_connections=1)
    client = harness.another_client()
    calls = [asyncio.create_task(harness.call(client=client)) for _ in range(2)]
    await until(lambda: any(c.response for c in harness.worker.connections))
    client.close()
    with pytest.raises(ActionCancelled):
        await calls[0]
    await until(lambda: any(c.response for c in harness.worker.connections))
    client.close()
    with pytest.raises(ActionCancelled):
        await calls[1]
    with pytest.raises(InvalidRequest, match="ended"):
        await harness.call(client=client)
    assert harness.errors() == {"cancelled": 2}


async def test_reset_drops_connections_and_cookies(servers: Servers, harness: Harness) -> None:
    server = await servers.replying(ok(headers="Set-Cookie: a=b\r\n"))
    harness.add("target", server.url)
    await harness.call()
    assert harness.client.cookies.as_dict() == {"a": "b"}
    harness.client.reset()
    assert not harness.client.cookies.count
    await harness.call()
    assert server.connections == 2
    assert "cookie" not in server.requests[1].headers


async def test_time_spent_in_line_counts_against_the_whole_call(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await servers.raw(handler)
    harness.add("target", server.url, max_connections=1, timeout_s=30)
    first = asyncio.create_task(harness.call())
    await until(lambda: any(c.response for c in harness.worker.connections))
    with pytest.raises(TotalTimeout, match="no connection"):
        await harness.call("GET", "/", timeout_s=0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert harness.errors() == {"timeout_total": 1, "cancelled": 1}


async def test_one_who_leaves_the_line_passes_its_turn_on(
    servers: Servers, harness: Harness
) -> None:
    rng = random.Random(3)
    server = await echo_server(servers, rng)
    harness.add("target", server.url, max_connections=1)
    for _ in range(30):
        tasks = [asyncio.create_task(harness.call("GET", f"/{n}")) for n in range(4)]
        await asyncio.sleep(rng.random() * 0.01)
        tasks[1].cancel()
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[2].body == b"/2" * 20  # type: ignore[union-attr]
        assert results[3].body == b"/3" * 20  # type: ignore[union-attr]


async def test_a_refused_connection_counts_as_sent_and_failed(harness: Harness) -> None:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        harness.add("target", f"http://127.0.0.1:{sock.getsockname()[1]}")
        with pytest.raises(ConnectionRefused, match="refused"):
            await harness.call()
    assert harness.counts == (1, 0, 1)
    assert harness.series.bytes_out == 0
    assert harness.errors() == {"refused": 1}
    assert harness.timed("connect") == {"ok": 0, "errors": {"refused": 1}}


async def test_a_reply_ahead_of_the_upload_ends_the_call_and_the_connection(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(5)

    async def endless() -> Any:
        while True:
            yield b"x" * 10_000

    server = await servers.raw(handler)
    harness.add("target", server.url)
    response = await harness.call("POST", body=endless())
    assert response.status == 413
    assert not harness.client.service("target").pool.connections


async def test_the_sweep_stops_while_nothing_is_in_flight(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.answering(lambda request: ok())
    harness.add("target", server.url, timeout_s=0.5)
    await harness.call()
    await until(lambda: not harness.worker.sweeping)
    await harness.call()
    assert harness.worker.sweeping


async def test_an_answer_to_each_of_many_requests_is_counted_exactly(
    servers: Servers, harness: Harness
) -> None:
    def answer(request: Request) -> bytes | None:
        number = int(request.path[1:])
        return None if number % 10 == 3 else ok(b"x" * number)

    server = await servers.answering(answer)
    harness.add("target", server.url)
    for number in range(60):
        with pytest.raises(ConnectionLost) if number % 10 == 3 else _nothing():
            await harness.call("POST", f"/{number}")
    assert harness.counts == (60, 54, 6)
    assert len(server.requests) == 60


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


async def test_an_idle_connection_keeps_nothing_of_its_last_reply(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.replying(ok(b"x" * 400_000))
    harness.add("target", server.url)
    await harness.call()
    await harness.call(read=False)
    (connection,) = harness.client.service("target").pool.idle
    assert connection.response is None
    assert connection.future is None
    assert not connection._assembly.received
    assert not connection._assembly.head
    assert not connection._assembly.body

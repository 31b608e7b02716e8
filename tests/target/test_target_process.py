"""The target's life: in a loop, as a child process, and its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from chaperon_engine.errors import UserError
from chaperon_engine.target import RunningTarget, start


@contextmanager
def child(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    command = [sys.executable, "-m", "chaperon_engine.target", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()


async def test_stopping_ends_polls_and_sockets_at_once(
    in_flight_becomes: Callable[[RunningTarget, int], Awaitable[None]],
) -> None:
    target = await start()
    async with aiohttp.ClientSession(target.url) as client:
        poll = asyncio.ensure_future(client.get("/channel/x"))
        subscriber = await client.ws_connect("/channel/x")
        echo = await client.ws_connect("/ws/echo")
        await in_flight_becomes(target, 3)
        begin = time.monotonic()
        await asyncio.gather(target.stop(), subscriber.receive(), echo.receive())
        assert (subscriber.close_code, echo.close_code) == (1001, 1001)
        assert (await poll).status == 204
        await target.stop()
        assert time.monotonic() - begin < 1


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    async with await start() as first:
        with pytest.raises(UserError, match=f"port {first.port}: Address already in use"):
            await start(port=first.port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99_999), ("host.invalid", 0)])
async def test_an_address_that_cannot_be_is_one_sentence(host: str, port: int) -> None:
    with pytest.raises(UserError, match="cannot listen on"):
        await start(host, port)


async def test_the_target_listens_on_ipv6_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with (
        await start("::1") as target,
        aiohttp.ClientSession() as client,
        client.get(target.url + "/") as reply,
    ):
        assert reply.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_serves_until_a_signal(number: signal.Signals) -> None:
    with child() as (process, url):
        with urllib.request.urlopen(url + "/json", timeout=5) as reply:
            assert reply.status == 200
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_the_process_ends_with_its_owner_s_pipe() -> None:
    with child("--exit-with-stdin") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=5) == 0


def test_a_wrong_port_ends_with_one_sentence_and_104() -> None:
    command = [sys.executable, "-m", "chaperon_engine.target", "--port", "99999"]
    ended = subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert ended.returncode == 104
    assert ended.stderr.decode().count("\n") == 1

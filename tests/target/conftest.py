"""A running target and a client for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from chaperon_engine.target import RunningTarget, start


@pytest.fixture
async def target() -> AsyncIterator[RunningTarget]:
    async with await start() as running:
        yield running


@pytest.fixture
async def client(target: RunningTarget) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(target.url, timeout=timeout) as session:
        yield session


@pytest.fixture
def in_flight_becomes() -> Callable[[RunningTarget, int], Awaitable[None]]:
    """Wait until that many requests are in the target's handlers."""

    async def wait(target: RunningTarget, number: int) -> None:
        async with asyncio.timeout(5):
            while target.stats.document()["in_flight"] != number:  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0.001)

    return wait

"""A real target for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chaperon_engine.target import RunningTarget, start


@pytest.fixture
async def target() -> AsyncIterator[RunningTarget]:
    async with await start() as running:
        yield running

"""A real target for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chaperon_engine.target import RunningTarget, server, start


@pytest.fixture
async def target(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningTarget]:
    # Handlers of slow replies that nobody waits for any more would be waited for at its end.
    monkeypatch.setattr(server, "_SHUTDOWN_S", 0.01)
    async with await start() as running:
        yield running

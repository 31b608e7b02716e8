"""What the first, second and third interrupt do, with an engine that does not answer."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest

from chaperon_engine.cli.running import GivenUp, Interrupts, follow
from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client.connection import RunClient
from chaperon_engine.errors import EngineError
from chaperon_engine.metrics.snapshot import Snapshot, View


class MuteEngine:
    """A client of a run that never tells anything."""

    run_id = "r"

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.ends = asyncio.Event()

    async def subscribe(self, view: View, rate_hz: float = 4.0) -> None:
        self.asked.put_nowait("subscribe")

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        await self.ends.wait()
        for nothing in list[Snapshot]():
            yield nothing

    async def stop(self) -> None:
        self.asked.put_nowait("stop")

    async def abort(self) -> None:
        self.asked.put_nowait("abort")
        raise EngineError("gone")


async def test_interrupts_stop_then_abort_then_leave() -> None:
    engine, output = MuteEngine(), io.StringIO()
    client, terminal = cast(RunClient, engine), Terminal(output)
    interrupts = Interrupts(terminal)
    with interrupts.installed():
        interrupts.control(client)
        following = asyncio.create_task(follow(client, terminal, interrupts))
        assert await engine.asked.get() == "subscribe"
        os.kill(os.getpid(), signal.SIGINT)
        assert await engine.asked.get() == "stop"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await engine.asked.get() == "abort"
        assert not following.done()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(GivenUp):
            await following
    assert output.getvalue().splitlines() == [
        "Stopping: no new iterations, running ones may end. Ctrl-C again aborts them.",
        "Aborting what is in flight; the report follows.",
    ]


async def test_an_engine_that_ends_without_a_last_snapshot_is_told() -> None:
    engine, terminal = MuteEngine(), Terminal(io.StringIO())
    engine.ends.set()
    client = cast(RunClient, engine)
    with pytest.raises(EngineError, match="ended without a report"):
        await follow(client, terminal, Interrupts(terminal))


async def test_what_is_said_of_a_killed_engine_does_not_stand_in_the_live_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(MuteEngine):
        async def snapshots(self) -> AsyncIterator[Snapshot]:
            terminal.live("running")
            for nothing in list[Snapshot]():
                yield nothing
            raise EngineError("gone")

    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(stream)
    client = cast(RunClient, Killed())
    with pytest.raises(EngineError, match="gone"):
        await follow(client, terminal, Interrupts(terminal))
    assert stream.getvalue() == "\rrunning\x1b[K\r\x1b[K"

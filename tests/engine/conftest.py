"""A counting server, scenario files and runs in a home of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.describing import child_environment, describe
from chaperon_engine.client.launching import _prepare
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.metrics.snapshot import Snapshot

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Browse(Scenario):
    async def run(self, session: Session) -> None:
        await session.get("/")
        await session.delay({delay})

class ShopTest(LoadTest):
    services = {{"shop": Service("{url}")}}
    scenarios = [
        Population(Browse, sessions=6, duration="{duration}", name="buyers", graceful_stop="2s")
    ]
"""


class CountingServer:
    """Answers every request at once and counts requests on the wire."""

    def __init__(self) -> None:
        self.requests = 0
        self.reply_delay_s = 0.0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.reply_delay_s:
                    await asyncio.sleep(self.reply_delay_s)
                writer.write(REPLY)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "h"
    monkeypatch.setenv("CHAPERON_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
async def server() -> AsyncIterator[CountingServer]:
    found = CountingServer()
    await found.start()
    yield found
    await found.close()


@pytest.fixture
def scenario(tmp_path: Path, server: CountingServer) -> Callable[..., Path]:
    """Writes a scenario file; a source of its own may use {url}."""

    def write(source: str = SCENARIO, *, duration: str = "1500ms", delay: float = 0.005) -> Path:
        path = tmp_path / "shop.py"
        path.write_text(source.format(url=server.url, duration=duration, delay=delay))
        return path

    return write


def request(file: Path, **keywords: object) -> LaunchRequest:
    """A launch of two workers that share cores with everything else."""
    settings: dict[str, object] = {"workers": 2, "pin": False, **keywords}
    return LaunchRequest(file=str(file), **settings)  # type: ignore[arg-type]


async def snapshots_until(client: RunClient, enough: Callable[[Snapshot], bool]) -> list[Snapshot]:
    """The snapshots up to the first that is enough."""
    seen = []
    async for snapshot in client.snapshots():
        seen.append(snapshot)
        if enough(snapshot):
            return seen
    raise AssertionError(f"the run ended before: {seen[-1].reasons}")


async def last_snapshot(client: RunClient) -> Snapshot:
    """See the run through."""
    last = None
    async for snapshot in client.snapshots():
        last = snapshot
    assert last is not None
    assert last.state == "finished"
    return last


async def launch_with(
    launch_request: LaunchRequest, setup: str
) -> tuple[RunClient, asyncio.subprocess.Process]:
    """Launch with an engine whose `main` gets keywords that the Python code `setup` makes."""
    plan = await describe(launch_request)
    directory = _prepare(launch_request, plan)
    code = (
        "import sys; from chaperon_engine.engine.process import main\n"
        "from chaperon_engine.coordinator.events import Limits\n"
        f"keywords = {{}}\n{setup}\n"
        "sys.exit(main(sys.argv[1:], **keywords))"
    )
    log = directory.log.open("ab")
    with log:
        engine = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(directory.path),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env=child_environment(),
        )  # fmt: skip
    while True:
        try:
            client = await RunClient.open(
                directory, directory.socket_path(), lease=True, timeout_s=30
            )
        except (FileNotFoundError, ConnectionRefusedError):
            assert engine.returncode is None, directory.log.read_text()
            await asyncio.sleep(0.02)
        else:
            return client, engine

"""A queue's server in this process or as a process of its own, a target, and scenarios for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaperon_engine.client.queue import QueueEntry
from chaperon_engine.clock import SystemClock
from chaperon_engine.serve.guard import Gate
from chaperon_engine.serve.server import QueueServer, Settings
from chaperon_engine.serve.streams import Streams

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-the-tests-0123456789"
COMMAND = [sys.executable, "-m", "chaperon_engine.cli"]

SCENARIOS = '''
"""Short tests."""
from chaperon_engine import LoadTest, Population, Scenario, Service

class Get(Scenario):
    async def run(self, session):
        await session.get("/")

class Quick(LoadTest):
    services = {"target": Service("TARGET")}
    scenarios = [Population(Get, iterations=1)]

class Long(LoadTest):
    services = {"target": Service("TARGET")}
    scenarios = [Population(Get, duration="60s", graceful_stop="1s", config={"delay": "50ms"})]

class Remote(LoadTest):
    services = {"target": Service("http://service.example:8080")}
    scenarios = [Population(Get, iterations=1)]
'''


def pytest_configure(config: pytest.Config) -> None:
    """The whole suite loads no plugin that only this folder needs."""
    config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


class FakeClock:
    """Seconds that pass when the test says so; labels of the real clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def label(self) -> datetime:
        return SystemClock().label()


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Any

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        error = self.json()["error"]
        assert isinstance(error, str)
        return error


@dataclass
class Api:
    """A plain HTTP client of a server."""

    url: str
    http: aiohttp.ClientSession
    server: QueueServer | None = None
    """When it is in this process."""

    async def __call__(self, method: str, path: str, **settings: Any) -> Reply:
        settings.setdefault("headers", {"Authorization": f"Bearer {TOKEN}"})
        async with self.http.request(method, self.url + path, **settings) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def stop(self) -> None:
        """Stop the server."""
        assert self.server is not None
        await self.server.stop()

    async def post(self, test: Any, **options: Any) -> Reply:
        """Ask for one test, on one worker."""
        body = {"load_tests": [{"test": test, "options": {"workers": 1, **options}}]}
        return await self("POST", "/load_tests", json=body)

    async def entry(self, id: str) -> dict[str, Any]:
        found = (await self("GET", f"/load_tests/{id}")).json()
        assert isinstance(found, dict)
        return found

    async def until(self, id: str, *states: str, seconds: float = 30) -> dict[str, Any]:
        """Poll until the entry is in one of these states."""
        limit = time.monotonic() + seconds
        while True:
            entry = await self.entry(id)
            if entry["state"] in states:
                return entry
            assert entry["state"] in ("queued", "running"), (entry["state"], entry["reason"])
            assert time.monotonic() < limit, entry
            await _pause()

    async def until_running(self, id: str) -> str:
        """Poll until its load has begun; answers the run's id."""
        limit = time.monotonic() + 30
        while not (entry := await self.entry(id))["run_id"]:
            assert entry["state"] in ("queued", "running"), (entry["state"], entry["reason"])
            assert time.monotonic() < limit, entry
            await _pause()
        run_id = entry["run_id"]
        assert isinstance(run_id, str)
        return run_id


async def _pause() -> None:
    await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """URL of the bundled target."""
    process = subprocess.Popen(
        [*COMMAND, "target", "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout.readline().split()[2]
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a working folder of the test's own."""
    folder = tmp_path / "home"
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("CHAPERON_HOME", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("CHAPERON_API_TOKEN", "CHAPERON_API_TOKEN_FILE", "CHAPERON_IP", "CHAPERON_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def folder(tmp_path: Path, target: str) -> Path:
    """A folder of scenarios: short.py with Quick, Long and Remote."""
    path = tmp_path / "load"
    path.mkdir()
    (path / "short.py").write_text(SCENARIOS.replace("TARGET", target))
    return path


StartServer = Callable[..., Awaitable[Api]]


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[StartServer]:
    """Starts servers in this process; answers a client of each. `gate`, `clock` and `streams` are
    the server's parts, everything else its settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(
            *, gate: Gate | None = None, clock: Any = None, streams: Streams | None = None,
            **settings: Any,
        ) -> Api:  # fmt: skip
            chosen = Settings(**{"token": TOKEN, "folders": [folder], "port": 0, **settings})
            server = await QueueServer.start(chosen, clock=clock, gate=gate, streams=streams)
            stack.push_async_callback(server.stop)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            return Api(server.url, http, server)

        yield started


@pytest.fixture
async def api(start: StartServer) -> Api:
    """A client of a server in this process."""
    return await start()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is queued comes any further than to its start."""

    async def launch(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("chaperon_engine.serve.keeper.launch", launch)


@dataclass
class Served:
    """A server as a process of its own."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def end(self, *, kill: bool = False) -> int:
        """End it; answers its exit code."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@pytest.fixture
def serve(folder: Path, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts `chaperon serve` as a process."""
    running: list[Served] = []

    def started(*args: str, env: dict[str, str] | None = None) -> Served:
        log = tmp_path / f"serve-{len(running)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--folder", str(folder), *args],
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, "CHAPERON_API_TOKEN": TOKEN, **(env or {})},
            )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"Queue at (\S+) ", line)
        assert match, f"{line!r} {log.read_text()}"
        running.append(Served(process, match[1], log))
        return running[-1]

    yield started
    for server in running:
        if server.process.poll() is None:
            server.end(kill=True)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def brief(entries: list[QueueEntry]) -> list[tuple[str, str, int]]:
    """Entries in a form that is easy to compare."""
    return [(entry.name, entry.state, entry.position) for entry in entries]

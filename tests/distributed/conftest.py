"""Engines and agents as processes of their own, with short leases; a proxy that fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.describing import child_environment, describe
from chaperon_engine.client.launching import _prepare
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.metrics.model import Frame
from chaperon_engine.metrics.snapshot import Snapshot
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.journal import RecordReader
from chaperon_engine.runs.kept import AgentRecord, KeptFrame
from tests.engine.conftest import CountingServer, home, scenario, server

__all__ = ["home", "scenario", "server"]

LEASE_S = 1.5
LIMITS = f"lease_s={LEASE_S}, lease_margin_s=0.5, return_wait_s=6.0, start_delay_s=0.05"
AGENT_LIMITS = "longest_backoff_s=0.3, silent_s=0.8, return_s=4.0"

ENGINE = """
import sys
from chaperon_engine.coordinator.events import Limits
from chaperon_engine.engine.process import main
{setup}
sys.exit(main(sys.argv[1:], limits=Limits({limits})))
"""
AGENT = """
import sys
from chaperon_engine.agent.events import AgentLimits
from chaperon_engine.agent.process import Joining, join
from chaperon_engine.remote.dial import Pin
from chaperon_engine.remote.tokens import read_token
{setup}
host, port, run, pin, token, name, workers = sys.argv[1:]
sys.exit(join(
    Joining(host=host, port=int(port), run_id=run, trust=Pin.parse(pin), token=read_token(token),
            name=name, workers=int(workers), pin=False, limits=AgentLimits({limits})),
    lambda level, text: print(f"{{level}}: {{text}}", flush=True)))
"""


class Agent:
    """An agent's process and what it said."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process
        self.pid = process.pid
        self.said = ""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said += line.decode()

    async def end(self) -> int:
        """Wait for it; its exit code."""
        async with asyncio.timeout(20):
            status = await self.process.wait()
            await self._reading
        return status

    async def says(self, text: str) -> None:
        """Wait until it has said this."""
        async with asyncio.timeout(20):
            while text not in self.said:
                assert not self._reading.done(), self.said
                await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        return psutil.Process(self.pid).children()

    def signal_host(self, number: signal.Signals) -> None:
        """To all processes of its host."""
        signal_all(self.pid, number)


def signal_all(pid: int, number: signal.Signals) -> None:
    """To a process and those that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            each.send_signal(number)


class Launched:
    """A run that waits for agents, or has begun."""

    def __init__(self, directory: RunDirectory, engine: asyncio.subprocess.Process):
        self.directory = directory
        self.engine = engine
        self.agents: list[Agent] = []
        self._gathering: asyncio.Future[Gathering] = asyncio.get_running_loop().create_future()
        self.attached: list[str] = []
        self._changed = asyncio.Event()
        self._client = asyncio.create_task(self._open())

    async def _open(self) -> RunClient:
        while True:
            try:
                return await RunClient.open(
                    self.directory, self.directory.socket_path(), lease=True, timeout_s=30,
                    on_gathering=self._note,
                )  # fmt: skip
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.engine.returncode is None, self.directory.log.read_text()
                await asyncio.sleep(0.02)

    def _note(self, gathering: Gathering) -> None:
        self.attached = gathering.attached
        self._changed.set()
        if not self._gathering.done():
            self._gathering.set_result(gathering)

    async def told(self) -> Gathering:
        """How others come to the run."""
        await asyncio.wait({self._gathering, self._client}, return_when=asyncio.FIRST_COMPLETED)
        if not self._gathering.done():
            await self._client
        return self._gathering.result()

    async def line(self) -> list[str]:
        """The words of the join line."""
        return shlex.split((await self.told()).join)

    async def attaches(self, count: int) -> None:
        """Wait until so many agents have attached."""
        async with asyncio.timeout(15):
            while len(self.attached) < count:
                self._changed.clear()
                await self._changed.wait()

    async def join(
        self, name: str, *, workers: int = 1, limits: str = AGENT_LIMITS, port: int | None = None,
        home: Path | None = None, setup: str = "",
    ) -> Agent:  # fmt: skip
        """Start an agent; `port` of a proxy, `home` of another machine; `setup`: Python code that
        it runs first."""
        words = await self.line()
        host, _, real_port = words[3].rpartition(":")
        options = dict(zip(words[4::2], words[5::2], strict=True))
        code = AGENT.format(limits=limits, setup=setup)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, host, str(port or real_port),
            options["--run"], options["--pin"], options["--token-file"], name, str(workers),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=child_environment() | ({"CHAPERON_HOME": str(home)} if home else {}),
            start_new_session=True,
        )  # fmt: skip
        agent = Agent(process)
        self.agents.append(agent)
        return agent

    async def port(self) -> int:
        """Where the coordinator listens."""
        return int((await self.line())[3].rpartition(":")[2])

    async def begins(self) -> RunClient:
        """Wait for the load."""
        return await self._client

    async def stop(self) -> Snapshot:
        """What was to be seen has been seen: stop the load, see the run through."""
        await (await self._client).stop()
        return await self.last()

    async def last(self) -> Snapshot:
        """See the run through."""
        client = await self._client
        last = None
        async for snapshot in client.snapshots():
            last = snapshot
        assert last is not None
        await client.close()
        return last

    async def close(self) -> None:
        self._client.cancel()
        with contextlib.suppress(BaseException):
            await (await self._client).close()
        for process in [self.engine, *(agent.process for agent in self.agents)]:
            if process.returncode is None:
                signal_all(process.pid, signal.SIGCONT)
                process.kill()
                await process.wait()


Start = Callable[..., Awaitable[Launched]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts runs that wait for agents."""
    started: list[Launched] = []

    async def start_run(
        file: Path, *, limits: str = LIMITS, setup: str = "", **keywords: object
    ) -> Launched:
        settings: dict[str, object] = {
            "workers": 1, "pin": False, "seed": 1, "listen": "127.0.0.1:0", "expect": 2,
            "start_timeout_s": 20.0, **keywords,
        }  # fmt: skip
        request = LaunchRequest(file=str(file), **settings)  # type: ignore[arg-type]
        directory = _prepare(request, await describe(request))
        code = ENGINE.format(limits=limits, setup=setup)
        with directory.log.open("ab") as log:
            engine = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, str(directory.path),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=child_environment(),
            )  # fmt: skip
        started.append(Launched(directory, engine))
        return started[-1]

    yield start_run
    for launched in started:
        await launched.close()


class Proxy:
    """Passes TCP on, until it is told to keep everything, to spoil it, or to cut it."""

    def __init__(self, port: int):
        self._target = port
        self._chance: random.Random | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def freeze(self) -> None:
        """Nothing passes, nobody is told."""
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def spoil(self, seed: int) -> None:
        """From now on all comes in small pieces, late, and some connections end in the middle."""
        self._chance = random.Random(seed)

    def heal(self) -> None:
        self._chance = None

    def cut(self) -> None:
        """All connections end."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._open.wait()
            other_reader, other = await asyncio.open_connection("127.0.0.1", self._target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        self._writers |= {writer, other}
        try:
            await asyncio.gather(self._pump(reader, other), self._pump(other_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= {writer, other}
            writer.transport.abort()
            other.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            while (chance := self._chance) is not None and data:
                piece, data = data[: (size := chance.randint(1, 400))], data[size:]
                await asyncio.sleep(chance.uniform(0, 0.02))
                if chance.random() < 0.02:
                    writer.write(piece[: len(piece) // 2])
                    raise ConnectionResetError
                writer.write(piece)
                await writer.drain()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def close(self) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def proxy() -> AsyncIterator[Callable[[int], Awaitable[tuple[Proxy, int]]]]:
    """Makes proxies before a port."""
    made: list[Proxy] = []

    async def make(port: int) -> tuple[Proxy, int]:
        found = Proxy(port)
        made.append(found)
        return found, await found.listen()

    yield make
    for each in made:
        await each.close()


async def grows(server: CountingServer, by: int) -> None:
    """Wait for more requests on the wire."""
    goal = server.requests + by
    # The server counts and has no event to offer.
    while server.requests < goal:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def rests(server: CountingServer, quiet_s: float = 0.4) -> None:
    """Wait until nothing has arrived for a while."""
    seen = -1
    while seen != server.requests:
        seen = server.requests
        await asyncio.sleep(quiet_s)


def last_kept(journal: Path) -> Frame:
    """The newest frame in the journal of an agent."""
    records = RecordReader[AgentRecord](journal, AgentRecord)
    return [record.frame for record in records if isinstance(record, KeptFrame)][-1]

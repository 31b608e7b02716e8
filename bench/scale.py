"""`python -m bench scale`: what the coordinator needs for many agents.

For each size a real engine without workers of its own, with its journal, listens on loopback. As
many pretended agents (`simulated`) attach through TLS and the real handshake, from one address and
all at once, and send one frame a second each, all at the same moment, as real agents do. A viewer
takes four snapshots a second. The engine has the first core, agents and viewer have the second.

CPU is the engine's user and system time over whole seconds of the load, after the first two.
Memory is the highest proportional set size (PSS), read twice a second, and the highest resident
one that the kernel saw. The delay of a frame is the time from the end of its second until the
viewer has decoded a snapshot that contains it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import psutil

from bench import machine
from bench.simulated import Task
from bench.supervisor import pss_bytes
from bench.table import render
from chaperon_engine import LaunchRequest, RunClient, View, launch
from chaperon_engine.errors import ChaperonError
from chaperon_engine.platform import raise_descriptor_limit
from chaperon_engine.protocol.messages import Gathering

SETTLED_S: Final = 2.5
"""From the start of the load until CPU is read first: series have been announced then. In a load
of a few seconds a half is enough."""
ATTACH_TIMEOUT_S: Final = 90.0
END_TIMEOUT_S: Final = 60.0
ROWS: Final = 32
"""Of members that the viewer looks at, as the UI's live screen does."""
_SAMPLE_S: Final = 0.5
_SCENARIO: Final = Path(__file__).parent / "scenarios" / "idle.py"


class ScaleFailed(Exception):
    """A size could not be measured; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a snapshot said, and when the viewer had it."""

    at_s: float
    requests: int
    seconds: int
    """Closed ones."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One size."""

    agents: int
    attached_s: float
    """From the first try to dial until the last agent is admitted."""
    tries: int
    """To dial, of all agents."""
    begun_s: float
    """From the first try until second 0 of the load."""
    attach_cpu_s: float
    """Of the engine's processor until the load began."""
    cores: float
    """That the engine used in the load."""
    pss_bytes: int
    rss_bytes: int
    delays_s: list[float]
    """Of each frame."""
    closed_s: list[float]
    """Of each second of the run: from its end until a snapshot had it in full."""
    late_s: float
    """How long the generator took at worst until all frames of a tick were handed over."""
    others_cores: float
    """That anything but engine, agents and viewer used meanwhile."""
    journal_bytes: int


def frame_delays(
    seen: Sequence[Seen], *, start_s: float, agents: int, requests: int
) -> list[float]:
    """For each frame the time from its tick to the first snapshot with it; frames of one tick are
    alike, each has `requests`."""
    delays: list[float] = []
    for snapshot in seen:
        contained = snapshot.requests // requests
        while len(delays) < contained:
            tick = len(delays) // agents + 1
            count = min(contained, tick * agents) - len(delays)
            delays += [snapshot.at_s - start_s - tick] * count
    return delays


def closing_delays(seen: Sequence[Seen], *, start_s: float) -> list[float]:
    """For each second the time from its end until a snapshot had it."""
    delays: list[float] = []
    for snapshot in seen:
        while len(delays) < snapshot.seconds:
            delays.append(snapshot.at_s - start_s - (len(delays) + 1))
    return delays


def measure_scale(sizes: Sequence[int], series: int, requests: int, seconds: int) -> int:
    """Measure and print a table; 1 when a size failed or a target was missed."""
    print("\n".join(machine.describe()))
    print(
        f"each agent: {series} series, {requests:,} requests/s, one frame a second, {seconds} s\n",
        flush=True,
    )
    found: list[Scale] = []
    failures: list[str] = []
    for size in sizes:
        print(f"{size:,} agents ...", file=sys.stderr, flush=True)
        try:
            found.append(asyncio.run(measure(size, series, requests, seconds)))
        except (ScaleFailed, ChaperonError, TimeoutError, OSError) as error:
            failures.append(f"{size} agents: {str(error) or 'not within the time allowed'}")
    print(table(found))
    print("".join(f"not measured: {failure}\n" for failure in failures), end="")
    return 1 if failures else 0


async def measure(agents: int, series: int, requests: int, seconds: int) -> Scale:
    """One size. Raises ScaleFailed, TimeoutError."""
    needed = agents + 64
    if raise_descriptor_limit() < needed:
        raise ScaleFailed(f"{needed} descriptors are needed (ulimit -Hn)")
    with tempfile.TemporaryDirectory(prefix="chaperon-scale-") as home:
        os.environ["CHAPERON_HOME"] = home
        try:
            limit_s = ATTACH_TIMEOUT_S + seconds + END_TIMEOUT_S
            async with asyncio.timeout(limit_s):
                return await _Measuring(agents, series, requests, seconds).run()
        finally:
            del os.environ["CHAPERON_HOME"]


class _Measuring:
    def __init__(self, agents: int, series: int, requests: int, seconds: int):
        self._agents = agents
        self._series = series
        self._requests = requests
        self._seconds = seconds
        own = machine.cores()
        self._own = own
        self._engine_cores = {own[0]}
        self._other_cores = set(own[1:]) or {own[0]}
        self._generator: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self._seen: list[Seen] = []
        self._peak = 0

    async def run(self) -> Scale:
        try:
            return await self._run()
        finally:
            os.sched_setaffinity(0, self._own)
            if self._starting is not None:
                self._starting.cancel()
            if self._generator is not None and self._generator.returncode is None:
                self._generator.kill()
                await self._generator.wait()

    async def _run(self) -> Scale:
        request = LaunchRequest(
            file=str(_SCENARIO), workers=0, sessions={"*": self._agents}, preflight=False,
            duration_s=self._seconds + 5.0, listen="127.0.0.1:0", expect=self._agents,
            start_timeout_s=ATTACH_TIMEOUT_S,
            overrides=["services.default.base_url=http://127.0.0.1:9"],
        )  # fmt: skip
        # The engine inherits where it may run.
        os.sched_setaffinity(0, self._engine_cores)
        client = await launch(request, on_gathering=self._gathering)
        async with client:
            return await self._watch(client)

    def _gathering(self, gathering: Gathering) -> None:
        if self._starting is None:
            os.sched_setaffinity(0, self._other_cores)
            self._starting = asyncio.create_task(self._start_agents(gathering))

    async def _start_agents(self, gathering: Gathering) -> None:
        words = shlex.split(gathering.join)
        at = words.index("join")
        host, _, port = words[at + 1].rpartition(":")
        options = dict(zip(words[at + 2 :: 2], words[at + 3 :: 2], strict=True))
        task = Task(
            host=host, port=int(port), run_id=options["--run"], pin=options["--pin"],
            token_file=options["--token-file"], first=0, agents=self._agents,
            series=self._series, requests=self._requests, seconds=self._seconds,
        )  # fmt: skip
        self._generator = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.simulated",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._generator.stdin is not None
        assert self._generator.stdout is not None
        self._generator.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
        await self._generator.stdout.readline()
        self._began_s = time.monotonic()
        self._generator.stdin.write(b"\n")

    async def _watch(self, client: RunClient) -> Scale:
        engine = psutil.Process(client.engine_pid)
        attach_cpu_s = _cpu_s(engine)
        sampling = asyncio.create_task(self._sample(engine))
        reading = asyncio.create_task(self._read(client))
        await client.subscribe(View(worker_limit=ROWS))
        start_s = await self._start_of_load()
        settled_s = SETTLED_S if self._seconds > 4 else 0.5
        await asyncio.sleep(max(0.0, start_s + settled_s - time.monotonic()))
        before = self._reading(engine)
        # No reading can be taken of an engine that is over.
        await asyncio.sleep(max(0.0, start_s + self._seconds - 0.5 - time.monotonic()))
        after = self._reading(engine)
        rss_bytes = _peak_rss(engine.pid)
        journal_bytes = (client.directory / "journal").stat().st_size
        sampling.cancel()
        assert self._generator is not None
        output, errors = await self._generator.communicate()
        if self._generator.returncode != 0:
            raise ScaleFailed(errors.decode().strip() or "the generator of frames failed")
        said = json.loads(output)
        await reading
        if self._seen[-1].requests != said["requests"]:
            raise ScaleFailed(
                f"{said['requests']:,} requests were sent, {self._seen[-1].requests:,} were counted"
            )
        wall_s, engine_s, known_s, machine_s = (
            late - early for early, late in zip(before, after, strict=True)
        )
        return Scale(
            agents=self._agents,
            attached_s=said["attached_s"],
            tries=said["tries"],
            begun_s=start_s - self._began_s,
            attach_cpu_s=attach_cpu_s,
            cores=engine_s / wall_s,
            pss_bytes=self._peak,
            rss_bytes=rss_bytes,
            delays_s=frame_delays(
                self._seen, start_s=start_s, agents=self._agents, requests=self._requests
            ),
            closed_s=closing_delays(self._seen, start_s=start_s)[: self._seconds],
            late_s=said["late_s"],
            others_cores=max(0.0, machine_s - known_s) / wall_s,
            journal_bytes=journal_bytes,
        )

    async def _start_of_load(self) -> float:
        """Second 0 on the monotonic clock."""
        assert self._generator is not None
        assert self._generator.stdout is not None
        line = await self._generator.stdout.readline()
        if not line.startswith(b"{"):
            _, errors = await self._generator.communicate()
            raise ScaleFailed(errors.decode().strip() or "the generator of frames failed")
        start_ns: int = json.loads(line)["start_ns"]
        return start_ns / 1e9

    async def _read(self, client: RunClient) -> None:
        seconds = 0
        async for snapshot in client.snapshots():
            seconds += len(snapshot.intervals)
            self._seen.append(Seen(time.monotonic(), snapshot.totals.requests, seconds))

    async def _sample(self, engine: psutil.Process) -> None:
        while True:
            self._peak = max(self._peak, pss_bytes(engine.pid))
            await asyncio.sleep(_SAMPLE_S)

    def _reading(self, engine: psutil.Process) -> tuple[float, float, float, float]:
        """Wall, and processor seconds of the engine, of all that is measured, of the machine."""
        assert self._generator is not None
        engine_s = _cpu_s(engine)
        agents_s = _cpu_s(psutil.Process(self._generator.pid))
        known_s = engine_s + agents_s + time.process_time()
        times = psutil.cpu_times()
        machine_s = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        return time.monotonic(), engine_s, known_s, machine_s


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    used: float = times.user + times.system
    return used


def _peak_rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


_HEAD: Final = (
    "agents",
    "attached",
    "tries to dial",
    "load begins",
    "cores",
    "CPU ms/frame",
    "PSS MiB",
    "RSS MiB",
    "median",
    "p99",
    "max",
    "second closed, max",
    "journal MiB/s",
    "frames sent by",
    "other load",
)


def table(found: Sequence[Scale]) -> str:
    """The result; delays are those from a frame's tick to its snapshot."""
    rows = []
    for each in found:
        delays = each.delays_s
        seconds = len(each.closed_s)
        rows.append(
            (
                f"{each.agents:,}",
                f"{each.attached_s:.1f} s",
                f"{each.tries:,}",
                f"{each.begun_s:.1f} s",
                f"{each.cores:.3f}",
                f"{each.cores / each.agents * 1000:.2f}",
                f"{each.pss_bytes / 1024**2:.0f}",
                f"{each.rss_bytes / 1024**2:.0f}",
                f"{median(delays) * 1000:.0f} ms",
                f"{quantiles(delays, n=100)[98] * 1000:.0f} ms",
                f"{max(delays) * 1000:.0f} ms",
                f"{max(each.closed_s) * 1000:.0f} ms",
                f"{each.journal_bytes / seconds / 1024**2:.2f}",
                f"{each.late_s * 1000:.0f} ms",
                f"{each.others_cores:.2f}",
            )
        )
    return render(_HEAD, rows)

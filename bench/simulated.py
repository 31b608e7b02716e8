"""Pretended agents: real frames over real authenticated sockets, and no load behind them.

    echo '{"host": ..., "port": ..., ...}' | python -m bench.simulated

One process drives many agents: each dials with the real handshake and the real back-off, takes the
bundle, answers pings, and sends one frame a second as the agents of a run do, all at the same
moment. What a frame says was made beforehand, so that this process needs little time of its core.

Owns: what such an agent says. Must not know: what the coordinator makes of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop

from chaperon_engine.agent.events import AgentLimits
from chaperon_engine.metrics.interval import IntervalHistogram
from chaperon_engine.metrics.model import (
    Frame,
    FrameTotals,
    HealthSample,
    HistogramDelta,
    IterationCounts,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.platform import die_with_parent, raise_descriptor_limit
from chaperon_engine.protocol.messages import AbortLoad, Refused, StopLoad
from chaperon_engine.protocol.token import Token
from chaperon_engine.protocol.wire import (
    Ack,
    Admitted,
    AgentDone,
    AgentFrame,
    AgentHello,
    AgentPing,
    AgentPong,
    AgentPrepare,
    AgentReady,
    AgentStart,
    AgentStarted,
    ToAgent,
)
from chaperon_engine.remote.dial import DialError, Pin, dial_as_agent
from chaperon_engine.remote.link import CoordinatorLink
from chaperon_engine.version import __version__

VARIANTS: Final = 64
"""Different sets of measurements; agents and seconds take them in turn."""
CORES: Final = 4
"""Of each agent."""
END_S: Final = 30.0
"""How long the end may take after the last frame."""


@dataclass(frozen=True)
class Task:
    """What this process is to do."""

    host: str
    port: int
    run_id: str
    pin: str
    token_file: str
    first: int
    """Number of its first agent."""
    agents: int
    series: int
    requests: int
    """Of one agent in one second."""
    seconds: int


@dataclass(frozen=True)
class Measured:
    """What an agent has measured in one second."""

    deltas: msgspec.Raw
    totals: FrameTotals
    """Sums of this second."""


class Kit:
    """What all agents of this process have in common."""

    def __init__(self, task: Task):
        self.task = task
        self.pin = Pin.parse(task.pin)
        self.token = Token.parse(Path(task.token_file).read_text(encoding="ascii").strip())
        chance = random.Random(7)
        self.keys = series_keys(task.series)
        self.seconds = [measured_second(self.keys, task.requests, chance) for _ in range(VARIANTS)]
        self.attached = 0
        self.tries = 0
        self.frames = 0
        self._is_told = False
        self.late_s = 0.0
        """The worst delay between a tick and the moment when the last frame of it was handed over:
        this process is then too slow for its task."""

    def begins(self, start_ns: int) -> None:
        """The load begins for one of the agents: say so, once."""
        if not self._is_told:
            self._is_told = True
            print(json.dumps({"start_ns": start_ns}), flush=True)


def series_keys(series: int) -> list[SeriesKey]:
    """Half of them are requests, half their first bytes, as in a real run."""
    keys: list[SeriesKey] = []
    for number in range((series + 1) // 2):
        labels = {"action": "get", "method": "GET", "url": f"/page/{number}", "session": "shop"}
        keys.append(SeriesKey(kind="first_byte", **labels))
        keys.append(SeriesKey(kind="http", **labels))
    return keys[-series:]


def measured_second(keys: list[SeriesKey], requests: int, chance: random.Random) -> Measured:
    """Latencies around some milliseconds, with a long tail; a few requests fail."""
    http = [number for number, key in enumerate(keys) if key.kind == "http"]
    deltas: list[SeriesDelta] = []
    sums = FrameTotals()
    for place, number in enumerate(http):
        count = requests // len(http) + (place < requests % len(http))
        if not count:
            continue
        failed = int(count > 10)
        usual_us = 2_000 * (1 + place % 5)
        delta = SeriesDelta(
            number,
            sent=count,
            ok=count - failed,
            failed=failed,
            bytes_in=500 * count,
            bytes_out=120 * count,
            expected=_latencies(count - failed, usual_us, chance),
            failures=_latencies(failed, 50_000, chance),
            statuses={200: count - failed},
            errors={"reset": failed} if failed else {},
        )
        sums = FrameTotals(
            sums.sent + count, sums.ok + delta.ok, sums.failed + failed, 0,
            sums.bytes_in + delta.bytes_in, sums.bytes_out + delta.bytes_out,
        )  # fmt: skip
        if number and keys[number - 1].kind == "first_byte":
            deltas.append(
                SeriesDelta(
                    number - 1,
                    sent=delta.ok,
                    ok=delta.ok,
                    expected=_latencies(delta.ok, usual_us // 2, chance),
                )
            )
        deltas.append(delta)
    return Measured(msgspec.Raw(msgspec.msgpack.encode(deltas)), sums)


def _latencies(count: int, usual_us: int, chance: random.Random) -> HistogramDelta | None:
    histogram = IntervalHistogram()
    for _ in range(count):
        histogram.record(int(usual_us * chance.lognormvariate(0.0, 0.5)))
    return histogram.take()


class PretendedAgent:
    """One agent, from its first try to dial until the coordinator hangs up."""

    def __init__(self, kit: Kit, number: int):
        self._kit = kit
        self._number = number
        self._name = f"agent-{number:04}"
        self._link: CoordinatorLink | None = None
        self._member = 0
        self._epoch = 0
        self._shares: list[int] = []
        self._seq = 0
        self._totals = FrameTotals()
        self._start_ns = 0
        """Second 0 in the coordinator's clock, which on one machine is this process's."""
        self._stopped = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Take part. Raises UserError, RuntimeError when it cannot."""
        task, kit = self._kit.task, self._kit
        chance, limits = random.Random(self._number), AgentLimits()
        backoff_s = limits.first_backoff_s
        while True:
            kit.tries += 1
            try:
                self._link = await dial_as_agent(
                    task.host, task.port, run_id=task.run_id, name=self._name, token=kit.token,
                    trust=kit.pin,
                )  # fmt: skip
                break
            except DialError:
                await asyncio.sleep(backoff_s * chance.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, limits.longest_backoff_s)
        self._link.begin(self._heard, self._closed)
        self._link.send(
            AgentHello(
                name=self._name, instance=chance.randbytes(16), host=self._name, cores=CORES,
                python="3.11.7", chaperon=__version__,
            )
        )  # fmt: skip
        await self._over

    def _heard(self, message: ToAgent) -> None:
        link = self._link
        assert link is not None
        match message:
            case AgentPing(number=number):
                now_ns = time.monotonic_ns()
                link.send(AgentPong(number=number, received_ns=now_ns, sent_ns=now_ns))
            case Admitted(member=member):
                self._member = member
                self._kit.attached += 1
            case AgentPrepare(shares=shares, epoch=epoch):
                self._shares, self._epoch = shares, epoch
                link.send(AgentReady(shares=shares, pids=shares, epoch=epoch))
            case AgentStart(run_start_ns=start_ns):
                self._start_ns = start_ns
                self._kit.begins(start_ns)
                now_ns = time.monotonic_ns()
                link.send(AgentStarted(received_ns=now_ns, started_ns=start_ns))
                self._wait_for_tick()
            case StopLoad() | AbortLoad():
                self._stopped = True
            case Ack(next_seq=next_seq):
                if self._stopped and next_seq == self._seq:
                    link.send(AgentDone())
            case Refused(reason=reason):
                self._fail(reason)

    def _wait_for_tick(self) -> None:
        due_ns = self._start_ns + (self._seq + 1) * 1_000_000_000
        delay_s = max(0.0, (due_ns - time.monotonic_ns()) / 1e9)
        # uvloop's timers may fire a little early.
        asyncio.get_running_loop().call_later(delay_s + 0.001, self._tick)

    def _tick(self) -> None:
        if self._over.done():
            return
        kit, seq = self._kit, self._seq
        self._seq += 1
        self._stopped = self._stopped or self._seq >= kit.task.seconds
        found = kit.seconds[(self._number + 5 * seq) % VARIANTS]
        sums = zip(
            msgspec.structs.astuple(self._totals), msgspec.structs.astuple(found.totals),
            strict=True,
        )  # fmt: skip
        self._totals = FrameTotals(*map(sum, sums))
        sessions = len(self._shares)
        end_ns = self._start_ns + self._seq * 1_000_000_000
        frame = Frame(
            worker=self._member,
            epoch=self._epoch,
            seq=seq,
            start_ns=end_ns - 1_000_000_000,
            end_ns=end_ns,
            new_series=list(enumerate(kit.keys)) if not seq else [],
            deltas=cast(list[SeriesDelta], found.deltas),
            totals=self._totals,
            sessions=SessionCounts(
                planned=sessions, started=sessions, finished=sessions if self._stopped else 0
            ),
            iterations=IterationCounts(started=self._totals.sent, completed=self._totals.sent),
            health=HealthSample(200, 900, 0.5, 0.0, 100, 200_000_000, 300),
            last=self._stopped,
        )
        assert self._link is not None
        self._link.send(AgentFrame(frame=frame))
        kit.frames += 1
        kit.late_s = max(kit.late_s, (time.monotonic_ns() - end_ns) / 1e9)
        if not self._stopped:
            self._wait_for_tick()

    def _closed(self, reason: str) -> None:
        if self._stopped and not self._over.done():
            self._over.set_result(None)
        self._fail(f"the connection ended: {reason}")

    def _fail(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_exception(RuntimeError(f"{self._name}: {reason}"))


async def _drive(task: Task) -> dict[str, Any]:
    kit = Kit(task)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began = time.monotonic()
    agents = [
        asyncio.create_task(PretendedAgent(kit, number).run())
        for number in range(task.first, task.first + task.agents)
    ]
    attached_s = None
    while attached_s is None and not any(agent.done() for agent in agents):
        await asyncio.sleep(0.01)
        if kit.attached == task.agents:
            attached_s = time.monotonic() - began
    await asyncio.gather(*agents)
    return {
        "attached_s": attached_s,
        "tries": kit.tries,
        "frames": kit.frames,
        "late_s": kit.late_s,
        "requests": kit.frames * task.requests,
        "cpu_s": time.process_time(),
    }


def main() -> int:
    """One task, on the first line of standard input; it begins with the second."""
    die_with_parent()
    task = Task(**json.loads(sys.stdin.readline()))
    needed = task.agents + 64
    if raise_descriptor_limit() < needed:
        print(f"{task.agents} agents need {needed} descriptors (ulimit -Hn)", file=sys.stderr)
        return 1
    try:
        result = uvloop.run(_drive(task))
    except Exception as error:
        print(str(error), file=sys.stderr)
        return 1
    print(json.dumps(result), flush=True)
    os._exit(0)  # A thousand closed connections need no tidying up.


if __name__ == "__main__":
    sys.exit(main())

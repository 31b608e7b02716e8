"""A coordinator that does no more than one agent needs: real listener, real messages, real sums."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from chaperon_engine.coordinator.certificate import Credentials
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import Refused, Release, StopLoad, WorkerIdle
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.protocol.wire import (
    Ack,
    Admitted,
    AgentDone,
    AgentFailed,
    AgentFrame,
    AgentHello,
    AgentNote,
    AgentPing,
    AgentPong,
    AgentPrepare,
    AgentReady,
    AgentStart,
    AgentStarted,
    AgentStopped,
    FromAgent,
    ToAgent,
)
from chaperon_engine.remote.link import AgentLink
from chaperon_engine.remote.tokens import write_token
from chaperon_engine.runs.bundle import collect

RUN = "20261121-204512-shop-a1b2"


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - whatever the condition is, it has no event
            await asyncio.sleep(0.005)


class Lead:
    """Member 0 is the agent."""

    def __init__(
        self, credentials: Credentials, launch: LaunchRequest, *, shares: list[int], of: int,
        working: Path | None = None,
    ):  # fmt: skip
        self.credentials = credentials
        self.secret = RunSecret(os.urandom(32))
        self.bundle = collect(launch, working=working)
        self.shares = shares
        self.of = of
        self.aggregate = RunAggregate(1)
        self.next_seq = 0
        self.frames: list[Frame] = []
        self.hellos: list[AgentHello] = []
        self.notes: list[str] = []
        self.failure: AgentFailed | None = None
        self.started: AgentStarted | None = None
        self.done: AgentDone | None = None
        self.start_ns = 0
        self.heard_ns = 0
        self.acknowledges = True
        self.refuses = ""
        self.port = 0
        self.links: list[AgentLink] = []
        self._listener: Listener | None = None
        self._pings: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """On the port of the last time."""
        self._listener = Listener(
            run_id=RUN,
            secret=self.secret,
            credentials=self.credentials,
            on_agent=self._welcome,
            on_viewer=lambda link: link.abort("no viewers here"),
            now=time.monotonic,
            say=lambda level, text: None,
        )
        self.port = await self._listener.listen("127.0.0.1", self.port)
        if self._pings is None:
            self._pings = asyncio.create_task(self._ping())

    async def vanish(self) -> None:
        """Nobody is there any more."""
        assert self._listener is not None
        await self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break the connection."""
        for link in self.links:
            link.abort("cut")
        self.links.clear()

    async def close(self) -> None:
        await self.vanish()
        if self._pings is not None:
            self._pings.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pings

    def tell(self, message: ToAgent) -> None:
        for link in self.links:
            link.send(message)

    async def _ping(self) -> None:
        for number in count():
            self.tell(AgentPing(number=number, heard_ns=self.heard_ns))
            await asyncio.sleep(0.1)

    def _welcome(self, link: AgentLink) -> None:
        def hear(message: FromAgent) -> None:
            if isinstance(message, AgentHello):
                # Before this nothing may be said: it is the agent who speaks first.
                self.links.append(link)
            self._hear(message)

        link.begin(hear, lambda reason: self.links.remove(link) if link in self.links else None)

    def _hear(self, message: FromAgent) -> None:
        match message:
            case AgentHello():
                self._admit(message)
            case AgentReady():
                self.start_ns = time.monotonic_ns() + 100_000_000
                self.aggregate.begin(self.start_ns)
                self.tell(AgentStart(delay_ns=100_000_000, run_start_ns=self.start_ns))
            case AgentPong(sent_ns=sent_ns):
                self.heard_ns = sent_ns
            case AgentStarted():
                self.started = message
            case AgentFrame(frame=frame):
                self._apply(frame)
            case WorkerIdle():
                self.tell(Release())
            case AgentNote(text=text):
                self.notes.append(text)
            case AgentStopped(why=why):
                self.notes.append(why)
            case AgentFailed():
                self.failure = message
            case AgentDone():
                self.done = message
                for link in self.links:
                    link.close()

    def _admit(self, hello: AgentHello) -> None:
        self.hellos.append(hello)
        if self.refuses:
            self.links[-1].close(Refused(reason=self.refuses))
            return
        self.tell(Admitted(member=0, lease_s=15, next_seq=self.next_seq))
        if hello.epoch is not None:
            return
        for piece in self.bundle.pieces():
            self.tell(piece)
        launch = msgspec.msgpack.encode(self.bundle.launch)
        self.tell(AgentPrepare(launch=launch, shares=self.shares, of=self.of, epoch=1, seed=7))

    def _apply(self, frame: Frame) -> None:
        if frame.seq >= self.next_seq:
            assert self.aggregate.apply(frame)
            self.frames.append(frame)
            self.next_seq += 1
        if self.acknowledges:
            self.tell(Ack(next_seq=self.next_seq))

    def stop(self) -> None:
        """End the load."""
        self.tell(StopLoad())


class Joined:
    """`chaperon worker join` as a process."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process
        self.said = ""

    @classmethod
    async def start(
        cls, lead: Lead, folder: Path, *options: str, pin: str = "", token: str = "",
        descriptors: str = "unlimited",
    ) -> Joined:  # fmt: skip
        token_file = write_token(folder, lead.secret.token("agent"))
        if token:
            token_file.write_text(token)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f'ulimit -n {descriptors} 2>/dev/null; exec "$@"', "sh",
            sys.executable, "-m", "chaperon_engine.cli", "worker", "join",
            f"127.0.0.1:{lead.port}", "--run", RUN, "--pin", pin or lead.credentials.pin,
            "--token-file", str(token_file), "--name", "host a", "--no-pin", *options,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
        )  # fmt: skip
        return cls(process)

    async def end(self, timeout_s: float = 20) -> int:
        """Its exit code; `said` has what it told people."""
        async with asyncio.timeout(timeout_s):
            _, errors = await self.process.communicate()
        self.said = errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def drop(self) -> None:
        """Whatever happened in the test, nothing stays."""
        if self.process.returncode is None:
            self.process.kill()
        if not self.said:
            _, errors = await self.process.communicate()
            print(errors.decode())  # shown when a test fails


def request_of(file: Path, **rest: Any) -> LaunchRequest:
    return LaunchRequest(file=str(file), pin=False, **rest)

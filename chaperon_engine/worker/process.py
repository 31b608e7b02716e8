"""One worker process: control messages in, frames out, the load in between.

Owns: the process's loop, the socketpairs to the coordinator, ticks. Must not know: other workers,
or what sessions do. It never waits for its socket: frames that the coordinator does not take are
kept, and merged when there are too many (`queue`).

    Prepare  -> the plan resolved, services reached -> WorkerReady, or WorkerFailed
    Start    -> sessions run; a frame at each full second of the run, and where the measured window
                begins and ends, so that rates are exact
    the end of all sessions -> WorkerIdle; scenarios that others schedule may still run here
    Release  -> the last frame, WorkerDone, exit
    the coordinator has gone -> exit at once
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import msgspec
import uvloop

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.definition.resolve import ResolvedTest, resolve
from chaperon_engine.errors import UserError
from chaperon_engine.http import HttpWorker
from chaperon_engine.metrics.counters import WorkerCounters
from chaperon_engine.metrics.filter import Keep, keep_where, keep_words
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.protocol.codec import ProtocolError, encode, to_worker_decoder
from chaperon_engine.protocol.messages import (
    AbortLoad,
    AcceptedSeries,
    EndPlacement,
    Lease,
    Message,
    Ping,
    Place,
    Pong,
    Prepare,
    Release,
    Scheduled,
    Start,
    StopLoad,
    TakeShares,
    ToWorker,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerReady,
)
from chaperon_engine.session.log import LogBook
from chaperon_engine.text import visible
from chaperon_engine.worker import descriptors
from chaperon_engine.worker.forgotten import watching
from chaperon_engine.worker.health import HealthMonitor
from chaperon_engine.worker.output import OutputStream
from chaperon_engine.worker.placement import RemotePlacement
from chaperon_engine.worker.population import LoadRunner
from chaperon_engine.worker.preflight import check_services, refuse_elsewhere
from chaperon_engine.worker.queue import FrameQueue

TICK_NS = 1_000_000_000
WRITE_BUFFER_BYTES = 1024 * 1024
"""Beyond this much that the coordinator has not taken, frames wait in the queue."""
FLUSH_TIMEOUT_S = 30.0
"""How long the last frame may take to be accepted by the coordinator."""
GC_THRESHOLDS = (50_000, 20, 100)
"""Measured: rarer collections of what a session leaves cost 6 % less CPU."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker gets by the fork."""

    worker: int
    core: int | None
    """The core it is pinned to."""
    commands: socket.socket
    """Its end of the socketpair from the coordinator."""
    frames: socket.socket
    """Its end of the socketpair to the coordinator."""
    counters: WorkerCounters
    trace_descriptor: int
    """File into which SIGUSR1 writes where the process is."""


def run_worker(setup: WorkerSetup) -> None:
    """The worker's whole life, in a process that was just forked for it."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, file=setup.trace_descriptor, all_threads=False)
    uvloop.run(_live(setup))


async def _live(setup: WorkerSetup) -> None:
    worker = _Worker(setup)
    await worker.connect()
    await worker.live()


class _Commands(asyncio.Protocol):
    """What the coordinator says."""

    def __init__(self, worker: _Worker):
        self._worker = worker
        self._decoder = to_worker_decoder()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._worker.receive(message)
        except ProtocolError as error:
            print(f"worker {self._worker.number}: {error}", file=sys.__stderr__)
            os._exit(70)

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.leave_orphaned()


class _Frames(asyncio.Protocol):
    """What the coordinator is told."""

    def __init__(self, worker: _Worker):
        self._worker = worker
        self.is_open = asyncio.Event()
        """Set while the transport takes more."""
        self.is_closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES, low=0)
        self.is_open.set()

    def pause_writing(self) -> None:
        self.is_open.clear()

    def resume_writing(self) -> None:
        self.is_open.set()
        self._worker.send_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.leave_orphaned()
        self.is_closed.set()


class _Worker:
    def __init__(self, setup: WorkerSetup):
        self.number = setup.worker
        self.is_done = False
        self._setup = setup
        self._frames = _Frames(self)
        self._queue = FrameQueue()
        self._log = LogBook()
        self._recorder: Recorder | None = None
        self._runner: LoadRunner | None = None
        self._health: HealthMonitor | None = None
        self._placement = RemotePlacement(self.send)
        loop = asyncio.get_running_loop()
        self._prepare: asyncio.Future[Prepare] = loop.create_future()
        self._share: Prepare | None = None
        """The newest one: which share of the sessions is this worker's."""
        self._allowed: AllowedTargets | None = None
        """Where connections may go; None: anywhere."""
        self._plan: Plan | None = None
        self._is_ready = False
        self._start: asyncio.Future[Start] = loop.create_future()
        self._stop: StopLoad | AbortLoad | None = None
        """What came before the sessions did."""
        self._taken: list[TakeShares] = []
        """What came before the sessions did."""
        self._lease: Lease | None = None
        self._stopped: asyncio.Future[None] = loop.create_future()
        """Done when the load was stopped or aborted."""

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._frames, sock=self._setup.frames)
        await loop.create_unix_connection(lambda: _Commands(self), sock=self._setup.commands)

    def leave_orphaned(self) -> None:
        """The coordinator has gone: without it a worker must not go on loading the target."""
        if not self.is_done:
            os._exit(71)

    def send(self, message: Message) -> None:
        self._frames.transport.write(encode(message))

    def receive(self, message: ToWorker) -> None:
        """Act on what the coordinator says; called from the loop."""
        match message:
            case Ping(number=number):
                self.send(Pong(number=number))
            case Prepare() if not self._start.done():
                self._take_share(message)
            case Start() if not self._start.done():
                self._start.set_result(message)
            case AcceptedSeries(keys=keys) if self._recorder is not None:
                self._recorder.accept_only(keys)
            case Place() | EndPlacement() | Scheduled() | Release():
                self._placement.receive(message)
            case Lease():
                self._lease = message
            case TakeShares():
                self._taken.append(message)
                self._take_over()
            case StopLoad() | AbortLoad():
                self._stop = message
                self._obey_stop()
            case _:
                raise ProtocolError(f"{type(message).__name__} out of turn")

    def _take_share(self, prepare: Prepare) -> None:
        """The first one says what to resolve; shares may be handed out anew until the start."""
        self._share = prepare
        if not self._prepare.done():
            self._prepare.set_result(prepare)
        elif self._is_ready:
            try:
                self._check_descriptors(prepare)
            except UserError as error:
                self.send(WorkerFailed(message=str(error)))
            else:
                self._say_ready()

    def _check_descriptors(self, prepare: Prepare) -> None:
        """Each host has limits of its own."""
        if self._plan is not None:
            descriptors.check(self._plan, prepare.workers, descriptors.hard_limit())

    def _say_ready(self) -> None:
        self._is_ready = True
        self.send(WorkerReady(pid=os.getpid(), core=self._setup.core))

    def _take_over(self) -> None:
        if self._runner is None:
            return
        for message in self._taken:
            self._runner.take(message.shares, message.of, message.epoch)
        self._taken.clear()

    def _watch_lease(self) -> None:
        if self._lease is not None and self._stop is None and now_ns() > self._lease.until_ns:
            self._log.add("warning", f"worker {self.number}", "the lease of its agent is over")
            self._stop = StopLoad()
            self._obey_stop()

    def _obey_stop(self) -> None:
        if self._runner is None or self._stop is None:
            return
        if not self._stopped.done():
            self._stopped.set_result(None)
        if isinstance(self._stop, StopLoad):
            self._runner.stop(self._stop.grace_s)
        else:
            self._runner.abort()

    async def live(self) -> None:
        prepare = await self._prepare
        output = OutputStream(lambda line: self._log.add("output", f"worker {self.number}", line))
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                test = await self._get_ready(prepare)
                self._say_ready()
                start = await self._start
                assert self._share is not None
                await self._load(test, self._share, start)
            except UserError as error:
                self.send(WorkerFailed(message=str(error)))
            except Exception as error:
                traceback.print_exc(file=sys.__stderr__)
                text = f"worker {self.number} failed: {type(error).__name__}: {visible(error)}"
                self.send(WorkerFailed(message=text, user_error=False))
        output.finish()
        await self._flush()
        self.is_done = True
        self._frames.transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._frames.is_closed.wait()

    async def _get_ready(self, prepare: Prepare) -> ResolvedTest:
        request = msgspec.msgpack.decode(prepare.launch, type=LaunchRequest)
        if request.working_folder:
            os.chdir(request.working_folder)
        test = resolve(request)
        if request.targets is not None:
            self._allowed = AllowedTargets(request.targets)
            refuse_elsewhere(test, self._allowed)
        self._plan = test.plan
        self._check_descriptors(self._share or prepare)
        if self.number == 0 and request.preflight:
            await check_services(test)
        return test

    async def _load(self, test: ResolvedTest, share: Prepare, start: Start) -> None:
        loop = asyncio.get_running_loop()
        recorder = Recorder(
            self._setup.counters, max_series=test.plan.max_series, keep=self._keep(test.metrics)
        )
        http = HttpWorker(loop, recorder)
        http.network.allowed = self._allowed
        self._recorder = recorder
        self._log.start_ns = start.start_ns
        self._runner = runner = LoadRunner(
            test,
            worker=share.worker,
            workers=share.workers,
            seed=share.seed,
            recorder=recorder,
            http=http,
            log=self._log,
            placement=self._placement,
        )
        self._obey_stop()
        self._take_over()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        with HealthMonitor(loop, self._setup.core) as health, watching(recorder.exception):
            self._health = health
            await _sleep_until(start.start_ns)
            health.sample()  # The wait for the start is no part of the first second.
            recorder.begin(start.start_ns)
            load = loop.create_task(runner.run(start.start_ns), name="load")
            try:
                await self._tick(load, start.start_ns, test.plan)
            finally:
                await http.close()
            await self._collect(now_ns(), last=True)
        refused_all = runner.sessions.started > 0 and runner.passed_init == 0
        self.send(WorkerDone(no_session_passed_init=refused_all))

    def _keep(self, metrics: tuple[str, ...] | Callable[..., Any] | None) -> Keep | None:
        if callable(metrics):
            return keep_where(metrics, partial(self._log.add, "error", f"worker {self.number}"))
        return None if metrics is None else keep_words(metrics)

    async def _tick(self, load: asyncio.Task[None], start_ns: int, plan: Plan) -> None:
        """Collect a frame at each full second, and where the measured window begins and ends."""
        borders_ns = [
            start_ns + round(border_s * 1e9)
            for border_s in (plan.warmup_s, plan.planned_s)
            if border_s
        ]
        ended_ns = start_ns
        stopped: asyncio.Future[None] | None = self._stopped
        while not load.done():
            second_ns = start_ns + ((ended_ns - start_ns) // TICK_NS + 1) * TICK_NS
            due_ns = min([second_ns, *(border for border in borders_ns if border > ended_ns)])
            await asyncio.wait(
                [load] if stopped is None else [load, stopped],
                timeout=max(0, due_ns - now_ns()) / 1e9,
                return_when=asyncio.FIRST_COMPLETED,
            )
            now = now_ns()
            if load.done():
                break
            if stopped is not None and stopped.done():
                stopped, ended_ns = None, now
            elif now >= due_ns:
                # After a long block one frame covers all the seconds that went by.
                ended_ns = max(due_ns, start_ns + (now - start_ns) // TICK_NS * TICK_NS)
            else:
                # Timers of uvloop may fire early: a frame ends at its boundary, not before.
                continue
            self._watch_lease()
            await self._collect(ended_ns)
        await load

    async def _collect(self, end_ns: int, *, last: bool = False) -> None:
        assert self._recorder is not None
        assert self._runner is not None
        assert self._health is not None
        collection = self._recorder.collect(end_ns)
        if not last:
            for _ in collection:
                await asyncio.sleep(0)
        lines, dropped = self._log.collect()
        frame = collection.frame(
            self.number,
            0,
            0,
            sessions=msgspec.structs.replace(self._runner.sessions),
            iterations=msgspec.structs.replace(self._runner.iterations),
            logs=lines,
            dropped_logs=dropped,
            health=self._health.sample(),
            last=last,
        )
        self._queue.put(frame)
        if last:
            await self._flush()
        self.send_frames()

    def send_frames(self) -> None:
        """Hand over what the transport takes without waiting."""
        while self._frames.is_open.is_set():
            frame = self._queue.take()
            if frame is None:
                return
            self.send(WorkerFrame(frame=frame))

    async def _flush(self) -> None:
        """Wait, for a bounded time, until the coordinator has taken what was written."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                while self._queue or not self._frames.is_open.is_set():
                    await self._frames.is_open.wait()
                    self.send_frames()


async def _sleep_until(moment_ns: int) -> None:
    # Timers of uvloop may fire early, hence the loop; there is no event to wait for.
    while (left := moment_ns - now_ns()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left / 1e9)

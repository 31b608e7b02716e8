"""The agent's process: forks the workers of this host, reaches the coordinator, does what the state
machine decides.

Owns: the order in which things are made (workers before loop and threads), signals, the unpacked
test code, the journal. Must not know: decisions; `state` has them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import distributions

import msgspec
import uvloop

from chaperon_engine.agent.events import (
    Action,
    AgentLimits,
    BeginJournal,
    CannotTakePart,
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Event,
    Finish,
    Forget,
    HangLocated,
    HangUp,
    Heard,
    Keep,
    LeaveAsked,
    Tell,
    Tick,
    WorkerExited,
    WorkerSaid,
)
from chaperon_engine.agent.journal import AgentJournal, Left
from chaperon_engine.agent.outbox import Outbox
from chaperon_engine.crew.cores import take_cores
from chaperon_engine.crew.crew import Crew
from chaperon_engine.crew.events import KillWorker, LocateHang, Say, Send
from chaperon_engine.crew.forking import WorkerHandle, fork_workers
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import (
    EXIT_BAD_INPUT,
    EXIT_EXPORT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    UserError,
)
from chaperon_engine.metrics.counters import RunCounters, slots_for
from chaperon_engine.platform import raise_descriptor_limit, usable_cores
from chaperon_engine.protocol.codec import ProtocolError
from chaperon_engine.protocol.messages import FromWorker
from chaperon_engine.protocol.token import Token
from chaperon_engine.protocol.wire import (
    AgentHello,
    AgentPrepare,
    BundleEnd,
    BundleFile,
    FromAgent,
    ToAgent,
)
from chaperon_engine.remote.dial import DialError, Trust, dial_as_agent
from chaperon_engine.remote.link import CLOSING_S, CoordinatorLink
from chaperon_engine.runs.unpacking import Unpacker, localised
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

TICK_S = 0.05
MAX_SERIES = 20_000
"""The shared counters are made before the run's cap is known: with a higher one than this a worker
folds earlier. Pages that nobody writes cost nothing."""
MAX_VERSIONS = 1_000
INSTANCE_BYTES = 16

EXIT_CODES = {
    "done": EXIT_OK,
    "interrupted": EXIT_INTERRUPTED,
    "refused": EXIT_BAD_INPUT,
    "failed": EXIT_EXPORT_FAILED,
}
"""By how an agent ends."""


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What a person says when a host is to join a run."""

    host: str
    port: int
    run_id: str
    trust: Trust
    token: Token
    name: str
    """Unique among the agents of the run."""
    workers: int | None = None
    """Default: one per core that this process may use."""
    pin: bool = True
    """Tie workers to cores."""
    limits: AgentLimits = field(default_factory=AgentLimits)


def join(joining: Joining, say: Callable[[str, str], None]) -> int:
    """The agent's whole life; the answer is its exit code. `say` gets a level and a line for
    people. Raises UserError for what makes it impossible from the beginning.

    To be called in a process without a loop and without threads.
    """
    journal = AgentJournal(joining.run_id, joining.name, lambda text: say("error", text))
    left = journal.left()
    if left is not None:
        say("info", f"delivering what an earlier agent {joining.name} had measured")
        return uvloop.run(_Agent(joining, [], None, journal, left, say).run())
    raise_descriptor_limit()
    cores = usable_cores()
    count = joining.workers or len(cores)
    share = take_cores(joining.run_id, cores, count, pin=joining.pin)
    if share.note:
        say("warning", share.note)
    counters = RunCounters(count, slots=slots_for(MAX_SERIES))
    gc.collect()
    gc.freeze()
    workers = fork_workers(share.cores, counters)
    return uvloop.run(_Agent(joining, workers, counters, journal, None, say).run())


def default_name() -> str:
    """The host's name, as far as it is short and printable."""
    return visible(socket.gethostname(), 64) or "agent"


class _Agent:
    """Its loop; the leader of its crew."""

    def __init__(
        self,
        joining: Joining,
        workers: list[WorkerHandle],
        counters: RunCounters | None,
        journal: AgentJournal,
        left: Left | None,
        say: Callable[[str, str], None],
    ):
        self._joining = joining
        self._counters = counters
        self._journal = journal
        self._delivers = left is not None
        self._say = say
        self._workers = workers
        self._crew = Crew(workers, self)
        self._instance = os.urandom(INSTANCE_BYTES) if left is None else left.opened.instance
        # Not before the workers were forked: they have no use for numpy.
        from chaperon_engine.agent.state import AgentState

        self._state = AgentState(
            _hello(joining.name, self._instance, len(workers), left),
            len(workers),
            time.monotonic(),
            limits=joining.limits,
            left=None if left is None else Outbox(left.frames, next_seq=left.next_seq),
            died=left is not None and left.died,
        )
        self._link: CoordinatorLink | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._incoming: Unpacker | None = None
        """The bundle that is coming over this connection."""
        self._code: Unpacker | None = None
        """The test code that the workers use."""
        self._finish: Finish | None = None
        self._over = asyncio.Event()
        self._hung_up = asyncio.Event()
        """The last connection has ended."""

    async def run(self) -> int:
        """Until the end; the answer is the exit code."""
        for worker in self._workers:
            await self._crew.link(worker.number).connect(worker.commands, worker.frames)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._handle, LeaveAsked())
        try:
            while not self._over.is_set():
                self._crew.notice_exits()
                self._handle(Tick())
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._over.wait()
        finally:
            await self._clean_up()
        assert self._finish is not None
        return EXIT_CODES[self._finish.ending]

    async def _clean_up(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        if self._link is not None:
            # Let the coordinator hear what was said last.
            self._link.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * CLOSING_S):
                    await self._hung_up.wait()
        await self._crew.end()
        for unpacker in (self._incoming, self._code):
            if unpacker is not None:
                unpacker.remove()
        undelivered = len(self._state.outbox)
        if undelivered and self._delivers and self._finish and self._finish.ending == "refused":
            place = self._journal.set_aside()
            self._say("warning", f"the run does not take it; it is kept in {place}")
        elif undelivered:
            is_refused = self._finish is not None and self._finish.ending == "refused"
            more = (
                "; the run does not take them"
                if is_refused
                else f": while that run goes on, join it again as {self._joining.name} to deliver "
                "them; if its engine was killed, `chaperon recover RUN --agent-journal` takes them"
            )
            self._say(
                "warning",
                f"{undelivered} frames could not be delivered; they are kept in "
                f"{self._journal.path}{more}",
            )
        self._journal.close(delivered=not undelivered)

    # events in, actions out

    def _handle(self, event: Event) -> None:
        for action in self._state.handle(event, time.monotonic()):
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Send(worker, message):
                self._crew.send(worker, message)
            case Tell(told):
                self._tell(told)
            case Keep(frame):
                self._journal.keep(frame)
            case Forget(next_seq):
                self._journal.acknowledged(next_seq)
            case Dial():
                self._dialling = asyncio.create_task(self._dial())
            case HangUp():
                link, self._link = self._link, None
                if link is not None:
                    link.abort("hung up by this side")
            case BeginJournal(member, epoch):
                self._journal.begin(self._instance, member, epoch)
            case LocateHang(worker):
                self._crew.locate(worker)
            case KillWorker(worker):
                self._crew.kill(worker)
            case Say(level, text):
                self._say(level, text)
            case Finish(reason, ending):
                self._finish = action
                self._say("info" if ending == "done" else "error", reason)
                self._over.set()

    def _tell(self, message: FromAgent) -> None:
        if self._link is None:
            return
        try:
            self._link.send(message)
        except ProtocolError as error:
            self._handle(CannotTakePart(str(error)))

    # the connection

    async def _dial(self) -> None:
        joining = self._joining
        try:
            link = await dial_as_agent(
                joining.host,
                joining.port,
                run_id=joining.run_id,
                name=joining.name,
                token=joining.token,
                trust=joining.trust,
            )
        except UserError as error:
            self._handle(DialFailed(str(error), is_final=True))
            return
        except DialError as error:
            self._handle(DialFailed(str(error), is_final=False))
            return
        if self._over.is_set():
            link.abort("this side has ended")
            return
        self._link = link
        self._hung_up.clear()
        if self._incoming is not None:
            self._incoming.remove()
            self._incoming = None
        self._handle(Connected())
        link.begin(self._heard, lambda reason: self._closed(link, reason))

    def _closed(self, link: CoordinatorLink, reason: str) -> None:
        if self._link is link:
            self._link = None
            self._hung_up.set()
            self._handle(Disconnected(reason))

    def _heard(self, message: ToAgent) -> None:
        try:
            if isinstance(message, BundleFile | BundleEnd):
                self._unpack(message)
            elif isinstance(message, AgentPrepare):
                message = self._at_home(message)
        except UserError as error:
            self._handle(CannotTakePart(error.message))
            return
        self._handle(Heard(message))

    def _unpack(self, message: BundleFile | BundleEnd) -> None:
        if self._incoming is None:
            # Below the agent's own folder: what a killed one leaves goes with its successor.
            self._incoming = Unpacker(within=self._journal.folder)
        self._incoming.take(message)
        if not self._incoming.is_complete:
            return
        again, self._incoming = self._incoming, None
        if self._code is None:
            self._code = again
            return
        # It came again after a return; the workers use what came first.
        again.remove()
        if again.digest != self._code.digest:
            raise UserError("the test code of the run has changed: start the agent again")

    def _at_home(self, message: AgentPrepare) -> AgentPrepare:
        """With the paths of this host."""
        if self._code is None:
            raise UserError("the coordinator sent no test code")
        try:
            launch = msgspec.msgpack.decode(message.launch, type=LaunchRequest)
        except msgspec.MsgspecError:
            raise UserError("the coordinator sent no launch that could be read") from None
        launch = localised(launch, self._code.folder)
        return msgspec.structs.replace(message, launch=msgspec.msgpack.encode(launch))

    # the crew

    def worker_said(self, worker: int, message: FromWorker) -> None:
        """See `crew.CrewLeader`."""
        self._handle(WorkerSaid(worker, message))

    def worker_exited(self, worker: int, how: str) -> None:
        """See `crew.CrewLeader`."""
        assert self._counters is not None
        slots = self._counters.worker(worker).slots_as_counted()
        self._handle(WorkerExited(worker, how, slots))

    def hang_located(self, worker: int, place: str) -> None:
        """See `crew.CrewLeader`."""
        self._handle(HangLocated(worker, place))


def _hello(name: str, instance: bytes, workers: int, left: Left | None) -> AgentHello:
    found = sorted(
        (visible(each.name, 200), visible(each.version, 200))
        for each in distributions()
        if each.name
    )
    return AgentHello(
        name=name,
        instance=instance,
        host=visible(socket.gethostname(), 200),
        cores=max(1, workers),
        python=platform.python_version(),
        chaperon=__version__,
        versions=dict(found[:MAX_VERSIONS]),
        epoch=None if left is None else left.opened.epoch,
    )

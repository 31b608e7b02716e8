"""A run on several machines in one process and in no time: the real state machines of coordinator
and agents, invented workers, and a network, hosts and processes that fail by a seed.

A connection delivers in order until it is cut; what was under way then is lost, and each side
hears of it late, or only by the other's silence. Frames and acknowledgements may also come twice
or in another order, which no TCP connection does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from chaperon_engine.agent import events as agent_events
from chaperon_engine.agent.events import AgentLimits
from chaperon_engine.agent.outbox import Outbox
from chaperon_engine.agent.state import AgentState
from chaperon_engine.coordinator import events as run_events
from chaperon_engine.coordinator.events import Limits, Terms
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.crew.events import KillWorker, Say, Send
from chaperon_engine.definition.plan import LoadProfile, Plan, PopulationPlan
from chaperon_engine.metrics.counters import KIND_HTTP
from chaperon_engine.metrics.interval import packed
from chaperon_engine.metrics.model import (
    Frame,
    FrameTotals,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.protocol.messages import (
    AbortLoad,
    Lease,
    Message,
    Ping,
    Pong,
    Prepare,
    Refused,
    Release,
    Start,
    StopLoad,
    TakeShares,
    WorkerDone,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)
from chaperon_engine.protocol.wire import Ack, AgentFrame, AgentHello, AgentPrepare, AgentStart
from chaperon_engine.runs.record import HandOver

STEP_S = 0.2
LIMITS = Limits(
    barrier_s=5.0, start_delay_s=0.1, end_margin_s=2.0, abort_s=1.0, lease_s=2.0,
    lease_margin_s=0.7, return_wait_s=6.0,
)  # fmt: skip
AGENT_LIMITS = AgentLimits(
    first_backoff_s=0.2, longest_backoff_s=1.0, join_s=8.0, silent_s=1.2, return_s=12.0,
    slow_s=5.0, farewell_s=1.0, abort_s=1.0,
)  # fmt: skip
KEY = SeriesKey(kind="http", name="x")


def plan(duration_s: float) -> Plan:
    population = PopulationPlan(
        name="p", scenario="P", sessions=8, profile=LoadProfile(duration_s=duration_s),
        graceful_stop_s=0.5,
    )  # fmt: skip
    return Plan(load_test="T", file="", services=[], populations=[population])


class FakeWorker:
    """Counts requests while it is loading; what it says goes to `say`."""

    def __init__(self, number: int, world: World, say: Callable[[int, Any], None]):
        self.number = number
        self.world = world
        self.say = say
        self.shares: list[int] = []
        self.alive = True
        self.loading = False
        self.was_loading = False
        self.sent = 0
        """The truth: what a counting target has seen of it."""
        self._told = FrameTotals()
        self._ready_at: float | None = None
        self._is_stopped = False
        self._epoch = 0
        self._lease_ns: int | None = None
        self._start_ns = 0
        self._end_ns = 0
        self._seq = 0
        self._end_at = 0.0

    def receive(self, message: Any) -> None:
        if not self.alive:
            return
        match message:
            case Ping(number=number):
                self.say(self.number, Pong(number=number))
            case Lease(until_ns=until_ns):
                self._lease_ns = until_ns
            case Prepare(worker=share):
                self.shares = [share]
                self._ready_at = self.world.now + self.world.random.choice([0.0, 0.2, 0.6])
            case Start(start_ns=start_ns):
                assert not self.was_loading
                self.world.begun(self.shares, self.world.epoch)
                self.loading = self.was_loading = True
                self._start_ns = self._end_ns = start_ns
                self._end_at = start_ns / 1e9 + self.world.duration_s
            case TakeShares(shares=shares, epoch=epoch):
                self._epoch = epoch
                if not self._is_stopped:
                    self.world.begun(shares, epoch)
                    self.shares += shares
                    self.loading = True
            case StopLoad() | AbortLoad():
                self._is_stopped = True
                self._end_load()
                if isinstance(message, AbortLoad):
                    self._leave()
            case Release():
                self._leave()

    def look(self) -> None:
        now = self.world.now
        if not self.alive:
            return
        if self._ready_at is not None and now >= self._ready_at:
            self._ready_at = None
            self.say(self.number, WorkerReady(pid=self.number + 1))
        if self._lease_ns is not None and self.loading and now * 1e9 > self._lease_ns:
            self._is_stopped = True
            self._end_load()
        if self.loading and now > self._start_ns / 1e9:
            self.sent += self.world.random.randrange(4)
            if now >= self._end_at:
                self._end_load()
        if self.was_loading and now * 1e9 - self._end_ns >= 1e9:
            self._frame(last=False)

    def _end_load(self) -> None:
        if self.loading:
            self.loading = False
            self.say(self.number, WorkerIdle(epoch=self._epoch))

    def _leave(self) -> None:
        if self.alive and self.was_loading:
            self.loading = False
            self._frame(last=True)
            self.say(self.number, WorkerDone())
            self.alive = False

    def _frame(self, *, last: bool) -> None:
        new = self.sent - self._told.sent
        end_ns = max(self._end_ns, int(self.world.now * 1e9))
        deltas = []
        if new:
            histogram = packed([10], [new], sum_us=10 * new, min_us=10, max_us=10)
            deltas = [SeriesDelta(0, sent=new, ok=new, expected=histogram, statuses={200: new})]
        self._told = FrameTotals(sent=self.sent, ok=self.sent)
        frame = Frame(
            worker=self.number, epoch=0, seq=self._seq, start_ns=self._end_ns, end_ns=end_ns,
            new_series=[] if self._seq else [(0, KEY)], deltas=deltas, totals=self._told,
            sessions=SessionCounts(), last=last,
        )  # fmt: skip
        self._seq += 1
        self._end_ns = end_ns
        self.say(self.number, WorkerFrame(frame=frame))

    @property
    def slots(self) -> list[list[int]]:
        if not self.was_loading:
            return []
        return [[KIND_HTTP, self.sent, self.sent, 0, 0, 0, 0, 0]]


@dataclass
class Wire:
    """One connection."""

    number: int
    host: Host
    to_coordinator: list[tuple[float, Any]] = field(default_factory=list)
    to_agent: list[tuple[float, Any]] = field(default_factory=list)
    cut_at: float | None = None
    """Nothing that was sent later, or was under way, arrives."""
    heard_by_coordinator_at: float | None = None
    heard_by_agent_at: float | None = None
    coordinator_closed: bool = False
    agent_closed: bool = False


class Host:
    """One agent: its state machine, its workers, its disk."""

    def __init__(self, number: int, world: World):
        self.number = number
        self.world = world
        self.instance = bytes([number]) * 16
        self.name = f"a{number}"
        self.crew: list[FakeWorker] = []
        self.past: list[FakeWorker] = []
        """Workers of processes that have ended."""
        self.disk: dict[int, Frame] = {}
        self.next_seq = 0
        self.epoch: int | None = None
        self.state: AgentState | None = None
        self.wire: Wire | None = None
        self.ending: agent_events.Finish | None = None
        self.dial_at: float | None = None
        self.asleep_until = 0.0
        """The whole machine."""
        self.stuck_until = 0.0
        """The agent's process alone: its workers go on."""
        self._queue: list[tuple[int, Any]] = []

    def start(self, *, deliver: bool = False) -> None:
        cores = 2
        self.crew = []
        left = None
        if deliver:
            left = Outbox([self.disk[seq] for seq in sorted(self.disk)], next_seq=self.next_seq)
        else:
            self.disk, self.next_seq, self.epoch = {}, 0, None
            self.instance = self.world.random.randbytes(16)
            self.crew = [FakeWorker(n, self.world, self._worker_said) for n in range(cores)]
        hello = AgentHello(
            name=self.name, instance=self.instance, host=self.name, cores=cores, python="3",
            chaperon="0", epoch=self.epoch,
        )  # fmt: skip
        self.ending = None
        self.state = AgentState(
            hello, len(self.crew), self.world.now, limits=AGENT_LIMITS, left=left
        )

    def crash(self) -> None:
        """The process and its workers are gone at this moment."""
        self.state = None
        self.past += self.crew
        for worker in self.crew:
            worker.alive = worker.loading = False
        self.crew = []
        self._queue.clear()
        self.dial_at = None
        if self.wire is not None:
            self.world.cut(self.wire)
            self.wire.agent_closed = True
            self.wire = None

    def _worker_said(self, worker: int, message: Any) -> None:
        self._queue.append((worker, message))

    def look(self) -> None:
        if self.state is None or self.is_asleep or self.ending is not None:
            return
        for worker in list(self.crew):
            worker.look()
        if self.is_still:
            return
        self._drain()
        if self.dial_at is not None and self.world.now >= self.dial_at:
            self.dial_at = None
            if self.world.is_open and not self.world.is_apart(self):
                self.wire = self.world.connect(self)
                self.tell(agent_events.Connected())
            else:
                self.tell(agent_events.DialFailed("refused", is_final=False))
        self.tell(agent_events.Tick())
        self._drain()

    @property
    def is_asleep(self) -> bool:
        """The machine stands still."""
        return self.world.now < self.asleep_until

    @property
    def is_still(self) -> bool:
        """Its agent does nothing."""
        return self.world.now < max(self.asleep_until, self.stuck_until)

    def _drain(self) -> None:
        while self._queue and self.state is not None:
            worker, message = self._queue.pop(0)
            self.tell(agent_events.WorkerSaid(worker, message))

    def lose_worker(self, worker: FakeWorker) -> None:
        if worker.alive:
            worker.alive = worker.loading = False
            self.tell(agent_events.WorkerExited(worker.number, "killed", worker.slots))

    def tell(self, event: agent_events.Event) -> None:
        if self.state is None or self.ending is not None:
            return
        for action in self.state.handle(event, self.world.now):
            self._do(action)

    def _do(self, action: agent_events.Action) -> None:
        match action:
            case agent_events.Dial():
                self.dial_at = self.world.now + self.world.random.choice([0.0, 0.2])
            case agent_events.HangUp():
                if self.wire is not None:
                    self.world.hang_up(self.wire, by_agent=True)
                    self.wire = None
            case agent_events.Tell(message):
                if self.wire is not None:
                    self.world.send(self.wire, message, to_agent=False)
            case agent_events.BeginJournal(epoch=epoch):
                self.epoch = epoch
            case agent_events.Keep(frame):
                self.disk[frame.seq] = frame
                self.next_seq = max(self.next_seq, frame.seq + 1)
            case agent_events.Forget(next_seq):
                for seq in [seq for seq in self.disk if seq < next_seq]:
                    del self.disk[seq]
            case agent_events.Finish():
                self.ending = action
                for worker in self.crew:
                    worker.alive = worker.loading = False
                if self.wire is not None:
                    self.world.hang_up(self.wire, by_agent=True, soon=True)
                    self.wire = None
            case Send(worker, message):
                self.crew[worker].receive(message)
            case KillWorker(worker):
                self.lose_worker(self.crew[worker])
            case Say():
                pass


class World:
    """A coordinator with one local worker, and the hosts."""

    def __init__(
        self, seed: int, *, hosts: int = 2, fewer_ok: bool = True, on_loss: str | None = None,
        duration_s: float | None = None,
    ):  # fmt: skip
        self.random = random.Random(seed)
        self.now = 100.0
        self.hosts = [Host(number, self) for number in range(hosts)]
        terms = Terms(
            expect=hosts, start_timeout_s=4.0, fewer_ok=fewer_ok,
            on_loss=on_loss or self.random.choice(["continue", "respread", "respread", "fail"]),
        )  # fmt: skip
        self.duration_s = duration_s or self.random.choice([3.0, 8.0])
        self.run: RunState | None = RunState(
            plan(self.duration_s), 1, self.now, limits=LIMITS, terms=terms
        )
        self.asleep_until = 0.0
        """The coordinator's machine."""
        self.local = FakeWorker(0, self, self._local_said)
        self._queue: list[Any] = []
        self._unsynced: dict[int, int] = {}
        self.wires: dict[int, Wire] = {}
        """Those that are not closed on both sides."""
        self._wire_numbers = count()
        self.apart_until: dict[int, float] = {}
        self.applied: dict[int, list[Frame]] = {}
        self.of = 1
        self.epoch = 0
        self.given: dict[int, list[tuple[int, list[int]]]] = {}
        """By epoch: what each member was given."""
        self.begun_shares: set[tuple[int, int]] = set()
        """Shares that ran, with their epochs."""
        self.hand_overs: list[HandOver] = []
        self.numbers: dict[int, Host] = {}
        """The host of each member."""
        self.is_refused = False
        self.local.receive(Prepare(launch=b"", workers=1, worker=0, seed=0))
        for host in self.hosts:
            host.start()

    # the network

    @property
    def is_open(self) -> bool:
        return self.run is not None and self.run.state != "finished" and not self.is_asleep

    @property
    def is_asleep(self) -> bool:
        """The coordinator's machine stands still."""
        return self.now < self.asleep_until

    def is_apart(self, host: Host) -> bool:
        return self.now < self.apart_until.get(host.number, 0.0)

    def connect(self, host: Host) -> Wire:
        wire = Wire(next(self._wire_numbers), host)
        self.wires[wire.number] = wire
        return wire

    def send(self, wire: Wire, message: Message, *, to_agent: bool) -> None:
        if wire.cut_at is not None or self.is_apart(wire.host):
            return
        queue = wire.to_agent if to_agent else wire.to_coordinator
        due = self.now + self.random.choice([0.0, 0.0, 0.2])
        if queue:
            due = max(due, queue[-1][0])
        queue.append((due, message))
        if isinstance(message, AgentFrame | Ack) and self.random.random() < 0.1:
            queue.append((due, message))
            if self.random.random() < 0.3:
                self.random.shuffle(queue)

    def cut(self, wire: Wire, *, silently: bool = False) -> None:
        if wire.cut_at is not None:
            return
        wire.cut_at = self.now
        wire.to_agent.clear()
        wire.to_coordinator.clear()
        late = 1000.0 if silently else 0.0
        wire.heard_by_coordinator_at = self.now + late + self.random.choice([0.0, 0.2, 1.0])
        wire.heard_by_agent_at = self.now + late + self.random.choice([0.0, 0.2, 1.0])

    def hang_up(self, wire: Wire, *, by_agent: bool, soon: bool = False) -> None:
        """One side closes: what it sent before still arrives."""
        if by_agent:
            wire.agent_closed = True
        else:
            wire.coordinator_closed = True
        if wire.cut_at is not None or self.is_apart(wire.host):
            self.cut(wire)
            return
        queue = wire.to_coordinator if by_agent else wire.to_agent
        queue.append((queue[-1][0] if queue else self.now, None))

    def _deliver(self) -> None:
        for wire in list(self.wires.values()):
            if wire.agent_closed and wire.coordinator_closed:
                del self.wires[wire.number]
                continue
            if self.is_apart(wire.host):
                continue
            deaf = self.is_asleep
            while not deaf and wire.to_coordinator and wire.to_coordinator[0][0] <= self.now:
                _, message = wire.to_coordinator.pop(0)
                if wire.coordinator_closed or self.run is None:
                    continue
                if message is None:
                    wire.coordinator_closed = True
                    self.tell(run_events.AgentGone(wire.number, "closed"))
                else:
                    self.tell(run_events.AgentSaid(wire.number, message, "x:1"))
            asleep = wire.host.is_still
            while not asleep and wire.to_agent and wire.to_agent[0][0] <= self.now:
                _, message = wire.to_agent.pop(0)
                if wire.agent_closed or wire.host.wire is not wire:
                    continue
                if message is None:
                    wire.agent_closed = True
                    wire.host.wire = None
                    wire.host.tell(agent_events.Disconnected("closed"))
                else:
                    wire.host.tell(agent_events.Heard(message))
            at = wire.heard_by_coordinator_at
            if at is not None and self.now >= at and not wire.coordinator_closed and not deaf:
                wire.coordinator_closed = True
                self.tell(run_events.AgentGone(wire.number, "reset"))
            at = wire.heard_by_agent_at
            if at is not None and self.now >= at and not wire.agent_closed and not asleep:
                wire.agent_closed = True
                if wire.host.wire is wire:
                    wire.host.wire = None
                    wire.host.tell(agent_events.Disconnected("reset"))

    # the coordinator

    def _local_said(self, worker: int, message: Any) -> None:
        self._queue.append(run_events.FromWorkerEvent(worker, message))

    def tell(self, event: run_events.Event) -> None:
        if self.run is None:
            return
        for action in self.run.handle(event, self.now):
            self._do(action)

    def _do(self, action: run_events.Action) -> None:
        match action:
            case run_events.Send(_, message):
                self.local.receive(message)
            case run_events.KillWorker():
                if self.local.alive:
                    self.local.alive = self.local.loading = False
                    self._queue.append(run_events.WorkerExited(0, "killed"))
            case run_events.TellAgent(link, message):
                wire = self.wires.get(link)
                if wire is not None and not wire.coordinator_closed:
                    self.send(wire, message, to_agent=True)
            case run_events.HandOut(workers, agents, of, epoch):
                self.of, self.epoch = of, epoch
                self.given[epoch] = [(-1, list(range(workers)))]
                self.local.receive(Prepare(launch=b"", workers=of, worker=0, seed=0))
                for link, shares in agents.items():
                    self.given[epoch].append((link, shares))
                    message = AgentPrepare(launch=b"", shares=shares, of=of, epoch=epoch, seed=0)
                    self.send(self.wires[link], message, to_agent=True)
            case run_events.StartAgent(link, start_ns, one_way_ns):
                assert self.run is not None
                agent = self.run.roster.on_link(link)
                assert agent is not None
                self.numbers[agent.number] = self.wires[link].host
                delay_ns = max(0, start_ns - int(self.now * 1e9) - one_way_ns)
                start = AgentStart(delay_ns=delay_ns, run_start_ns=start_ns)
                self.send(self.wires[link], start, to_agent=True)
            case run_events.ApplyFrame(frame):
                frames = self.applied.setdefault(frame.worker, [])
                assert frame.seq == len(frames), "a frame was applied twice, or one was left out"
                frames.append(frame)
            case run_events.DropAgent(link, reason, user_error):
                wire = self.wires.get(link)
                if wire is not None and not wire.coordinator_closed:
                    if reason:
                        self.send(
                            wire, Refused(reason=reason, user_error=user_error), to_agent=True
                        )
                    self.hang_up(wire, by_agent=False)
            case run_events.AckFrames(link, next_seq):
                # What is written is on disk when the next tick comes.
                self._unsynced[link] = next_seq
            case run_events.NoteHandOver(hand_over):
                self.hand_overs.append(hand_over)
            case run_events.RefuseRun():
                self.is_refused = True
            case _:
                pass

    def begun(self, shares: list[int], epoch: int) -> None:
        """A worker begins these."""
        for share in shares:
            assert (share, epoch) not in self.begun_shares, "a share was run twice in an epoch"
            self.begun_shares.add((share, epoch))

    @property
    def loading(self) -> list[int]:
        """Shares that are run at this moment."""
        crews = [worker for host in self.hosts if not host.is_asleep for worker in host.crew]
        workers = crews if self.is_asleep else [self.local, *crews]
        return [share for each in workers if each.loading for share in each.shares]

    def crash_coordinator(self) -> None:
        self.run = None
        self.local.alive = self.local.loading = False
        self._queue.clear()
        for wire in self.wires.values():
            self.cut(wire)
            wire.coordinator_closed = True

    # time

    def step(self) -> None:
        self.now = round(self.now + STEP_S, 6)
        if self.run is not None and not self.is_asleep:
            for link, next_seq in self._unsynced.items():
                if link in self.wires and not self.wires[link].coordinator_closed:
                    self.send(self.wires[link], Ack(next_seq=next_seq), to_agent=True)
            self._unsynced.clear()
            self.local.look()
            while self._queue:
                self.tell(self._queue.pop(0))
            self.tell(run_events.Tick())
            while self._queue:
                self.tell(self._queue.pop(0))
        for host in self.hosts:
            host.look()
        self._deliver()
        if self.run is not None and self.run.state == "finished":
            for wire in self.wires.values():
                if not wire.coordinator_closed:
                    self.hang_up(wire, by_agent=False)

    @property
    def is_over(self) -> bool:
        run_over = self.run is None or self.run.state == "finished"
        return run_over and all(
            host.state is None or host.ending is not None for host in self.hosts
        )

    def counted(self, member: int) -> int:
        """Requests that the coordinator knows of a member."""
        frames = self.applied.get(member)
        return frames[-1].totals.sent if frames else 0

"""One run from its workers' first word to its report: does what the state machine decides.

Owns: the loop's tick, the workers' links, the aggregate. Must not know: how workers
are forked, or what a viewer draws. Decisions are in `state`, viewers in `server`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from chaperon_engine.clock import SystemClock
from chaperon_engine.coordinator.acknowledging import Acknowledger
from chaperon_engine.coordinator.agents import AgentLinks
from chaperon_engine.coordinator.events import (
    AbortAsked,
    AckFrames,
    Action,
    AgentGone,
    AgentIsBack,
    AgentIsLost,
    AgentSaid,
    ApplyFrame,
    BeginLoad,
    CannotStart,
    DrainAsked,
    DropAgent,
    Event,
    FinishRun,
    FrameRefused,
    FromWorkerEvent,
    HandOut,
    HangLocated,
    HostGone,
    KillWorker,
    Limits,
    LocateHang,
    NoteDrain,
    NoteHandOver,
    NoteReason,
    NoteSteering,
    RefuseRun,
    Say,
    Send,
    SendBundle,
    StartAgent,
    StopAsked,
    TellAgent,
    Tick,
    WorkerExited,
    WorkerIsLost,
)
from chaperon_engine.coordinator.inviting import Attachment, gatherings_of
from chaperon_engine.coordinator.keeping import RunKeeper, ending_of, record_of, terms_of
from chaperon_engine.coordinator.server import ClientServer
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.coordinator.view import LogMemory, Outcome, make_snapshot
from chaperon_engine.coordinator.viewer import Seen
from chaperon_engine.crew.crew import Crew, WorkerProcess
from chaperon_engine.crew.links import WorkerLink
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import Frame, LogLine
from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary
from chaperon_engine.platform import suspended_s
from chaperon_engine.protocol.lease import Leases
from chaperon_engine.protocol.messages import (
    PROTOCOL_VERSION,
    AcceptedSeries,
    FromWorker,
    Prepare,
    Refused,
    Welcome,
    WorkerFailed,
)
from chaperon_engine.protocol.wire import Ack, AgentPrepare, AgentStart
from chaperon_engine.runs.build import build_report, missing_of_lost
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.journal import Header
from chaperon_engine.runs.record import RunRecord, WorkerRecord
from chaperon_engine.runs.report import Report
from chaperon_engine.runs.window import read_window

TICK_S = 0.05
MAX_READ_BYTES = 8 * 1024 * 1024
"""A longer journal is not read while the run goes on: the workers' messages would wait."""


NOTHING_COUNTED = RunCounters(1, slots=1).worker(0)
"""The shared counters of an agent's workers are on its host: what they know comes in frames."""


class Coordinator:
    """Drives one run."""

    def __init__(
        self,
        directory: RunDirectory,
        record: RunRecord,
        launch: LaunchRequest,
        workers: Sequence[WorkerProcess],
        counters: RunCounters,
        *,
        limits: Limits | None = None,
        say: Callable[[str, str], None] = lambda level, text: None,
    ):
        self.directory = directory
        self.record = record
        self.launch = launch
        self.counters = counters
        self.limits = limits or Limits()
        self.outcome = Outcome()
        self.refusal: RefuseRun | None = None
        """Set when the load could not begin."""
        self.agents = AgentLinks(self, hello_s=self.limits.hello_s)
        self._attachment = Attachment()
        self.state = RunState(
            record.plan,
            len(workers),
            time.monotonic(),
            limits=self.limits,
            max_time_s=launch.max_time_s,
            terms=terms_of(launch),
        )
        self.aggregate = self._new_aggregate(len(workers))
        self.leases = Leases()
        self.server = ClientServer(self, self.leases, time.monotonic)
        self._crew = Crew(workers, self)
        self._logs = LogMemory()
        self._say = say
        self._keeper = RunKeeper(directory, record, self._disk_refuses)
        self._acknowledger = Acknowledger(
            self._keeper, lambda link, next_seq: self.agents.tell(link, Ack(next_seq=next_seq))
        )
        self._start_ns = 0
        self._end_ns = 0
        self._suspended_s = suspended_s()
        self._told_accepted = False
        self._over = asyncio.Event()

    # the run's life

    def link(self, worker: int) -> WorkerLink:
        """The connection to a worker, for whoever holds the socketpair."""
        return self._crew.link(worker)

    def attach(self, attachment: Attachment) -> None:
        """Others can come from now on."""
        self._attachment = attachment
        invitation = attachment.invitations.here
        if invitation.join:
            self.say("info", f"attach machines with: {invitation.join}")
        self.say("info", f"watch from other machines with: {invitation.attach}")

    def _new_aggregate(self, members: int) -> RunAggregate:
        plan = self.record.plan
        return RunAggregate(
            members,
            warmup_s=plan.warmup_s,
            max_series=plan.max_series,
            planned_sessions=plan.sessions,
        )

    async def run(self) -> Report | None:
        """Prepare the workers, see the run through, answer its report; None when the load could
        not begin (see `refusal`)."""
        self._hand_out(HandOut(len(self._crew), {}, len(self._crew), 0))
        if not self.launch.detach:
            self.leases.expect(time.monotonic())
        while not self._over.is_set():
            self._tick()
            try:
                async with asyncio.timeout(TICK_S):
                    await self._over.wait()
            except TimeoutError:
                continue
        self._acknowledger.close()
        return None if self.refusal is not None else self._report()

    async def end_workers(self, wait_s: float = 3.0) -> None:
        """Wait a bounded time until all worker processes are gone, then kill what is left."""
        await self._crew.end(wait_s)

    def _tick(self) -> None:
        now = time.monotonic()
        if self.leases.expired(now):
            self.handle(StopAsked("lease"))
        self._crew.notice_exits()
        self.handle(Tick(suspended_s() - self._suspended_s))
        if self._start_ns:
            self.aggregate.advance(time.monotonic_ns())
        else:
            self._tell_who_waits()
        self._acknowledger.look()
        self.server.publish()

    def _tell_who_waits(self) -> None:
        if self._attachment.invitations.here.attach:
            self.server.gather(*gatherings_of(self.state, self._attachment.invitations))

    # events in, actions out

    def handle(self, event: Event) -> None:
        """Tell the state machine, and do what it answers."""
        for action in self.state.handle(event, time.monotonic()):
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Send(worker, message):
                self._crew.send(worker, message)
            case ApplyFrame(frame):
                self._apply(frame)
            case BeginLoad(start_ns):
                self._begin(start_ns)
            case LocateHang(worker):
                self._crew.locate(worker)
            case KillWorker(worker):
                self._crew.kill(worker)
            case WorkerIsLost(worker, note):
                self._lose(worker, note)
            case TellAgent(link, message):
                self.agents.tell(link, message)
            case AckFrames(link, next_seq):
                self._acknowledger.frame(link, next_seq)
            case SendBundle(link):
                self.agents.send_bundle(link, self._attachment.bundle.pieces())
            case HandOut():
                self._hand_out(action)
            case StartAgent(link, start_ns, one_way_ns):
                delay_ns = max(0, start_ns - time.monotonic_ns() - one_way_ns)
                self.agents.tell(link, AgentStart(delay_ns=delay_ns, run_start_ns=start_ns))
            case AgentIsBack(link):
                if self._told_accepted:
                    keys = self.aggregate.table.accepted_keys()
                    self.agents.tell(link, AcceptedSeries(keys=keys))
            case AgentIsLost(member, note):
                self.aggregate.worker_lost(member, NOTHING_COUNTED)
                self._keeper.worker_lost(member, note, NOTHING_COUNTED)
            case DropAgent(link, reason, user_error):
                self.agents.drop(link, reason, user_error=user_error)
            case Say(level, text):
                self.say(level, text)
            case NoteSteering(what, by):
                self._note(what, by)
            case NoteDrain(member, by):
                self._keeper.drained(self._now_s(), member, by)
            case NoteReason(reason):
                self._keeper.stated(reason)
            case NoteHandOver(hand_over):
                self._keeper.handed_over(hand_over)
            case RefuseRun(reason, user_error):
                self.refusal = action
                self.server.answer_all(Refused(reason=reason, user_error=user_error))
                self._over.set()
            case FinishRun():
                self._over.set()

    def worker_said(self, worker: int, message: FromWorker) -> None:
        """See `crew.CrewLeader`."""
        self.handle(FromWorkerEvent(worker, message))

    def worker_exited(self, worker: int, how: str) -> None:
        """See `crew.CrewLeader`."""
        self.handle(WorkerExited(worker, how))

    def hang_located(self, worker: int, place: str) -> None:
        """See `crew.CrewLeader`."""
        self.handle(HangLocated(worker, place))

    def agent_said(self, said: AgentSaid) -> None:
        """See `agents.AgentLeader`."""
        self.handle(said)

    def agent_gone(self, link: int, reason: str) -> None:
        """See `agents.AgentLeader`."""
        self.handle(AgentGone(link, reason))

    def cannot_start(self, reason: str) -> None:
        """Something around the run is missing: it ends before its load."""
        self.handle(CannotStart(reason))

    def _hand_out(self, action: HandOut) -> None:
        launch = msgspec.msgpack.encode(self.launch)
        seed = self.record.seed
        for number in range(action.workers):
            prepare = Prepare(launch=launch, workers=action.of, worker=number, seed=seed)
            self._crew.send(number, prepare)
        for link, shares in action.agents.items():
            self.agents.tell(
                link,
                AgentPrepare(
                    launch=msgspec.msgpack.encode(self._attachment.bundle.launch),
                    shares=shares,
                    of=action.of,
                    epoch=action.epoch,
                    seed=seed,
                    max_series=self.record.plan.max_series,
                ),
            )

    def _begin(self, start_ns: int) -> None:
        plan = self.record.plan
        self._start_ns = self._end_ns = start_ns
        agents = self.state.roster.agents
        members = self.state.roster.members
        self.aggregate = self._new_aggregate(members)
        taken = {agent.number for agent in agents}
        for number in set(range(len(self._crew), members)) - taken:
            self.aggregate.absent(number)
        for agent in agents:
            self.aggregate.name_member(agent.number, f"agent {agent.name}")
        self.aggregate.begin(start_ns)
        if plan.planned_s is not None:
            self.aggregate.end_load(plan.planned_s)
        self.record.started_at = SystemClock().label().isoformat(timespec="milliseconds")
        self.record.workers = [
            WorkerRecord(worker=worker.number, pid=worker.pid, core=worker.core)
            for worker in self._crew.workers
        ]
        self.record.workers += [record_of(agent) for agent in agents]
        self._keeper.begin(
            Header(
                run_id=self.record.id,
                start_ns=start_ns,
                started_at=self.record.started_at,
                workers=[(each.worker, each.pid, each.core) for each in self.record.workers],
            )
        )
        self.server.answer_all(self.welcome())

    def welcome(self) -> Welcome:
        """What viewers are told once the load has begun."""
        return Welcome(
            protocol=PROTOCOL_VERSION,
            run_id=self.record.id,
            pid=self.record.engine_pid,
            plan=msgspec.msgpack.encode(self.record.plan),
        )

    def _apply(self, frame: Frame) -> None:
        try:
            if not self.aggregate.apply(frame):
                return
        except ValueError as error:
            if frame.worker >= len(self._crew):
                self.handle(FrameRefused(frame.worker, str(error)))
                return
            self.handle(
                FromWorkerEvent(frame.worker, WorkerFailed(message=str(error), user_error=False))
            )
            return
        self._end_ns = max(self._end_ns, frame.end_ns)
        self._logs.add(*frame.logs)
        if frame.dropped_logs:
            self._log_line("warning", f"worker {frame.worker}", f"{frame.dropped_logs} more lines")
        self._keeper.frame(frame)
        if self.aggregate.table.is_full and not self._told_accepted:
            self._told_accepted = True
            keys = self.aggregate.table.accepted_keys()
            self.say("warning", f"the table of {len(keys)} series is full: others go to (other)")
            self._crew.send_all(AcceptedSeries(keys=keys))
            self.agents.tell_all(AcceptedSeries(keys=keys))

    def _lose(self, worker: int, note: str) -> None:
        counters = self.counters.worker(worker)
        summary = self.aggregate.worker_lost(worker, counters)
        self._end_ns = max(self._end_ns, time.monotonic_ns())
        has_sockets = self.aggregate.messages.totals.are_there
        self.state.reasons.append(
            missing_of_lost(worker, summary.missing_latencies, has_sockets=has_sockets)
        )
        self._keeper.worker_lost(worker, note, counters)

    def _note(self, what: str, by: str) -> None:
        at_s = self._now_s()
        self.aggregate.end_load(max(0.0, at_s))
        self._keeper.steered(at_s, what, by)

    def _now_s(self) -> float:
        """Seconds since the start of the load; negative just before it."""
        return (time.monotonic_ns() - self._start_ns) / 1e9

    def _disk_refuses(self, sentence: str) -> None:
        if sentence not in self.state.reasons:
            self.state.reasons.append(sentence)
            self.say("error", sentence)

    def say(self, level: str, text: str) -> None:
        """A line of the engine for the run's log."""
        self._log_line(level, "engine", text)
        self._say(level, text)

    def _log_line(self, level: str, source: str, text: str) -> None:
        at_s = self._now_s() if self._start_ns else 0.0
        self._logs.add(LogLine(max(0.0, at_s), level, source, text))

    # the end

    def _report(self) -> Report:
        agents = {agent.number: agent for agent in self.state.roster.agents}
        self.record.workers = [
            record_of(agents[each.worker]) if each.worker in agents else each
            for each in self.record.workers
        ]
        duration_s = (self._end_ns - self._start_ns) / 1e9
        self.aggregate.finish(duration_s)
        self.outcome.duration_s = duration_s
        ending = ending_of(self.state, duration_s)
        self._keeper.end(ending)
        return build_report(self.record, self.aggregate, ending)

    # what viewers see and do (RunView)

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        """See `viewer.RunView`."""
        return make_snapshot(
            self.record.id,
            self.state,
            self.aggregate,
            self.counters,
            self._logs,
            self.outcome,
            view,
            seen,
            time.monotonic(),
            self._attachment.invitations,
        )

    def series_detail(self, series: int) -> SeriesDetail | None:
        """See `viewer.RunView`."""
        return self.aggregate.series_detail(series)

    def window_summary(self, start_s: int, end_s: int, *, with_rows: bool) -> WindowSummary | None:
        """With rows from the journal; without them when that is too long to be read now."""
        journal = self._keeper.readable_journal(MAX_READ_BYTES) if with_rows else None
        if journal is None:
            return self.aggregate.window(start_s, end_s)
        return read_window(journal, self.record.plan, start_s, end_s)

    def stop(self, by: str) -> None:
        """See `viewer.RunView`."""
        self.handle(StopAsked(by))

    def abort(self, by: str) -> None:
        """See `viewer.RunView`."""
        self.handle(AbortAsked(by))

    def drain(self, member: int, by: str) -> str:
        """See `viewer.RunView`."""
        refusal = self.state.cannot_drain(member, time.monotonic())
        if not refusal:
            self.handle(DrainAsked(member, by))
        return refusal

    def node_died(self, name: str, reason: str) -> None:
        """See `viewer.RunView`."""
        self.handle(HostGone(name, reason))

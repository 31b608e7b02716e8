"""The run's state machine: events and the time in, actions out. No I/O, no clock of its own.

    starting ── all ready ──> warmup ── warm-up over ──> running ── stop, or time is up ──> draining
       │                        └────────── any state: all workers done or lost ──────────> finished
       └── a member refuses, the barrier's time is up ──> failed start (finished, no load)

Members are the workers of this host and the agents of others. `crew.watch` knows the workers,
`members` the agents; here is what their coming and going means for the run.

How a run is made to end, whatever its workers do:
stop       at a person's wish, an expired lease, or the absolute end: StopLoad
abort      at a person's wish, or grace period + margin after the stop or the planned end: AbortLoad
kill       some seconds after the abort: SIGKILL
A worker that answers no ping hangs: it is located, and killed after a time, at the latest when the
run would be aborted because of it alone; the run goes on.

An agent that is silent beyond its lease is away: the run is partial, and fails if it was told so.
While it is away the others go on; the end of the run waits a bounded time for its return.

A member whose own sessions have ended stays for what other members' sessions schedule, until all
are idle and nothing is placed any more: Release. `placing` decides where.

Times are monotonic seconds; `start_ns` is on the same clock.
"""

from __future__ import annotations

from chaperon_engine.coordinator.attendance import Attendance
from chaperon_engine.coordinator.events import (
    AbortAsked,
    Action,
    AgentGone,
    AgentSaid,
    ApplyFrame,
    BeginLoad,
    CannotStart,
    Event,
    FinishRun,
    FrameRefused,
    FromWorkerEvent,
    HangLocated,
    HostGone,
    Limits,
    NoteSteering,
    RefuseRun,
    Say,
    Send,
    StartAgent,
    StopAsked,
    TellAgent,
    Terms,
    Tick,
    WorkerExited,
    WorkerIsLost,
    WorkerState,
)
from chaperon_engine.coordinator.members import Agent, Roster
from chaperon_engine.coordinator.placing import Placements
from chaperon_engine.crew.watch import CrewWatch
from chaperon_engine.definition.plan import Plan
from chaperon_engine.protocol.messages import (
    AbortLoad,
    FromWorker,
    Ping,
    Placed,
    Pong,
    Prepare,
    Release,
    Schedule,
    Start,
    StopLoad,
    Withdraw,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)
from chaperon_engine.units import show_duration

NO_SESSION_PASSED = "no session passed init"
AGENTS_LEAD_S = 0.2
"""Beyond the round trip between the start and second 0, so that every agent's workers know it."""


class RunState(Attendance):
    """Decides. One per run."""

    def __init__(
        self, plan: Plan, workers: int, now: float, *, limits: Limits | None = None,
        max_time_s: float | None = None, terms: Terms | None = None,
    ):  # fmt: skip
        """`workers` of this host; `terms` when agents are waited for."""
        limits = limits or Limits()
        watch = CrewWatch(workers, now, limits)
        super().__init__(watch.workers, Roster(workers, terms, limits, now), limits)
        self.plan = plan
        self.max_time_s = max_time_s
        self._watch = watch
        self._began_at = now

    @property
    def drain_began_at(self) -> float | None:
        """When the drain began: at the stop, or when the planned time was up; else None."""
        planned = self.plan.planned_s
        ends = [] if self.stopped_at is None else [self.stopped_at]
        if planned is not None and self.started_at is not None:
            ends.append(self.started_at + planned)
        return min(ends, default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do because of `event`."""
        if self.state == "finished":
            return []
        match event:
            case Tick():
                actions = self._tick(now)
            case FromWorkerEvent(worker, message):
                actions = self._message(self.workers[worker], message, now)
            case WorkerExited(worker, how):
                actions = self._exited(self.workers[worker], how)
            case HangLocated(worker, place):
                actions = [*self._watch.located(self.workers[worker], place)]
            case StopAsked(by):
                actions = self._stop(by, now)
            case AbortAsked(by):
                actions = self._abort(by, now)
            case CannotStart(reason):
                actions = self._refuse(reason, True) if self.state == "starting" else []
            case AgentSaid(link, message, address):
                actions = self._agent_said(link, message, address, now)
            case AgentGone(link):
                actions = self._agent_gone(link, now)
            case HostGone(name, reason):
                actions = self.roster.hint(name, reason, now)
            case FrameRefused(member, problem):
                actions = self._distrust(member, problem)
        actions = actions + self._release_if_idle() + self._finish_if_over(now)
        return [self._routed(action) for action in actions]

    def _routed(self, action: Action) -> Action:
        """What is to be sent to a member that is an agent goes to its connection."""
        if isinstance(action, Send):
            agent = self.roster.member(action.worker)
            if agent is not None:
                message = action.message
                assert not isinstance(message, Prepare | Start | Ping)
                return TellAgent(-1 if agent.link is None else agent.link, message)
        return action

    # what workers say

    def _message(self, worker: WorkerState, message: FromWorker, now: float) -> list[Action]:
        if not worker.alive:
            return []
        worker.heard_at = now
        if self.state == "starting" and not isinstance(message, WorkerReady | WorkerFailed | Pong):
            return self._refuse(f"worker {worker.number} spoke before the load", False)
        match message:
            case WorkerReady(pid=pid, core=core):
                if worker.state != "starting":
                    return []
                worker.state, worker.pid, worker.core = "ready", pid, core
                return self._start_if_ready(now)
            case WorkerFailed(message=text, user_error=user_error):
                if self.state == "starting":
                    return self._refuse(text, user_error)
                return [*self._watch.distrust(worker, text)]
            case WorkerFrame(frame=frame):
                worker.had_last_frame = worker.had_last_frame or frame.last
                return [ApplyFrame(frame)]
            case Pong():
                return [*self._watch.answered(worker)]
            case WorkerDone(no_session_passed_init=refused_all):
                worker.refused_all = refused_all
                self._watch.ended(worker)
                return [*self._placements.gone(worker.number, "ended before it")]
            case WorkerIdle():
                worker.is_idle = True
                return []
            case Schedule() | Withdraw() | Placed():
                return self._placement(worker.number, message)

    def _release_if_idle(self) -> list[Action]:
        """Once nobody can ask for anything any more, members need not stay. Who is away hears of
        it when it returns."""
        if self.state == "starting" or self._is_released or len(self._placements):
            return []
        workers = self._watch.alive
        agents = [agent for agent in self.roster.alive if agent.link is not None]
        idle = [each.is_idle for each in workers] + [each.is_idle for each in agents]
        if not idle or not all(idle):
            return []
        self._is_released = True
        return self._send_all(Release())

    def _start_if_ready(self, now: float) -> list[Action]:
        if any(worker.state != "ready" for worker in self.workers) or not self.roster.is_ready:
            return []
        agents = self.roster.agents
        farthest_s = max((agent.round_trip_s or 0.0 for agent in agents), default=0.0)
        lead_s = self.limits.start_delay_s
        if agents:
            lead_s += AGENTS_LEAD_S + farthest_s
        if self.roster.terms is not None and self.roster.missing:
            self.reasons.append(f"it began with {len(agents)} of {self.roster.terms.expect} agents")
        self._placements = Placements(self.roster.members)
        start_ns = int((now + lead_s) * 1e9)
        self.started_at = start_ns / 1e9
        self.state = "warmup" if self.plan.warmup_s else "running"
        for worker in self.workers:
            worker.state = "running"
        actions: list[Action] = [
            BeginLoad(start_ns),
            *(Send(worker.number, Start(start_ns=start_ns)) for worker in self.workers),
        ]
        for agent in agents:
            agent.state = "running"
            assert agent.link is not None
            one_way_ns = int((agent.round_trip_s or 0.0) * 0.5e9)
            actions.append(StartAgent(agent.link, start_ns, one_way_ns))
        return actions

    def _refuse(self, text: str, user_error: bool) -> list[Action]:
        """The load cannot begin, which is the end of the run."""
        self.status = "failed"
        self.reasons.append(text)
        self.state = "finished"
        actions: list[Action] = [RefuseRun(text, user_error), *self._watch.kill_all()]
        for agent in self.roster.agents:
            actions += self.roster.drop(agent, text, user_error=user_error)
        return actions

    def _exited(self, worker: WorkerState, how: str) -> list[Action]:
        if worker.alive and worker.had_last_frame:
            worker.state = "done"
            return [*self._placements.gone(worker.number, "ended before it")]
        if not worker.alive:
            return []
        if self.state == "starting":
            return self._refuse(f"worker {worker.number} ended before the load ({how})", False)
        note = self._watch.lost(worker, how)
        self.partial = True
        self.reasons.append(f"worker {worker.number} was lost: {note}")
        return [
            WorkerIsLost(worker.number, note),
            Say("error", f"worker {worker.number} was lost: {note}; the run goes on without it"),
            *self._placements.gone(worker.number, f"was lost: {note}"),
        ]

    # time

    def _tick(self, now: float) -> list[Action]:
        self._watch.look(now)
        if self.state == "starting":
            return self._tick_barrier(now)
        assert self.started_at is not None
        away, actions = self.roster.look(now)
        actions += self._agents_away(away, now)
        actions += [*self._watch.watch(now, self.started_at), *self._watch_end(now)]
        begin = self.drain_began_at
        if begin is not None and now >= begin:
            self.state = "draining"
        elif self.state == "warmup" and now >= self.started_at + self.plan.warmup_s:
            self.state = "running"
        return actions

    def _tick_barrier(self, now: float) -> list[Action]:
        late = [worker for worker in self.workers if worker.state == "starting"]
        waited = now - self._began_at
        if not late or waited < self.limits.barrier_s / 2:
            refusal, actions = self.roster.wait(now, self.limits.barrier_s)
            if refusal:
                return self._refuse(refusal, True)
            return actions + self._start_if_ready(now)
        if waited < self.limits.barrier_s:
            return [*self._watch.locate(late)]
        names = ", ".join(str(worker.number) for worker in late)
        place = next((worker.place for worker in late if worker.place), "")
        where = f"; it waits at {place}" if place else ""
        return self._refuse(
            f"worker {names} was not ready within {show_duration(self.limits.barrier_s)}{where}",
            True,
        )

    def _watch_end(self, now: float) -> list[Action]:
        assert self.started_at is not None
        workers, agents = self._watch.alive, self._linked
        if self.aborted_at is not None:
            actions: list[Action] = []
            if now - self.aborted_at > self.limits.abort_s:
                actions += self._watch.kill_all()
            if now - self.aborted_at > 2 * self.limits.abort_s + self.limits.end_margin_s:
                for agent in agents:
                    actions += self._distrust(agent.number, "it did not end after the abort")
            return actions
        began = self.drain_began_at
        if began is not None and (workers or agents):
            allowed = self.plan.grace_s + self.limits.end_margin_s
            if now > began + allowed:
                if not agents and all(worker.hung_at is not None for worker in workers):
                    return [*self._watch.kill_all()]  # Nobody would hear of an abort.
                reason = f"the run did not end within {show_duration(allowed)} after its time"
                self.partial = True
                return self._abort("limit", now, reason)
        if self.stopped_at is None:
            limit, what = self._absolute_end()
            if now > self.started_at + limit:
                return self._stop("limit", now, f"{what} of {show_duration(limit)} was reached")
        return []

    def _absolute_end(self) -> tuple[float, str]:
        limits = [(self.limits.max_time_s, "the longest time of a run")]
        if self.plan.planned_s is not None:
            limits = []
        if self.max_time_s is not None:
            limits.append((self.max_time_s, "the longest time given for this run"))
        if self.plan.timeout_s is not None:
            limits.append((self.plan.timeout_s, "the time-out of the load test"))
        return min(limits, default=(float("inf"), ""))

    # how a run ends

    def _stop(self, by: str, now: float, reason: str = "") -> list[Action]:
        if self.state == "starting":
            return self._refuse("the run was stopped before its load began", True)
        if self.stopped_at is not None or self.aborted_at is not None:
            return self._abort(by, now) if by == "signal" else []
        began = self.drain_began_at
        if began is not None and now >= began and by != "signal":
            return []
        self.stopped_at = now
        if by != "limit":  # a limit that was set beforehand is a planned end
            self.status = "stopped"
        self.reasons.append(reason or _STOP_REASONS.get(by, f"stopped by {by}"))
        return [
            NoteSteering("stop", by),
            Say("info", f"stopping: {self.reasons[-1]}"),
            *self._send_all(StopLoad()),
        ]

    def _abort(self, by: str, now: float, reason: str = "") -> list[Action]:
        if self.state == "starting":
            return self._refuse("the run was aborted before its load began", True)
        if self.aborted_at is not None:
            return []
        self.aborted_at = now
        if self.stopped_at is None:
            self.stopped_at = now
        self.status = "aborted"
        self.reasons.append(reason or _ABORT_REASONS.get(by, f"aborted by {by}"))
        return [
            NoteSteering("abort", by),
            Say("warning", f"aborting: {self.reasons[-1]}"),
            *self._send_all(AbortLoad()),
        ]

    def _send_all(self, message: StopLoad | AbortLoad | Release) -> list[Action]:
        numbers = [worker.number for worker in self._watch.alive]
        numbers += [agent.number for agent in self._linked]
        return [Send(number, message) for number in numbers]

    def _finish_if_over(self, now: float) -> list[Action]:
        if self.state in ("starting", "finished") or self._watch.alive or self._linked:
            return []
        actions: list[Action] = []
        if self.roster.alive:
            actions = self._wait_for_away(now)
            if self.roster.alive:
                return actions
        members: list[WorkerState | Agent] = [*self.workers, *self.roster.agents]
        if all(member.state == "lost" for member in members):
            self.status = "failed"
            self.reasons.append("all workers were lost")
        elif all(member.refused_all for member in members if member.state == "done"):
            self.status = "failed"
            self.reasons.append(NO_SESSION_PASSED)
        self.status = self.status or "complete"
        self.state = "finished"
        return [*actions, FinishRun()]


_STOP_REASONS = {
    "client": "stopped on request",
    "signal": "stopped by a signal",
    "lease": "the program that started the run has gone",
}
_ABORT_REASONS = {
    "client": "aborted on request",
    "signal": "aborted by a signal",
}

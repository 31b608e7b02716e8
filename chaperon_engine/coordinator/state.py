"""The run's state machine: events and the time in, actions out. No I/O, no clock of its own.

    starting ── all ready ──> warmup ── warm-up over ──> running ── stop, or time is up ──> draining
       │                        └────────── any state: all workers done or lost ──────────> finished
       └── a member refuses, the barrier's time is up ──> failed start (finished, no load)

Members are the workers of this host and the agents of others. `crew.watch` knows the workers,
`members` the agents; here is what their coming and going means for the run.

A worker that answers no ping hangs: it is located, and killed after a time, at the latest when the
run would be aborted because of it alone; the run goes on. How a run is made to end, whatever its
members do, is in `departure`.

An agent that is silent beyond its lease is away: the run is partial, and fails if it was told so.
While it is away the others go on, with its shares (`handover`) or without them; the end of the run
waits a bounded time for its return.

A member whose own sessions have ended stays for what other members' sessions schedule, until all
are idle and nothing is placed any more: Release. `placing` decides where.

Times are monotonic seconds; `start_ns` is on the same clock.
"""

from __future__ import annotations

from chaperon_engine.coordinator.departure import Departure
from chaperon_engine.coordinator.events import (
    AbortAsked,
    Action,
    AgentGone,
    AgentSaid,
    ApplyFrame,
    BeginLoad,
    CannotStart,
    DrainAsked,
    Event,
    FrameRefused,
    FromWorkerEvent,
    HangLocated,
    HostGone,
    Limits,
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
from chaperon_engine.coordinator.members import Roster
from chaperon_engine.coordinator.placing import Placements
from chaperon_engine.crew.watch import CrewWatch
from chaperon_engine.definition.plan import Plan
from chaperon_engine.protocol.messages import (
    FromWorker,
    Lease,
    Ping,
    Placed,
    Pong,
    Prepare,
    Schedule,
    Start,
    Withdraw,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)
from chaperon_engine.units import show_duration

AGENTS_LEAD_S = 0.2
"""Beyond the round trip between the start and second 0, so that every agent's workers know it."""


class RunState(Departure):
    """Decides. One per run."""

    def __init__(
        self, plan: Plan, workers: int, now: float, *, limits: Limits | None = None,
        max_time_s: float | None = None, terms: Terms | None = None,
    ):  # fmt: skip
        """`workers` of this host; `terms` when agents are waited for."""
        limits = limits or Limits()
        watch = CrewWatch(workers, now, limits)
        super().__init__(plan, watch, Roster(workers, terms, limits, now), limits, max_time_s)
        self._began_at = self._seen_at = now

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do because of `event`."""
        if self.state == "finished":
            return []
        match event:
            case Tick(slept_s):
                self._slept_s = slept_s
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
            case DrainAsked(member, by):
                actions = self._drain(member, by, now)
            case CannotStart(reason):
                actions = self._refuse(reason, True) if self.state == "starting" else []
            case AgentSaid():
                actions = self._agent_said(event, now)
            case AgentGone(link):
                actions = self._agent_gone(link, now)
            case HostGone(name, reason):
                actions = self.roster.hint(name, reason, now)
            case FrameRefused(member, problem):
                actions = self._distrust(member, problem, now)
        actions = actions + self._release_drained() + self._release_if_idle()
        actions += self._finish_if_over(now)
        return [self._routed(action) for action in actions]

    def _routed(self, action: Action) -> Action:
        """What is to be sent to a member that is an agent goes to its connection."""
        if isinstance(action, Send):
            agent = self.roster.member(action.worker)
            if agent is not None:
                message = action.message
                assert not isinstance(message, Prepare | Start | Ping | Lease)
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
            case WorkerIdle(epoch=epoch):
                # One that crossed shares on their way to it does not count.
                worker.is_idle = epoch >= worker.epoch
                return []
            case Schedule() | Withdraw() | Placed():
                return self._placement(worker.number, message)

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
        blind_s, self._seen_at = now - self._seen_at, now
        if blind_s > self.limits.blind_after_s:
            self._began_at += blind_s
            self._was_away(blind_s, now)
        self._watch.look(now)
        if self.state == "starting":
            return self._tick_barrier(now)
        assert self.started_at is not None
        away, actions = self.roster.look(now)
        actions += self._agents_away(away, now)
        actions += self._hand_over(now)
        actions += [*self._watch.watch(now, self.started_at), *self._watch_end(now)]
        actions += self._watch_drained(now)
        if self._is_ending(now):
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

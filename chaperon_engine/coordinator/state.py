"""The run's state machine: events and the time in, actions out. No I/O, no clock of its own.

    starting ── all ready ──> warmup ── warm-up over ──> running ── stop, or time is up ──> draining
       │                        └────────── any state: all workers done or lost ──────────> finished
       └── a worker refuses, the barrier's time is up ──> failed start (finished, no load)

How a run is made to end, whatever its workers do:
stop       at a person's wish, an expired lease, or the absolute end: StopLoad
abort      at a person's wish, or grace period + margin after the stop or the planned end: AbortLoad
kill       some seconds after the abort: SIGKILL
A worker that answers no ping hangs: it is located, and killed after a time, at the latest when the
run would be aborted because of it alone; the run goes on.

A worker whose own sessions have ended stays for what other workers' sessions schedule, until all
are idle and nothing is placed any more: Release. `placing` decides where.

Times are monotonic seconds; `start_ns` is on the same clock.
"""

from __future__ import annotations

from chaperon_engine.coordinator.events import (
    AbortAsked,
    Action,
    ApplyFrame,
    BeginLoad,
    Event,
    FinishRun,
    FromWorkerEvent,
    HangLocated,
    Limits,
    NoteSteering,
    RefuseRun,
    Say,
    Send,
    StopAsked,
    Tick,
    WorkerExited,
    WorkerIsLost,
    WorkerState,
)
from chaperon_engine.coordinator.placing import Placements
from chaperon_engine.crew.watch import CrewWatch
from chaperon_engine.definition.plan import Plan
from chaperon_engine.protocol.messages import (
    AbortLoad,
    FromWorker,
    Placed,
    Pong,
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


class RunState:
    """Decides. One per run."""

    def __init__(
        self, plan: Plan, workers: int, now: float, *, limits: Limits | None = None,
        max_time_s: float | None = None,
    ):  # fmt: skip
        self.plan = plan
        self.limits = limits or Limits()
        self.max_time_s = max_time_s
        self.state = "starting"
        self.status = ""
        """Once it is decided: `complete`, `stopped`, `aborted` or `failed`."""
        self.reasons: list[str] = []
        self.partial = False
        self._watch = CrewWatch(workers, now, self.limits)
        self.workers = self._watch.workers
        self.started_at: float | None = None
        """Second 0 of the load, monotonic seconds."""
        self.stopped_at: float | None = None
        """When iterations stopped starting for another reason than the plan."""
        self.aborted_at: float | None = None
        self._placements = Placements(workers)
        self._is_released = False
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
        return actions + self._release_if_idle() + self._finish_if_over()

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
            case Schedule(request=request, what=what):
                able = [each.number for each in self.workers if each.state == "running"]
                ending = "the run is ending" if self.stopped_at is not None else ""
                return [*self._placements.ask(worker.number, request, what, able, ending)]
            case Withdraw(request=request):
                return [*self._placements.withdrawn(worker.number, request)]
            case Placed(placement=placement, outcome=outcome):
                return [*self._placements.ended(worker.number, placement, outcome)]

    def _release_if_idle(self) -> list[Action]:
        """Once nobody can ask for anything any more, workers need not stay."""
        alive = self._watch.alive
        if self._is_released or len(self._placements) or not all(each.is_idle for each in alive):
            return []
        self._is_released = True
        return [Send(worker.number, Release()) for worker in alive]

    def _start_if_ready(self, now: float) -> list[Action]:
        if any(worker.state != "ready" for worker in self.workers):
            return []
        start_ns = int((now + self.limits.start_delay_s) * 1e9)
        self.started_at = start_ns / 1e9
        self.state = "warmup" if self.plan.warmup_s else "running"
        for worker in self.workers:
            worker.state = "running"
        return [
            BeginLoad(start_ns),
            *(Send(worker.number, Start(start_ns=start_ns)) for worker in self.workers),
        ]

    def _refuse(self, text: str, user_error: bool) -> list[Action]:
        """The load cannot begin, which is the end of the run."""
        self.status = "failed"
        self.reasons.append(text)
        self.state = "finished"
        return [RefuseRun(text, user_error), *self._watch.kill_all()]

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
        actions = [*self._watch.watch(now, self.started_at), *self._watch_end(now)]
        begin = self.drain_began_at
        if begin is not None and now >= begin:
            self.state = "draining"
        elif self.state == "warmup" and now >= self.started_at + self.plan.warmup_s:
            self.state = "running"
        return actions

    def _tick_barrier(self, now: float) -> list[Action]:
        late = [worker for worker in self.workers if worker.state == "starting"]
        waited = now - self._began_at
        if waited < self.limits.barrier_s / 2:
            return []
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
        if self.aborted_at is not None:
            if now - self.aborted_at > self.limits.abort_s:
                return [*self._watch.kill_all()]
            return []
        began = self.drain_began_at
        if began is not None:
            allowed = self.plan.grace_s + self.limits.end_margin_s
            if now > began + allowed:
                if all(worker.hung_at is not None for worker in self._watch.alive):
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

    def _send_all(self, message: StopLoad | AbortLoad) -> list[Action]:
        return [Send(worker.number, message) for worker in self._watch.alive]

    def _finish_if_over(self) -> list[Action]:
        if self.state in ("starting", "finished"):
            return []
        if self._watch.alive:
            return []
        if all(worker.state == "lost" for worker in self.workers):
            self.status = "failed"
            self.reasons.append("all workers were lost")
        elif all(worker.refused_all for worker in self.workers if worker.state == "done"):
            self.status = "failed"
            self.reasons.append(NO_SESSION_PASSED)
        self.status = self.status or "complete"
        self.state = "finished"
        return [FinishRun()]


_STOP_REASONS = {
    "client": "stopped on request",
    "signal": "stopped by a signal",
    "lease": "the program that started the run has gone",
}
_ABORT_REASONS = {
    "client": "aborted on request",
    "signal": "aborted by a signal",
}

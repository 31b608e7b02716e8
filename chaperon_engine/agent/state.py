"""The agent's state machine: events and the time in, actions out. No I/O, no clock of its own.

What the host does:

    idle ── AgentPrepare ──> preparing ── all ready ──> ready ── AgentStart ──> running ──> over
     └──────────────── a worker refuses, is gone, or somebody leaves ──────────────────> finished

The connection beside that is in `line`, the workers in `load`. A coordinator that is not heard for
the lease makes the load stop; dialling goes on until it is back, or `return_s` is over. A load that
was stopped does not begin again: others may have its shares by then. What was measured waits in the
outbox. At the end: the last frame acknowledged, AgentDone told, the coordinator hangs up.

Times are monotonic seconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chaperon_engine.agent.events import (
    Action,
    AgentLimits,
    BeginJournal,
    CannotTakePart,
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Ending,
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
from chaperon_engine.agent.leaving import ASKED, DIED, MAX_SENTENCE, SIGNAL, Leaving
from chaperon_engine.agent.line import Line
from chaperon_engine.agent.load import HostLoad
from chaperon_engine.agent.merging import FrameMerger
from chaperon_engine.agent.outbox import Outbox
from chaperon_engine.crew.events import Say, WorkerState
from chaperon_engine.protocol.messages import (
    AbortLoad,
    AcceptedSeries,
    EndPlacement,
    FromWorker,
    Place,
    Placed,
    Pong,
    Refused,
    Release,
    Schedule,
    Scheduled,
    StopLoad,
    TakeShares,
    Withdraw,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)
from chaperon_engine.protocol.wire import (
    Ack,
    Admitted,
    AgentFailed,
    AgentFrame,
    AgentHello,
    AgentPing,
    AgentPong,
    AgentPrepare,
    AgentReady,
    AgentStart,
    AgentStarted,
    Drain,
    ToAgent,
)
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

SAY_EVERY_S = 30.0
BEFORE_DELIVERED = "it was stopped by a signal before everything was delivered"
Phase = Literal["idle", "preparing", "ready", "running", "over", "finished"]


class AgentState:
    """Decides. One per agent process."""

    def __init__(
        self,
        hello: AgentHello,
        workers: int,
        now: float,
        *,
        limits: AgentLimits | None = None,
        left: Outbox | None = None,
        died: bool = False,
    ):
        """`hello`: how the agent presents itself, its epoch and next frame apart. `left`: what
        an earlier process measured and could not deliver; then that is all there is to do.
        `died`: that process did not see its load through."""
        self.hello = hello
        self.limits = limits or AgentLimits()
        self.phase: Phase = "idle" if left is None else "over"
        self.line = Line(self.limits, now, hello.instance, has_begun=left is not None)
        self.outbox = left if left is not None else Outbox()
        self.load = HostLoad(workers, now, self.limits)
        self.workers = self.load.workers
        self._delivers = left is not None
        self._said_waiting_at = now
        self._member: int | None = None
        self._prepare: AgentPrepare | None = None
        self._started: AgentStarted | None = None
        self._end = Leaving(why=DIED, died=True) if died else Leaving()

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do because of `event`."""
        if self.phase == "finished":
            return []
        match event:
            case Tick():
                actions = self._tick(now)
            case Connected():
                actions = self._connected(now)
            case DialFailed(reason, is_final):
                actions = self._dial_failed(reason, is_final, now)
            case Disconnected(reason):
                actions = self._disconnected(reason, now)
            case Heard(message):
                self.line.heard(now)
                actions = self._heard(message, now)
            case CannotTakePart(reason):
                actions = self._refuse(reason, True)
            case WorkerSaid(worker, said):
                actions = self._worker_said(self.workers[worker], said, now)
            case WorkerExited(worker, how, slots):
                actions = self._worker_exited(self.workers[worker], how, slots)
            case HangLocated(worker, place):
                actions = self._hang_located(self.workers[worker], place)
            case LeaveAsked():
                actions = self._leave_asked(now)
        return actions + self._go_on(now)

    # the connection

    def _tick(self, now: float) -> list[Action]:
        self.load.watch.look(now)
        self.line.look(now)
        actions: list[Action] = []
        if self._end.done_at is None and self.line.dials(now):
            actions.append(Dial())
        if self.line.is_silent(now):
            actions += [HangUp(), *self._disconnected("nothing was heard on it", now)]
        return actions + self._watch_lease(now) + self._watch_workers(now)

    def _connected(self, now: float) -> list[Action]:
        self.line.opened(now)
        # Before the load a return is a new beginning: the coordinator forgets who was not there.
        epoch = self._prepare.epoch if self._prepare and self._started else self.hello.epoch
        next_seq = self.outbox.next_seq
        return [Tell(msgspec.structs.replace(self.hello, epoch=epoch, next_seq=next_seq))]

    def _dial_failed(self, reason: str, is_final: bool, now: float) -> list[Action]:
        if not self.line.was_up and (is_final or self.line.given_up(now)):
            return self._finish(reason, "refused" if is_final else "failed")
        actions: list[Action] = []
        if self.line.is_first_try:
            actions.append(Say("warning", f"{reason}; trying again"))
        self.line.closed(now)
        return actions

    def _disconnected(self, reason: str, now: float) -> list[Action]:
        if self.line.state == "down":
            return []
        if self._end.done_at is not None:
            return self._take_leave()
        self.line.closed(now)
        return [
            Say("warning", f"the connection to the coordinator ended: {visible(reason)}"),
            *self.load.relay.disconnected(),
        ]

    def _admitted(self, message: Admitted) -> list[Action]:
        if self.line.state != "greeting":
            return []
        again = "the coordinator is reached again"
        actions: list[Action] = [Say("info", again if self.line.was_up else "joined the run")]
        self.line.admitted(message.lease_s)
        self._member = message.member
        if self._started is None and not self._delivers:
            return actions
        try:
            self.outbox.resumed(message.next_seq)
        except ValueError as error:
            return self._finish(str(error))
        if self._started is not None:
            actions.append(Tell(self._started))
        if self._end.why:
            actions.append(Tell(self._end.stopped()))
        if self._end.told_idle:
            actions.append(Tell(WorkerIdle(epoch=self.load.epoch)))
        return actions

    def _watch_lease(self, now: float) -> list[Action]:
        if self._end.done_at is not None or not self.line.was_up:
            return []
        if gone := self.line.given_up(now):
            return self._finish(gone)
        if self.phase != "running" or self._end.why or not self.line.is_lease_over(now):
            return self._say_what_waits(now)
        why = f"the coordinator was not heard for {show_duration(self.line.lease_s)}"
        self._said_waiting_at = now
        return [Say("error", f"the load stops: {why}"), *self._stop(why)]

    def _say_what_waits(self, now: float) -> list[Action]:
        """The load is over, and the coordinator is looked for: people wonder what goes on."""
        waits = not self.line.is_up and bool(self.outbox) and (self.phase == "over")
        if not waits or now - self._said_waiting_at < SAY_EVERY_S:
            return []
        self._said_waiting_at = now
        count = len(self.outbox)
        frames = "1 frame waits" if count == 1 else f"{count} frames wait"
        return [
            Say(
                "info",
                f"looking for the coordinator: {frames} to be delivered; Ctrl-C ends this, and "
                "keeps what waits on this host",
            )
        ]

    # what the coordinator says

    def _heard(self, message: ToAgent, now: float) -> list[Action]:
        match message:
            case Admitted():
                return self._admitted(message)
            case Refused(reason=reason, user_error=user_error):
                ending: Ending = "refused" if user_error else "failed"
                return self._finish(visible(reason, 500), ending)
            case AgentPing(number=number, heard_ns=heard_ns):
                self.line.confirmed(heard_ns / 1e9)
                moment_ns = int(now * 1e9)
                pong = AgentPong(number=number, received_ns=moment_ns, sent_ns=moment_ns)
                is_loading = self.phase == "running" and not self._end.why
                return [Tell(pong), *(self.load.send_all(self.line.lease) if is_loading else [])]
            case AgentPrepare():
                return self._take_shares(message, now)
            case AgentStart():
                return self._start(message, now)
            case Ack(next_seq=next_seq):
                try:
                    self.outbox.acknowledged(next_seq)
                except ValueError as error:
                    return [HangUp(), *self._disconnected(str(error), now)]
                return [Forget(next_seq)]
            case StopLoad() | AbortLoad() | Drain() | TakeShares() | AcceptedSeries() | Release():
                return self._steered(message, now)
            case Place():
                return [*self.load.relay.place(message, [] if self._end.why else self.load.able)]
            case EndPlacement(placement=placement):
                return [*self.load.relay.end(placement)]
            case Scheduled(request=request, outcome=outcome):
                return [*self.load.relay.answered(request, outcome)]
            case _:
                return []  # pieces of the bundle

    def _take_shares(self, message: AgentPrepare, now: float) -> list[Action]:
        if self.phase not in ("idle", "preparing", "ready"):
            return []
        if len(message.shares) > len(self.load.watch.alive):
            return self._refuse(
                f"{len(message.shares)} shares for {len(self.workers)} workers", False
            )
        self.phase, self._prepare = "preparing", message
        return [*self.load.prepare(message, now)]

    def _start(self, message: AgentStart, now: float) -> list[Action]:
        if self.phase != "ready" or self._prepare is None or self._member is None:
            return []
        if self.line.is_lease_over(now):
            return self._refuse("the start came when its lease was over", False)
        received_ns = int(now * 1e9)
        start_ns = received_ns + message.delay_ns
        self.phase, self.line.has_begun = "running", True
        self._started = AgentStarted(received_ns=received_ns, started_ns=start_ns)
        merger = FrameMerger(
            self.load.shares,
            member=self._member,
            epoch=self._prepare.epoch,
            shift_ns=message.run_start_ns - start_ns,
            max_series=self._prepare.max_series,
            name=self.hello.name,
        )
        return [
            Say("info", "the load begins"),
            BeginJournal(self._member, self._prepare.epoch),
            Tell(self._started),
            *self.load.start(merger, start_ns, self.line.lease, now),
        ]

    def _steered(
        self,
        message: StopLoad | AbortLoad | Drain | TakeShares | AcceptedSeries | Release,
        now: float,
    ) -> list[Action]:
        if self.phase != "running":
            return []
        match message:
            case AbortLoad():
                return self._abort(now)
            case Drain():
                if self._end.why:
                    return []
                return [Say("info", "leaving on request"), *self._stop(ASKED)]
            case Release():
                return self._release()
            case TakeShares():
                return self._take_over(message)
            case _:
                return [*self.load.send_all(message)]

    def _take_over(self, message: TakeShares) -> list[Action]:
        if self._end.why or self._end.is_released or self._end.aborted_at is not None:
            return []
        taken = self.load.take_over(message)
        if taken:
            self._end.told_idle = False
        return [*taken]

    # what the workers say

    def _worker_said(self, worker: WorkerState, message: FromWorker, now: float) -> list[Action]:
        if not worker.alive:
            return []
        worker.heard_at = now
        relay = self.load.relay
        match message:
            case WorkerReady(pid=pid, core=core):
                if worker.state == "starting" and self.phase == "preparing":
                    worker.state, worker.pid, worker.core = "ready", pid, core
                    return self._say_ready()
                return []
            case WorkerFailed(message=text, user_error=user_error):
                if self.load.merger is None:
                    return self._refuse(text, user_error)
                return [*self.load.watch.distrust(worker, text)]
            case WorkerFrame(frame=frame):
                return [*self.load.take_frame(worker, frame, now)]
            case Pong():
                return [*self.load.watch.answered(worker)]
            case WorkerDone(no_session_passed_init=refused_all):
                worker.refused_all = refused_all
                self.load.watch.ended(worker)
                return [*relay.gone(worker.number, "ended before it")]
            case WorkerIdle():
                self.load.idle(worker, message)
                return []
            case Schedule(request=request, what=what):
                return [*relay.ask(worker.number, request, what, connected=self.line.is_up)]
            case Withdraw(request=request):
                return [*relay.withdrawn(worker.number, request)]
            case Placed():
                return [*relay.ended(worker.number, message)]

    def _say_ready(self) -> list[Action]:
        mine = self.load.mine
        if any(worker.state != "ready" for worker in mine):
            return []
        self.phase = "ready"
        assert self._prepare is not None
        pids = [each.pid for each in mine]
        return [Tell(AgentReady(shares=self.load.shares, pids=pids, epoch=self._prepare.epoch))]

    def _worker_exited(self, worker: WorkerState, how: str, slots: list[list[int]]) -> list[Action]:
        if not worker.alive:
            return []
        if self.load.merger is None:
            return self._refuse(f"worker {worker.number} ended before the load ({how})", False)
        why, said = self.load.lose(worker, how, slots)
        return [*said, *self.load.relay.gone(worker.number, why)]

    def _hang_located(self, worker: WorkerState, place: str) -> list[Action]:
        actions: list[Action] = [*self.load.watch.located(worker, place)]
        if self.phase == "preparing" and worker.place:
            self._end.warn(f"a worker waits at {worker.place}")
        return actions

    def _watch_workers(self, now: float) -> list[Action]:
        if self.phase == "preparing":
            return [*self.load.locate_slow(now)]
        if self.phase != "running":
            return []
        actions: list[Action] = [*self.load.look_after(now)]
        if self._end.aborted_at is not None and now - self._end.aborted_at > self.limits.abort_s:
            actions += self.load.watch.kill_all()
        return actions

    # how it ends

    def _stop(self, why: str) -> list[Action]:
        """The load of this host ends before that of the others."""
        is_first = not self._end.why
        self._end.why = why
        actions: list[Action] = [*self.load.send_all(StopLoad())]
        if is_first and self.line.is_up:
            actions.append(Tell(self._end.stopped()))
        return actions

    def _abort(self, now: float) -> list[Action]:
        if self._end.aborted_at is not None:
            return []
        self._end.aborted_at = now
        return [*self.load.send_all(AbortLoad())]

    def _release(self) -> list[Action]:
        """Nothing will be placed here any more: the workers' last frames may come."""
        if self._end.is_released:
            return []
        self._end.is_released = True
        return [*self.load.send_all(Release())]

    def _leave_asked(self, now: float) -> list[Action]:
        if self.phase in ("idle", "preparing", "ready"):
            reason = "it was stopped by a signal before its load began"
            told = Tell(AgentFailed(message=reason))
            return [told, *self._finish(reason, "interrupted")]
        if self.phase == "running":
            if self._end.why != SIGNAL:
                return [Say("info", "leaving; once more to leave at once"), *self._stop(SIGNAL)]
            if not self._end.is_in_haste:
                self._end.is_in_haste = True
                return self._abort(now)
        if self._end.done_at is not None:
            return self._take_leave()
        return self._finish(BEFORE_DELIVERED, "interrupted")

    def _refuse(self, reason: str, user_error: bool) -> list[Action]:
        """This host cannot take part, and the load has not begun."""
        told = AgentFailed(message=visible(reason, MAX_SENTENCE), user_error=user_error)
        ending: Ending = "refused" if user_error else "failed"
        return [Tell(told), *self._finish(reason, ending)]

    def _go_on(self, now: float) -> list[Action]:
        """What follows from what is known now, whatever was said last."""
        if self.phase == "finished":
            return []
        actions: list[Action] = []
        if self.phase == "running":
            actions += self._release_if_idle()
            assert self.load.merger is not None
            actions += [Keep(self.outbox.put(frame)) for frame in self.load.merger.take(now)]
            if self.load.is_over:
                self.phase = "over"
        if self.phase == "over" and self._end.is_in_haste and self.outbox and not self.line.is_up:
            return actions + self._finish(BEFORE_DELIVERED, "interrupted")
        if self.line.is_up:
            actions += [Tell(note) for note in self._end.notes]
            self._end.notes.clear()
            actions += [Tell(AgentFrame(frame=frame)) for frame in self.outbox.due()]
            if self.phase == "over" and not self.outbox and self._end.done_at is None:
                self._end.done_at = now
                actions.append(Tell(self._end.last_word(self.load.mine)))
        if self._end.done_at is not None and now - self._end.done_at > self.limits.farewell_s:
            actions += self._take_leave()
        return actions

    def _release_if_idle(self) -> list[Action]:
        if not self.load.is_idle:
            return []
        if self._end.why and not len(self.load.relay):
            return self._release()
        if self._end.told_idle:
            return []
        self._end.told_idle = True
        return [Tell(WorkerIdle(epoch=self.load.epoch))]

    def _take_leave(self) -> list[Action]:
        self.phase = "finished"
        return [self._end.farewell(delivers=self._delivers)]

    def _finish(self, reason: str, ending: Ending = "failed") -> list[Action]:
        self.phase = "finished"
        return [*self.load.watch.kill_all(), Finish(reason, ending)]

"""How a run, or a member's part in it, is made to end: a part of the run's state machine. No I/O.

stop       at a person's wish, an expired lease, or the absolute end: StopLoad
abort      at a person's wish, or grace period + margin after the stop or the planned end: AbortLoad
kill       some seconds after the abort: SIGKILL
drain      one member starts nothing more and leaves; one that does not is aborted, then given up

Owns: who may leave when (Release), and when the run is over. Must not know: how it began.
"""

from __future__ import annotations

from itertools import chain

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.events import (
    Action,
    FinishRun,
    KillWorker,
    Limits,
    NoteDrain,
    NoteSteering,
    Say,
    Send,
    TellAgent,
    WorkerState,
)
from chaperon_engine.coordinator.handover import Respread
from chaperon_engine.coordinator.members import Roster
from chaperon_engine.crew.watch import CrewWatch
from chaperon_engine.definition.plan import Plan
from chaperon_engine.protocol.messages import AbortLoad, Release, StopLoad
from chaperon_engine.protocol.wire import Drain, ToAgent
from chaperon_engine.units import show_duration

NO_SESSION_PASSED = "no session passed init"


class Departure(Respread):
    """The side of a run's state machine that brings it to its end."""

    def __init__(
        self, plan: Plan, watch: CrewWatch, roster: Roster, limits: Limits,
        max_time_s: float | None,
    ):  # fmt: skip
        super().__init__(plan, watch.workers, roster, limits)
        self.max_time_s = max_time_s
        self._watch = watch
        self._excused_s = 0.0
        """How much of the drain the coordinator itself stood still."""
        self._leaving: dict[int, float] = {}
        """Members that were drained and then aborted, and when."""
        self._let_go: set[int] = set()
        """Local workers that were drained and released before the others."""

    def _was_away(self, blind_s: float, now: float) -> None:
        """The coordinator itself stood still: nobody is to blame for what they could not say to it,
        and all have their time after it. What ends by the clock ends by the clock."""
        began = self.drain_began_at
        if began is not None and now > began:
            self._excused_s += min(blind_s, now - began)
        if self.aborted_at is not None:
            self.aborted_at += blind_s
        if self._alone_since is not None:
            self._alone_since += blind_s
        for asked in (self.drained_at, self._leaving):
            for number in asked:
                asked[number] += blind_s
        self.roster.was_away(blind_s)

    # one member leaves

    def cannot_drain(self, number: int, now: float) -> str:
        """Why this member cannot be made to leave, for who asks for it; empty when it can."""
        if self.state == "starting":
            return "nobody can be drained before the load: stop the run"
        member = self._member(number)
        if member is None:
            newest = self.roster.members - 1
            return f"this run has no member {number}: its numbers are 0 to {newest}"
        name = self._name_of(number)
        if not member.alive:
            return f"{name} {'was lost' if member.state == 'lost' else 'has left'} already"
        if number in self.drained_at:
            return f"{name} is being drained already"
        if self._is_ending(now):
            return f"{name} need not be drained, the run is ending"
        return ""

    def _member(self, number: int) -> WorkerState | Agent | None:
        here = 0 <= number < len(self.workers)
        return self.workers[number] if here else self.roster.member(number)

    def _drain(self, number: int, by: str, now: float) -> list[Action]:
        """Somebody wants this member to leave; the others go on."""
        member = self._member(number)
        if member is None or self.cannot_drain(number, now):
            return []
        assert self.started_at is not None
        self.drained_at[number] = now
        self.partial = True
        at_s = max(0.0, now - self.started_at)
        who = "a viewer on this machine" if by == "client" else by
        reason = f"{self._name_of(number)} was drained by {who}, {at_s:.1f} s after the start"
        member.note = f"drained by {who}"
        self.reasons.append(reason)
        return [
            NoteDrain(number, by),
            Say("warning", reason),
            Send(number, StopLoad()) if isinstance(member, WorkerState) else _told(member, Drain()),
        ]

    def _watch_drained(self, now: float) -> list[Action]:
        """Drained members end within the grace period, one way or another."""
        actions: list[Action] = []
        allowed = self.plan.grace_s + self.limits.end_margin_s
        for number, asked_at in self.drained_at.items():
            worker = self.workers[number] if number < len(self.workers) else None
            agent = self.roster.member(number)
            is_here = worker.alive if worker else agent is not None and agent.is_linked
            aborted_at = self._leaving.get(number)
            if not is_here or now - asked_at <= allowed:
                continue
            if aborted_at is None:
                self._leaving[number] = now
                actions.append(Send(number, AbortLoad()))
            elif now - aborted_at > self.limits.abort_s:
                if worker is None:
                    actions += self._distrust(number, "it did not end after it was drained", now)
                elif not worker.killed:
                    worker.killed = True
                    actions.append(KillWorker(number))
        return actions

    def _release_drained(self) -> list[Action]:
        """Local workers that are to leave; an agent releases its own."""
        actions: list[Action] = []
        for worker in self._watch.alive:
            number = worker.number
            is_leaving = number in self.drained_at and number not in self._let_go
            if is_leaving and worker.is_idle and not self._placements.on(number):
                self._let_go.add(number)
                actions.append(Send(number, Release()))
        return actions

    @property
    def _is_alone(self) -> bool:
        """Nobody is there who could say something."""
        return not self._watch.alive and next(self.roster.linked(), None) is None

    def _release_if_idle(self) -> list[Action]:
        """Once nobody can ask for anything any more, members need not stay. Who is away hears of
        it when it returns."""
        if self.state == "starting" or self._is_released or len(self._placements):
            return []
        members: chain[WorkerState | Agent] = chain(self._watch.alive, self.roster.linked())
        if not all(member.is_idle for member in members) or self._is_alone:
            return []
        self._is_released = True
        return self._send_all(Release())

    def _watch_end(self, now: float) -> list[Action]:
        assert self.started_at is not None
        workers, agents = self._watch.alive, self._linked
        if self.aborted_at is not None:
            actions: list[Action] = []
            if now - self.aborted_at > self.limits.abort_s:
                actions += self._watch.kill_all()
            if now - self.aborted_at > 2 * self.limits.abort_s + self.limits.end_margin_s:
                for agent in agents:
                    actions += self._distrust(agent.number, "it did not end after the abort", now)
            return actions
        began = self.drain_began_at
        if began is not None and (workers or agents):
            allowed = self.plan.grace_s + self.limits.end_margin_s
            if now > began + allowed + self._excused_s:
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
        if self.state in ("starting", "finished") or not self._is_alone:
            return []
        actions: list[Action] = []
        if any(
            agent.leaving_since is not None and now - agent.leaving_since < self.limits.leave_s
            for agent in self.roster.agents
        ):
            return []
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


def _told(agent: Agent, message: ToAgent) -> TellAgent:
    """Without a connection it hears of it when it returns."""
    return TellAgent(-1 if agent.link is None else agent.link, message)


_STOP_REASONS = {
    "client": "stopped on request",
    "signal": "stopped by a signal",
    "lease": "the program that started the run has gone",
}
_ABORT_REASONS = {
    "client": "aborted on request",
    "signal": "aborted by a signal",
}

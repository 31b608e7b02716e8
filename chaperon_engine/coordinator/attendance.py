"""What agents say, and what their coming and going means for a run: a part of its state machine.

Owns: admission, frames and their acknowledgement, returns, losses. `members` knows who is there,
`state` how a run begins and ends. No I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.events import (
    AckFrames,
    Action,
    AgentIsLost,
    AgentSaid,
    ApplyFrame,
    DropAgent,
    Limits,
    NoteReason,
    Say,
    TellAgent,
    WorkerState,
)
from chaperon_engine.coordinator.members import Roster
from chaperon_engine.coordinator.placing import Placements
from chaperon_engine.definition.plan import Plan
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import (
    AbortLoad,
    Placed,
    Release,
    Schedule,
    StopLoad,
    Withdraw,
    WorkerIdle,
)
from chaperon_engine.protocol.wire import (
    AgentDone,
    AgentFailed,
    AgentFrame,
    AgentHello,
    AgentNote,
    AgentPong,
    AgentReady,
    AgentStarted,
    AgentStopped,
    Drain,
)
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

MAX_AHEAD_S: Final = 5.0
"""An agent's frame that ends later than this after now was not measured yet."""
MAX_DRIFT: Final = 2e-4
"""By how much two clocks may run apart in a second; both are made for less."""


class Attendance(ABC):
    """The side of a run's state machine that is turned towards agents."""

    def __init__(self, plan: Plan, workers: Sequence[WorkerState], roster: Roster, limits: Limits):
        self.plan = plan
        self.workers = workers
        """Of this host."""
        self.roster = roster
        self.limits = limits
        self.state = "starting"
        self.status = ""
        """Once it is decided: `complete`, `stopped`, `aborted` or `failed`."""
        self.reasons: list[str] = []
        self.partial = False
        self.started_at: float | None = None
        """Second 0 of the load, monotonic seconds."""
        self.stopped_at: float | None = None
        """When iterations stopped starting for another reason than the plan."""
        self.aborted_at: float | None = None
        self.drained_at: dict[int, float] = {}
        """When members were asked to leave before the others."""
        self._taken: dict[int, int] = {}
        """How many shares of others each worker of this host took over."""
        self._slept_s = 0.0
        self._placements = Placements(len(workers))
        self._is_released = False
        self._alone_since: float | None = None
        """Since when only agents are left that are away."""

    @abstractmethod
    def _start_if_ready(self, now: float) -> list[Action]: ...

    @abstractmethod
    def _refuse(self, text: str, user_error: bool) -> list[Action]: ...

    @abstractmethod
    def _abort(self, by: str, now: float, reason: str = "") -> list[Action]: ...

    @property
    def drain_began_at(self) -> float | None:
        """When the drain began: at the stop, or when the planned time was up; else None."""
        planned = self.plan.planned_s
        ends = [] if self.stopped_at is None else [self.stopped_at]
        if planned is not None and self.started_at is not None:
            ends.append(self.started_at + planned)
        return min(ends, default=None)

    def _is_ending(self, now: float) -> bool:
        """No load is made any more."""
        began = self.drain_began_at
        return self.aborted_at is not None or (began is not None and now >= began)

    @property
    def _linked(self) -> list[Agent]:
        return sorted(self.roster.linked(), key=lambda agent: agent.number)

    def _name_of(self, member: int) -> str:
        """As people know it."""
        agent = self.roster.member(member)
        return f"worker {member}" if agent is None else f"agent {agent.name}"

    def _placement(self, member: int, message: Schedule | Withdraw | Placed) -> list[Action]:
        match message:
            case Schedule(request=request, what=what):
                able = [each.number for each in self.workers if each.state == "running"]
                able += [
                    agent.number
                    for agent in self.roster.agents
                    if agent.state == "running" and agent.is_linked and not agent.has_left
                ]
                able = [number for number in able if number not in self.drained_at]
                ending = "the run is ending" if self.stopped_at is not None else ""
                return [*self._placements.ask(member, request, what, able, ending)]
            case Withdraw(request=request):
                return [*self._placements.withdrawn(member, request)]
            case Placed(placement=placement, outcome=outcome):
                return [*self._placements.ended(member, placement, outcome)]

    # what agents say

    def _agent_said(self, said: AgentSaid, now: float) -> list[Action]:
        link, message = said.link, said.message
        begun = self.state != "starting"
        agent = self.roster.on_link(link)
        if agent is None:
            if not isinstance(message, AgentHello):
                return [DropAgent(link, "the first message must be AgentHello", False)]
            return self._agent_came(said, message, now, begun=begun)
        self.roster.heard(agent, now)
        match message:
            case AgentPong():
                self.roster.pong(agent, message, now)
                return [] if begun else self._start_if_ready(now)
            case AgentNote(level=level, text=text):
                return [Say(level, f"agent {agent.name}: {visible(text)}")]
            case AgentReady() if not begun:
                self.roster.ready(agent, message)
                return self._start_if_ready(now)
            case AgentFailed(message=text, user_error=user_error):
                if begun:
                    return self._distrust(agent.number, visible(text), now)
                return self._agent_refuses(agent, visible(text), user_error)
            case _ if not begun:
                return self._agent_refuses(agent, "it spoke before the load", False)
            case AgentStarted():
                assert self.started_at is not None
                self.roster.started(agent, message, round(self.started_at * 1e9))
                return []
            case AgentFrame(frame=frame):
                return self._agent_frame(agent, link, frame, now)
            case AgentStopped(why=why, died=died):
                return self._agent_stopped(agent, visible(why), now, died=died)
            case WorkerIdle(epoch=epoch):
                # One that crossed shares on their way to it does not count.
                agent.is_idle = epoch >= agent.taken_epoch
                return []
            case AgentDone(no_session_passed_init=refused_all):
                if not agent.had_last_frame:
                    # What a process that died had kept was delivered by another one.
                    why = "its process died"
                    return [*self.roster.drop(agent, ""), *self._lose(agent, why, now)]
                agent.state, agent.refused_all, agent.note = "done", refused_all, ""
                agent.leaving_since = None
                return [
                    *self.roster.drop(agent, ""),
                    *self._placements.gone(agent.number, "ended before it"),
                ]
            case Schedule() | Withdraw() | Placed():
                return self._placement(agent.number, message)
        return self._distrust(agent.number, f"it sent {type(message).__name__} out of turn", now)

    def _agent_came(
        self, said: AgentSaid, hello: AgentHello, now: float, *, begun: bool
    ) -> list[Action]:
        link = said.link
        actions = self.roster.came(said, hello, now, begun=begun)
        agent = self.roster.on_link(link)
        if agent is None or not begun:
            return actions
        self._alone_since = None
        if agent.state == "away":
            assert agent.away_since is not None
            away_s = now - agent.away_since
            agent.state, agent.away_since, agent.note = "running", None, ""
            back = (
                f"agent {agent.name} returned after {show_duration(away_s)}: what it measured is "
                "not lost"
            )
            if away_s > self.limits.lease_s:
                back += "; its load stays stopped"
            actions += self._state("warning", back)
        if self.aborted_at is not None:
            actions.append(TellAgent(link, AbortLoad()))
        elif self.stopped_at is not None:
            actions.append(TellAgent(link, StopLoad()))
        if agent.number in self.drained_at or agent.was_handed_over:
            actions.append(TellAgent(link, Drain()))
        else:
            actions += [TellAgent(link, each) for each in agent.taken]
        if self._is_released:
            actions.append(TellAgent(link, Release()))
        return actions

    def _agent_frame(self, agent: Agent, link: int, frame: Frame, now: float) -> list[Action]:
        if frame.worker != agent.number or frame.epoch != agent.epoch:
            return self._distrust(
                agent.number,
                f"it sent a frame of member {frame.worker}, epoch {frame.epoch}, and is member "
                f"{agent.number} in epoch {agent.epoch}",
                now,
            )
        assert self.started_at is not None
        drift_s = MAX_DRIFT * max(0.0, now - self.started_at)
        if frame.end_ns / 1e9 > now + self._slept_s + MAX_AHEAD_S + drift_s:
            return self._distrust(agent.number, "it sent a frame that ends in the future", now)
        if frame.seq > agent.next_seq:
            # Something in between was lost: the return says from where to send again.
            return self.roster.drop(agent, "")
        actions: list[Action] = []
        if frame.seq == agent.next_seq:
            agent.next_seq += 1
            agent.reported_ns = max(agent.reported_ns, frame.end_ns)
            agent.had_last_frame = agent.had_last_frame or frame.last
            actions = [ApplyFrame(frame)]
            for lost in frame.lost:
                note = f"agent {agent.name} lost worker {lost.worker}: {visible(lost.note)}"
                self.partial = True
                agent.lost_workers += 1
                actions += self._state("error", note)
            if frame.lost and not agent.cores_left:
                agent.has_stopped = True
                actions += self._leaves(agent, "all of its workers were lost", now)
        return [*actions, AckFrames(link, agent.next_seq)]

    def _agent_stopped(
        self, agent: Agent, why: str, now: float, *, died: bool = False
    ) -> list[Action]:
        """Its load ended; that of the others may go on. Who died is missed at any time."""
        agent.has_stopped = True
        is_known = agent.number in self.drained_at or agent.has_left or self._is_ending(now)
        reason = f"agent {agent.name} stopped its load before the others: {why}"
        if died:
            reason = f"agent {agent.name} did not see its load through: {why}"
        if (is_known and not died) or reason in self.reasons:
            return []
        self.partial = True
        return [*self._state("error", reason), *self._leaves(agent, why, now)]

    def _state(self, level: str, reason: str) -> list[Action]:
        """The report will say so, whoever makes it."""
        self.reasons.append(reason)
        return [NoteReason(reason), Say(level, reason)]

    def _leaves(self, agent: Agent, why: str, now: float) -> list[Action]:
        """It takes no part in the load any more: what the run was told to do then."""
        if agent.has_left:
            return []
        agent.has_left = why or "it gave no reason"
        terms = self.roster.terms
        if terms is None or terms.on_loss != "fail" or self.aborted_at is not None:
            return []
        reason = f"agent {agent.name} was lost, and the run was told to fail then"
        actions = self._abort("limit", now, reason)
        self.status = "failed"
        return actions

    def _agent_refuses(self, agent: Agent, text: str, user_error: bool) -> list[Action]:
        """It cannot take part, and the load has not begun."""
        terms = self.roster.terms
        if terms is None or not terms.fewer_ok:
            return self._refuse(f"agent {agent.name}: {text}", user_error)
        actions = self.roster.drop(agent, text, user_error=user_error)
        self.roster.forget(agent)
        return [*actions, Say("error", f"agent {agent.name} cannot take part: {text}")]

    def _agent_gone(self, link: int, now: float) -> list[Action]:
        begun = self.state != "starting"
        agent, actions = self.roster.gone(link, now, begun=begun)
        if agent is None or not begun or not agent.alive:
            return actions
        if agent.had_last_frame:
            # Only its leave is missing, which says nothing that a report needs. But it does not
            # know yet that everything has come.
            agent.state, agent.leaving_since = "done", now
        else:
            actions.append(Say("warning", f"the connection to agent {agent.name} was lost"))
        return [*actions, *self._placements.gone(agent.number, "lost its connection")]

    def _distrust(self, member: int, problem: str, now: float) -> list[Action]:
        """What it sends cannot be believed, or it gave up: nothing more is taken from it."""
        agent = self.roster.member(member)
        if agent is None or not agent.alive:
            return []
        dropped = self.roster.drop(agent, problem, user_error=False)
        return [*dropped, *self._lose(agent, problem, now)]

    def _lose(self, agent: Agent, note: str, now: float) -> list[Action]:
        assert self.started_at is not None
        agent.state, agent.note = "lost", note
        self.partial = True
        until_s = max(0.0, agent.reported_ns / 1e9 - self.started_at)
        self.reasons.append(
            f"agent {agent.name} was lost: {note}; what it measured later than {until_s:.1f} s "
            "after the start is missing"
        )
        actions: list[Action] = [
            AgentIsLost(agent.number, note),
            Say("error", self.reasons[-1]),
            *self._placements.gone(agent.number, f"was lost: {note}"),
        ]
        return actions + self._leaves(agent, note, now)

    def _agents_away(self, agents: list[Agent], now: float) -> list[Action]:
        """These have been silent beyond their leases: they have surely stopped their load."""
        actions: list[Action] = []
        for agent in agents:
            if agent.had_last_frame:
                agent.state = "done"
                continue
            self.partial = True
            actions += self._state("error", f"agent {agent.name} was away: {agent.note}")
            actions += self._placements.gone(agent.number, "was away")
            actions += self._leaves(agent, agent.note, now)
        return actions

    def _wait_for_away(self, now: float) -> list[Action]:
        """Nobody else is left: wait a bounded time."""
        if self._alone_since is None:
            self._alone_since = now
            names = ", ".join(agent.name for agent in self.roster.alive)
            wait = show_duration(self.limits.return_wait_s)
            if self.aborted_at is None:
                return [Say("warning", f"waiting up to {wait} for agent {names} to return")]
            return []
        wait_s = self.limits.return_wait_s
        if self.aborted_at is not None:
            wait_s = min(wait_s, self.limits.abort_s)
        if now - self._alone_since <= wait_s:
            return []
        actions: list[Action] = []
        for agent in self.roster.alive:
            actions += self._lose(agent, "it did not return before the end of the run", now)
        return actions

"""Shares of agents that left the load, handed to the members that remain: `--on-loss respread`.

    load stopped (it said so, or its lease and the margin are over) ──> handed over, once an epoch
    the taker leaves in its turn ──> what it had is handed on, in the next epoch

Sessions of these shares begin anew, for what is left of their time. Populations that end by
themselves after a number of iterations are left alone, because nobody knows what was done of them.

Owns: who takes what. Must not know: why an agent has left. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.attendance import Attendance
from chaperon_engine.coordinator.events import Action, NoteHandOver, Say, Send, TellAgent
from chaperon_engine.definition.plan import Plan
from chaperon_engine.pacing import count_share, place
from chaperon_engine.protocol.messages import TakeShares
from chaperon_engine.runs.record import HandedTo, HandOver


class Respread(Attendance):
    """The side of a run's state machine that keeps the load up when agents leave it."""

    def _hand_over(self, now: float) -> list[Action]:
        """Find others for what agents had that make no load any more."""
        terms = self.roster.terms
        if terms is None or terms.on_loss != "respread":
            return []
        actions: list[Action] = []
        for agent in self.roster.agents:
            if (
                agent.has_left
                and not agent.was_handed_over
                and agent.number not in self.drained_at
                and (agent.has_stopped or self.roster.is_lease_over(agent, now))
            ):
                actions += self._hand_on(agent, now)
        return actions

    def _hand_on(self, agent: Agent, now: float) -> list[Action]:
        assert self.started_at is not None
        at_s = now - self.started_at
        takers = self._takers()
        if self._is_ending(now) or self._is_released or not takers:
            return []
        shares = agent.held
        sessions = sessions_of(self.plan, shares, self.roster.shares, at_s)
        agent.was_handed_over = True
        if not sessions:
            kept = _kept(self.plan) or "the time of its sessions is over"
            return self._explain(f"nothing of agent {agent.name} was handed over: {kept}")
        epoch = self.roster.next_epoch()
        given = spread(shares, takers)
        actions: list[Action] = []
        for number, some in given.items():
            message = TakeShares(shares=some, of=self.roster.shares, epoch=epoch)
            taker = self.roster.member(number)
            if taker is None:
                worker = self.workers[number]
                worker.is_idle, worker.epoch = False, epoch
                self._taken[number] = self._taken.get(number, 0) + len(some)
                actions.append(Send(number, message))
            else:
                taker.is_idle = False
                taker.taken.append(message)
                assert taker.link is not None
                actions.append(TellAgent(taker.link, message))
        to = [HandedTo(member=number, shares=some) for number, some in given.items()]
        noted = HandOver(
            at_s=at_s, epoch=epoch, member=agent.number, shares=shares, to=to, sessions=sessions
        )
        parts = [f"{self._name_of(each.member)} ({_listed(each.shares)})" for each in to]
        kept = _kept(self.plan)
        return [
            NoteHandOver(noted),
            *actions,
            *self._explain(
                f"shares of agent {agent.name} were handed over {at_s:.1f} s after the start to "
                f"{' and '.join(parts)}: {sessions:,} sessions began anew there"
                + (f"; {kept}" if kept else "")
            ),
        ]

    def _explain(self, reason: str) -> list[Action]:
        self.reasons.append(reason)
        return [Say("warning", reason)]

    def _takers(self) -> dict[int, tuple[int, int]]:
        """Who can take shares: how many each has, and on how many cores."""
        takers: dict[int, tuple[int, int]] = {
            worker.number: (1 + self._taken.get(worker.number, 0), 1)
            for worker in self.workers
            if worker.state == "running"
        }
        takers |= {
            agent.number: (len(agent.held), agent.cores_left)
            for agent in self._linked
            if agent.state == "running" and not agent.has_left
        }
        return {number: has for number, has in takers.items() if number not in self.drained_at}


def spread(shares: Sequence[int], takers: dict[int, tuple[int, int]]) -> dict[int, list[int]]:
    """Each share goes to the taker that has the fewest for its cores; `takers`: shares and cores by
    member."""
    has = {number: count for number, (count, _) in takers.items()}
    given: dict[int, list[int]] = {}
    for share in shares:
        number = min(takers, key=lambda each: ((has[each] + 1) / takers[each][1], each))
        has[number] += 1
        given.setdefault(number, []).append(share)
    return dict(sorted(given.items()))


def sessions_of(plan: Plan, shares: Sequence[int], of: int, at_s: float) -> int:
    """How many sessions of these shares begin anew at this time of the run."""
    found = before = 0
    for population in plan.populations:
        profile = population.profile
        if profile.is_timed and profile.duration_s is not None and profile.duration_s > at_s:
            places = [place(share, before, of) for share in shares]
            found += sum(count_share(population.sessions, number, of) for number in places)
        before += population.sessions
    return found


def _kept(plan: Plan) -> str:
    """What is not done again."""
    names = [each.name for each in plan.populations if not each.profile.is_timed]
    if not names:
        return ""
    return (
        f"population {', '.join(names)} runs a number of iterations, and what it had not done of "
        "them is not done again"
    )


def _listed(shares: Sequence[int]) -> str:
    word = "share" if len(shares) == 1 else "shares"
    return f"{word} {', '.join(str(share) for share in shares)}"

"""The agents of a run: who is admitted, which shares each has, whether it is there. No I/O.

Before the load an agent whose connection ends is forgotten. In the load it stays a member: the
same process may return on another connection, and what it measured meanwhile is applied then.

`agent` has what is known of each. Must not know: what the loss of one means for the run. Times
are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.events import (
    Action,
    AgentIsBack,
    AgentSaid,
    DropAgent,
    HandOut,
    Limits,
    Say,
    SendBundle,
    TellAgent,
    Terms,
)
from chaperon_engine.coordinator.tokens import OneTimeTokens
from chaperon_engine.protocol.handshake import NO_AGENTS
from chaperon_engine.protocol.wire import (
    Admitted,
    AgentHello,
    AgentPing,
    AgentPong,
    AgentReady,
    AgentStarted,
)
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration
from chaperon_engine.version import __version__

PING_EVERY_S: Final = 3.0
HINTED_PING_EVERY_S: Final = 1.0
"""Of an agent whose host is said to be gone."""
FIRST_PINGS_EVERY_S: Final = 0.2
"""Before the load: the start needs a short round trip."""
MAX_UNANSWERED: Final = 64
"""Pings whose time of sending is remembered."""


class Roster:
    """Decides about agents; one per run. Without terms nobody is admitted."""

    def __init__(self, workers: int, terms: Terms | None, limits: Limits, now: float):
        self.terms = terms
        self._workers = workers
        self._limits = limits
        self._began_at = now
        self._by_link: dict[int, Agent] = {}
        self._members: dict[int, Agent] = {}
        """In the order of their numbers."""
        self._tokens = OneTimeTokens()
        self._epoch = 0
        self.shares = workers
        """Of the whole run."""
        self._handed_out_at: float | None = None
        """When the shares were handed out for the agents that are here now."""
        self._is_frozen = False
        """Nobody else is waited for."""

    @property
    def agents(self) -> list[Agent]:
        """All agents in the order of their numbers."""
        return list(self._members.values())

    @property
    def alive(self) -> list[Agent]:
        """Those from which something may still come."""
        return [agent for agent in self._members.values() if agent.alive]

    def linked(self) -> Iterator[Agent]:
        """Those of them with a connection, in no order. It is asked for with every message: who
        wants to know whether there is one that has something to do looks at the first alone."""
        return (agent for agent in self._by_link.values() if agent.alive)

    @property
    def members(self) -> int:
        """Members of the run, local workers too: one more than the highest number."""
        return next(reversed(self._members), self._workers - 1) + 1

    def on_link(self, link: int) -> Agent | None:
        """The agent whose connection this is."""
        return self._by_link.get(link)

    def member(self, number: int) -> Agent | None:
        """The agent with this member number."""
        return self._members.get(number)

    # who comes

    def came(self, said: AgentSaid, hello: AgentHello, now: float, *, begun: bool) -> list[Action]:
        """Somebody says who it is; `begun`: the load has."""
        link, address = said.link, said.address
        if self.terms is None:
            return [DropAgent(link, NO_AGENTS)]
        misused = self._tokens.show(said.token_name, hello) if said.token_name else ""
        if misused:
            is_news = self._tokens.is_news(said.token_name)
            warning = Say("warning", f"{visible(address)} was refused: {misused}")
            return [DropAgent(link, misused), *([warning] if is_news else [])]
        known = next(
            (each for each in self._members.values() if each.hello.instance == hello.instance), None
        )
        if begun:
            if known is None:
                return [DropAgent(link, "the load has begun: agents attach before it")]
            return self._returned(known, link, hello, address, now)
        actions: list[Action] = []
        if known is not None:
            # It lost its connection before this side noticed.
            assert known.link is not None
            actions.append(DropAgent(known.link))
            self._forget(known)
        refusal = self._refusal(hello)
        if refusal:
            return [*actions, DropAgent(link, refusal)]
        number = next(n for n in range(self._workers, 1 << 31) if n not in self._members)
        agent = Agent(number, hello, address, link, heard_at=now)
        is_newest = number >= self.members
        self._members[number] = self._by_link[link] = agent
        if not is_newest:
            # Somebody left before: the place is free again.
            self._members = dict(sorted(self._members.items()))
        here = f"{len(self._members)} of {self._expected}"
        actions += [
            TellAgent(link, Admitted(member=number, lease_s=self._limits.lease_s)),
            *self._ping(agent, now),
            SendBundle(link),
            Say("info", f"agent {agent.name} attached from {visible(address)} ({here})"),
        ]
        if hello.chaperon != __version__:
            actions.append(
                Say(
                    "warning",
                    f"agent {agent.name} has Chaperon {visible(hello.chaperon)}, this run has "
                    f"{__version__}",
                )
            )
        return actions + self._hand_out_if_complete(now)

    @property
    def _expected(self) -> int:
        return 0 if self.terms is None else self.terms.expect

    def _refusal(self, hello: AgentHello) -> str:
        if any(each.hello.name == hello.name for each in self._members.values()):
            return (
                f"there is an agent {visible(hello.name)!r} already: give this one another name "
                "with --name"
            )
        if len(self._members) >= self._expected or self._is_frozen:
            return f"this run has the {len(self._members)} agents that it waits for"
        return ""

    def _returned(
        self, agent: Agent, link: int, hello: AgentHello, address: str, now: float
    ) -> list[Action]:
        if agent.state == "lost":
            return [DropAgent(link, f"this run goes on without this agent: {agent.note}")]
        if hello.epoch not in (None, agent.epoch):
            return [DropAgent(link, f"epoch {hello.epoch} is not that of this agent's shares")]
        actions: list[Action] = []
        if agent.link is not None:
            del self._by_link[agent.link]
            actions.append(DropAgent(agent.link))
        agent.link, agent.address, agent.heard_at = link, address, now
        agent.pings.clear()
        self._by_link[link] = agent
        admitted = Admitted(
            member=agent.number, lease_s=self._limits.lease_s, next_seq=agent.next_seq
        )
        return [
            *actions,
            TellAgent(link, admitted),
            AgentIsBack(link),
            *self._ping(agent, now),
        ]

    def gone(self, link: int, now: float, *, begun: bool) -> tuple[Agent | None, list[Action]]:
        """A connection has ended: whose it was."""
        agent = self._by_link.pop(link, None)
        if agent is None:
            return None, []
        agent.link = None
        agent.pings.clear()
        if begun:
            return agent, []
        self._forget(agent)
        return agent, [Say("warning", f"agent {agent.name} left before the load began")]

    def drop(self, agent: Agent, reason: str, *, user_error: bool = True) -> list[Action]:
        """End its connection for good, and before the load forget it."""
        link, agent.link = agent.link, None
        if link is None:
            return []
        self._by_link.pop(link, None)
        return [DropAgent(link, reason, user_error)]

    def forget(self, agent: Agent) -> None:
        """Before the load: it is no member any more."""
        self._forget(agent)

    def _forget(self, agent: Agent) -> None:
        self._members.pop(agent.number, None)
        if agent.link is not None:
            self._by_link.pop(agent.link, None)
        self._handed_out_at = None

    # the barrier

    @property
    def is_ready(self) -> bool:
        """All that are waited for have their shares and can begin."""
        if self.terms is None:
            return True
        return self._handed_out_at is not None and all(
            agent.state == "ready" and agent.round_trip_s is not None
            for agent in self._members.values()
        )

    def ready(self, agent: Agent, message: AgentReady) -> None:
        """It can begin with these shares."""
        if agent.state == "preparing" and message.epoch == agent.epoch:
            agent.state = "ready"

    def wait(self, now: float, barrier_s: float) -> tuple[str, list[Action]]:
        """Time passes before the load; a sentence when it cannot begin."""
        if self.terms is None:
            return "", []
        actions: list[Action] = []
        for agent in self.agents:
            if now - agent.pinged_at >= FIRST_PINGS_EVERY_S:
                actions += self._ping(agent, now)
        waited = now - self._began_at
        if self._handed_out_at is None:
            if waited < self.terms.start_timeout_s:
                return "", actions + self._hand_out_if_complete(now)
            time = show_duration(self.terms.start_timeout_s)
            here = f"{len(self._members)} of {self._expected} agents attached within {time}"
            if not self.terms.fewer_ok:
                return f"{here}; --fewer-ok begins without the others, --start-timeout waits", []
            if not self._workers and not self._members:
                return f"{here}, and this machine has no workers (--workers 0)", []
            self._is_frozen = True
            return "", [*actions, *self._hand_out(now)]
        late = [agent for agent in self.agents if agent.state != "ready"]
        if now - self._handed_out_at < barrier_s or not late:
            return "", actions
        names = ", ".join(agent.name for agent in late)
        sentence = f"agent {names} was not ready within {show_duration(barrier_s)}"
        if not self.terms.fewer_ok:
            return sentence, []
        self._is_frozen = True
        for agent in late:
            actions += self.drop(agent, sentence)
            self._forget(agent)
        actions.append(Say("warning", sentence))
        return "", [*actions, *self._hand_out(now)]

    @property
    def missing(self) -> int:
        """How many of the expected agents did not come."""
        return self._expected - len(self._members)

    def _hand_out_if_complete(self, now: float) -> list[Action]:
        complete = len(self._members) == self._expected or self._is_frozen
        return self._hand_out(now) if complete and self._handed_out_at is None else []

    def _hand_out(self, now: float) -> list[Action]:
        self._epoch += 1
        self._handed_out_at = now
        share = self._workers
        given: dict[int, list[int]] = {}
        for agent in self.agents:
            agent.shares = list(range(share, share + agent.hello.cores))
            agent.state, agent.epoch = "preparing", self._epoch
            share += agent.hello.cores
            assert agent.link is not None
            given[agent.link] = list(agent.shares)
        self.shares = share
        return [HandOut(self._workers, given, share, self._epoch)]

    def next_epoch(self) -> int:
        """Of shares that are handed over in the load."""
        self._epoch += 1
        return self._epoch

    # the connection

    def heard(self, agent: Agent, now: float) -> None:
        """It said something."""
        agent.heard_at = now

    def pong(self, agent: Agent, message: AgentPong, now: float) -> None:
        """The answer to a ping: how far it is, and what its clock says."""
        agent.heard_ns = max(agent.heard_ns, message.sent_ns)
        sent_at = agent.pings.pop(message.number, None)
        if sent_at is None:
            return
        held_s = (message.sent_ns - message.received_ns) / 1e9
        round_trip_s = max(0.0, now - sent_at - held_s)
        if held_s < 0 or (agent.round_trip_s is not None and round_trip_s >= agent.round_trip_s):
            return
        agent.round_trip_s = round_trip_s
        there_ns = (message.received_ns + message.sent_ns) // 2
        agent.offset_ns = there_ns - int((sent_at + now) / 2 * 1e9)

    def started(self, agent: Agent, message: AgentStarted, start_ns: int) -> None:
        """When its load began, by its own clock."""
        if agent.start_skew_ns is None:
            agent.start_skew_ns = message.started_ns - agent.offset_ns - start_ns

    def look(self, now: float) -> tuple[list[Agent], list[Action]]:
        """Time passes in the load: who has been silent for too long, from now on away."""
        lost: list[Agent] = []
        actions: list[Action] = []
        for agent in self.alive:
            every_s = PING_EVERY_S if agent.hinted_at is None else HINTED_PING_EVERY_S
            every_s = min(every_s, self._limits.lease_s / 5)
            if agent.link is not None and now - agent.pinged_at >= every_s:
                actions += self._ping(agent, now)
            patience_s = self._patience(agent)
            if agent.state == "running" and now - agent.heard_at > patience_s:
                agent.state, agent.away_since = "away", agent.heard_at
                agent.note = f"nothing was heard of it for {show_duration(patience_s)}"
                if agent.hinted_at is not None:
                    agent.note += f", and {agent.hint}"
                actions += self.drop(agent, "")
                lost.append(agent)
        return lost, actions

    def is_lease_over(self, agent: Agent, now: float) -> bool:
        """Nothing was heard of it for so long that it has surely stopped its load."""
        return now - agent.heard_at > self._silence_s

    @property
    def _silence_s(self) -> float:
        return self._limits.lease_s + self._limits.lease_margin_s

    def was_away(self, blind_s: float) -> None:
        """The coordinator itself stood still: it cannot hold silence against others, and knows no
        round trip of what was under way."""
        self._began_at += blind_s
        if self._handed_out_at is not None:
            self._handed_out_at += blind_s
        for agent in self.agents:
            agent.heard_at += blind_s
            if agent.hinted_at is not None:
                agent.hinted_at += blind_s
            agent.pings.clear()

    def hint(self, name: str, reason: str, now: float) -> list[Action]:
        """Somebody says that the host of this agent is gone. Who is heard is not gone."""
        for agent in self.agents:
            if agent.hello.name == name and agent.state == "running":
                agent.hinted_at, agent.hint = now, visible(reason)
                return [Say("warning", f"agent {agent.name} is said to be gone: {agent.hint}")]
        return []

    def _patience(self, agent: Agent) -> float:
        """How long an agent may be silent before it counts as away."""
        limit_s = self._silence_s
        if agent.hinted_at is None:
            return limit_s
        hinted_s = min(self._limits.hinted_s, limit_s)
        if agent.heard_at > agent.hinted_at + hinted_s:
            agent.hinted_at = None
            return limit_s
        return hinted_s

    def _ping(self, agent: Agent, now: float) -> list[Action]:
        assert agent.link is not None
        if len(agent.pings) >= MAX_UNANSWERED:
            del agent.pings[min(agent.pings)]
        number = agent.next_ping
        agent.pings[number] = agent.pinged_at = now
        agent.next_ping += 1
        return [TellAgent(agent.link, AgentPing(number=number, heard_ns=agent.heard_ns))]

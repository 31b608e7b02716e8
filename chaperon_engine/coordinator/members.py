"""The agents of a run: who is admitted, which shares each has, whether it is there. No I/O.

    attached ── shares handed out ──> preparing ── AgentReady ──> ready ── start ──> running
    running ── nothing heard for lease + margin ──> away ── it returns ──> running
    running, away ── AgentDone ──> done          ── given up, or not to be trusted ──> lost

Before the load an agent whose connection ends is forgotten. In the load it stays a member: the
same process may return on another connection, and what it measured meanwhile is applied then.

Owns what is known of each agent. Must not know: what the loss of one means for the run. Times are
monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from chaperon_engine.coordinator.events import (
    Action,
    AgentIsBack,
    DropAgent,
    HandOut,
    Limits,
    Say,
    SendBundle,
    TellAgent,
    Terms,
)
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

PING_EVERY_S: Final = 1.0
FIRST_PINGS_EVERY_S: Final = 0.2
"""Before the load: the start needs a short round trip."""
MAX_UNANSWERED: Final = 64
"""Pings whose time of sending is remembered."""


@dataclass
class Agent:
    """One agent as the state machine sees it. Only state machines write it."""

    number: int
    """Of the member."""
    hello: AgentHello
    """The first one."""
    address: str
    link: int | None
    """Its connection; None: it has none now."""
    state: str = "attached"
    """`attached`, `preparing`, `ready`, `running`, `away`, `done` or `lost`."""
    shares: list[int] = field(default_factory=list)
    epoch: int = 0
    next_seq: int = 0
    """Of the first frame that is lacking."""
    reported_ns: int = 0
    """End of its latest frame, in the coordinator's clock."""
    heard_at: float = 0.0
    away_since: float | None = None
    """When it was last heard, while it is away."""
    hinted_at: float | None = None
    """When its host was said to be gone, unless it was heard well after that."""
    hint: str = ""
    round_trip_s: float | None = None
    """The shortest so far."""
    offset_ns: int = 0
    """Its monotonic clock minus the coordinator's; known within half of that round trip."""
    start_skew_ns: int | None = None
    """Its second 0 minus the run's."""
    note: str = ""
    is_idle: bool = False
    had_last_frame: bool = False
    refused_all: bool = False
    pinged_at: float = 0.0
    pings: dict[int, float] = field(default_factory=dict)
    """When unanswered ones were sent."""
    next_ping: int = 0

    @property
    def name(self) -> str:
        """As people know it, printable."""
        return visible(self.hello.name)

    @property
    def alive(self) -> bool:
        """Something may still come from it."""
        return self.state not in ("done", "lost")

    @property
    def round_trip_us(self) -> int | None:
        """The shortest so far."""
        return None if self.round_trip_s is None else round(self.round_trip_s * 1e6)

    def frames_behind(self, now: float) -> int:
        """Ticks that went by without their frames."""
        if self.state not in ("running", "away") or not self.reported_ns:
            return 0
        return max(0, int(now - self.reported_ns / 1e9) - 1)


class Roster:
    """Decides about agents; one per run. Without terms nobody is admitted."""

    def __init__(self, workers: int, terms: Terms | None, limits: Limits, now: float):
        self.terms = terms
        self._workers = workers
        self._limits = limits
        self._began_at = now
        self._seen_at = now
        self._by_link: dict[int, Agent] = {}
        self._members: dict[int, Agent] = {}
        self._epoch = 0
        self._handed_out_at: float | None = None
        """When the shares were handed out for the agents that are here now."""
        self._is_frozen = False
        """Nobody else is waited for."""

    @property
    def agents(self) -> list[Agent]:
        """All agents in the order of their numbers."""
        return [self._members[number] for number in sorted(self._members)]

    @property
    def alive(self) -> list[Agent]:
        """Those from which something may still come."""
        return [agent for agent in self.agents if agent.alive]

    @property
    def members(self) -> int:
        """Members of the run, local workers too: one more than the highest number."""
        return max(self._members, default=self._workers - 1) + 1

    def on_link(self, link: int) -> Agent | None:
        """The agent whose connection this is."""
        return self._by_link.get(link)

    def member(self, number: int) -> Agent | None:
        """The agent with this member number."""
        return self._members.get(number)

    # who comes

    def came(
        self, link: int, hello: AgentHello, address: str, now: float, *, begun: bool
    ) -> list[Action]:
        """Somebody says who it is; `begun`: the load has."""
        known = next((each for each in self.agents if each.hello.instance == hello.instance), None)
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
        taken = set(self._members)
        number = next(n for n in range(self._workers, 1 << 31) if n not in taken)
        agent = Agent(number, hello, address, link, heard_at=now)
        self._members[number] = self._by_link[link] = agent
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
        if any(each.hello.name == hello.name for each in self.agents):
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
            agent.state == "ready" and agent.round_trip_s is not None for agent in self.agents
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
        return [HandOut(self._workers, given, share, self._epoch)]

    # the connection

    def heard(self, agent: Agent, now: float) -> None:
        """It said something."""
        agent.heard_at = now

    def pong(self, agent: Agent, message: AgentPong, now: float) -> None:
        """The answer to a ping: how far it is, and what its clock says."""
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
        blind_s = now - self._seen_at
        self._seen_at = now
        lost: list[Agent] = []
        actions: list[Action] = []
        limit = self._limits.lease_s + self._limits.lease_margin_s
        ping_every_s = min(PING_EVERY_S, self._limits.lease_s / 5)
        for agent in self.alive:
            if blind_s > self._limits.blind_after_s:
                # Who was away itself cannot hold silence against others.
                agent.heard_at = min(now, agent.heard_at + blind_s)
                if agent.hinted_at is not None:
                    agent.hinted_at += blind_s
            if agent.link is not None and now - agent.pinged_at >= ping_every_s:
                actions += self._ping(agent, now)
            patience = self._patience(agent, limit)
            if agent.state == "running" and now - agent.heard_at > patience:
                agent.state, agent.away_since = "away", agent.heard_at
                agent.note = f"nothing was heard of it for {show_duration(patience)}"
                if agent.hinted_at is not None:
                    agent.note += f", and {agent.hint}"
                actions += self.drop(agent, "")
                lost.append(agent)
        return lost, actions

    def hint(self, name: str, reason: str, now: float) -> list[Action]:
        """Somebody says that the host of this agent is gone. Who is heard is not gone."""
        for agent in self.agents:
            if agent.hello.name == name and agent.state == "running":
                agent.hinted_at, agent.hint = now, visible(reason)
                return [Say("warning", f"agent {agent.name} is said to be gone: {agent.hint}")]
        return []

    def _patience(self, agent: Agent, limit_s: float) -> float:
        """How long an agent may be silent."""
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
        return [TellAgent(agent.link, AgentPing(number=number))]

"""Somebody has read the token that a fleet gave to one agent: over real connections, as agents."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from chaperon_engine.coordinator.agents import AgentLinks
from chaperon_engine.coordinator.events import AgentGone, AgentSaid, DropAgent, TellAgent, Terms
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.protocol.messages import Refused
from chaperon_engine.protocol.wire import Admitted, AgentHello
from tests.coordinator.test_state import plan
from tests.remote.conftest import Agent, House, hello, until

OURS, THIEFS = b"o" * 16, b"t" * 16


class Desk:
    """A run's state machine behind a real listener; it waits for two agents."""

    def __init__(self, house: House):
        self.house = house
        self.links = AgentLinks(self, hello_s=5.0)
        self.run = RunState(plan(), 0, time.monotonic(), terms=Terms(expect=2))
        house.listener._on_agent = self.links.receive

    def handle(self, event: Any) -> None:
        for action in self.run.handle(event, time.monotonic()):
            match action:
                case TellAgent(link, message):
                    self.links.tell(link, message)
                case DropAgent(link, reason, user_error):
                    self.links.drop(link, reason, user_error=user_error)

    def agent_said(self, said: AgentSaid) -> None:
        self.handle(said)

    def agent_gone(self, link: int, reason: str) -> None:
        self.handle(AgentGone(link, reason))

    def cannot_start(self, reason: str) -> None:
        raise AssertionError(reason)

    async def shows(self, token_of: str, said: AgentHello) -> tuple[Agent, Any]:
        """The agent, and what it hears first."""
        token = self.house.secret.token("agent").of_agent(token_of)
        agent = await self.house.dial(token_of, token=token)
        agent.link.send(said)
        return agent, await agent.heard.get()


@pytest.fixture
async def desk(house: House) -> Desk:
    return Desk(house)


def as_(name: str, instance: bytes) -> AgentHello:
    return msgspec.structs.replace(hello(name), instance=instance)


async def test_who_reads_an_agents_token_later_has_nothing(desk: Desk) -> None:
    used = Refused(
        reason="the token of agent 'a' was used by another process already: it is worth "
        "something once"
    )
    agent, answer = await desk.shows("a", as_("a", OURS))
    assert isinstance(answer, Admitted)
    assert (await desk.shows("a", as_("a", THIEFS)))[1] == used
    _, answer = await desk.shows("a", as_("b", THIEFS))
    assert answer == Refused(reason="the token of agent 'a' is worth nothing to agent 'b'")
    assert [each.name for each in desk.run.roster.agents] == ["a"]
    agent.link.abort("the network broke")
    await until(lambda: not desk.run.roster.agents)
    assert (await desk.shows("a", as_("a", THIEFS)))[1] == used
    back, answer = await desk.shows("a", as_("a", OURS))
    assert isinstance(answer, Admitted)
    back.link.abort("over")


async def test_a_thief_who_is_faster_is_noticed_by_the_agent_that_was_meant(desk: Desk) -> None:
    thief, answer = await desk.shows("a", as_("a", THIEFS))
    assert isinstance(answer, Admitted)
    thief.link.abort("gone with the test code")
    await until(lambda: not desk.run.roster.agents)
    _, answer = await desk.shows("a", as_("a", OURS))
    assert isinstance(answer, Refused)
    assert answer.user_error, "which ends the agent with that sentence"
    assert "was used by another process" in answer.reason

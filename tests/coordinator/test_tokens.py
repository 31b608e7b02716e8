"""Tokens that were made for one agent each; the clock is only a number."""

from __future__ import annotations

import pytest

from chaperon_engine.coordinator import tokens
from chaperon_engine.coordinator.events import (
    Action,
    AgentGone,
    AgentIsBack,
    AgentSaid,
    BeginLoad,
    DropAgent,
    Say,
    TellAgent,
)
from chaperon_engine.protocol.wire import Admitted, AgentHello
from tests.coordinator.test_members import Driver, hello, of_kind, told


def test_a_token_made_for_one_agent_belongs_to_the_first_process_that_shows_it() -> None:
    driver = Driver()

    def shows(link: int, of: str, said: AgentHello) -> list[Action]:
        actions = driver.tell(AgentSaid(link, said, "192.0.2.1:5", token_name=of))
        return actions + driver.pongs(actions)

    def refusal(actions: list[Action]) -> str:
        (drop,) = of_kind(actions, DropAgent)
        assert not of_kind(actions, TellAgent)
        return str(drop.reason)

    other = hello("a", instance=b"?" * 16)
    used = "the token of agent 'a' was used by another process already: it is worth something once"
    assert told(shows(2, "a", hello("a")), Admitted)
    first = shows(3, "a", other)
    assert refusal(first) == used
    (said,) = of_kind(first, Say)
    assert said.level == "warning"
    assert not of_kind(shows(4, "a", other), Say), "a log is not filled with what was said once"
    driver.tell(AgentGone(2, "cut"))
    assert refusal(shows(5, "a", other)) == used, "while its owner is away before the load"
    assert told(shows(6, "a", hello("a")), Admitted)
    assert told(shows(7, "a", hello("a")), Admitted), "before the end of the old link is noticed"
    assert told(shows(8, "b", hello("b")), Admitted)
    driver.ready(7)
    assert of_kind(driver.ready(8), BeginLoad)
    driver.tell(AgentGone(7, "cut"))
    assert refusal(shows(9, "a", other)) == used
    assert of_kind(shows(10, "a", hello("a", epoch=1)), AgentIsBack)


def test_the_token_that_all_agents_share_is_not_used_up() -> None:
    driver = Driver()
    driver.say(1, hello("a"))
    driver.tell(AgentGone(1, "cut"))
    assert told(driver.say(2, hello("a", instance=b"?" * 16)), Admitted)


def test_a_token_made_for_one_agent_is_worth_nothing_to_another() -> None:
    driver = Driver()
    actions = driver.tell(AgentSaid(1, hello("b"), "192.0.2.1:5", token_name="a"))
    reason = "the token of agent 'a' is worth nothing to agent 'b'"
    assert actions == [
        DropAgent(1, reason), Say("warning", f"192.0.2.1:5 was refused: {reason}"),
    ]  # fmt: skip


def test_tokens_beyond_all_measure_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    shown = tokens.OneTimeTokens()
    assert [shown.show(name, hello(name)) for name in "aba"] == ["", "", ""]
    assert shown.show("c", hello("c")) == "this run has seen 2 tokens of agents, and takes no more"
    assert [shown.is_news(name) for name in "abca"] == [True, True, False, False]

"""`[A, B]`: order, config handed on, and what is torn down. The session is a stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.sequence import sequence


class Session:
    """The part of a session that a sequence uses."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.assigned: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.fail = ""

    def set_config(self, **values: Any) -> None:
        self.config.update(values)

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fail:
            raise RuntimeError(call)


class First(Scenario):
    """The first part."""

    async def init(self, session: Any) -> None:
        session.note("First.init")

    async def run(self, session: Any) -> None:
        session.note("First.run")
        session.assigned["cart"] = 5

    async def teardown(self, session: Any) -> None:
        session.note("First.teardown")


class Second(Scenario):
    async def init(self, session: Any) -> None:
        session.note(f"Second.init {session.config['cart']}")

    async def run(self, session: Any) -> None:
        session.note("Second.run")

    async def teardown(self, session: Any) -> None:
        session.note("Second.teardown")


async def test_parts_run_in_order_and_what_one_assigned_is_config_for_the_next() -> None:
    session: Any = Session()
    scenario = sequence([First, Second])()
    await scenario.init(session)
    assert session.calls == ["First.init"]
    await scenario.run(session)
    await scenario.run(session)
    await scenario.teardown(session)
    assert session.calls == [
        "First.init",
        "First.run",
        "Second.init 5",
        "Second.run",
        "First.run",
        "Second.run",
        "First.teardown",
        "Second.teardown",
    ]


async def test_only_parts_that_began_are_torn_down_and_each_of_them() -> None:
    session: Any = Session()
    scenario = sequence([First, Second])()
    session.fail = "First.run"
    await scenario.init(session)
    with pytest.raises(RuntimeError):
        await scenario.run(session)
    await scenario.teardown(session)
    assert session.calls == ["First.init", "First.run", "First.teardown"]


async def test_an_init_that_failed_is_tried_again_in_the_next_iteration() -> None:
    session: Any = Session()
    scenario = sequence([First, Second])()
    await scenario.init(session)
    session.fail = "Second.init 5"
    with pytest.raises(RuntimeError):
        await scenario.run(session)
    session.fail = ""
    await scenario.run(session)
    assert session.calls[-3:] == ["First.run", "Second.init 5", "Second.run"]


async def test_a_failing_teardown_does_not_keep_the_next_from_running() -> None:
    session: Any = Session()
    scenario = sequence([First, Second])()
    await scenario.init(session)
    await scenario.run(session)
    session.fail = "First.teardown"
    with pytest.raises(RuntimeError, match=r"First\.teardown"):
        await scenario.teardown(session)
    assert session.calls[-1] == "Second.teardown"


def test_a_sequence_is_named_after_its_parts() -> None:
    made = sequence([First, Second, First])
    assert (made.__name__, made.__doc__) == ("First+Second+First", "The first part.")

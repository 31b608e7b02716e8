"""Scenarios that run on some worker: here the only one, placed locally as in a trial."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.resolved import ResolvedPopulation, SessionSettings
from chaperon_engine.errors import InvalidRequest, ScheduleFailed
from chaperon_engine.session import Session
from chaperon_engine.target import RunningTarget
from tests.session.harness import Bench, Ran, load_test, population

SEEN: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


async def run(*populations: ResolvedPopulation) -> Ran:
    test = replace(load_test(*populations), modules={"": sys.modules[__name__]})
    return await Bench(test).run()


class Visit(Scenario):
    async def run(self, session: Session) -> None:
        await session.get("/cookies")
        SEEN["assigned"] = dict(session.assigned)
        SEEN["config"] = [session.config("a", None), session.config("b", None)]
        SEEN["cookies"] = len(session.cookies)
        SEEN["random"] = session.random.random()
        session.assign(visited=session.config("page", "start"))


class Failing(Scenario):
    async def run(self, session: Session) -> None:
        raise ValueError("out of stock")


class Refusing(Scenario):
    async def init(self, session: Session) -> None:
        session.refuse("no account")


class Endless(Scenario):
    ended: ClassVar[list[str]] = []

    async def run(self, session: Session) -> None:
        try:
            await session.delay("1h")
        finally:
            self.ended.append("run")

    async def teardown(self, session: Session) -> None:
        self.ended.append("teardown")


class Untold(Scenario):
    async def run(self, session: Session) -> None:
        session.assign(lock=object())


async def test_it_gives_what_its_user_assigned_and_is_measured(target: RunningTarget) -> None:
    result: dict[str, Any] = {}

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.get("/login")
            session.assign(mine=1)
            handle = session.schedule_scenario(Visit, {"page": "sale"})
            result.update(await handle)
            result["here"] = "visited" in session.assigned

    ran = await run(population(Outer, url=target.url, name="buyers", config={"a": 1, "b": [2]}))
    assert ran.iterations.completed == 1, ran.exceptions
    assert result == {"mine": 1, "visited": "sale", "here": False}
    assert SEEN["assigned"] == {"mine": 1}
    assert SEEN["config"] == [1, [2]]
    assert SEEN["cookies"] == 1, "cookies came along"
    assert ran.of_kind("call")["Visit"].ok == 1
    (http,) = [key for key in ran.series if key.kind == "http" and key.scenario == "Visit"]
    assert (http.session, http.label) == ("buyers", "GET /cookies")
    assert (ran.sessions.started, ran.iterations.started) == (1, 1), "a guest is none of the plan"


async def test_without_merging_it_begins_with_its_config_alone(target: RunningTarget) -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            session.assign(lock=object())
            await session.schedule_scenario(Visit, {"b": 3}, merge=False)

    ran = await run(population(Outer, url=target.url, config={"a": object()}))
    assert ran.iterations.completed == 1, ran.exceptions
    assert SEEN["config"] == [None, 3]
    assert (SEEN["assigned"], SEEN["cookies"]) == ({}, 0)


async def test_config_of_the_population_that_is_not_plain_need_not_travel(
    target: RunningTarget,
) -> None:
    model = object()

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            session.set_config(b=5)
            await session.schedule_scenario(Visit)

    ran = await run(population(Outer, url=target.url, config={"a": model, "b": 1}))
    assert ran.iterations.completed == 1, ran.exceptions
    assert SEEN["config"] == [model, 5]


async def test_what_nobody_awaits_is_awaited_at_the_end_of_run_and_can_be_joined(
    target: RunningTarget,
) -> None:
    joined: list[Any] = []

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            session.schedule_scenario([Visit, Visit], name="twice")
            session.schedule_scenario(Visit)
            joined.extend(await session.join("Visit"))

    ran = await run(population(Outer, url=target.url))
    assert ran.iterations.completed == 1, ran.exceptions
    assert joined == [{"visited": "start"}]
    assert {name: delta.ok for name, delta in ran.of_kind("call").items()} == {
        "twice": 1,
        "Visit": 1,
    }


async def test_random_numbers_of_each_differ_and_are_those_of_every_run(
    target: RunningTarget,
) -> None:
    drawn: list[float] = []

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            for _ in range(2):
                await session.schedule_scenario(Visit)
                drawn.append(SEEN["random"])

    for _ in range(2):
        await run(population(Outer, url=target.url))
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        (Failing, "scenario Failing: ValueError: out of stock"),
        (Refusing, "scenario Refusing: SessionRefused: no account"),
        (Untold, "scenario Untold: assigned value 'lock' is of type object"),
    ],
)
async def test_why_it_failed_reaches_who_awaits_it(scenario: type[Scenario], says: str) -> None:
    found: list[ScheduleFailed] = []

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            try:
                await session.schedule_scenario(scenario)
            except ScheduleFailed as error:
                found.append(error)

    ran = await run(population(Outer))
    assert says in str(found[0])
    assert found[0].code == "schedule_failed"
    assert ran.of_kind("call")[scenario.__name__].errors == {"schedule_failed": 1}


async def test_a_failure_that_nobody_catches_fails_the_iteration() -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            session.schedule_scenario(Failing)

    ran = await run(population(Outer))
    assert ran.iterations.failed == 1
    assert sorted(group.type for group in ran.exceptions) == ["ScheduleFailed", "ValueError"]


async def test_it_ends_with_the_session_that_asked_for_it() -> None:
    Endless.ended.clear()

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            session.schedule_scenario(Endless)
            await session.delay(0.05)
            session.abort("enough")

    ran = await run(population(Outer))
    assert Endless.ended == ["run", "teardown"]
    assert ran.sessions.failed == 1


async def test_a_wait_that_is_given_up_ends_it() -> None:
    Endless.ended.clear()

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            handle = session.schedule_scenario(Endless)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await handle
            handle.cancel()

    ran = await run(population(Outer))
    assert Endless.ended == ["run", "teardown"]
    assert ran.iterations.completed == 1, ran.exceptions


async def test_its_own_time_limit_is_that_of_a_session() -> None:
    Endless.ended.clear()
    found: list[str] = []

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            try:
                await session.schedule_scenario(Endless)
            except ScheduleFailed as error:
                found.append(str(error))

    settings = SessionSettings(scenario_timeout_s=0.1)
    ran = await run(population(Outer, settings=settings))
    assert Endless.ended == ["run", "teardown"]
    assert ran.sessions.timed_out + len(found) == 1


async def test_an_abort_of_the_run_ends_it_without_teardown() -> None:
    Endless.ended.clear()

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.schedule_scenario(Endless)

    test = replace(load_test(population(Outer)), modules={"": sys.modules[__name__]})
    bench = Bench(test)
    asyncio.get_running_loop().call_later(0.1, bench.runner.abort)
    ran = await bench.run()
    assert "teardown" not in Endless.ended
    assert ran.sessions.interrupted == 1


async def test_only_plain_data_and_scenarios_that_are_found_by_name_travel() -> None:
    found: list[str] = []

    class Hidden(Scenario):
        pass

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            for scenario, config in ((Hidden, {}), (Visit, {"f": len}), (Visit, {"a": {"b": {1}}})):
                with pytest.raises(InvalidRequest) as caught:
                    session.schedule_scenario(scenario, config)
                found.append(str(caught.value))
            session.assign(lock=object())
            with pytest.raises(InvalidRequest, match="assigned value 'lock'"):
                session.schedule_scenario(Visit)

    ran = await run(population(Outer))
    assert ran.iterations.completed == 1, ran.exceptions
    assert "Hidden cannot be scheduled" in found[0]
    assert __file__ in found[0]
    assert "config value 'f' is of type" in found[1]
    assert "config value 'a.b' is of type set" in found[2]

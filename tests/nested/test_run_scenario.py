"""Scenarios walked within a session: measured as nested, by the same user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import InvalidRequest, MissingConfig
from chaperon_engine.session import Session
from chaperon_engine.target import RunningTarget
from tests.session.harness import Ran, population, run


class Login(Scenario):
    async def init(self, session: Session) -> None:
        await session.get("/json")

    async def run(self, session: Session) -> None:
        await session.get("/login")
        session.assign(user=session.config("user", "nobody"), before=session.assigned.get("seen"))

    async def teardown(self, session: Session) -> None:
        await session.get("/")


def keys(ran: Ran, kind: str) -> set[tuple[str, str, str, str]]:
    return {
        (key.scenario, key.session, key.action, key.label) for key in ran.series if key.kind == kind
    }


async def test_a_nested_scenario_is_measured_under_its_own_name_and_as_a_whole(
    target: RunningTarget,
) -> None:
    class Shop(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Login)
            await session.get("/login")

    ran = await run(population(Shop, url=target.url, name="buyers"))
    assert keys(ran, "http") == {
        ("Login", "buyers", "get", "GET /json"),
        ("Login", "buyers", "get", "GET /login"),
        ("Shop", "buyers", "get", "GET /login"),
    }, "teardown is sent and not measured"
    assert keys(ran, "call") == {("Shop", "buyers", "run_scenario", "Login")}
    assert ran.of_kind("call")["Login"].ok == 1
    assert ran.sessions.finished == 1


async def test_what_it_assigns_and_its_cookies_stay_with_the_user(target: RunningTarget) -> None:
    found: dict[str, Any] = {}

    class Shop(Scenario):
        async def run(self, session: Session) -> None:
            session.assign(seen=1)
            await session.run_scenario(Login, {"user": "ann"})
            found.update(session.assigned)
            found["cookies"] = len(session.cookies)
            found["config"] = session.config("user", "unchanged")

    ran = await run(population(Shop, url=target.url))
    assert ran.iterations.completed == 1, ran.exceptions
    assert found == {
        "seen": 1,
        "before": 1,
        "user": "ann",
        "cookies": 1,
        "config": "unchanged",
    }


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (True, {"a": 1, "shop": {"x": 1, "y": 9}}),
        (False, {"a": None, "shop": {"y": 9}}),
    ],
)
async def test_config_goes_over_the_sessions_own_or_stands_alone(
    merge: bool, expected: dict[str, Any]
) -> None:
    found: dict[str, Any] = {}

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            found["a"] = session.config("a", None)
            found["shop"] = session.config("shop")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Inner, {"shop": {"y": 9}}, merge=merge)

    ran = await run(population(Outer, config={"a": 1, "shop": {"x": 1, "y": 2}}))
    assert ran.iterations.completed == 1, ran.exceptions
    assert found == expected


async def test_functions_in_its_config_are_computed_and_its_changes_end_with_it() -> None:
    found: list[Any] = []

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            found.append(session.config("n"))
            session.set_config(n=100)

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Inner, {"n": lambda user: user.index + 7})
            found.append(session.config("n", "absent"))

    await run(population(Outer))
    assert found == [7, "absent"]


async def test_a_list_runs_in_order_and_what_one_assigned_is_config_for_the_next() -> None:
    found: list[Any] = []

    class First(Scenario):
        async def run(self, session: Session) -> None:
            session.assign(token="t")

    class Second(Scenario):
        async def run(self, session: Session) -> None:
            found.append(session.config("token"))

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario([First, Second])

    ran = await run(population(Outer))
    assert found == ["t"]
    (name,) = ran.of_kind("call")
    assert name.endswith("First+Second")


async def test_a_name_is_the_session_name_of_its_series(target: RunningTarget) -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Login, name="as guest")

    ran = await run(population(Outer, url=target.url))
    assert {session for _, session, _, _ in keys(ran, "http")} == {"as guest"}


async def test_with_merged_sessions_neither_has_a_session_name(target: RunningTarget) -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Login, name="as guest")

    settings = SessionSettings(merge_scenario_sessions=True)
    ran = await run(population(Outer, url=target.url, settings=settings))
    assert {session for _, session, _, _ in keys(ran, "http")} == {""}


async def test_its_failure_is_the_callers_after_its_teardown() -> None:
    done: list[str] = []

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            raise ValueError("out of stock")

        async def teardown(self, session: Session) -> None:
            done.append("teardown")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            with pytest.raises(ValueError, match="out of stock"):
                await session.run_scenario(Inner)
            done.append("caught")

    ran = await run(population(Outer))
    assert done == ["teardown", "caught"]
    ((name, delta),) = ran.of_kind("call").items()
    assert name.endswith("Inner")
    assert (delta.failed, delta.errors) == (1, {"exception": 1})


async def test_an_error_in_its_teardown_is_reported_and_hides_nothing() -> None:
    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            raise ValueError("first")

        async def teardown(self, session: Session) -> None:
            raise KeyError("second")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            with pytest.raises(ValueError, match="first"):
                await session.run_scenario(Inner)

    ran = await run(population(Outer))
    assert [(group.type, group.where) for group in ran.exceptions] == [("KeyError", "teardown")]


@pytest.mark.parametrize("what", ["abort", "refuse"])
async def test_abort_and_refuse_in_it_end_the_whole_session(what: str) -> None:
    done: list[str] = []

    class Inner(Scenario):
        async def init(self, session: Session) -> None:
            if what == "refuse":
                session.refuse("no account")

        async def run(self, session: Session) -> None:
            session.abort("no money")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Inner)
            done.append("went on")

        async def teardown(self, session: Session) -> None:
            done.append("teardown")

    ran = await run(population(Outer, iterations=3))
    assert done == ["teardown"]
    assert ran.sessions.failed == 1


async def test_a_session_whose_time_is_up_tears_down_what_it_was_walking(
    target: RunningTarget,
) -> None:
    done: list[str] = []

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            await session.delay("1h")

        async def teardown(self, session: Session) -> None:
            await session.get("/")
            done.append("inner")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Inner)

        async def teardown(self, session: Session) -> None:
            done.append("outer")

    settings = SessionSettings(scenario_timeout_s=0.05)
    ran = await run(population(Outer, url=target.url, settings=settings))
    assert ran.sessions.timed_out == 1
    assert done == ["inner", "outer"]
    assert target.stats.of("/", "GET").requests == 1


async def test_a_scenario_within_a_teardown_is_run_and_not_measured(target: RunningTarget) -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            pass

        async def teardown(self, session: Session) -> None:
            await session.run_scenario(Login)
            assert len(session.cookies) == 1

    ran = await run(population(Outer, url=target.url))
    assert keys(ran, "http") | keys(ran, "call") == set()
    assert ran.exceptions == []


async def test_after_its_teardown_the_caller_is_measured_as_before(target: RunningTarget) -> None:
    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            api = session.service("api")
            await session.run_scenario(Login)
            await api.get("/redirect/1")

    ran = await run(population(Outer, url=target.url))
    outer = {label for scenario, _, _, label in keys(ran, "http") if scenario == "Outer"}
    assert "GET /redirect/1" in outer
    assert len(outer) == 2, "the hop as well"


async def test_redirects_within_it_belong_to_it(target: RunningTarget) -> None:
    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            await session.get("/redirect/1")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Inner)

    ran = await run(population(Outer, url=target.url))
    scenarios = [key.scenario for key in ran.series if key.kind == "http"]
    assert len(scenarios) == 2
    assert all(scenario.endswith("Inner") for scenario in scenarios)


async def test_its_children_end_with_it_and_the_callers_go_on() -> None:
    order: list[str] = []
    gate = asyncio.Event()

    async def outer_child(child: Session) -> str:
        await gate.wait()
        order.append("outer child")
        return child.id

    async def inner_child(child: Session) -> str:
        order.append("inner child")
        return child.id

    ids: list[str] = []

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            session.spawn(inner_child)

        async def teardown(self, session: Session) -> None:
            order.append("inner teardown")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            handle = session.spawn(outer_child)
            await session.run_scenario(Inner)
            gate.set()
            ids.append(await handle)
            ids.append(await session.spawn(inner_child))

    ran = await run(population(Outer))
    assert ran.iterations.completed == 1, ran.exceptions
    assert order == ["inner child", "inner teardown", "outer child", "inner child"]
    assert len(set(ids)) == 2


async def test_a_child_hears_its_parent_within_a_nested_scenario() -> None:
    found: list[Any] = []

    class Inner(Scenario):
        async def run(self, session: Session) -> None:
            found.append(await session.await_signal("go", timeout=1))
            session.signal_parent("gone")

    async def child(session: Session) -> None:
        await session.run_scenario(Inner)

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            handle = session.spawn(child)
            await asyncio.sleep(0)
            session.signal(handle, "go")
            found.append(await session.await_signal("gone", timeout=1))

    ran = await run(population(Outer))
    assert ran.iterations.completed == 1, ran.exceptions
    assert found == ["go", "gone"]


async def test_a_websocket_it_opened_stays_the_users_and_is_measured(
    target: RunningTarget,
) -> None:
    class Connect(Scenario):
        async def run(self, session: Session) -> None:
            await session.ws_connect("/ws/echo")

        async def teardown(self, session: Session) -> None:
            await session.ws_send("unmeasured")

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Connect)
            await session.ws_send("measured")
            assert await session.ws_recv() == "unmeasured"
            assert await session.ws_recv() == "measured"

    ran = await run(population(Outer, url=target.url))
    assert ran.iterations.completed == 1, ran.exceptions
    (sent,) = [delta for key, delta in ran.series.items() if key.kind == "ws_send"]
    assert sent.ok == 1


async def test_results_are_kept_where_the_config_says_so(target: RunningTarget) -> None:
    found: dict[str, int] = {}

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            await session.run_scenario(Login)
            found.update({action: len(kept) for action, kept in session.results.items()})

    settings = SessionSettings(store_results=True)
    await run(population(Outer, url=target.url, settings=settings))
    assert found == {"GET /json": 1, "GET /login": 1, "GET /": 1}


async def test_mistakes_are_one_sentence() -> None:
    found: list[str] = []

    class Outer(Scenario):
        async def run(self, session: Session) -> None:
            for wrong in (Login(), "Login", 3, [], [Login, 3]):
                with pytest.raises(InvalidRequest) as caught:
                    await session.run_scenario(wrong)  # type: ignore[arg-type]
                found.append(str(caught.value))
            with pytest.raises(InvalidRequest, match="config of a scenario must be a table"):
                await session.run_scenario(Login, 3)  # type: ignore[arg-type]
            with pytest.raises(MissingConfig):
                await session.run_scenario(Needy, merge=False)

    class Needy(Scenario):
        async def run(self, session: Session) -> None:
            session.config("user")

    ran = await run(population(Outer, config={"user": "ann"}))
    assert ran.iterations.completed == 1, ran.exceptions
    assert found[0] == "the scenario is an object; write the class Login without brackets"
    assert all("must be a Scenario class or a list of them" in text for text in found[1:])

"""init, iterations and teardown of a session, and how each way to end is counted."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.definition.sequence import sequence
from chaperon_engine.target import RunningTarget
from chaperon_engine.worker import iteration, tasks
from tests.session.harness import Bench, load_test, population, run


class Steps(Scenario):
    """Notes what is called; `script` says what each step does."""

    notes: ClassVar[list[str]] = []
    script: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.notes = []

    async def note(self, session: Session, step: str) -> None:
        self.notes.append(step)
        action = self.script.get(step)
        if action is not None:
            result = action(session)
            if asyncio.iscoroutine(result):
                await result

    async def init(self, session: Session) -> None:
        await self.note(session, "init")

    async def run(self, session: Session) -> None:
        await self.note(session, "run")

    async def teardown(self, session: Session) -> None:
        await self.note(session, "teardown")


def steps(**script: Any) -> type[Steps]:
    """A scenario that does this in its steps and notes them."""
    return type("Scripted", (Steps,), {"script": script})


def fail(session: Session) -> None:
    raise ValueError("broken")


def leave(session: Session) -> None:
    sys.exit(3)


def hold(session: Session) -> Any:
    return asyncio.sleep(60)


async def test_without_a_profile_a_session_runs_once() -> None:
    scenario = steps()
    ran = await run(population(scenario))
    assert scenario.notes == ["init", "run", "teardown"]
    assert (ran.sessions.finished, ran.iterations.completed, ran.passed_init) == (1, 1, 1)


async def test_iterations_are_those_of_each_session() -> None:
    scenario = steps()
    ran = await run(population(scenario, sessions=3, iterations=4))
    assert scenario.notes.count("run") == 12
    assert (scenario.notes.count("init"), scenario.notes.count("teardown")) == (3, 3)
    assert ran.iterations.completed == 12


@pytest.mark.parametrize(
    ("script", "notes", "outcome", "group"),
    [
        ({"init": lambda s: s.refuse("full")}, ["init"], "failed", "SessionRefused"),
        ({"init": lambda s: s.abort("no")}, ["init"], "failed", "SessionAborted"),
        ({"init": fail}, ["init"], "failed", "ValueError"),
        ({"init": leave}, ["init"], "failed", "SystemExit"),
        ({"run": lambda s: s.abort("no")}, ["init", "run", "teardown"], "failed", "SessionAborted"),
        ({"run": fail}, ["init", "run", "run", "teardown"], "finished", "ValueError"),
        ({"run": leave}, ["init", "run", "run", "teardown"], "finished", "SystemExit"),
        ({"teardown": fail}, ["init", "run", "run", "teardown"], "finished", "ValueError"),
        ({"teardown": leave}, ["init", "run", "run", "teardown"], "finished", "SystemExit"),
    ],
)
async def test_each_way_to_end_is_counted_once(
    script: dict[str, Any], notes: list[str], outcome: str, group: str
) -> None:
    scenario = steps(**script)
    ran = await run(population(scenario, iterations=2))
    assert scenario.notes == notes
    assert getattr(ran.sessions, outcome) == 1
    assert ran.sessions.started == 1
    assert [each.type for each in ran.exceptions] == [group]
    assert ran.passed_init == (0 if notes == ["init"] else 1)


async def test_a_refusal_is_logged_with_its_reason_and_the_others_go_on() -> None:
    def refuse_odd(session: Session) -> None:
        if session.index % 2:
            session.refuse("odd \x1b index")

    ran = await run(population(steps(init=refuse_odd), sessions=4, name="p"))
    assert (ran.sessions.finished, ran.sessions.failed, ran.iterations.completed) == (2, 2, 2)
    assert sorted((line.source, line.text) for line in ran.log) == [
        ("p-1", "refused: odd \\x1b index"),
        ("p-3", "refused: odd \\x1b index"),
    ]


async def test_a_scenario_that_cannot_be_made_fails_its_session() -> None:
    class Broken(Scenario):
        def __init__(self) -> None:
            raise LookupError("no data")

    ran = await run(population(Broken))
    assert ran.sessions.failed == 1
    assert ran.exceptions[0].type == "LookupError"


async def test_methods_may_forget_async() -> None:
    notes = []

    class Plain(Scenario):
        def run(self, session: Session) -> None:  # type: ignore[override]
            notes.append("run")

    ran = await run(population(Plain))
    assert notes == ["run"]
    assert ran.iterations.completed == 1


async def test_abort_in_a_task_group_ends_the_session() -> None:
    async def in_group(session: Session) -> None:
        async def stop() -> None:
            session.abort("from a task")

        async with asyncio.TaskGroup() as group:
            group.create_task(stop())

    ran = await run(population(steps(run=in_group), iterations=5))
    assert (ran.sessions.failed, ran.iterations.failed) == (1, 1)
    assert ran.log[0].text == "aborted: from a task"


async def test_a_timed_out_session_keeps_its_measurements_and_is_torn_down(
    target: RunningTarget,
) -> None:
    async def visit(session: Session) -> None:
        await session.get("/")
        if session.iteration == 2:
            await session.get("/slow?ms=60000")

    scenario = steps(run=visit)
    settings = SessionSettings(scenario_timeout_s=0.2)
    ran = await run(population(scenario, url=target.url, iterations=5, settings=settings))
    assert ran.sessions.timed_out == 1
    assert ran.iterations.completed == 2
    assert ran.iterations.interrupted == 1
    assert ran.requests("GET /").ok == 3
    assert ran.requests("GET /slow?ms=60000").errors == {"cancelled": 1}
    assert scenario.notes[-1] == "teardown"


async def test_fresh_iterations_begin_with_what_init_assigned(target: RunningTarget) -> None:
    carts = []

    class Fresh(Scenario):
        async def init(self, session: Session) -> None:
            session.assign(cart=[])

        async def run(self, session: Session) -> None:
            carts.append((list(session.assigned.cart), len(session.cookies)))
            session.assigned.cart.append(1)
            await session.post("/login", json={"user": "ann"})

    await run(population(Fresh, url=target.url, iterations=3))
    assert carts == [([], 0), ([1], 1), ([1, 1], 1)]
    carts.clear()
    await run(population(Fresh, url=target.url, iterations=3, fresh=True))
    assert carts == [([], 0)] * 3


async def test_fresh_iterations_of_a_sequence_begin_with_what_every_init_assigned() -> None:
    seen = []

    class First(Scenario):
        async def init(self, session: Session) -> None:
            session.assign(cart=[], of="first")

        async def run(self, session: Session) -> None:
            session.assigned.cart.append(1)

    class Second(Scenario):
        async def init(self, session: Session) -> None:
            session.assign(list=[], of="second")
            session.assign(page=1, namespace="search")

        async def run(self, session: Session) -> None:
            assigned = session.assigned
            seen.append((list(assigned.cart), list(assigned.list), assigned.of))
            assigned.list.append(assigned.search.page)

    both = sequence([First, Second])
    await run(population(both, iterations=3, fresh=True))
    assert seen == [([1], [], "second")] * 3
    seen.clear()
    await run(population(both, iterations=2))
    assert seen == [([1], [], "second"), ([1, 1], [1], "second")]


async def test_the_start_is_delayed_by_the_config() -> None:
    begun: list[int] = []
    scenario = steps(init=lambda session: begun.append(now_ns()))
    start = now_ns()
    settings = SessionSettings(delay_s=0.05, random_delay_s=0.01)
    await run(population(scenario, settings=settings))
    assert begun[0] - start >= 0.049e9


async def test_code_that_cancels_itself_fails_its_iteration_alone() -> None:
    async def cancel(session: Session) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    ran = await run(population(steps(run=cancel), iterations=2))
    assert (ran.iterations.failed, ran.sessions.finished) == (2, 1)
    assert [each.type for each in ran.exceptions] == ["CancelledError"]


async def test_a_swallowed_cancellation_is_repeated_until_the_session_ends() -> None:
    swallowed: list[int] = []

    async def stubborn(session: Session) -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(1)
        await asyncio.sleep(60)

    scenario = steps(run=stubborn)
    ran = await run(population(scenario, duration_s=0.2, graceful_stop_s=0.05))
    assert len(swallowed) == 3
    assert (ran.sessions.interrupted, ran.iterations.interrupted) == (1, 1)
    assert scenario.notes[-1] == "teardown"


async def test_code_that_swallows_every_cancellation_is_given_up_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iteration, "CANCEL_EVERY_S", 0.002)
    monkeypatch.setattr(tasks, "_PATIENCE_S", 0.05)
    began, release = asyncio.Event(), asyncio.Event()

    async def immortal(session: Session) -> None:
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    bench = Bench(load_test(population(steps(run=immortal), duration_s=60, graceful_stop_s=0)))
    before = asyncio.all_tasks()
    running = asyncio.create_task(bench.runner.run(now_ns()))
    try:
        await asyncio.wait_for(began.wait(), 5)
        bench.runner.stop(0)
        await asyncio.wait_for(running, 5)
        ran = bench.result()
        left = asyncio.all_tasks() - before
    finally:
        release.set()
    assert (ran.sessions.interrupted, ran.iterations.interrupted) == (1, 1)
    assert f"swallows every cancellation, at {__file__}" in ran.log[0].text
    assert len(left) == 1
    await asyncio.wait(left, timeout=1)
    assert bench.runner.iterations.completed == 0
    await bench.http.close()


async def test_the_teardown_of_an_interrupted_session_has_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iteration, "TEARDOWN_LIMIT_S", 0.02)
    scenario = steps(run=hold, teardown=hold)
    ran = await asyncio.wait_for(run(population(scenario, duration_s=0.3, graceful_stop_s=0.01)), 5)
    assert scenario.notes == ["init", "run", "teardown"]
    assert ran.sessions.interrupted == 1
    assert "teardown was cut off" in ran.log[-1].text

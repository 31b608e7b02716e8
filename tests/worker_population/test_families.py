"""No child outlives its session, however that ends; and every count agrees."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from chaperon_engine import Session
from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.session import family
from chaperon_engine.target import RunningTarget
from tests.session.family import forever, scenario
from tests.session.harness import Bench, load_test, population, run


class Crowd:
    """Children that note their beginning and their end."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.all_there = asyncio.Event()

    @property
    def alive(self) -> int:
        return self.begun - self.ended

    async def child(self, session: Session, depth: int = 1) -> None:
        self.begun += 1
        try:
            for _ in range(2 if depth else 0):
                session.spawn(self.child, depth - 1)
            if self.begun >= 6:
                self.all_there.set()
            await forever(session)
        finally:
            self.ended += 1

    async def gather(self, session: Session) -> None:
        """Six of them: two and two of each."""
        session.spawn(self.child)
        session.spawn(self.child)
        await self.all_there.wait()


@pytest.mark.parametrize("way", ["raise", "abort", "group", "swallow in finally"])
async def test_children_end_with_the_iteration_that_fails(way: str) -> None:
    crowd = Crowd()
    alive_after: list[int] = []

    async def steps(session: Session) -> None:
        alive_after.append(crowd.alive)
        if session.iteration:
            return
        await crowd.gather(session)
        match way:
            case "raise":
                raise LookupError("enough")
            case "abort":
                session.abort("enough")
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(forever(session))
                    group.create_task(_raise())
            case _:
                session.spawn(_lingers)
                raise LookupError("enough")

    async def teardown(session: Session) -> None:
        alive_after.append(crowd.alive)

    ran = await run(population(scenario(steps, teardown=teardown), iterations=2))
    assert crowd.begun >= 6
    assert alive_after == ([0, 0] if way == "abort" else [0, 0, 0])
    assert ran.iterations.failed == 1
    calls = ran.of_kind("call")["child"]
    assert (calls.ok, calls.errors) == (0, {"cancelled": 6})


async def _raise() -> None:
    raise LookupError("in a task")


async def _lingers(child: Session) -> None:
    try:
        await forever(child)
    finally:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("waits", ["for nothing", "for children", "for a signal", "at the end"])
async def test_a_session_that_times_out_takes_its_children_along(waits: str) -> None:
    crowd = Crowd()
    alive: list[int] = []

    async def steps(session: Session) -> None:
        await crowd.gather(session)
        if waits == "for nothing":
            await asyncio.sleep(60)
        elif waits == "for children":
            await session.join("child")
        elif waits == "for a signal":
            await session.await_signal()

    async def teardown(session: Session) -> None:
        alive.append(crowd.alive)

    ran = await run(
        population(
            scenario(steps, teardown=teardown),
            settings=SessionSettings(scenario_timeout_s=0.05),
            iterations=2,
        )
    )
    assert alive == [0]
    assert (ran.sessions.timed_out, ran.iterations.interrupted) == (1, 1)
    assert ran.exceptions == []
    assert ran.log == []


@pytest.mark.parametrize("how", ["stop", "abort", "duration"])
async def test_a_run_that_is_ended_leaves_no_child(how: str, target: RunningTarget) -> None:
    crowd = Crowd()

    async def steps(session: Session) -> None:
        session.cc_spread(visit, rate=500, interval="20s")
        await crowd.gather(session)

    async def visit(child: Session) -> None:
        await child.get("/slow?ms=5", name="slow")

    profile = {"duration_s": 0.1} if how == "duration" else {"iterations": 1}
    test = population(scenario(steps), url=target.url, sessions=2, graceful_stop_s=0.05, **profile)
    bench = Bench(load_test(test))

    async def end() -> None:
        await crowd.all_there.wait()
        if how == "stop":
            bench.runner.stop(0.02)
        elif how == "abort":
            bench.runner.abort()

    ending = asyncio.get_running_loop().create_task(end())
    begin = now_ns()
    ran = await bench.run()
    await ending
    assert now_ns() - begin < 3e9
    assert crowd.alive == 0
    assert ran.sessions.interrupted == 2
    slow = ran.requests("GET slow")
    assert slow.sent == slow.ok + slow.failed
    assert set(slow.errors) <= {"cancelled"}


async def test_a_child_that_swallows_its_cancellation_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(family, "CANCEL_EVERY_S", 0.002)
    let_go = asyncio.Event()

    async def stubborn(child: Session) -> None:
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def manager(child: Session) -> None:
        child.spawn(stubborn)
        await forever(child)

    async def steps(session: Session) -> None:
        session.spawn(manager)
        await asyncio.sleep(0.01)
        session.abort("enough")

    async def teardown(session: Session) -> None:
        let_go.set()

    ran = await run(population(scenario(steps, teardown=teardown), name="p"))
    assert (ran.sessions.failed, ran.iterations.failed) == (1, 1)
    texts = [(line.source, line.text) for line in ran.log]
    assert texts[0][0] == "p-0/manager-0/stubborn-0"
    assert texts[0][1].startswith("given up: its code swallows every cancellation, at ")
    assert __file__ in texts[0][1]
    assert texts[1] == ("p-0", "aborted: enough")


async def test_a_child_whose_cancellation_is_swallowed_for_a_while_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(family, "CANCEL_EVERY_S", 0.002)
    caught: list[int] = []

    async def reluctant(child: Session) -> None:
        for _ in range(4):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                caught.append(1)

    async def steps(session: Session) -> None:
        session.spawn(reluctant)
        await asyncio.sleep(0.01)
        raise LookupError("enough")

    ran = await run(population(scenario(steps)))
    assert len(caught) == 4
    assert ran.log == []


async def test_nothing_is_spawned_while_a_session_ends() -> None:
    told: list[str] = []

    async def child(session: Session, parent: Session) -> None:
        try:
            await forever(session)
        finally:
            for each in (session, parent):
                try:
                    await each.spawn(forever)
                except ValueError as error:
                    told.append(str(error))

    async def steps(session: Session) -> None:
        session.spawn(child, session)
        await asyncio.sleep(0.01)
        session.abort("enough")

    async def teardown(session: Session) -> None:
        told.append(await session.spawn(answer))

    async def answer(session: Session) -> str:
        return "teardown may"

    ran = await run(population(scenario(steps, teardown=teardown), name="p"))
    assert ran.sessions.failed == 1
    assert told == [
        "p-0/child-0 has ended or is being ended: it cannot spawn 'forever'",
        "p-0 has ended or is being ended: it cannot spawn 'forever'",
        "teardown may",
    ]


async def test_a_child_that_is_used_after_its_end_sends_nothing_for_ever(
    target: RunningTarget,
) -> None:
    kept: list[Any] = []

    async def child(session: Session) -> None:
        kept.append(session)

    async def steps(session: Session) -> None:
        await session.spawn(child)
        with pytest.raises(ValueError, match="the session has ended"):
            await kept[0].get("/")
        with pytest.raises(ValueError, match="has ended or is being ended"):
            kept[0].spawn(forever)

    ran = await run(population(scenario(steps), url=target.url))
    assert ran.exceptions == []


async def test_fresh_iterations_have_children_of_their_own(target: RunningTarget) -> None:
    seen: list[Any] = []

    async def child(session: Session) -> None:
        seen.append(sorted(session.assigned))
        await session.get("/")

    async def init(session: Session) -> None:
        session.assign(base=1)

    async def steps(session: Session) -> None:
        session.assign(own=1)
        session.spawn(child)

    ran = await run(
        population(scenario(steps, init=init), url=target.url, fresh=True, iterations=3)
    )
    assert seen == [["base", "own"]] * 3
    assert ran.requests("GET /").ok == 3
    assert ran.iterations.completed == 3

"""Child sessions: what they are given, what comes back, and what is measured of them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from chaperon_engine import ChildHandle, Session
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import ConnectionRefused, InvalidRequest
from chaperon_engine.target import RunningTarget
from tests.session.family import forever, scenario
from tests.session.harness import Bench, load_test, population, run


async def double(child: Session, number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail(child: Session, message: str) -> None:
    await asyncio.sleep(0)
    raise LookupError(message)


async def test_a_handle_gives_the_value_and_join_those_of_a_name_in_spawn_order() -> None:
    got: dict[str, Any] = {}

    def plain(child: Session) -> str:
        return "not async"

    async def slow_first(child: Session, number: int) -> int:
        await asyncio.sleep(0.02 / number)
        return number

    async def steps(session: Session) -> None:
        first = session.spawn(double, 1)
        assert (first.name, first.outcome, first.is_over) == ("double", "running", False)
        got["handle"] = await first
        got["again"] = await first
        assert (first.outcome, first.is_over) == ("done", True)
        for number in (1, 2, 3):
            session.spawn(slow_first, number)
        session.spawn(double, 5, name="other")
        session.spawn(plain)
        assert [handle.name for handle in session.task("slow_first")] == ["slow_first"] * 3
        got["join"] = await session.join("slow_first")
        got["joined twice"] = await session.join("slow_first")
        session.spawn(double, 6)
        got["all"] = await session.join_all()
        with pytest.raises(InvalidRequest, match="no child 'dubble' was spawned; names are: doub"):
            await session.join("dubble")

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []
    assert got == {
        "handle": 2,
        "again": 2,
        "join": [1, 2, 3],
        "joined twice": [],
        "all": {"other": [10], "plain": ["not async"], "double": [12]},
    }


async def test_children_that_nobody_awaits_are_awaited_before_the_iteration_completes() -> None:
    ended: list[str] = []

    async def child(session: Session) -> None:
        session.spawn(grandchild)
        await asyncio.sleep(0.01)
        ended.append(session.id)

    async def grandchild(session: Session) -> None:
        await asyncio.sleep(0.03)
        ended.append(session.id)

    async def steps(session: Session) -> None:
        session.spawn(child)
        session.spawn(child)

    ran = await run(population(scenario(steps), name="p", iterations=2))
    assert ran.iterations.completed == 2
    assert ended == [
        "p-0/child-0", "p-0/child-1", "p-0/child-0/grandchild-0", "p-0/child-1/grandchild-0",
        "p-0/child-2", "p-0/child-3", "p-0/child-2/grandchild-0", "p-0/child-3/grandchild-0",
    ]  # fmt: skip


async def test_an_error_is_raised_to_who_awaits_the_child() -> None:
    caught: list[str] = []

    async def steps(session: Session) -> None:
        handle = session.spawn(fail, "one")
        for _ in range(2):
            with pytest.raises(LookupError, match="one"):
                await handle
        assert handle.outcome == "failed"
        session.spawn(fail, "two")
        session.spawn(double, 1, name="fail")
        session.spawn(fail, "three")
        with pytest.raises(LookupError, match="two"):
            await session.join("fail")
        caught.append("all")
        if session.iteration == 1:
            await session.spawn(fail, "last")

    ran = await run(population(scenario(steps), iterations=2))
    assert caught == ["all", "all"]
    assert (ran.iterations.completed, ran.iterations.failed) == (1, 1)
    # What `join` could not raise as well, and what nobody caught.
    [group] = ran.exceptions
    assert (group.type, group.where, group.count) == ("LookupError", "child", 3)
    assert group.file == __file__
    assert "in fail" in group.traceback
    calls = ran.of_kind("call")["fail"]
    assert (calls.ok, calls.failed, calls.errors) == (2, 7, {"exception": 7})


async def test_an_error_that_nobody_awaits_fails_the_iteration_and_lets_the_others_end() -> None:
    ended: list[int] = []

    async def other(child: Session) -> None:
        await asyncio.sleep(0.02)
        ended.append(child.iteration)

    async def steps(session: Session) -> None:
        session.spawn(fail, "unheard")
        session.spawn(other)
        if session.iteration == 0:
            session.spawn(sys.exit, name="leaves")

    def errors(session: Session) -> Any:
        return [str(error) for error in session.errors["run"]]

    kept: list[Any] = []

    async def teardown(session: Session) -> None:
        kept.extend(errors(session))

    ran = await run(population(scenario(steps, teardown=teardown), iterations=3))
    assert ended == [0, 1, 2]
    assert (ran.iterations.completed, ran.iterations.failed) == (0, 3)
    assert ran.sessions.finished == 1
    assert {(group.type, group.where, group.count) for group in ran.exceptions} == {
        ("LookupError", "child", 3),
        ("SystemExit", "child", 1),
    }
    assert kept == ["unheard"] * 3


async def test_a_failed_request_of_a_child_is_counted_as_a_request_alone() -> None:
    async def visit(child: Session) -> None:
        await child.get("/")

    async def steps(session: Session) -> None:
        session.spawn(visit)
        with pytest.raises(ConnectionRefused):
            await session.spawn(visit)

    ran = await run(population(scenario(steps)))
    assert ran.iterations.failed == 1
    assert ran.exceptions == []
    assert ran.requests("GET /").errors == {"refused": 2}
    assert ran.of_kind("call")["visit"].errors == {"refused": 2}


async def test_a_child_has_copies_of_what_its_parent_has() -> None:
    seen: list[Any] = []
    opaque = threading.Lock()

    async def child(session: Session) -> None:
        seen.append((session.id, session.name, session.index, session.iteration))
        seen.append(list(session.assigned.cart))
        assert session.assigned.lock is opaque
        assert session.assigned.helper.name == "forever"
        session.assigned.cart.append("child's")
        session.assign(own=1)
        seen.append(session.config("think"))
        session.set_config(think=2)

    async def steps(session: Session) -> None:
        helper = session.spawn(forever)
        session.assign(cart=["tea"], lock=opaque, helper=helper)
        session.set_config(think=session.config("think") + 1)
        session.spawn(child)
        session.assigned.cart.append("parent's")
        session.set_config(think=7)
        await session.join("child")
        assert session.assigned.cart == ["tea", "parent's"]
        assert "own" not in session.assigned
        assert session.config("think") == 7
        helper.cancel()

    ran = await run(population(scenario(steps), name="p", config={"think": 1}, iterations=2))
    assert ran.exceptions == []
    assert seen == [
        ("p-0/child-1", "p", 0, 0), ["tea"], 2,
        ("p-0/child-3", "p", 0, 1), ["tea"], 8,
    ]  # fmt: skip


async def test_children_have_random_numbers_of_their_own_the_same_in_every_run() -> None:
    drawn: list[float] = []

    async def child(session: Session) -> None:
        drawn.append(session.random.random())

    async def steps(session: Session) -> None:
        session.spawn(child)
        session.spawn(child)
        drawn.append(session.random.random())
        await session.join("child")

    test = population(scenario(steps), iterations=2)
    await run(test, seed=5)
    first = drawn.copy()
    drawn.clear()
    await run(test, seed=5)
    assert drawn == first
    assert len(set(first)) == 6


async def test_cookies_are_copied_and_connections_are_the_parents(target: RunningTarget) -> None:
    connections: list[int] = []

    async def child(session: Session, origin: Any) -> None:
        assert session.cookies.as_dict() == {"who": "parent"}
        await session.get("/slow?ms=10", name="slow")
        session.cookies.set("who", "child", origin)

    async def steps(session: Session) -> None:
        origin = session._service.target.address
        session.cookies.set("who", "parent", origin)
        await session.get("/")
        for _ in range(20):
            session.spawn(child, origin)
        await session.join("child")
        connections.append(len(bench.http.connections))
        assert all(not connection.closing for connection in bench.http.connections)
        assert session.cookies.as_dict() == {"who": "parent"}
        await session.get("/")

    bench = Bench(load_test(population(scenario(steps), url=target.url)))
    ran = await bench.run()
    assert ran.exceptions == []
    assert connections == [6]
    assert (ran.requests("GET slow").ok, ran.requests("GET /").ok) == (20, 2)


async def test_a_child_is_measured_under_its_parents_name(target: RunningTarget) -> None:
    async def child(session: Session) -> None:
        await session.get("/")
        session.counter("done")
        session.check("fine", True)

    async def steps(session: Session) -> None:
        await session.get("/")
        session.spawn(child)
        session.spawn(child, name="named")

    ran = await run(population(scenario(steps), url=target.url, name="p"))
    assert ran.requests("GET /").ok == 3
    assert {key.session for key in ran.series} == {"p"}
    calls = {(key.action, key.name): delta.ok for key, delta in ran.series.items()
             if key.kind == "call"}  # fmt: skip
    assert calls == {("spawn", "child"): 1, ("spawn", "named"): 1}
    assert ran.of_kind("counter")["done"].value_sum == 2
    assert ran.checks["fine"].passed == 2


async def test_an_abort_in_a_child_ends_the_child_alone_and_is_reported() -> None:
    reached: list[Any] = []

    async def child(session: Session) -> None:
        session.spawn(forever)
        async with asyncio.TaskGroup() as group:
            group.create_task(deeper(session))
        reached.append("never")

    async def deeper(session: Session) -> None:
        session.abort("sold out")

    async def steps(session: Session) -> None:
        handle = session.spawn(child)
        reached.append(await handle)
        reached.append((handle.outcome, handle.reason))
        session.spawn(child)

    ran = await run(population(scenario(steps), name="p"))
    assert reached == [None, ("aborted", "sold out")]
    assert (ran.iterations.completed, ran.sessions.finished) == (1, 1)
    [group] = ran.exceptions
    assert (group.type, group.where, group.count) == ("SessionAborted", "child", 2)
    assert [(line.source, line.text) for line in ran.log] == [
        ("p-0/child-0", "aborted: sold out"),
        ("p-0/child-1", "aborted: sold out"),
    ]


async def test_a_refusal_in_a_child_refuses_the_session() -> None:
    async def child(session: Session) -> None:
        session.refuse("no such user")

    async def init(session: Session) -> None:
        session.spawn(fail, "unimportant")
        session.spawn(child)

    async def steps(session: Session) -> None:
        raise AssertionError("skipped")

    ran = await run(population(scenario(steps, init=init)))
    assert (ran.sessions.failed, ran.iterations.started) == (1, 0)
    assert {group.type for group in ran.exceptions} == {"LookupError", "SessionRefused"}
    assert [line.text for line in ran.log] == ["refused: no such user"]


async def test_a_child_can_be_cancelled_alone() -> None:
    async def steps(session: Session) -> None:
        handle, other = session.spawn(forever), session.spawn(double, 4)
        handle.cancel()
        assert await handle is None
        assert handle.outcome == "cancelled"
        assert await other == 8
        handle.cancel()

    ran = await run(population(scenario(steps)))
    assert ran.iterations.completed == 1
    assert ran.exceptions == []


async def test_a_wait_that_is_cut_off_leaves_the_child_running() -> None:
    async def steps(session: Session) -> None:
        handle = session.spawn(slow)
        for wait in (handle, session.join("slow")):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.005)
        assert await handle == "done"

    async def slow(child: Session) -> str:
        await child.delay(0.05)
        return "done"

    ran = await run(population(scenario(steps)))
    assert ran.iterations.completed == 1


async def test_too_many_children_are_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chaperon_engine.session.family.MAX_CHILDREN", 3)

    async def steps(session: Session) -> None:
        for _ in range(5):
            await session.spawn(double, 1)
        for _ in range(3):
            session.spawn(double, 1)
        with pytest.raises(InvalidRequest, match=r"4 children of p-0 at once .* max_children"):
            session.spawn(double, 1)
        with pytest.raises(InvalidRequest, match="8 children"):
            session.cc_spread(double, 1, rate=5, interval=1)
        session.set_config(max_children=4)
        session.spawn(double, 1)

    ran = await run(population(scenario(steps), name="p"))
    assert ran.exceptions == []
    assert ran.iterations.completed == 1


async def test_a_child_cannot_wait_for_itself() -> None:
    async def child(session: Session, box: list[ChildHandle]) -> None:
        await box[0]

    async def steps(session: Session) -> None:
        box: list[ChildHandle] = []
        box.append(session.spawn(child, box))
        with pytest.raises(InvalidRequest, match="child p-0/child-0 cannot await itself"):
            await box[0]

    ran = await run(population(scenario(steps), name="p"))
    assert ran.iterations.completed == 1


async def test_results_of_children_come_to_the_parent_when_they_are_over(
    target: RunningTarget,
) -> None:
    kept: list[Any] = []

    async def child(session: Session) -> None:
        assert session.results == {}
        await session.get("/")
        await session.get("/status/500", name="broken")
        kept.append(sorted(session.results))

    async def steps(session: Session) -> None:
        await session.get("/")
        handle = session.spawn(child)
        assert list(session.results) == ["GET /"]
        await handle
        kept.append({name: len(results) for name, results in session.results.items()})

    settings = SessionSettings(store_results=True)
    ran = await run(population(scenario(steps), url=target.url, settings=settings))
    assert ran.exceptions == []
    assert kept == [["GET /", "GET broken"], {"GET /": 2, "GET broken": 1}]


async def test_children_of_init_and_teardown_are_awaited_there_and_teardown_is_not_measured(
    target: RunningTarget,
) -> None:
    ended: list[str] = []

    async def visit(child: Session, name: str) -> None:
        await child.get("/redirect/1", name=name)
        await child.spawn(double, 1)
        child.counter(name)
        ended.append(name)

    async def init(session: Session) -> None:
        session.spawn(visit, "init")

    async def steps(session: Session) -> None:
        ended.append("run")

    async def teardown(session: Session) -> None:
        session.spawn(visit, "teardown")
        session.cc_spread(visit, "spread", rate=2, interval="10ms")

    ran = await run(population(scenario(steps, init=init, teardown=teardown), url=target.url))
    assert ran.exceptions == []
    assert ended[:2] == ["init", "run"]
    assert sorted(ended[2:]) == ["spread", "spread", "teardown"]
    assert list(ran.of_kind("counter")) == ["init"]
    assert {delta.ok for delta in ran.of_kind("call").values()} == {1}
    assert target.stats.document()["requests"] == 8


async def test_children_that_were_awaited_leave_nothing_behind() -> None:
    alive: list[int] = []

    class Big:
        pass

    references: list[weakref.ref[Big]] = []

    async def child(session: Session) -> None:
        big = Big()
        references.append(weakref.ref(big))
        session.assign(big=big)
        await asyncio.sleep(0)

    async def steps(session: Session) -> None:
        for number in range(50):
            await session.spawn(child, name=f"name {number}")
        gc.collect()
        alive.append(sum(reference() is not None for reference in references))

    await run(population(scenario(steps)))
    assert alive == [0]


async def test_a_childs_log_lines_carry_its_id() -> None:
    async def child(session: Session) -> None:
        session.log_info("hello")

    async def steps(session: Session) -> None:
        session.spawn(child)

    ran = await run(population(scenario(steps), name="p"))
    assert [(line.source, line.text) for line in ran.log] == [("p-0/child-0", "hello")]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("spawn", ()), ("cc_spread", ()), ("every", ("1s",)), ("call", ()), ("call_traced", ())],
)
async def test_what_is_no_function_is_refused_in_one_sentence(
    verb: str, arguments: tuple[str, ...]
) -> None:
    async def search(child: Session) -> None:
        pass

    async def steps(session: Session) -> None:
        wanted = {"rate": 1} if verb == "cc_spread" else {}
        with pytest.raises(InvalidRequest, match=f"{verb} takes a function, not 'search'"):
            getattr(session, verb)(*arguments, "search", **wanted)
        with pytest.raises(InvalidRequest, match=r"give it search and the arguments, without"):
            getattr(session, verb)(*arguments, search(session), **wanted)

    ran = await run(population(scenario(steps)))
    assert not ran.exceptions

"""Signals between sessions of a family, periodic functions while waiting, one-way latency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine import ANY, Session
from chaperon_engine.actions.every import Periodics
from chaperon_engine.actions.signal import MAX_QUEUED, Mailbox, Wanted
from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import Interval, SessionSettings
from chaperon_engine.errors import CheckedTimeout, InvalidRequest
from tests.session.family import scenario
from tests.session.harness import population, run


async def test_signals_are_awaited_by_value_by_condition_or_any() -> None:
    got: list[Any] = []

    async def child(session: Session) -> None:
        for signal in ("first", 2, {"kind": "news"}, "last"):
            session.signal_parent(signal)

    async def steps(session: Session) -> None:
        await session.spawn(child)
        got.append(await session.await_signal("last"))
        got.append(await session.await_signal(where=lambda signal: isinstance(signal, dict)))
        got.append(await session.await_signal())
        got.append(await session.await_signal(2, where=lambda signal: signal > 1, timeout="1s"))
        with pytest.raises(CheckedTimeout, match=r"^no signal within .*; no other signal has come"):
            await session.await_signal(timeout=0.001)

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []
    assert got == ["last", {"kind": "news"}, "first", 2]


async def test_a_parent_signals_all_children_of_a_name_or_one() -> None:
    got: list[Any] = []

    async def search(child: Session) -> None:
        child.signal_parent("ready")
        got.append((child.id, await child.await_signal()))

    async def steps(session: Session) -> None:
        handles = [session.spawn(search) for _ in range(3)]
        for _ in handles:
            await session.await_signal("ready")
        assert session.signal(handles[1], "you") == 1
        await handles[1]
        assert session.signal("search", "all") == 2
        await session.join("search")
        assert session.signal(handles[0], "too late") == 0
        assert session.signal("search", "nobody is left") == 0
        with pytest.raises(InvalidRequest, match="no child 'serach' was spawned"):
            session.signal("serach", 1)
        with pytest.raises(InvalidRequest, match="p-0 is no child: it has no parent"):
            session.signal_parent(1)

    ran = await run(population(scenario(steps), name="p"))
    assert ran.exceptions == []
    assert got == [("p-0/search-1", "you"), ("p-0/search-0", "all"), ("p-0/search-2", "all")]


async def test_a_time_out_says_what_was_awaited_and_what_came_instead() -> None:
    def is_ready(signal: object) -> bool:
        return signal == "ready"

    async def child(session: Session) -> None:
        session.signal_parent("other\x1b")

    async def steps(session: Session) -> None:
        await session.spawn(child)
        with pytest.raises(CheckedTimeout) as caught:
            await session.await_signal_or_timeout("go", where=is_ready, timeout="2ms")
        assert str(caught.value) == (
            "no signal 'go' for which is_ready is true within 2 ms; "
            "another signal came: 'other\\x1b'"
        )
        assert await session.await_signal() == "other\x1b"
        await session.await_signal_or_timeout(timeout=0)

    ran = await run(population(scenario(steps)))
    assert ran.iterations.failed == 1
    assert [(group.type, group.where) for group in ran.exceptions] == [("CheckedTimeout", "run")]


async def test_a_condition_that_raises_fails_who_waits_not_who_sends() -> None:
    async def child(session: Session) -> None:
        session.signal_parent("first")
        await asyncio.sleep(0)
        session.signal_parent("second")

    def picky(signal: object) -> bool:
        raise ValueError(f"not {signal}")

    async def steps(session: Session) -> None:
        handle = session.spawn(child)
        with pytest.raises(ValueError, match="not first"):
            await session.await_signal(where=picky)
        await handle
        with pytest.raises(ValueError, match="not first"):
            await session.await_signal(where=picky)
        assert [await session.await_signal() for _ in range(2)] == ["first", "second"]

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []


async def test_signals_that_nobody_awaits_are_bounded_and_forgotten_with_the_iteration() -> None:
    async def child(session: Session) -> None:
        for number in range(MAX_QUEUED):
            session.signal_parent(number)
        with pytest.raises(InvalidRequest, match=r"p-0 has 1,000 signals waiting"):
            session.signal_parent("one more")

    async def steps(session: Session) -> None:
        await session.spawn(child)
        assert await session.await_signal() == 0

    ran = await run(population(scenario(steps), name="p", iterations=2))
    assert ran.exceptions == []
    assert ran.iterations.completed == 2


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, ANY])), max_size=30))
def test_every_signal_goes_to_one_wait_in_order(steps: list[tuple[bool, Any]]) -> None:
    """Against a plain model: a list of signals and a list of waits."""
    loop = asyncio.new_event_loop()
    try:
        box, queued, waiting = Mailbox(), [], []
        for sends, value in steps:
            if sends:
                signal = 1 if value is ANY else value
                box.put(signal)
                first = next((w for w in waiting if w.value in (ANY, signal)), None)
                if first is None:
                    queued.append(signal)
                else:
                    waiting.remove(first)
                    assert first.future.done()
                    assert first.signal == signal
                    box.unwant(first)
            else:
                wanted = Wanted(loop, value)
                box.want(wanted)
                found = next((s for s in queued if value in (ANY, s)), None)
                assert wanted.future.done() == (found is not None)
                if found is None:
                    waiting.append(wanted)
                else:
                    queued.remove(found)
                    assert wanted.signal == found
    finally:
        loop.close()


async def test_every_runs_while_a_session_waits_for_children_and_signals() -> None:
    ticks: list[str] = []
    where = ["start"]

    async def tick(session: Session) -> None:
        ticks.append(where[0])

    async def slow(child: Session) -> None:
        await child.delay(0.03)

    async def talk(child: Session) -> None:
        await child.delay(0.03)
        child.signal_parent("done")

    async def steps(session: Session) -> None:
        session.every(0.005, tick)
        where[0] = "await"
        await session.spawn(slow)
        where[0] = "join"
        session.spawn(slow)
        await session.join("slow")
        where[0] = "signal"
        session.spawn(talk)
        assert await session.await_signal() == "done"
        where[0] = "time-out"
        with pytest.raises(CheckedTimeout):
            await session.await_signal(timeout="30ms")
        where[0] = "end"
        session.spawn(slow)

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []
    assert set(ticks) == {"await", "join", "signal", "time-out", "end"}
    assert all(3 <= ticks.count(place) <= 8 for place in set(ticks))


async def test_the_config_interval_runs_in_sessions_and_not_in_children() -> None:
    called: list[str] = []

    async def child(session: Session) -> None:
        await session.delay(0.02)

    async def steps(session: Session) -> None:
        await session.spawn(child)

    setting = Interval(period_s=0.004, function=lambda session: called.append(session.id))
    ran = await run(
        population(scenario(steps), name="p", settings=SessionSettings(interval=setting))
    )
    assert ran.exceptions == []
    assert set(called) == {"p-0"}


async def test_what_a_periodic_function_raises_ends_the_wait() -> None:
    def broken(session: Session) -> None:
        raise LookupError("broken")

    async def steps(session: Session) -> None:
        session.every(0.001, broken)
        with pytest.raises(LookupError):
            await session.await_signal(timeout=5)

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []


async def test_a_wait_without_periodic_functions_is_the_future_itself() -> None:
    async def steps(session: Session) -> None:
        future = asyncio.get_running_loop().create_future()
        assert session._waiting(future) is future
        session._periodics = Periodics()
        future.set_result(5)
        assert await session._waiting(future) == 5

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []


async def test_the_way_of_a_message_is_measured_between_sessions() -> None:
    async def subscriber(child: Session) -> None:
        sent = await child.await_signal()
        assert child.latency("delivery", sent) > 0
        child.latency("delivery", sent, tags={"room": 1})

    async def steps(session: Session) -> None:
        session.spawn(subscriber)
        await asyncio.sleep(0)
        assert abs(session.timestamp() - now_ns()) < 1e9
        session.signal("subscriber", session.timestamp())
        with pytest.raises(InvalidRequest, match=r"'delivery': the timestamp lies \S+ ns in the"):
            session.latency("delivery", session.timestamp() + 10**12)
        with pytest.raises(InvalidRequest, match=r"takes what timestamp\(\) gave, not '5'"):
            session.latency("delivery", "5")  # type: ignore[arg-type]

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []
    found = {key.tags: (key.kind, key.unit, key.action, delta.ok)
             for key, delta in ran.series.items() if key.name == "delivery"}  # fmt: skip
    assert found == {
        (): ("trend", "us", "latency", 1),
        (("room", "1"),): ("trend", "us", "latency", 1),
    }

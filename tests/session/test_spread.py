"""Calls spread evenly over an interval: the schedule as a function, and real calls."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine import Session, SpreadHandle
from chaperon_engine.actions.spread import due_count, due_offset_ns
from chaperon_engine.clock import now_ns
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.target import RunningTarget
from tests.session.family import forever, scenario
from tests.session.harness import population, run

rates = st.integers(1, 5_000)
intervals_ns = st.integers(1, 10**13)


@given(rates, intervals_ns, st.data())
def test_each_call_is_due_at_its_part_of_the_interval_without_drift(
    rate: int, interval_ns: int, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, rate - 1))
    offset = due_offset_ns(number, rate, interval_ns)
    assert 0 <= number * interval_ns - offset * rate < rate  # Exact but for less than 1 ns.
    assert 0 <= offset < interval_ns


@given(st.integers(1, 60), st.integers(1, 400), st.integers(-5, 500))
def test_due_are_exactly_the_calls_whose_offset_has_passed(
    rate: int, interval_ns: int, elapsed_ns: int
) -> None:
    offsets = [due_offset_ns(number, rate, interval_ns) for number in range(rate)]
    assert due_count(elapsed_ns, rate, interval_ns) == sum(o <= elapsed_ns for o in offsets)


def test_the_gaps_of_1500_calls_in_a_second_are_even() -> None:
    offsets = [due_offset_ns(number, 1_500, 10**9) for number in range(1_500)]
    gaps = {after - before for before, after in itertools.pairwise(offsets)}
    assert gaps == {666_666, 666_667}
    assert offsets[750] == 500_000_000


async def test_1500_calls_over_a_second_are_1500_and_none_is_early() -> None:
    starts: list[int] = []
    spread_at: list[int] = []

    async def tick(child: Session) -> int:
        starts.append(now_ns())
        return len(starts)

    async def steps(session: Session) -> None:
        spread_at.append(now_ns())
        spread = session.cc_spread(tick, rate=1_500, interval="1s")
        assert now_ns() - spread_at[0] < 200_000_000
        values = await spread
        assert sorted(values) == list(range(1, 1_501))
        assert spread.is_over

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []
    assert len(starts) == 1_500
    assert all(
        at - spread_at[0] >= due_offset_ns(number, 1_500, 10**9) for number, at in enumerate(starts)
    )
    assert starts[-1] - starts[0] >= 0.99e9
    assert ran.of_kind("call")["tick"].ok == 1_500
    lateness = ran.of_kind("trend")["tick start delay"]
    assert lateness.ok == 1_500
    assert lateness.failed == 0


async def test_calls_of_a_spread_run_beside_each_other(target: RunningTarget) -> None:
    async def visit(child: Session, path: str) -> str:
        await child.get(path, name="slow")
        return child.id

    async def steps(session: Session) -> None:
        spread = session.cc_spread(visit, "/slow?ms=150", rate=4, interval=0.02, name="burst")
        assert isinstance(spread, SpreadHandle)
        assert (spread.name, len(spread.handles)) == ("burst", 4)
        assert session.task("burst") == list(spread.handles)
        session.spawn(visit, "/slow?ms=1", name="burst")
        begin = now_ns()
        ids = await session.join("burst")
        assert now_ns() - begin < 0.5e9
        assert ids == [f"p-0/burst-{number}" for number in (0, 2, 3, 4, 1)]
        assert await spread == ids[:4]

    ran = await run(population(scenario(steps), url=target.url, name="p"))
    assert ran.exceptions == []
    calls = {key.action: delta.ok for key, delta in ran.series.items() if key.kind == "call"}
    assert calls == {"cc_spread": 4, "spawn": 1}


async def test_awaiting_a_spread_raises_its_first_error_when_all_are_over() -> None:
    ended: list[int] = []

    async def sometimes(child: Session, failing: set[int]) -> None:
        number = int(child.id.rpartition("-")[2])
        await asyncio.sleep(0.01)
        ended.append(number)
        if number in failing:
            raise ValueError(str(number))

    async def steps(session: Session) -> None:
        spread = session.cc_spread(sometimes, {1, 3}, rate=6, interval="30ms")
        with pytest.raises(ValueError, match="1"):
            await spread
        assert sorted(ended) == [0, 1, 2, 3, 4, 5]

    ran = await run(population(scenario(steps)))
    assert ran.iterations.completed == 1
    [group] = ran.exceptions
    assert (group.message, group.where, group.count) == ("3", "child", 1)


async def test_a_cancelled_spread_starts_nothing_more() -> None:
    started: list[str] = []

    async def steps(session: Session) -> None:
        async def call(child: Session) -> None:
            started.append(child.id)
            await forever(child)

        spread = session.cc_spread(call, rate=3, interval="1h")
        await asyncio.sleep(0)
        spread.cancel()
        assert await spread == [None, None, None]
        assert {handle.outcome for handle in spread.handles} == {"cancelled"}

    begin = now_ns()
    ran = await run(population(scenario(steps)))
    assert now_ns() - begin < 2e9
    assert len(started) == 1
    assert ran.iterations.completed == 1


async def test_a_failed_iteration_ends_the_spread_it_began() -> None:
    started: list[int] = []

    async def call(child: Session) -> None:
        started.append(child.iteration)

    async def steps(session: Session) -> None:
        session.cc_spread(call, rate=100, interval="10s")
        await asyncio.sleep(0.01)
        raise LookupError("enough")

    ran = await run(population(scenario(steps), iterations=2))
    assert ran.iterations.failed == 2
    assert set(started) == {0, 1}
    assert len(started) < 10


@pytest.mark.parametrize(
    ("rate", "interval", "told"),
    [
        (0, 1, "above zero"),
        (5, 0, "above zero"),
        (2.5, 1, "rate must be a whole number"),
        (-1, 1, "rate must be zero or more"),
        (5, "soon", "interval"),
    ],
)
async def test_a_spread_that_cannot_be_is_refused(rate: Any, interval: Any, told: str) -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(InvalidRequest, match=told):
            session.cc_spread(forever, rate=rate, interval=interval)

    ran = await run(population(scenario(steps)))
    assert ran.exceptions == []

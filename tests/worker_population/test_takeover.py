"""Shares of members that are gone, taken over by a worker that is in its load."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.protocol.messages import Message, Release, WorkerIdle
from chaperon_engine.worker.placement import RemotePlacement
from tests.session.harness import Bench, load_test, population


class Timed(Scenario):
    """Notes who begins; a test may wait for the first."""

    began: ClassVar[list[int]] = []
    has_begun: ClassVar[asyncio.Event]

    async def init(self, session: Session) -> None:
        self.began.append(session.index)
        self.has_begun.set()

    async def run(self, session: Session) -> None:
        await session.delay("5ms")


class Counted(Timed):
    """Of a population that runs a number of iterations."""

    began: ClassVar[list[int]] = []


@pytest.fixture(autouse=True)
def nobody_has_begun() -> None:
    Timed.began, Counted.began = [], []
    Timed.has_begun = asyncio.Event()


def bench(**keywords: Any) -> Bench:
    """The first of three workers; nine sessions that only the time ends, and four others."""
    timed = population(Timed, sessions=9, duration_s=0.3)
    return Bench(
        load_test(timed, population(Counted, sessions=4, iterations=1)), workers=3, **keywords
    )


async def test_sessions_that_only_the_time_ends_begin_anew_and_no_others() -> None:
    made = bench()
    running = asyncio.create_task(made.run())
    await Timed.has_begun.wait()
    made.runner.take([1], 3, epoch=2)
    ran = await running
    assert sorted(Timed.began) == [0, 1, 3, 4, 6, 7]
    assert sorted(Counted.began) == [0, 3]
    assert (ran.sessions.planned, ran.sessions.started, ran.sessions.finished) == (5, 8, 8)


async def test_shares_that_come_before_the_load_begin_with_it() -> None:
    made = bench()
    made.runner.take([2], 3, epoch=2)
    ran = await made.run()
    assert sorted(Timed.began) == [0, 2, 3, 5, 6, 8]
    assert ran.sessions.finished == 8


async def test_nothing_is_taken_over_once_the_load_was_stopped() -> None:
    made = bench()
    running = asyncio.create_task(made.run())
    await Timed.has_begun.wait()
    made.runner.stop(None)
    made.runner.take([1, 2], 3, epoch=2)
    ran = await running
    assert sorted(Timed.began) == [0, 3, 6]
    assert ran.sessions.active == 0


async def test_a_worker_is_idle_again_when_what_it_took_over_has_ended() -> None:
    told: list[Message] = []
    placement = RemotePlacement(told.append)
    timed = population(Timed, sessions=2, duration_s=60.0)
    made = Bench(load_test(timed), workers=2, placement=placement)
    running = asyncio.create_task(made.run())
    await Timed.has_begun.wait()
    for share in made.runner._shares:
        share.interrupt()
    async with asyncio.timeout(5):
        while told != [WorkerIdle(epoch=0)]:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.001)
        Timed.has_begun.clear()
        made.runner.take([1], 2, epoch=3)
        await Timed.has_begun.wait()
        assert len(told) == 1
        made.runner.stop(0.0)
        while len(told) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert told == [WorkerIdle(epoch=0), WorkerIdle(epoch=3)]
        placement.receive(Release())
        ran = await running
    assert Timed.began == [0, 1]
    assert ran.sessions.started == 2

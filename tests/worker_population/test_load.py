"""Many sessions: starts, profiles, fairness, stopping, warm-up, shares of several workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.clock import now_ns
from chaperon_engine.metrics.model import WARMUP, SeriesKey
from chaperon_engine.target import RunningTarget
from tests.session.harness import Bench, Ran, load_test, population, run


class Counting(Scenario):
    """Counts iterations by session and turns of the loop."""

    iterations: ClassVar[Counter[int]] = Counter()

    async def run(self, session: Session) -> None:
        self.iterations[session.index] += 1


class NeverWaits(Counting):
    async def run(self, session: Session) -> None:
        await super().run(session)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        await done


class FailsAtOnce(Counting):
    async def run(self, session: Session) -> None:
        await super().run(session)
        raise ValueError("at once")


class CatchesItsError(Counting):
    async def run(self, session: Session) -> None:
        await super().run(session)
        with contextlib.suppress(ValueError):
            await session.get("/bad\r\npath")


@pytest.mark.parametrize("scenario", [NeverWaits, FailsAtOnce, CatchesItsError])
async def test_sessions_that_never_wait_all_progress_and_the_loop_turns(
    scenario: type[Counting],
) -> None:
    scenario.iterations = Counter()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(turn())
    ran = await run(population(scenario, sessions=50, duration_s=0.4))
    ticking.cancel()
    counts = scenario.iterations.values()
    assert len(counts) == 50
    assert min(counts) >= 2
    # In a turn of the loop no session does more than one iteration and begins the next.
    assert sum(counts) <= 2 * 50 * (turns + 1)
    # Fair: nobody has many times what another has.
    assert max(counts) <= 3 * min(counts)
    assert ran.sessions.finished == 50
    if scenario is FailsAtOnce:
        # 1 + 2 + 4 ... ms of pauses leave room for nine in 0.4 s.
        assert max(counts) <= 11
        assert ran.exceptions[0].count == ran.iterations.failed


class Hold(Scenario):
    async def run(self, session: Session) -> None:
        await session.delay("1m")


class Visit(Scenario):
    async def run(self, session: Session) -> None:
        await session.get("/")


async def test_after_the_duration_no_iteration_starts_and_the_running_one_ends() -> None:
    began: list[int] = []

    class Slow(Scenario):
        async def run(self, session: Session) -> None:
            began.append(now_ns())
            await asyncio.sleep(0.25)

    start = now_ns()
    ran = await run(population(Slow, sessions=2, duration_s=0.4))
    assert (ran.sessions.finished, ran.iterations.interrupted) == (2, 0)
    assert ran.iterations.completed == len(began) == 4
    assert max(began) - start < 0.45e9


@pytest.mark.parametrize("near_end_s", [0.05, 60.0])
async def test_no_iteration_starts_after_the_end_whenever_the_clock_begins_to_be_watched(
    near_end_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chaperon_engine.worker import population as module

    monkeypatch.setattr(module, "NEAR_END_S", near_end_s)
    began: list[int] = []

    class Quick(Scenario):
        async def run(self, session: Session) -> None:
            began.append(now_ns())
            await asyncio.sleep(0)

    stood_still_ns = 10**9
    while stood_still_ns > 0.02e9:
        # Without a core the clock is looked at too late: then it is tried again.
        began.clear()
        bench = Bench(load_test(population(Quick, sessions=20, duration_s=0.15, graceful_stop_s=5)))
        start_ns = now_ns()
        await bench.runner.run(start_ns)
        moments = [start_ns, *began, now_ns()]
        ran = bench.result()
        await bench.http.close()
        assert ran.sessions.finished == 20
        assert ran.iterations.completed == len(began)
        stood_still_ns = max(after - before for before, after in pairwise(moments))
    assert any(at > start_ns + 0.1e9 for at in began)
    # The process may lose its core between the admission of an iteration and the note of it.
    assert sum(at > start_ns + 0.15e9 for at in began) <= 1


async def test_what_runs_after_the_grace_period_is_interrupted() -> None:
    start = now_ns()
    ran = await run(population(Hold, sessions=3, duration_s=0.2, graceful_stop_s=0.05))
    assert 0.24e9 < now_ns() - start < 1.2e9
    assert (ran.sessions.interrupted, ran.iterations.interrupted) == (3, 3)


async def test_stop_lets_iterations_end_within_the_grace_period(target: RunningTarget) -> None:
    bench = Bench(load_test(population(Visit, url=target.url, sessions=4, duration_s=60)))
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while bench.runner.iterations.completed < 20:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
    bench.runner.stop(10)
    ran = await asyncio.wait_for(running, 5)
    assert ran.sessions.finished == 4
    assert ran.iterations.interrupted == 0
    assert ran.requests("GET /").ok == ran.iterations.completed
    assert ran.iterations.completed == target.stats.document()["requests"]


async def test_stop_ends_pauses_and_start_delays_and_further_starts() -> None:
    bench = Bench(
        load_test(population(FailsAtOnce, sessions=10, duration_s=60, ramp_up_s=50)),
    )
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while bench.runner.iterations.failed < 5:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
    bench.runner.stop(None)
    ran = await asyncio.wait_for(running, 1)
    assert (ran.sessions.planned, ran.sessions.started, ran.sessions.finished) == (10, 1, 1)


async def test_abort_cancels_what_is_in_flight_without_teardown(target: RunningTarget) -> None:
    class Slow(Scenario):
        async def run(self, session: Session) -> None:
            await session.get("/slow?ms=60000")

        async def teardown(self, session: Session) -> None:
            raise AssertionError("not after an abort")

    bench = Bench(load_test(population(Slow, url=target.url, sessions=5, duration_s=60)))
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while target.stats.document()["in_flight"] != 5:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
    bench.runner.abort()
    ran = await asyncio.wait_for(running, 1)
    assert ran.sessions.interrupted == 5
    assert ran.requests("GET /slow?ms=60000").errors == {"cancelled": 5}
    assert not ran.exceptions


async def test_cancelling_the_runner_ends_every_session() -> None:
    bench = Bench(load_test(population(Hold, sessions=5, duration_s=60)))
    running = asyncio.create_task(bench.runner.run(now_ns()))
    async with asyncio.timeout(5):
        while bench.runner.iterations.started < 5:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.result().sessions.interrupted == 5


async def test_tasks_that_sessions_leave_behind_end_with_the_run() -> None:
    left = []

    class Leaving(Scenario):
        async def run(self, session: Session) -> None:
            left.append(asyncio.create_task(asyncio.sleep(60)))
            await asyncio.sleep(0)

    outside = asyncio.create_task(asyncio.sleep(60))
    await run(population(Leaving))
    assert left[0].cancelled()
    assert not outside.done()
    outside.cancel()


async def test_ramped_sessions_start_at_their_times_and_never_early() -> None:
    started: dict[int, int] = {}

    class Noting(Scenario):
        async def init(self, session: Session) -> None:
            started[session.index] = now_ns()

    bench = Bench(load_test(population(Noting, sessions=10, ramp_up_s=0.2)))
    start_ns = now_ns() + 20_000_000
    await bench.runner.run(start_ns)
    for index, at in started.items():
        late_s = (at - start_ns) / 1e9 - 0.02 * index
        assert 0 <= late_s < 0.1


@pytest.mark.parametrize(("sessions", "total", "workers"), [(3, 100, 2), (1, 7, 3), (5, 3, 2)])
async def test_shared_iterations_are_run_exactly_by_all_workers_together(
    sessions: int, total: int, workers: int
) -> None:
    ran: list[Ran] = []
    for worker in range(workers):
        test = load_test(
            population(Counting, sessions=2),
            population(Counting, name="shared", sessions=sessions, shared_iterations=total),
        )
        ran.append(await Bench(test, worker=worker, workers=workers).run())
    assert sum(each.sessions.planned for each in ran) == sessions + 2
    assert sum(each.iterations.completed for each in ran) == total + 2


async def test_indices_are_unique_over_workers_and_populations_are_spread() -> None:
    seen: list[tuple[str, int, int]] = []

    class Noting(Scenario):
        worker: ClassVar[int]

        async def run(self, session: Session) -> None:
            seen.append((session.name, session.index, self.worker))

    for worker in range(3):
        Noting.worker = worker
        test = load_test(*(population(Noting, name=f"p{n}", sessions=n) for n in (1, 2, 3)))
        await Bench(test, worker=worker, workers=3).run()
    assert sorted((name, index) for name, index, _ in seen) == [
        ("p1", 0), ("p2", 0), ("p2", 1), ("p3", 0), ("p3", 1), ("p3", 2),
    ]  # fmt: skip
    assert Counter(worker for _, _, worker in seen) == {0: 2, 1: 2, 2: 2}


async def test_the_warm_up_is_recorded_in_series_of_its_own(target: RunningTarget) -> None:
    bench = Bench(
        load_test(population(Visit, url=target.url, sessions=2, duration_s=0.3), warmup_s=0.1)
    )
    ran = await bench.run()
    by_phase: Counter[str] = Counter()
    for key, delta in ran.series.items():
        if key.kind == "http":
            by_phase[key.phase] += delta.ok
    assert set(by_phase) == {"", WARMUP}
    assert by_phase.total() == ran.iterations.completed
    assert ran.frame.totals.ok == by_phase[""]


async def test_series_are_looked_up_again_when_the_table_of_the_run_is_full(
    target: RunningTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chaperon_engine.worker import population as module

    monkeypatch.setattr(module, "SERIES_CHECK_S", 0.01)
    bench = Bench(load_test(population(Visit, url=target.url, duration_s=60)))
    running = asyncio.create_task(bench.run())
    async with asyncio.timeout(5):
        while bench.runner.iterations.completed < 5:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
        bench.recorder.accept_only([SeriesKey(kind="http", name="something else")])
        while bench.runner._generation != bench.recorder.generation:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        done = bench.runner.iterations.completed
        while bench.runner.iterations.completed < done + 50:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    bench.runner.stop(None)
    ran = await running
    assert ran.requests("(other)").ok > 0
    assert ran.frame.totals.ok == ran.iterations.completed


async def test_populations_run_side_by_side(target: RunningTarget) -> None:
    ran = await run(
        population(Visit, url=target.url, name="a", sessions=2, iterations=3),
        population(Visit, url=target.url, name="b", sessions=1, iterations=4),
    )
    found: dict[Any, int] = {
        key.session: delta.ok for key, delta in ran.series.items() if key.kind == "http"
    }
    assert found == {"a": 6, "b": 4}

"""Sessions that do everything at once, stopped at any moment: every count still agrees."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import ActionError
from chaperon_engine.target import RunningTarget
from tests.session.harness import Bench, load_test, population


class Chaos(Scenario):
    async def init(self, session: Session) -> None:
        match session.random.randrange(12):
            case 0:
                session.refuse("not today")
            case 1:
                raise ValueError("not ready")
            case 2:
                await session.get("/slow?ms=20")

    async def run(self, session: Session) -> None:
        match session.random.randrange(12):
            case 0:
                raise LookupError("lost")
            case 1:
                pass
            case 2:
                await asyncio.gather(*(session.get("/") for _ in range(9)))
            case 3:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await session.get("/slow?ms=1000", name="slow")
            case 4:
                await session.get("/slow?ms=1000", name="slow", timeout=0.01)
            case 5:
                with contextlib.suppress(asyncio.CancelledError):
                    await session.delay(0.01)
            case 6:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.get("/"))
                    group.create_task(session.get("http://127.0.0.1:9/"))
            case 7:
                asyncio.get_running_loop().create_task(self.stray(session)).add_done_callback(
                    lambda task: task.cancelled() or task.exception()
                )
            case 8 if session.iteration > 20:
                session.abort("enough")
            case 9:
                raise SystemExit(1)
            case 10:
                session.cc_spread(self.child, rate=5, interval=0.02)
                session.spawn(self.child)
                with contextlib.suppress(ActionError):
                    await session.await_signal_or_timeout("hello", timeout=0.01)
            case _:
                await session.post("/echo", json=session.index)

    async def stray(self, session: Session) -> None:
        with contextlib.suppress(ActionError):
            await session.get("/slow?ms=50", name="stray")

    async def child(self, child: Session) -> None:
        match child.random.randrange(6):
            case 0:
                raise LookupError("lost child")
            case 1:
                child.abort("enough")
            case 2:
                child.signal_parent("hello")
            case 3:
                child.spawn(self.child)
            case 4:
                with contextlib.suppress(asyncio.CancelledError):
                    await child.delay(5)
            case _:
                await child.get("/slow?ms=10", name="child")

    async def teardown(self, session: Session) -> None:
        await session.get("/slow?ms=5")


@pytest.mark.parametrize("seed", range(4))
async def test_counts_agree_however_sessions_behave_and_runs_end(
    target: RunningTarget, seed: int
) -> None:
    random = Random(seed)
    settings = SessionSettings(scenario_timeout_s=0.3 if seed % 2 else None)
    bench = Bench(
        load_test(
            population(
                Chaos,
                url=target.url,
                sessions=40,
                duration_s=0.5,
                ramp_up_s=0.1,
                graceful_stop_s=0.02,
                settings=settings,
                fresh=seed == 3,
            )
        ),
        seed=seed,
    )
    loop = asyncio.get_running_loop()
    loop.call_later(random.uniform(0.05, 0.6), bench.runner.stop, random.choice([None, 0.0, 0.01]))
    if seed == 2:
        loop.call_later(random.uniform(0.1, 0.4), bench.runner.abort)
    start = now_ns()
    ran = await asyncio.wait_for(bench.run(), 8)
    assert now_ns() - start < 5e9
    totals = bench.recorder.collect(now_ns()).frame(0, 0, 0).totals
    assert totals.sent == totals.ok + totals.failed
    assert totals.sent > 0
    assert ran.sessions.started > 0
    assert {group.type for group in ran.exceptions} <= {
        "LookupError", "SystemExit", "ValueError", "SessionRefused", "SessionAborted",
        "InvalidRequest", "CancelledError",
    }  # fmt: skip

"""Runs scenarios for tests: a resolved test from classes, a runner, and what it recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.plan import LoadProfile, Plan, PopulationPlan
from chaperon_engine.definition.resolved import (
    ResolvedPopulation,
    ResolvedService,
    ResolvedTest,
    SessionSettings,
)
from chaperon_engine.http.worker import HttpWorker
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import (
    CheckCount,
    ExceptionGroup,
    Frame,
    IterationCounts,
    LogLine,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.session import LogBook
from chaperon_engine.worker.placement import Placement
from chaperon_engine.worker.population import LoadRunner

NOWHERE = "http://127.0.0.1:9"


def population(
    scenario: type[Scenario],
    *,
    url: str = NOWHERE,
    services: Mapping[str, str] | None = None,
    sessions: int = 1,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    settings: SessionSettings | None = None,
    fresh: bool = False,
    graceful_stop_s: float = 30.0,
    **profile: Any,
) -> ResolvedPopulation:
    """A population against one service `api` at `url`, or against several."""
    return ResolvedPopulation(
        scenario=scenario,
        plan=PopulationPlan(
            name=name or scenario.__name__,
            scenario=scenario.__name__,
            sessions=sessions,
            profile=LoadProfile(**profile),
            fresh=fresh,
            graceful_stop_s=graceful_stop_s,
        ),
        services={
            service: ResolvedService(name=service, base_url=base_url)
            for service, base_url in (services or {"api": url}).items()
        },
        settings=settings or SessionSettings(),
        config=config or {},
    )


def load_test(*populations: ResolvedPopulation, warmup_s: float = 0.0) -> ResolvedTest:
    """A load test of these populations."""
    return ResolvedTest(
        plan=Plan(
            load_test="Test",
            file="",
            services=[],
            populations=[each.plan for each in populations],
            warmup_s=warmup_s,
        ),
        services={},
        populations=list(populations),
    )


@dataclass
class Ran:
    """What a run left: counts, series, checks, exceptions, log."""

    sessions: SessionCounts
    iterations: IterationCounts
    passed_init: int
    frame: Frame
    log: list[LogLine]
    series: dict[SeriesKey, SeriesDelta] = field(default_factory=dict)

    def requests(self, label: str) -> SeriesDelta:
        """The http series with this label."""
        found = [
            delta
            for key, delta in self.series.items()
            if key.kind == "http" and key.label == label and not key.phase
        ]
        assert len(found) == 1, f"{label}: {sorted(key.label for key in self.series)}"
        return found[0]

    def of_kind(self, kind: str) -> dict[str, SeriesDelta]:
        """Series of a kind by name."""
        return {key.name: delta for key, delta in self.series.items() if key.kind == kind}

    @property
    def checks(self) -> dict[str, CheckCount]:
        return {check.name: check for check in self.frame.checks}

    @property
    def exceptions(self) -> list[ExceptionGroup]:
        return self.frame.exceptions


class Bench:
    """A runner with everything around it."""

    def __init__(
        self,
        test: ResolvedTest,
        *,
        worker: int = 0,
        workers: int = 1,
        seed: int = 1,
        placement: Placement | None = None,
    ) -> None:
        self.recorder = Recorder(RunCounters(1).worker(0))
        self.http = HttpWorker(asyncio.get_running_loop(), self.recorder)
        self.book = LogBook()
        self.recorder.begin(now_ns())
        self.runner = LoadRunner(
            test,
            worker=worker,
            workers=workers,
            seed=seed,
            recorder=self.recorder,
            http=self.http,
            log=self.book,
            placement=placement,
        )

    async def run(self) -> Ran:
        """Run to the end; check that nothing is left and that the counts agree."""
        before = asyncio.all_tasks()
        await self.runner.run(now_ns())
        # The target of the test lives in this loop too.
        left = {
            task
            for task in asyncio.all_tasks() - before
            if "aiohttp" not in repr(task) and "_accept_connection" not in repr(task)
        }
        assert not left, f"tasks are left: {left}"
        assert all(connection.closing for connection in self.http.connections)
        await self.http.close()
        assert not self.http.connections
        return self.result()

    def result(self) -> Ran:
        """What has been recorded so far."""
        collection = self.recorder.collect(now_ns())
        for _ in collection:
            pass
        runner = self.runner
        frame = collection.frame(0, 0, 0, sessions=runner.sessions, iterations=runner.iterations)
        counts, iterations = runner.sessions, runner.iterations
        assert counts.active == 0
        assert iterations.started == (
            iterations.completed + iterations.failed + iterations.interrupted
        )
        keys = dict(frame.new_series)
        return Ran(
            sessions=counts,
            iterations=iterations,
            passed_init=runner.passed_init,
            frame=frame,
            log=self.book.collect()[0],
            series={keys[delta.id]: delta for delta in frame.deltas},
        )


async def run(*populations: ResolvedPopulation, seed: int = 1, warmup_s: float = 0.0) -> Ran:
    """Run populations on one worker."""
    return await Bench(load_test(*populations, warmup_s=warmup_s), seed=seed).run()

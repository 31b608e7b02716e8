"""Scheduled scenarios in real runs of two workers, against a server that counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from chaperon_engine.client.archive import load_report
from chaperon_engine.client.launching import launch
from chaperon_engine.client.trial import trial
from chaperon_engine.metrics.snapshot import Snapshot
from chaperon_engine.metrics.summary import ReportMetric
from chaperon_engine.runs.report import Report
from chaperon_engine.worker.trial_events import TrialFinished
from tests.engine.conftest import (
    CountingServer,
    home,
    last_snapshot,
    request,
    scenario,
    server,
    snapshots_until,
)
from tests.engine.test_conservation import check_journal, check_sums

__all__ = ["home", "scenario", "server"]

pytestmark = pytest.mark.e2e

WriteScenario = Callable[..., Path]

SOURCE = """
import os
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Visit(Scenario):
    async def run(self, session: Session) -> None:
        for _ in range(session.config("visits")):
            await session.get("/visit")
        if session.config("wait", ""):
            await session.delay(session.config("wait"))
        session.assign(worker=os.getpid())

class Buy(Scenario):
    async def run(self, session: Session) -> None:
        {run}

class ShopTest(LoadTest):
    services = {{{{"shop": Service("{{url}}")}}}}
    default_config = {{{{"config": {{{{"visits": 5}}}}}}}}
    scenarios = [Population(Buy, name="buyers", graceful_stop="300ms", {population})]
"""

SPREAD = """
        handles = [session.schedule_scenario(Visit, {"visits": 7}) for _ in range(6)]
        workers = [(await handle)["worker"] for handle in handles]
        session.check("two workers", len(set(workers)) == 2)
        session.check("shared", all(workers.count(one) == 3 for one in set(workers)))
"""
ENDLESS = """
        visits = [session.schedule_scenario(Visit, {"wait": "1h"}) for _ in range(2)]
        for visit in reversed(visits):  # that of the other worker first
            try:
                await visit
            except Exception as error:
                session.log_warning("told: %s", error)
                session.counter(type(error).__name__)
"""
CONTINUED = """
        await session.delay(0.01)
        try:
            await session.schedule_scenario(Visit)
        except Exception as error:
            session.log_warning("told: %s", error)
"""


def source(run: str, population: str = "sessions=1") -> str:
    run = run.strip().replace("{", "{{").replace("}", "}}")
    return SOURCE.format(run=run, population=population)


def metric(report: Report, action: str) -> ReportMetric:
    (found,) = [each for each in report.metrics if each.action == action]
    return found


async def test_they_run_on_all_workers_and_count_once(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(source(SPREAD))))
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    assert report.run.status == "complete", last.logs
    assert {check.name: (check.passed, check.failed) for check in report.checks} == {
        "two workers": (1, 0),
        "shared": (1, 0),
    }
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == server.requests == 6 * 7
    assert [worker.sent for worker in report.run.workers] == [21, 21]
    assert metric(report, "schedule_scenario").count == 6
    assert report.sessions.planned == report.sessions.finished == 1


def tells(text: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: any(text in line.text for line in snapshot.logs)


async def test_the_loss_of_its_worker_is_told_to_who_waits_and_the_run_goes_on(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(source(ENDLESS))))
    snapshots = await snapshots_until(client, lambda snapshot: snapshot.totals.ok == 10)
    # Session 0 of the only population lives in worker 0; one of its visits went to each worker.
    os.kill(snapshots[-1].workers[1].pid, signal.SIGKILL)
    await snapshots_until(client, tells("told: worker 1, on which it ran, was lost: killed"))
    await client.stop()
    await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    assert report.totals.requests == server.requests == 10
    assert metric(report, "schedule_scenario").errors == {"schedule_lost": 1, "cancelled": 1}


async def test_a_worker_lost_while_its_session_waits_ends_what_it_scheduled(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(source(ENDLESS))))
    snapshots = await snapshots_until(client, lambda snapshot: snapshot.totals.ok == 10)
    os.kill(snapshots[-1].workers[0].pid, signal.SIGKILL)
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    assert last.reasons[0] == "worker 0 was lost: killed by signal 9 (SIGKILL)"
    assert report.run.workers[1].state == "done"
    check_sums(report)
    assert report.totals.requests == server.requests == 10


@pytest.mark.parametrize("how", ["stop", "abort"])
async def test_a_stopped_run_ends_what_was_scheduled(
    how: str, server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(source(ENDLESS))))
    await snapshots_until(client, lambda snapshot: snapshot.totals.ok == 10)
    await (client.stop() if how == "stop" else client.abort())
    await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    assert report.run.status == {"stop": "stopped", "abort": "aborted"}[how]
    assert not report.run.partial
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == server.requests == 10


async def test_a_run_to_its_planned_end_lets_its_last_iterations_schedule(
    server: CountingServer, scenario: WriteScenario
) -> None:
    population = 'sessions=4, duration="1200ms"'
    client = await launch(request(scenario(source(CONTINUED, population))))
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    assert report.run.status == "complete"
    assert not [line.text for line in last.logs if "told" in line.text]
    check_sums(report)
    check_journal(report)
    scheduled = metric(report, "schedule_scenario")
    assert scheduled.failed == 0
    assert report.iterations.interrupted == 0
    assert report.totals.requests == server.requests == 5 * scheduled.count > 0


async def test_metrics_that_are_not_kept_are_in_no_figure_and_the_report_says_so(
    server: CountingServer, scenario: WriteScenario
) -> None:
    kept = request(scenario(source(SPREAD)), metrics=["schedule_scenario", "check"])
    client = await launch(kept)
    await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    check_journal(report)
    assert server.requests == 42
    assert report.totals.requests == 0
    assert [each.action for each in report.metrics] == ["schedule_scenario"]
    assert report.run.metrics == ["schedule_scenario", "check"]
    assert [check.passed for check in report.checks] == [1, 1], "checks are always kept"


async def test_a_trial_places_them_where_it_is(
    server: CountingServer, scenario: WriteScenario
) -> None:
    events = [event async for event in trial(request(scenario(source(SPREAD))))]
    last = events[-1]
    assert isinstance(last, TrialFinished)
    assert last.requests == server.requests == 6 * 7
    assert last.checks_failed == 2, "there is one process only"

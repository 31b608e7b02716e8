"""What the target served is what every part of Chaperon says was sent, whatever happens."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from chaperon_engine.client.archive import exit_code, load_report, load_window, recover
from chaperon_engine.client.launching import launch
from chaperon_engine.errors import EngineError
from chaperon_engine.metrics.model import FrameTotals
from chaperon_engine.metrics.snapshot import Snapshot
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.journal import FrameRecord, Header, JournalReader, WorkerLost
from chaperon_engine.runs.report import Report
from tests.engine.conftest import CountingServer, last_snapshot, request, snapshots_until

pytestmark = pytest.mark.e2e

WriteScenario = Callable[..., Path]


def check_sums(report: Report) -> None:
    """ok + failed + in flight = sent, in the totals, each worker, all series and all seconds."""
    totals, workers = report.totals, report.run.workers
    assert totals.ok + totals.failed + totals.in_flight == totals.requests
    for worker in workers:
        assert worker.ok + worker.failed + worker.in_flight == worker.sent
    assert sum(worker.sent for worker in workers) == totals.requests
    assert sum(worker.ok for worker in workers) == totals.ok
    assert sum(worker.failed for worker in workers) == totals.failed
    metrics = [metric for metric in report.metrics if metric.kind == "http"]
    assert sum(metric.count for metric in metrics) == totals.requests
    assert sum(second.requests for second in report.intervals) == totals.requests
    assert sum(second.ok for second in report.intervals) == totals.ok
    missing = sum(worker.missing_latencies for worker in workers)
    measured = totals.service_time_us.count + totals.unexpected_service_time_us.count
    assert measured + totals.failure_time_us.count + missing == totals.ok + totals.failed


def journal_totals(report: Report) -> dict[int, FrameTotals]:
    """What the journal says of each worker."""
    totals: dict[int, FrameTotals] = {}
    for record in JournalReader(RunDirectory.find(report.run.id).journal):
        if isinstance(record, FrameRecord):
            totals[record.frame.worker] = record.frame.totals
        elif isinstance(record, WorkerLost) and record.slots:  # an agent's are on its host
            sent, ok, failed = (sum(slot[word] for slot in record.slots) for word in (1, 2, 3))
            totals[record.worker] = FrameTotals(sent=sent, ok=ok, failed=failed)
    return totals


def check_journal(report: Report) -> None:
    for worker, totals in journal_totals(report).items():
        stated = report.run.workers[worker]
        assert (totals.sent, totals.ok, totals.failed) == (stated.sent, stated.ok, stated.failed)


def is_under_way(snapshot: Snapshot) -> bool:
    return snapshot.totals.requests > 100 and snapshot.elapsed_s > 1.1


async def test_a_normal_run(server: CountingServer, scenario: WriteScenario) -> None:
    client = await launch(request(scenario(), exports={"json": "out.json"}))
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == server.requests > 0
    assert last.totals.requests == server.requests
    assert report.run.status == "complete"
    assert not report.run.partial
    assert report.totals.in_flight == 0
    assert exit_code(report) == 0
    assert last.exports["json"].endswith("out.json")
    exported = json.loads(Path(last.exports["json"]).read_bytes())
    assert exported["totals"]["requests"] == server.requests
    assert sum(s.requests for s in report.intervals) == server.requests
    window = load_window(client.run_id, 0, 10)
    assert window is not None
    assert window.totals.requests == server.requests


async def test_a_run_with_a_warm_up_keeps_its_requests_apart(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(), warmup_s=0.7))
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    warm = sum(
        metric.count
        for metric in report.metrics
        if metric.kind == "http" and metric.phase == "warmup"
    )
    assert 0 < warm < server.requests
    assert report.totals.requests == last.totals.requests == server.requests - warm
    assert 0.5 < report.run.measured_s < 0.9
    assert sum(second.requests for second in report.intervals) == server.requests


async def test_frames_end_where_the_measured_window_begins_and_ends(
    scenario: WriteScenario,
) -> None:
    client = await launch(request(scenario(delay=0.3), warmup_s=0.7))
    await last_snapshot(client)
    await client.close()
    header, *records = JournalReader(RunDirectory.find(client.run_id).journal)
    assert isinstance(header, Header)
    for worker in (0, 1):
        ends_s = [
            (record.frame.end_ns - header.start_ns) / 1e9
            for record in records
            if isinstance(record, FrameRecord) and record.frame.worker == worker
        ]
        assert set(ends_s[:3]) == {0.7, 1.0, 1.5}


async def test_a_run_that_is_stopped_in_the_middle(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(duration="60s")))
    await snapshots_until(client, is_under_way)
    await client.stop()
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == server.requests
    assert report.run.status == last.status == "stopped"
    assert report.sessions.finished == 6
    assert exit_code(report) == 105


async def test_a_run_that_is_aborted_counts_what_was_in_flight(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(duration="60s")))
    await snapshots_until(client, is_under_way)
    server.reply_delay_s = 30.0
    before = server.requests
    await snapshots_until(client, lambda snapshot: server.requests >= before + 6)
    await client.abort()
    await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    assert report.run.status == "aborted"
    assert report.totals.requests == server.requests
    assert report.totals.ok == server.requests - 6


async def test_a_worker_that_is_killed(server: CountingServer, scenario: WriteScenario) -> None:
    client = await launch(request(scenario(duration="2500ms")))
    seen = await snapshots_until(client, is_under_way)
    os.kill(seen[-1].workers[0].pid, signal.SIGKILL)
    last = await last_snapshot(client)
    await client.close()
    report = load_report(client.run_id)
    check_sums(report)
    check_journal(report)
    # A dead worker may have written a request that it had not counted, or the reverse: one each.
    assert abs(report.totals.requests - server.requests) <= 1
    assert report.run.partial
    assert report.run.status == "complete"
    assert report.run.workers[0].state == "lost"
    assert "SIGKILL" in report.run.workers[0].note
    assert report.run.workers[0].missing_latencies > 0
    assert "worker 0 was lost" in report.run.reasons[0]
    assert report.run.workers[1].sent > report.run.workers[0].sent
    assert [row.state for row in last.workers] == ["lost", "done"]


async def test_an_engine_that_is_killed_can_be_recovered(
    server: CountingServer, scenario: WriteScenario
) -> None:
    client = await launch(request(scenario(duration="60s")))
    seen = await snapshots_until(client, lambda s: len(s.intervals) > 0 and s.elapsed_s > 2)
    pids = [row.pid for row in seen[-1].workers]
    os.kill(client.engine_pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="chaperon recover"):
        await last_snapshot(client)
    await client.close()
    report = recover(client.run_id)
    check_sums(report)
    check_journal(report)
    assert report.run.recovered
    assert report.run.partial
    assert 0 < report.totals.requests <= server.requests
    assert any("the engine was killed" in reason for reason in report.run.reasons)
    assert load_report(client.run_id) == report
    assert recover(client.run_id) == report
    for pid in pids:
        assert (
            not Path(f"/proc/{pid}/cmdline").exists()
            or not Path(f"/proc/{pid}/cmdline").read_bytes()
        ), "no worker outlives its engine"

"""Reports made again from journals, whole and hostile."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import RunDirectory, agent_folder
from chaperon_engine.runs.journal import (
    AnyRecord,
    Ended,
    FrameRecord,
    Header,
    JournalWriter,
    Steered,
    WorkerLost,
)
from chaperon_engine.runs.listing import load_report
from chaperon_engine.runs.record import WorkerRecord, make_record, read_record, write_record
from chaperon_engine.runs.recovery import recover
from tests.runs.test_merging import frames_of

AT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))


def make_run() -> RunDirectory:
    run = RunDirectory.create("T", AT)
    plan = Plan(load_test="T", file="", services=[], populations=[])
    launch = LaunchRequest(file="")
    write_record(run, make_record(run, launch, plan, seed=1, workers=2, cpus=2, at=AT))
    run.lock.touch()
    return run


def header(run: RunDirectory) -> Header:
    return Header(run_id=run.id, start_ns=0, started_at="2026", workers=[(0, 11, 0), (1, 12, None)])


FRAMES = [
    FrameRecord(frame=frame) for frame in frames_of([[(100, 200)] * 3, [(200, 503)], [(5, 0)]])
]


def write(run: RunDirectory, records: list[AnyRecord]) -> None:
    journal = JournalWriter(run.journal)
    for record in records:
        journal.append(record)
    journal.close()


def test_what_the_journal_holds_is_the_report_and_what_it_lacks_is_said() -> None:
    run = make_run()
    write(run, [header(run), *FRAMES, Steered(at_s=2.0, action="stop", by="client")])
    report = recover(run.id)
    assert report.totals.requests == 5
    assert (report.totals.ok, report.totals.http_errors, report.totals.failed) == (4, 1, 1)
    assert (report.run.status, report.run.recovered, report.run.partial) == ("aborted", True, True)
    assert report.run.duration_s == 3.0
    assert [worker.pid for worker in report.run.workers] == [11, 12]
    assert report.run.reasons == [
        "stop by client at 2.0 s",
        "the engine was killed: recovered from the journal, which ends 3 s after the start; what "
        "came later is missing",
        "all that was sent since is unknown",
    ]
    assert read_record(run).status == "aborted"


def test_what_agents_had_not_delivered_is_said_with_the_place_where_it_lies() -> None:
    run = make_run()
    record = read_record(run)
    record.workers = [
        WorkerRecord(worker=number, pid=0, agent=name, host=f"{name}.example")
        for number, name in enumerate(("east", "west"))
    ]
    write_record(run, record)
    write(run, [header(run), *FRAMES])
    kept = [reason for reason in recover(run.id).run.reasons if "as far as it was kept" in reason]
    assert kept == [
        f"agent {name} had reported {until_s} s of the run: what it measured later is missing, and "
        f"lies as far as it was kept on its host {name}.example in {agent_folder(run.id, name)} "
        "below Chaperon's data folder"
        for name, until_s in (("east", "3.0"), ("west", "0.0"))
    ]


def test_a_journal_that_is_complete_gives_the_status_the_run_had() -> None:
    run = make_run()
    ended = Ended(at_s=3.0, status="complete", partial=False, reasons=[])
    write(run, [header(run), *FRAMES, ended])
    report = recover(run.id)
    assert (report.run.status, report.run.partial) == ("complete", False)


def test_a_lost_worker_is_counted_from_its_counters() -> None:
    run = make_run()
    slots = [[3, 0, 0, 0, 0, 0, 0, 0], [1, 10, 7, 1, 0, 0, 0, 0]]
    write(run, [header(run), *FRAMES, WorkerLost(worker=1, note="killed", slots=slots)])
    report = recover(run.id)
    assert report.totals.requests == 5 + 10
    lost = report.run.workers[1]
    assert (lost.state, lost.sent, lost.ok, lost.failed) == ("lost", 10, 7, 1)
    assert lost.missing_latencies == 8
    assert "worker 1 was lost: killed" in report.run.reasons


def test_nothing_recorded_is_a_sentence() -> None:
    run = make_run()
    with pytest.raises(UserError, match="ended before its load began"):
        recover(run.id)
    run.journal.write_bytes(b"")
    with pytest.raises(UserError, match="holds nothing"):
        recover(run.id)


def test_a_journal_of_another_run_is_not_believed() -> None:
    run, other = make_run(), make_run()
    write(run, [header(other), *FRAMES])
    with pytest.raises(UserError, match="holds nothing"):
        recover(run.id)


records = st.one_of(
    st.sampled_from(FRAMES),
    st.builds(Steered, at_s=st.floats(), action=st.text(max_size=5), by=st.text(max_size=5)),
    st.builds(
        WorkerLost,
        worker=st.integers(-2, 5),
        note=st.text(max_size=5),
        slots=st.lists(st.lists(st.integers(-5, 2**63), max_size=10), max_size=4),
    ),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, max_size=6))
def test_whatever_records_a_journal_holds_the_report_adds_up(history: list[AnyRecord]) -> None:
    run = make_run()
    write(run, [header(run), *history])
    totals = recover(run.id).totals
    assert totals.ok + totals.failed + totals.in_flight == totals.requests
    assert os.path.getsize(run.report) > 0


def test_a_damaged_report_is_made_again_from_the_journal() -> None:
    run = make_run()
    write(run, [header(run), *FRAMES])
    first = recover(run.id)
    run.report.write_bytes(run.report.read_bytes()[:100])
    with pytest.raises(
        UserError, match=rf"is damaged .*`chaperon recover {run.id}` makes it again"
    ):
        load_report(run.id)
    assert recover(run.id) == first
    assert load_report(run.id) == first


def test_a_damaged_report_without_a_journal_is_a_sentence() -> None:
    run = make_run()
    run.report.write_text('{"schema": 5}')
    with pytest.raises(UserError, match="is damaged"):
        recover(run.id)

"""Names, locks and states of run directories."""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.metrics.summary import ReportTotals
from chaperon_engine.runs.directory import (
    MAX_SOCKET_PATH,
    Lock,
    RunDirectory,
    all_runs,
    make_run_id,
)
from chaperon_engine.runs.files import write_atomic
from chaperon_engine.runs.listing import delete_run, list_runs, load_report, prune_runs, save_report
from chaperon_engine.runs.record import (
    make_record,
    read_launch,
    read_record,
    write_launch,
    write_record,
)
from chaperon_engine.runs.report import Report, ReportRun

AT = datetime(2026, 11, 21, 20, 45, 12, tzinfo=UTC)
PLAN = Plan(load_test="CheckoutTest", file="", services=[], populations=[])


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))
    return tmp_path


def make_run(name: str = "Checkout", at: datetime = AT, *, locked: bool = True) -> RunDirectory:
    run = RunDirectory.create(name, at)
    launch = LaunchRequest(file=__file__, tag="t")
    write_launch(run, launch)
    write_record(run, make_record(run, launch, PLAN, seed=1, workers=1, cpus=1, at=at))
    if locked:
        lock = Lock.take(run.lock, "1")
        assert lock is not None
        lock.forget()
    return run


def finish(run: RunDirectory) -> Report:
    report = Report(
        run=ReportRun(id=run.id, load_test="x", status="complete"),
        sessions=SessionCounts(),
        iterations=IterationCounts(),
        totals=ReportTotals(requests=7),
    )
    save_report(run, report)
    return report


@pytest.mark.parametrize(
    ("load_test", "slug"),
    [("CheckoutTest", "checkouttest"), ("Über Ärger!", "ber-rger"), ("../../x", "x"), ("", "run")],
)
def test_an_id_sorts_by_time_and_holds_the_name(load_test: str, slug: str) -> None:
    assert make_run_id(load_test, AT).rsplit("-", 1)[0] == f"20261121-204512-{slug}"


def test_a_run_directory_is_private_and_so_is_the_launch_request() -> None:
    run = make_run()
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(run.launch.stat().st_mode) == 0o600


def test_what_was_written_is_read_again() -> None:
    run = make_run()
    record = read_record(run)
    assert record.id == run.id
    assert record.plan == PLAN
    assert len(record.file_sha256) == 64
    assert read_launch(run).tag == "t"


def test_a_damaged_record_is_a_sentence() -> None:
    run = make_run()
    run.record.write_text('{"id": 5}')
    with pytest.raises(UserError, match="is damaged"):
        read_record(run)


def test_the_state_follows_the_lock_and_the_report() -> None:
    run = make_run(locked=False)
    assert run.state() == "running", "it has only just been made"
    os.utime(run.path, (0, 0))
    assert run.state() == "killed"
    lock = Lock.take(run.lock, "1")
    assert lock is not None
    assert run.state() == "running"
    lock.forget()
    assert run.state() == "killed"
    finish(run)
    assert run.state() == "finished"


def test_a_lock_has_one_holder() -> None:
    run = make_run(locked=False)
    lock = Lock.take(run.lock, "1")
    assert lock is not None
    assert Lock.take(run.lock, "2") is None
    lock.forget()
    second = Lock.take(run.lock, "2")
    assert second is not None
    second.forget()


def test_a_run_is_found_by_id_prefix_and_path() -> None:
    run = make_run()
    assert RunDirectory.find(run.id).path == run.path
    assert RunDirectory.find(run.id[:12]).path == run.path
    assert RunDirectory.find(str(run.path)).path == run.path


def test_an_ambiguous_or_unknown_name_is_refused_with_a_sentence() -> None:
    make_run()
    make_run()
    with pytest.raises(UserError, match="names 2 runs"):
        RunDirectory.find("2026")
    with pytest.raises(UserError, match="there is no run"):
        RunDirectory.find("1999")


def test_a_long_path_moves_the_socket_to_a_private_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    holder = tempfile.TemporaryDirectory(prefix="c")  # that of pytest may be too long itself
    request.addfinalizer(holder.cleanup)
    short = Path(holder.name)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(short))
    run = RunDirectory(tmp_path / ("x" * MAX_SOCKET_PATH) / make_run_id("a", AT))
    path = run.socket_path()
    assert path.parent.parent == short
    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o755)
    with pytest.raises(EngineError, match="not a private folder"):
        run.socket_path()


def test_runs_are_listed_newest_first_with_their_states() -> None:
    old = make_run(at=AT - timedelta(days=1))
    finish(old)
    new = make_run()
    runs = list_runs()
    assert [run.id for run in runs] == [new.id, old.id]
    assert [run.state for run in runs] == ["killed", "finished"]
    assert runs[1].size_bytes > 100


def test_a_report_is_loaded_and_a_missing_one_says_why() -> None:
    run = make_run()
    with pytest.raises(UserError, match="chaperon recover"):
        load_report(run.id)
    report = finish(run)
    assert load_report(run.id) == report
    run.report.write_bytes(msgspec.json.encode({"schema": 1}))
    with pytest.raises(UserError, match="damaged"):
        load_report(run.id)


def test_a_running_run_is_neither_deleted_nor_pruned() -> None:
    run = make_run(locked=False)
    lock = Lock.take(run.lock, "1")
    assert lock is not None
    with pytest.raises(UserError, match="still running"):
        delete_run(run.id)
    assert prune_runs(keep=0) == []
    lock.forget()
    delete_run(run.id)
    assert all_runs() == []


def test_pruning_keeps_the_newest_and_what_is_young() -> None:
    runs = [make_run(at=AT - timedelta(days=days)) for days in range(3)]
    assert prune_runs(keep=2) == [runs[2].id]
    assert prune_runs(keep=0, older_than=timedelta(days=36500)) == []
    assert prune_runs(keep=0) == [runs[0].id, runs[1].id]


def test_an_atomic_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_or_report_that_is_no_file_is_a_sentence(tmp_path: Path) -> None:
    run = make_run()
    run.record.unlink()
    os.mkfifo(run.record)
    with pytest.raises(UserError, match=r"run\.json cannot be read: it is no ordinary file"):
        read_record(run)
    run.report.mkdir()
    with pytest.raises(UserError, match=r"report\.json cannot be read"):
        load_report(run.id)


def test_a_home_that_is_no_folder_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be read: Not a directory; .* set CHAPERON_HOME"):
        list_runs()


def test_a_run_of_another_user_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    mine = os.geteuid()
    if mine == 0:  # who may read everything
        os.seteuid(65534)
    else:
        folder.chmod(0)
    try:
        with pytest.raises(UserError, match=r"the run closed in .* belongs to another user"):
            RunDirectory(folder).state()
    finally:
        if mine == 0:
            os.seteuid(0)
        else:
            folder.chmod(0o700)

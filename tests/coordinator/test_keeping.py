"""What the engine writes down while it lives is what a recovered report says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaperon_engine.coordinator.events import Action, NoteReason
from chaperon_engine.coordinator.keeping import RunKeeper
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.journal import Header
from chaperon_engine.runs.record import make_record
from chaperon_engine.runs.recovery import recover
from tests.coordinator.test_members import Driver, hello, of_kind
from tests.coordinator.test_state import plan


def absence() -> list[Action]:
    """An agent that is away for long, and comes back."""
    driver = Driver()
    driver.start()
    actions = driver.wait(25.0, silent=(1,))
    return actions + driver.say(7, hello("a", epoch=1))


def test_absences_are_in_the_report_of_an_engine_that_was_killed_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))
    at = datetime.now(UTC)
    directory = RunDirectory.create("T", at)
    record = make_record(directory, LaunchRequest(), plan(), seed=1, workers=1, cpus=1, at=at)
    keeper = RunKeeper(directory, record, pytest.fail)
    workers: list[tuple[int, int, int | None]] = [(0, 1, None)]
    keeper.begin(Header(run_id=directory.id, start_ns=0, started_at="", workers=workers))
    noted = [action.reason for action in of_kind(absence(), NoteReason)]
    for reason in noted:
        keeper.stated(reason)
    away, back = noted
    assert away.startswith("agent a was away: nothing was heard of it")
    assert back.endswith("what it measured is not lost; its load stays stopped")
    assert keeper._journal is not None
    keeper._journal.close()
    directory.lock.touch()
    assert recover(directory.id).run.reasons[:2] == noted

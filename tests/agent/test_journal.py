"""What an agent leaves on disk when it is killed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chaperon_engine.agent.journal import AgentJournal
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.model import Frame, IterationCounts, SessionCounts
from tests.metrics.fleet import Fleet

RUN = "20261121-2045-shop-a1b2"
INSTANCE = bytes(16)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))
    return tmp_path


def frames(count: int, **rest: object) -> list[Frame]:
    fleet = Fleet(1)
    made = []
    for number in range(count):
        fleet.request(0, times=3)
        counts = SessionCounts(planned=4, started=4, finished=1)
        running = IterationCounts(started=7, completed=5)
        made.append(fleet.frame(0, number + 1, sessions=counts, iterations=running, **rest))
    return made


def killed(journal: AgentJournal) -> None:
    """What remains of a process that is gone."""
    journal._lock.forget()


def test_what_was_not_acknowledged_is_left_with_a_frame_that_ends_the_stream():
    journal = AgentJournal(RUN, "big host")
    assert journal.left() is None
    journal.begin(INSTANCE, 3, 1)
    made = frames(4)
    for frame in made:
        journal.keep(frame)
    journal.acknowledged(2)
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    killed(journal)
    again = AgentJournal(RUN, "big host")
    left = again.left()
    assert left is not None
    assert (left.opened.instance, left.opened.member, left.opened.epoch) == (INSTANCE, 3, 1)
    assert [frame.seq for frame in left.frames] == [2, 3, 4]
    assert left.next_seq == 5
    assert left.died
    aggregate = RunAggregate(1)
    for frame in (*made[:2], *left.frames):
        assert aggregate.apply(frame)
    assert aggregate.totals.requests == 12
    assert aggregate.sessions.active == 0
    assert aggregate.sessions.interrupted == 3
    assert aggregate.iterations.running == 0
    again.close(delivered=True)
    assert not journal.folder.exists()


def test_a_frame_takes_the_place_of_an_earlier_one_with_its_number():
    journal = AgentJournal(RUN, "a")
    journal.begin(INSTANCE, 0, 0)
    first, second = frames(2, last=True)
    journal.keep(first)
    second.seq = 0
    journal.keep(second)
    left = journal.left()
    assert left is not None
    assert left.frames == [second]
    assert not left.died


def test_a_torn_tail_costs_only_the_last_frame():
    journal = AgentJournal(RUN, "a")
    journal.begin(INSTANCE, 0, 0)
    for frame in frames(2):
        journal.keep(frame)
    os.truncate(journal.path, journal.path.stat().st_size - 5)
    left = journal.left()
    assert left is not None
    assert [frame.seq for frame in left.frames] == [0, 1]
    assert left.frames[1].last


def test_the_file_begins_anew_when_it_is_long_and_everything_is_safe(monkeypatch):
    monkeypatch.setattr("chaperon_engine.agent.journal.ROOM_BYTES", 2_000)
    journal = AgentJournal(RUN, "a")
    journal.begin(INSTANCE, 0, 0)
    sizes = []
    for frame in frames(50):
        journal.keep(frame)
        journal.acknowledged(frame.seq + 1)
        sizes.append(journal.path.stat().st_size)
    assert max(sizes) < 4_000
    killed(journal)
    left = AgentJournal(RUN, "a").left()
    assert left is not None
    assert [frame.seq for frame in left.frames] == [50]
    assert left.frames[0].totals.sent == 150


def test_when_all_is_delivered_nothing_is_left():
    journal = AgentJournal(RUN, "a")
    journal.begin(INSTANCE, 0, 0)
    (frame,) = frames(1, last=True)
    journal.keep(frame)
    journal.acknowledged(1)
    assert journal.left() is None


def test_an_agent_of_that_name_that_lives_keeps_its_place():
    journal = AgentJournal(RUN, "a")
    with pytest.raises(UserError, match="another name with --name"):
        AgentJournal(RUN, "a")
    AgentJournal(RUN, "b").close(delivered=True)
    AgentJournal("another-run", "a").close(delivered=True)
    journal.close(delivered=True)
    AgentJournal(RUN, "a").close(delivered=True)


def test_names_and_runs_cannot_lead_out_of_the_folder(home: Path):
    journal = AgentJournal("../../x", "../../../etc/../passwd")
    assert journal.folder.resolve().parent == home / "agents"


def test_a_disk_that_refuses_is_said_once_and_ends_nothing(tmp_path: Path):
    said: list[str] = []
    journal = AgentJournal(RUN, "a", said.append)
    journal.begin(INSTANCE, 0, 0)
    os.close(journal._descriptor or -1)
    journal._descriptor = os.open("/dev/full", os.O_WRONLY)
    for frame in frames(3):
        journal.keep(frame)
    (line,) = said
    assert "kept in memory alone" in line

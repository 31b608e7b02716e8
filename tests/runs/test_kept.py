"""What agents kept is added to what a killed engine left: nothing is lost or counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaperon_engine.agent.journal import AgentJournal
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.model import Frame, SessionCounts
from chaperon_engine.runs.journal import AnyRecord, Ended, FrameRecord, Header, WorkerLost
from chaperon_engine.runs.record import WorkerRecord, read_record, write_record
from chaperon_engine.runs.recovery import recover
from tests.metrics.fleet import Fleet
from tests.runs.test_recovery import make_run, write

SECONDS = 8


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))
    return tmp_path


class Story:
    """A run of one worker and two agents, each with its frames of every second."""

    def __init__(self) -> None:
        self.run = make_run()
        record = read_record(self.run)
        record.workers = [WorkerRecord(worker=0, pid=1)] + [
            WorkerRecord(worker=number, pid=0, agent=name, host=name)
            for number, name in ((1, "left"), (2, "right"))
        ]
        write_record(self.run, record)
        fleet = Fleet(3)
        self.frames: list[list[Frame]] = [[], [], []]
        for second in range(SECONDS):
            for member in range(3):
                fleet.request(member, times=10 + member)
                counts = SessionCounts(planned=1, started=1)
                is_last = second == SECONDS - 1
                frame = fleet.frame(member, second + 1, sessions=counts, last=is_last)
                self.frames[member].append(frame)

    def journal(self, *counts: int, more: list[AnyRecord] | None = None) -> None:
        """The engine's, with so many frames of each member, in the order of time."""
        records: list[AnyRecord] = [
            Header(
                run_id=self.run.id, start_ns=0, started_at="",
                workers=[(0, 1, 0), (1, 0, None), (2, 0, None)],
            )
        ]  # fmt: skip
        for second in range(SECONDS):
            for member, count in enumerate(counts):
                if second < count:
                    records.append(FrameRecord(frame=self.frames[member][second]))
        write(self.run, [*records, *(more or [])])

    def kept(self, member: int, name: str, first: int, last: int, *, run: str = "") -> Path:
        """The journal of an agent, which holds these frames of it."""
        journal = AgentJournal(run or self.run.id, name)
        journal.begin(bytes(16), member, 0)
        for frame in self.frames[member][first:last]:
            journal.keep(frame)
        journal.close(delivered=False)
        return journal.path


def test_what_two_agents_kept_makes_the_report_whole() -> None:
    story = Story()
    story.journal(SECONDS, 3, 0)
    before = recover(story.run.id)
    assert before.totals.requests == 8 * 10 + 3 * 11
    report = recover(
        story.run.id, [story.kept(2, "right", 0, SECONDS), story.kept(1, "left", 1, SECONDS)]
    )
    assert report.totals.requests == report.totals.ok == 8 * (10 + 11 + 12)
    assert [each.requests for each in report.intervals] == [33] * SECONDS, "each in its second"
    assert report.run.reasons == [
        "the engine was killed: recovered from the journal, which ends 8 s after the start; what "
        "came later is missing",
        "agent left: what it had kept on its host was added, from 3.0 s to 8.0 s of the run",
        "agent right: what it had kept on its host was added, from 0.0 s to 8.0 s of the run",
    ]
    assert recover(story.run.id) == report, "it is kept"


def test_an_agent_that_was_killed_is_said_to_have_lost_something() -> None:
    story = Story()
    story.journal(SECONDS, 3, SECONDS)
    report = recover(story.run.id, [story.kept(1, "left", 0, 6)])
    assert report.totals.requests == 8 * 10 + 6 * 11 + 8 * 12
    assert (
        "agent left: what it had kept on its host was added, from 3.0 s to 6.0 s of the run; it "
        "was killed, and lost what it had not yet written"
    ) in report.run.reasons


def test_what_the_run_has_already_is_not_added_again() -> None:
    story = Story()
    story.journal(SECONDS, SECONDS, 4)
    report = recover(story.run.id, [story.kept(1, "left", 0, SECONDS)])
    assert report.totals.requests == 8 * 10 + 8 * 11 + 4 * 12
    assert not any("was added" in reason for reason in report.run.reasons)


def test_a_gap_is_refused_and_the_former_report_stays() -> None:
    story = Story()
    story.journal(SECONDS, 3, SECONDS)
    before = recover(story.run.id)
    with pytest.raises(UserError, match="does not go on where the run's journal ends"):
        recover(story.run.id, [story.kept(1, "left", 5, SECONDS)])
    assert recover(story.run.id) == before


LOST = WorkerLost(worker=1, note="gone", slots=[])
ENDED = Ended(at_s=8.0, status="complete", partial=False, reasons=[])


@pytest.mark.parametrize(
    ("more", "member", "name", "run", "words"),
    [
        ([], 1, "left", "20260101-000000-other-aaaa", "is of the run 20260101-000000-other-aaaa"),
        ([], 1, "stranger", "", "agent stranger, which .* does not know or went on without"),
        ([], 2, "left", "", "agent left, which .* does not know or went on without"),
        ([LOST], 1, "left", "", "does not know or went on without"),
        ([ENDED], 1, "left", "", "ended by itself"),
    ],
)
def test_a_journal_that_does_not_belong_is_refused_in_a_sentence(
    more: list[AnyRecord], member: int, name: str, run: str, words: str
) -> None:
    story = Story()
    story.journal(SECONDS, 3, 3, more=more)
    with pytest.raises(UserError, match=words):
        recover(story.run.id, [story.kept(member, name, 3, SECONDS, run=run)])


def test_what_is_no_journal_is_refused_in_a_sentence(home: Path) -> None:
    story = Story()
    story.journal(SECONDS, 3, 3)
    noise = home / "noise"
    noise.write_bytes(b"\xff" * 100)
    for path, words in (
        (noise, "holds nothing that an agent kept"),
        (home / "nowhere", "cannot be read: No such file"),
    ):
        with pytest.raises(UserError, match=words):
            recover(story.run.id, [path])
    twice = story.kept(1, "left", 3, SECONDS)
    with pytest.raises(UserError, match="is the second journal of agent left"):
        recover(story.run.id, [twice, twice])

"""What a run leaves on disk while it runs: journal and run.json.

Owns: what is written when, and that a full disk ends neither run nor engine. Must not know:
decisions, viewers, the aggregate.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.events import Terms, WorkerState
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.metrics.counters import WorkerCounters
from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.build import Ending
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.journal import Ended, Header, JournalWriter, Stated, Steered, WorkerLost
from chaperon_engine.runs.record import (
    LIBRARIES,
    HandOver,
    RunRecord,
    SteeringAction,
    WorkerRecord,
    write_record,
)
from chaperon_engine.text import visible


def terms_of(launch: LaunchRequest) -> Terms | None:
    """What the launch says of agents; None when none are waited for."""
    if not launch.expect:
        return None
    return Terms(
        expect=launch.expect,
        start_timeout_s=launch.start_timeout_s,
        fewer_ok=launch.fewer_ok,
        on_loss=launch.on_loss,
    )


def ending_of(state: RunState, duration_s: float) -> Ending:
    """How a run ended, for its report."""
    members: list[WorkerState | Agent] = [*state.workers, *state.roster.agents]
    return Ending(
        status=state.status,
        duration_s=duration_s,
        partial=state.partial,
        reasons=list(state.reasons),
        lost={each.number: each.note for each in members if each.state == "lost"},
    )


def record_of(agent: Agent) -> WorkerRecord:
    """What run.json keeps of an agent."""
    hello = agent.hello
    skew_ns = agent.start_skew_ns
    return WorkerRecord(
        worker=agent.number,
        pid=0,
        agent=agent.name,
        host=visible(hello.host),
        address=agent.address,
        shares=list(agent.shares),
        python=visible(hello.python),
        version=visible(hello.chaperon),
        libraries={
            name: visible(hello.versions[name]) for name in LIBRARIES if name in hello.versions
        },
        round_trip_us=agent.round_trip_us,
        clock_offset_us=agent.offset_ns // 1000,
        start_skew_us=None if skew_ns is None else skew_ns // 1000,
    )


class RunKeeper:
    """Writes the record of one run. Never raises for what the disk refuses; says it once."""

    def __init__(
        self, directory: RunDirectory, record: RunRecord, on_trouble: Callable[[str], None]
    ):
        """`on_trouble` gets one sentence when something could not be written."""
        self.record = record
        self._directory = directory
        self._on_trouble = on_trouble
        self._journal: JournalWriter | None = None

    def begin(self, header: Header) -> None:
        """The load begins: open the journal, write run.json."""
        self.write_record()
        try:
            self._journal = JournalWriter(self._directory.journal)
        except OSError as error:
            self._give_up(error)
        self._write(lambda journal: journal.append(header))

    def frame(self, frame: Frame) -> None:
        """A worker's frame."""
        self._write(lambda journal: journal.append_frame(frame))

    def worker_lost(self, worker: int, note: str, counters: WorkerCounters) -> None:
        """A worker is gone; its shared counters stand for the frame that is missing."""
        slots = counters.slots_as_counted()

        def write(journal: JournalWriter) -> None:
            journal.flush(worker)
            journal.append(WorkerLost(worker=worker, note=note, slots=slots))

        self._write(write)

    def stated(self, reason: str) -> None:
        """The report will say this of an agent, also if the engine does not live to make it."""
        self._write(lambda journal: journal.append(Stated(reason=reason)))

    def steered(self, at_s: float, action: str, by: str) -> None:
        """Somebody, or a limit, stopped or aborted the run."""
        self._write(lambda journal: journal.append(Steered(at_s=at_s, action=action, by=by)))
        self.record.actions.append(SteeringAction(at_s=at_s, action=action, by=by))
        self.write_record()

    def drained(self, at_s: float, member: int, by: str) -> None:
        """Somebody had a member leave."""
        self.record.actions.append(SteeringAction(at_s=at_s, action="drain", by=by, member=member))
        self.write_record()

    def handed_over(self, hand_over: HandOver) -> None:
        """Members took shares of another."""
        self.record.hand_overs.append(hand_over)
        self.write_record()

    def begin_sync(self) -> Callable[[], None] | None:
        """See `acknowledging.Durable`."""
        if self._journal is None:
            return None
        try:
            return self._journal.begin_sync()
        except OSError as error:
            self.sync_failed(error)
            return None

    def sync_failed(self, error: OSError) -> None:
        """See `acknowledging.Durable`."""
        self._journal = None
        self._give_up(error)

    def end(self, ending: Ending) -> None:
        """The run is over: close the journal, write run.json."""
        ended = Ended(
            at_s=ending.duration_s,
            status=ending.status,
            partial=ending.partial,
            reasons=ending.reasons,
        )

        def write(journal: JournalWriter) -> None:
            journal.flush()
            journal.append(ended)
            journal.close()

        self._write(write)
        self._journal = None
        self.record.status = ended.status
        self.write_record()

    def readable_journal(self, max_bytes: int) -> Path | None:
        """The journal, when there is one that is not longer than `max_bytes`."""
        if self._journal is None or self._journal.size_bytes > max_bytes:
            return None
        return self._directory.journal

    def write_record(self) -> None:
        """Replace run.json."""
        try:
            write_record(self._directory, self.record)
        except OSError as error:
            self._on_trouble(f"{self._directory.record} could not be written: {error.strerror}")

    def _write(self, write: Callable[[JournalWriter], None]) -> None:
        if self._journal is None:
            return
        try:
            write(self._journal)
        except OSError as error:
            self._journal = None
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._on_trouble(
            f"the journal could not be written ({error.strerror}): the report is made without it"
        )

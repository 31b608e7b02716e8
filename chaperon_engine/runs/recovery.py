"""The report of a run whose engine was killed, made again from its journal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaperon_engine.errors import UserError
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import SLOT_WORDS, RunCounters, WorkerCounters
from chaperon_engine.metrics.model import Frame
from chaperon_engine.runs.build import Ending, build_report, missing_of_lost
from chaperon_engine.runs.directory import RunDirectory, agent_folder
from chaperon_engine.runs.journal import (
    AnyRecord,
    Ended,
    FrameRecord,
    Header,
    JournalReader,
    Stated,
    Steered,
    WorkerLost,
)
from chaperon_engine.runs.kept import KeptPart, KnownRun, kept_by_agents
from chaperon_engine.runs.listing import load_report, save_report
from chaperon_engine.runs.record import RunRecord, WorkerRecord, read_record, write_record
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

MAX_COUNT = 1 << 53
"""No run counts more of anything: a journal that says so is damaged."""
MAX_MEMBERS = 100_000
"""No run has a member with a higher number: a journal that says so is damaged."""
SETTLE_S = 1.0
"""An engine that was killed this moment may hold its lock for an instant."""


def recover(run: str, agent_journals: Sequence[Path] = ()) -> Report:
    """Make and keep the report of a killed run; a report that is there already is answered as it
    is, unless there are journals of agents to add. Raises UserError: the run is running, nothing
    was recorded, or a journal does not belong to it."""
    directory = RunDirectory.find(run)
    limit = time.monotonic() + SETTLE_S
    while (state := directory.state()) == "running" and time.monotonic() < limit:
        time.sleep(0.02)
    if state == "running":
        raise UserError(f"{directory.id} is still running: there is nothing to recover")
    if state == "finished" and not agent_journals:
        try:
            return load_report(directory.id)
        except UserError:
            if not directory.journal.is_file():
                raise
    record = read_record(directory)
    if not directory.journal.exists():
        raise UserError(
            f"{directory.id} ended before its load began: there is nothing to recover, "
            f"`chaperon runs rm {directory.id}` removes it"
        )
    replay = _replayed(directory, record)
    if agent_journals:
        kept = kept_by_agents(agent_journals, replay.known(directory.id))
        replay = _replayed(directory, record, kept)
    report = replay.report(directory.id)
    try:
        save_report(directory, report)
        record.status = report.run.status
        write_record(directory, record)
    except OSError as error:
        raise UserError(f"{directory.report} cannot be written: {error.strerror}") from None
    directory.remove_socket()
    return report


def _replayed(directory: RunDirectory, record: RunRecord, kept: Sequence[KeptPart] = ()) -> _Replay:
    replay = _Replay(record, deque(sorted(kept, key=lambda part: part.frame.end_ns)))
    reader = JournalReader(directory.journal)
    for entry in reader:
        if isinstance(entry, FrameRecord):
            replay.add_kept(entry.frame.end_ns)
        if not replay.take(entry):
            break
    replay.torn_bytes = reader.torn_bytes
    replay.add_kept()
    return replay


@dataclass
class _Replay:
    """The journal's records, applied one after the other."""

    record: RunRecord
    kept: deque[KeptPart]
    """What agents had kept and is not yet applied, by time."""
    aggregate: RunAggregate | None = None
    start_ns: int = 0
    end_ns: int = 0
    journal_end_ns: int = 0
    """Without what agents had kept."""
    last: dict[int, Frame] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)
    """Latencies that died with each lost worker."""
    added: dict[int, KeptPart] = field(default_factory=dict)
    """The last that was added of what each agent had kept."""
    steered: list[Steered] = field(default_factory=list)
    stated: list[str] = field(default_factory=list)
    """What the engine had said of its agents."""
    ended: Ended | None = None
    problem: str = ""
    torn_bytes: int = 0

    def known(self, run_id: str) -> KnownRun:
        """What the journal says of the run's agents."""
        if self.ended is not None:
            raise UserError(
                f"{run_id} ended by itself, with all that its agents delivered: journals of agents "
                "are added to what a killed engine left"
            )
        agents = {
            member.worker: member.agent
            for member in self.record.workers
            if member.agent and member.worker not in self.lost
        }
        return KnownRun(run_id, agents, self.last)

    def add_kept(self, until_ns: int | None = None) -> None:
        """Apply what agents had kept of the time up to here, as far as the journal has come to
        what goes before it."""
        later: list[KeptPart] = []
        while self.kept and (until_ns is None or self.kept[0].frame.end_ns <= until_ns):
            part = self.kept.popleft()
            last = self.last.get(part.member)
            if part.follows_ns is not None and (last is None or last.end_ns < part.follows_ns):
                later.append(part)
            elif self.aggregate is not None:
                seq = 0 if last is None else last.seq + 1
                frame = msgspec.structs.replace(part.frame, seq=seq)
                if not self._apply(self.aggregate, frame):
                    raise UserError(
                        f"{visible(part.path)} does not go on where the run's journal ends: "
                        f"{self.problem}"
                    )
                self.added[part.member] = part
        self.kept.extendleft(reversed(later))

    def take(self, entry: AnyRecord) -> bool:
        """Apply one record; False when nothing behind it can be believed."""
        if isinstance(entry, Header):
            return self._begin(entry)
        if self.aggregate is None:
            return False
        if isinstance(entry, FrameRecord):
            self.journal_end_ns = max(self.journal_end_ns, entry.frame.end_ns)
            return self._apply(self.aggregate, entry.frame)
        if isinstance(entry, WorkerLost):
            if entry.worker in self.lost or entry.worker not in self._names():
                return False
            self.lost[entry.worker] = visible(entry.note)
            summary = self.aggregate.worker_lost(entry.worker, _counters(entry.slots))
            self.missing[entry.worker] = summary.missing_latencies
        elif isinstance(entry, Steered):
            self.steered.append(entry)
            self.aggregate.end_load(entry.at_s)
        elif isinstance(entry, Stated):
            self.stated.append(visible(entry.reason))
        else:
            self.ended = entry
        return True

    def _begin(self, header: Header) -> bool:
        if self.aggregate is not None or header.run_id != self.record.id:
            return False
        plan = self.record.plan
        numbers = {worker for worker, _, _ in header.workers}
        if not numbers or min(numbers) < 0 or max(numbers) > MAX_MEMBERS:
            return False
        self.aggregate = RunAggregate(
            max(numbers) + 1,
            warmup_s=plan.warmup_s,
            max_series=plan.max_series,
            planned_sessions=plan.sessions,
        )
        for number in set(range(max(numbers))) - numbers:
            self.aggregate.absent(number)
        self.aggregate.begin(header.start_ns)
        if plan.planned_s is not None:
            self.aggregate.end_load(plan.planned_s)
        self.start_ns = self.end_ns = self.journal_end_ns = header.start_ns
        self.record.started_at = header.started_at
        known = {worker.worker: worker for worker in self.record.workers}
        self.record.workers = [
            known.get(worker) or WorkerRecord(worker=worker, pid=pid, core=core)
            for worker, pid, core in header.workers
        ]
        for number, name in self._names().items():
            self.aggregate.name_member(number, name)
        return True

    def _apply(self, aggregate: RunAggregate, frame: Frame) -> bool:
        try:
            aggregate.apply(frame)
        except ValueError as error:
            self.problem = f"the journal does not add up ({visible(error)})"
            return False
        self.last[frame.worker] = frame
        self.end_ns = max(self.end_ns, frame.end_ns)
        aggregate.advance(frame.end_ns)
        return True

    def report(self, run_id: str) -> Report:
        if self.aggregate is None:
            raise UserError(f"the journal of {run_id} holds nothing that can be recovered")
        duration_s = (self.end_ns - self.start_ns) / 1e9
        self.aggregate.finish(duration_s)
        ended = self.ended
        ending = Ending(
            status=ended.status if ended else "aborted",
            duration_s=duration_s,
            partial=ended.partial if ended else True,
            recovered=True,
            reasons=[*(ended.reasons if ended else []), *self._reasons()],
            lost=self.lost,
        )
        return build_report(self.record, self.aggregate, ending)

    def _names(self) -> dict[int, str]:
        """What people call each member."""
        return {
            worker.worker: f"agent {visible(worker.agent)}"
            if worker.agent
            else f"worker {worker.worker}"
            for worker in self.record.workers
        }

    def _reasons(self) -> list[str]:
        if self.ended is not None:
            return ["recovered from the journal, which is complete"]
        reasons = [
            f"{action.action} by {action.by} at {action.at_s:.1f} s" for action in self.steered
        ]
        reasons += self.stated
        names = self._names()
        reasons += [
            f"{names[action.member]} was drained by {visible(action.by)} at {action.at_s:.1f} s"
            for action in self.record.actions
            if action.action == "drain" and action.member in names
        ]
        reasons += [
            f"shares of {names[each.member]} were handed over at {each.at_s:.1f} s: "
            f"{each.sessions:,} sessions began anew"
            for each in self.record.hand_overs
            if each.member in names
        ]
        has_sockets = self.aggregate is not None and self.aggregate.messages.totals.are_there
        for worker, note in self.lost.items():
            reasons.append(f"{names[worker]} was lost: {note}")
            if not names[worker].startswith("agent "):
                missing = self.missing[worker]
                reasons.append(missing_of_lost(worker, missing, has_sockets=has_sockets))
        reasons.append(
            "the engine was killed: recovered from the journal, which ends "
            f"{show_duration((self.journal_end_ns - self.start_ns) / 1e9)} after the start; what "
            "came later is missing"
        )
        reasons += self._what_agents_kept()
        open_ends = [
            number
            for number in names
            if number not in self.lost and not (number in self.last and self.last[number].last)
        ]
        if open_ends:
            in_flight = sum(
                frame.totals.sent - frame.totals.ok - frame.totals.failed
                for number in open_ends
                if (frame := self.last.get(number)) is not None
            )
            what = "all that was sent since"
            if in_flight:
                what = f"the fate of {in_flight} requests in flight then, and {what},"
            reasons.append(f"{what} is unknown")
        if self.torn_bytes:
            reasons.append(f"the last {self.torn_bytes} bytes of the journal are unreadable")
        if self.problem:
            reasons.append(self.problem)
        return reasons

    def _what_agents_kept(self) -> list[str]:
        names = self._names()
        kept = [
            f"{names[member]}: what it had kept on its host was added, from "
            f"{(part.from_ns - self.start_ns) / 1e9:.1f} s to "
            f"{(part.frame.end_ns - self.start_ns) / 1e9:.1f} s of the run"
            + ("; it was killed, and lost what it had not yet written" if part.died else "")
            for member, part in sorted(self.added.items())
        ]
        for member in self.record.workers:
            last = self.last.get(member.worker)
            if not member.agent or (last is not None and last.last):
                continue
            until_s = 0.0 if last is None else (last.end_ns - self.start_ns) / 1e9
            kept.append(
                f"agent {visible(member.agent)} had reported {until_s:.1f} s of the run: what it "
                f"measured later is missing, and lies as far as it was kept on its host "
                f"{visible(member.host)} in {agent_folder(self.record.id, member.agent)} below "
                "Chaperon's data folder"
            )
        return kept


def _counters(slots: list[list[int]]) -> WorkerCounters:
    counters = RunCounters(1, slots=max(1, len(slots))).worker(0)
    for words in slots:
        kind, *values = [*words, *[0] * SLOT_WORDS][:SLOT_WORDS]
        slot = counters.allocate(min(max(0, kind), MAX_COUNT))
        for offset, value in enumerate(values, start=1):
            counters.words[slot * SLOT_WORDS + offset] = min(max(0, value), MAX_COUNT)
    return counters

"""What an agent keeps on its host until the run has it: the records of its journal, and reading
them.

The agent's process writes and delivers them; what is never delivered, because the engine is gone,
can be added to what a killed engine left (`recovery`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaperon_engine.errors import UserError
from chaperon_engine.metrics.model import Frame, HealthSample
from chaperon_engine.runs.journal import Record, RecordReader
from chaperon_engine.text import visible


class Opened(Record, frozen=True, kw_only=True):
    """First record, written when the load begins."""

    run_id: str
    name: str
    instance: bytes
    """As in AgentHello."""
    member: int
    epoch: int


class KeptFrame(Record, frozen=True, kw_only=True):
    """A frame as it is sent."""

    frame: Frame


class Acknowledged(Record, frozen=True, kw_only=True):
    """All frames before this number are with the coordinator."""

    next_seq: int


AgentRecord = Opened | KeptFrame | Acknowledged


@dataclass(frozen=True)
class Kept:
    """What an agent's journal holds."""

    opened: Opened
    frames: list[Frame]
    """In order, at least one; the last of them closes the stream."""
    acknowledged: int
    """All frames before this number are with the coordinator."""
    died: bool
    """The agent was killed before its load had ended, and lost what it had not yet written."""


def read_kept(path: Path) -> Kept | None:
    """The readable part of an agent's journal; None when there is none. Raises UserError."""
    opened: Opened | None = None
    frames: dict[int, Frame] = {}
    acknowledged = 0
    for record in RecordReader[AgentRecord](path, AgentRecord):
        if isinstance(record, Opened):
            opened = record
        elif isinstance(record, KeptFrame):
            frames[record.frame.seq] = record.frame
        else:
            acknowledged = max(acknowledged, record.next_seq)
    if opened is None or not frames:
        return None
    last = frames[max(frames)]
    in_order = [frames[seq] for seq in sorted(frames)]
    if not last.last:
        in_order.append(_closing(last))
    return Kept(opened, in_order, acknowledged, died=not last.last)


@dataclass(frozen=True)
class KnownRun:
    """What a run's journal says of its agents."""

    run_id: str
    agents: dict[int, str]
    """Names of those that it did not lose, by member."""
    last: dict[int, Frame]
    """The newest frame of each member."""


@dataclass(frozen=True)
class KeptPart:
    """One frame that an agent had kept and the run's journal lacks."""

    member: int
    frame: Frame
    path: Path
    """Of the agent's journal."""
    follows_ns: int | None
    """End of the newest frame of this agent in the run's journal; None when it has none."""
    from_ns: int
    """Begin of the first such frame."""
    died: bool


def kept_by_agents(paths: Sequence[Path], run: KnownRun) -> list[KeptPart]:
    """What these journals of agents hold and the run's lacks. Raises UserError for one that
    does not belong to the run, or cannot be added."""
    found: dict[int, list[KeptPart]] = {}
    for path in paths:
        kept, place = read_kept(path), visible(path)
        if kept is None:
            raise UserError(f"{place} holds nothing that an agent kept")
        opened = kept.opened
        if opened.run_id != run.run_id:
            raise UserError(
                f"{place} is of the run {visible(opened.run_id, 100)}, not of {run.run_id}"
            )
        name = visible(opened.name, 64)
        if run.agents.get(opened.member) != opened.name:
            raise UserError(
                f"{place} is of agent {name}, which {run.run_id} does not know or went on without"
            )
        if opened.member in found:
            raise UserError(f"{place} is the second journal of agent {name}: give one")
        last = run.last.get(opened.member)
        follows_ns = None if last is None else last.end_ns
        frames = [
            frame
            for frame in kept.frames
            if last is None or (not last.last and frame.start_ns >= last.end_ns)
        ]
        found[opened.member] = [
            KeptPart(opened.member, frame, path, follows_ns, frames[0].start_ns, kept.died)
            for frame in frames
        ]
    return [part for parts in found.values() for part in parts]


def _closing(last: Frame) -> Frame:
    """The end of a stream whose agent was killed: sessions that were under way were cut off, and
    what it measured after its last frame is lost with its shared memory."""
    sessions = msgspec.structs.replace(last.sessions)
    sessions.interrupted += max(0, sessions.active)
    iterations = msgspec.structs.replace(last.iterations)
    iterations.interrupted += max(0, iterations.running)
    return Frame(
        worker=last.worker,
        epoch=last.epoch,
        seq=last.seq + 1,
        start_ns=last.end_ns,
        end_ns=last.end_ns,
        totals=last.totals,
        sessions=sessions,
        iterations=iterations,
        health=HealthSample(),
        folded_keys=last.folded_keys,
        last=True,
    )

"""What the agent's state machine is told, and what it answers. Plain frozen data.

What it answers to its workers and for the log are the actions of `crew`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chaperon_engine.crew.events import CrewAction, WatchLimits
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import FromWorker
from chaperon_engine.protocol.wire import FromAgent, ToAgent

Ending = Literal["done", "interrupted", "refused", "failed"]
"""Of an agent: it did all that it was asked to; somebody on its host ended it; a person's input
makes it impossible; anything else."""

# events


@dataclass(frozen=True)
class Tick:
    """Time has passed; comes several times a second."""


@dataclass(frozen=True)
class Connected:
    """Dialling has succeeded: both sides have proved the token."""


@dataclass(frozen=True)
class DialFailed:
    """Dialling has failed."""

    reason: str
    is_final: bool
    """Another try would not mend it."""


@dataclass(frozen=True)
class Disconnected:
    """The connection has ended; whatever came on it has been told before."""

    reason: str


@dataclass(frozen=True)
class Heard:
    """The coordinator said something. Pieces of the bundle come too, for they show that it lives;
    the paths of a launch are those on this host."""

    message: ToAgent


@dataclass(frozen=True)
class CannotTakePart:
    """Something on this host is in the way, such as a bundle that cannot be unpacked."""

    reason: str


@dataclass(frozen=True)
class WorkerSaid:
    """A worker of this host said something."""

    worker: int
    message: FromWorker


@dataclass(frozen=True)
class WorkerExited:
    """A worker's process is gone, and all that it said has been told."""

    worker: int
    how: str
    slots: list[list[int]]
    """Its shared counters, see `WorkerCounters.slots_as_counted`."""


@dataclass(frozen=True)
class HangLocated:
    """Where a worker is; `place` is `FILE:LINE in FUNCTION`, or empty."""

    worker: int
    place: str


@dataclass(frozen=True)
class LeaveAsked:
    """Somebody on this host wants the agent to leave; asked again it leaves at once."""


Event = (
    Tick
    | Connected
    | DialFailed
    | Disconnected
    | Heard
    | CannotTakePart
    | WorkerSaid
    | WorkerExited
    | HangLocated
    | LeaveAsked
)


# actions


@dataclass(frozen=True)
class Dial:
    """Try to reach the coordinator: answered by Connected or DialFailed."""


@dataclass(frozen=True)
class HangUp:
    """Drop the connection; no Disconnected follows."""


@dataclass(frozen=True)
class Tell:
    """Say something to the coordinator."""

    message: FromAgent


@dataclass(frozen=True)
class BeginJournal:
    """The load begins: keep on disk what the coordinator does not have."""

    member: int
    epoch: int


@dataclass(frozen=True)
class Keep:
    """Write a frame down; it takes the place of an earlier one with its number."""

    frame: Frame


@dataclass(frozen=True)
class Forget:
    """All frames before this number are safe with the coordinator."""

    next_seq: int


@dataclass(frozen=True)
class Finish:
    """The agent's life is over: close the connection when what was told is sent, and exit."""

    reason: str
    """One sentence for a person."""
    ending: Ending = "failed"


Action = Dial | HangUp | Tell | BeginJournal | Keep | Forget | Finish | CrewAction


@dataclass(frozen=True)
class AgentLimits(WatchLimits):
    """Times of the agent, in seconds."""

    first_backoff_s: float = 0.2
    """Between the end of a connection and the next try; doubled after each failure."""
    longest_backoff_s: float = 5.0
    join_s: float = 60.0
    """How long a coordinator is looked for that was never reached, or lost before the load."""
    silent_s: float = 5.0
    """Having heard nothing for so long, dial again: the connection may be dead unnoticed."""
    lease_s: float | None = None
    """Instead of the coordinator's."""
    return_s: float = 600.0
    """How long a coordinator is looked for that was lost in the load."""
    slow_s: float = 30.0
    """Workers that get ready for longer are asked where they are."""
    farewell_s: float = 5.0
    """How long the coordinator may take to hang up after AgentDone."""

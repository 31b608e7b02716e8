"""What the run's state machine is told, and what it answers. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from chaperon_engine.crew.events import (
    KillWorker,
    LocateHang,
    Say,
    Send,
    WatchLimits,
    WorkerState,
)
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import FromWorker

__all__ = [
    "AbortAsked",
    "Action",
    "ApplyFrame",
    "BeginLoad",
    "Event",
    "FinishRun",
    "FromWorkerEvent",
    "HangLocated",
    "KillWorker",
    "Limits",
    "LocateHang",
    "NoteSteering",
    "RefuseRun",
    "Say",
    "Send",
    "StopAsked",
    "Tick",
    "WorkerExited",
    "WorkerIsLost",
    "WorkerState",
]

# events


@dataclass(frozen=True)
class Tick:
    """Time has passed; comes several times a second."""


@dataclass(frozen=True)
class FromWorkerEvent:
    """A worker said something."""

    worker: int
    message: FromWorker


@dataclass(frozen=True)
class WorkerExited:
    """A worker's process is gone; `how` is its end in words, such as `killed by signal 9`."""

    worker: int
    how: str


@dataclass(frozen=True)
class HangLocated:
    """Where a worker that does not answer is; `place` is `FILE:LINE in FUNCTION`, or empty."""

    worker: int
    place: str


@dataclass(frozen=True)
class StopAsked:
    """Somebody wants the run to stop gracefully."""

    by: str
    """`client`, `signal` or `lease`."""


@dataclass(frozen=True)
class AbortAsked:
    """Somebody wants the run to end now."""

    by: str


Event = Tick | FromWorkerEvent | WorkerExited | HangLocated | StopAsked | AbortAsked


# actions


@dataclass(frozen=True)
class BeginLoad:
    """All workers are ready: the run's second 0 is at `start_ns`. Comes before the sends."""

    start_ns: int


@dataclass(frozen=True)
class ApplyFrame:
    """Add a worker's frame to the aggregate and the journal."""

    frame: Frame


@dataclass(frozen=True)
class WorkerIsLost:
    """No further frame comes from this worker, and its last one is missing."""

    worker: int
    note: str


@dataclass(frozen=True)
class NoteSteering:
    """Keep in the journal and run.json who stopped or aborted the run."""

    action: str
    by: str


@dataclass(frozen=True)
class RefuseRun:
    """The load cannot begin; `reason` is one sentence for a person."""

    reason: str
    user_error: bool


@dataclass(frozen=True)
class FinishRun:
    """All workers have ended: make the report."""


Action = (
    Send
    | BeginLoad
    | ApplyFrame
    | LocateHang
    | KillWorker
    | WorkerIsLost
    | Say
    | NoteSteering
    | RefuseRun
    | FinishRun
)


@dataclass(frozen=True)
class Limits(WatchLimits):
    """Times of the state machine, in seconds."""

    barrier_s: float = 60.0
    """All workers must be ready by then."""
    start_delay_s: float = 0.1
    """From the start barrier to second 0, so that every worker has heard of it."""
    end_margin_s: float = 5.0
    """Beyond the grace period before a run that will not end is aborted."""
    max_time_s: float = 24 * 3600.0
    """Absolute end of a run whose plan has none."""

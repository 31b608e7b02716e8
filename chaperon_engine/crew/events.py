"""What a crew is told to do by whoever decides, and what is known of each worker. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from chaperon_engine.protocol.messages import ToWorker


@dataclass(frozen=True)
class Send:
    """Send a message to a worker."""

    worker: int
    message: ToWorker


@dataclass(frozen=True)
class LocateHang:
    """Find out where a worker hangs."""

    worker: int


@dataclass(frozen=True)
class KillWorker:
    """End a worker's process with SIGKILL; that it is gone is told later."""

    worker: int


@dataclass(frozen=True)
class Say:
    """A line for the log."""

    level: str
    text: str


CrewAction = Send | LocateHang | KillWorker | Say


@dataclass(frozen=True)
class WatchLimits:
    """Times after which a worker is believed to hang, in seconds."""

    ping_every_s: float = 1.0
    hung_after_s: float = 3.0
    """A worker that answered no ping for this long hangs."""
    kill_after_s: float = 10.0
    """A hanging worker is killed this long after it was noticed."""
    abort_s: float = 5.0
    """Workers that have not ended this long after an abort are killed."""
    blind_after_s: float = 1.0
    """When the watching process itself was away for this long it cannot judge silence."""


@dataclass
class WorkerState:
    """One worker as the state machine sees it. Only state machines write it."""

    number: int
    state: str = "starting"
    """`starting`, `ready`, `running`, `hung`, `done` or `lost`."""
    pid: int = 0
    core: int | None = None
    note: str = ""
    heard_at: float = 0.0
    """When it last answered, monotonic seconds."""
    pinged: int = 0
    hung_at: float | None = None
    place: str = ""
    """Where it hangs."""
    killed: bool = False
    failure: str = ""
    """What it said of itself, or what was wrong with what it sent, before it was killed."""
    is_idle: bool = False
    """Its own sessions have ended."""
    epoch: int = 0
    """Of the newest shares that it took over."""
    had_last_frame: bool = False
    refused_all: bool = False
    """No session of it passed `init`."""

    @property
    def alive(self) -> bool:
        return self.state not in ("done", "lost")

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
from chaperon_engine.protocol.wire import FromAgent, ToAgent
from chaperon_engine.runs.record import HandOver

__all__ = [
    "AbortAsked",
    "AckFrames",
    "Action",
    "AgentGone",
    "AgentIsBack",
    "AgentIsLost",
    "AgentSaid",
    "ApplyFrame",
    "BeginLoad",
    "CannotStart",
    "DrainAsked",
    "DropAgent",
    "Event",
    "FinishRun",
    "FrameRefused",
    "FromWorkerEvent",
    "HandOut",
    "HangLocated",
    "HostGone",
    "KillWorker",
    "Limits",
    "LocateHang",
    "NoteDrain",
    "NoteHandOver",
    "NoteReason",
    "NoteSteering",
    "RefuseRun",
    "Say",
    "Send",
    "SendBundle",
    "StartAgent",
    "StopAsked",
    "TellAgent",
    "Terms",
    "Tick",
    "WorkerExited",
    "WorkerIsLost",
    "WorkerState",
]

# events


@dataclass(frozen=True)
class Tick:
    """Time has passed; comes several times a second."""

    slept_s: float = 0.0
    """How long this machine was suspended since the run began, which its monotonic clock leaves
    out and those of others do not."""


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


@dataclass(frozen=True)
class DrainAsked:
    """Somebody wants one member to leave gracefully while the others go on."""

    member: int
    by: str
    """`client`, or words that name the operator."""


@dataclass(frozen=True)
class CannotStart:
    """Something around the run is missing, such as the address to listen on."""

    reason: str


@dataclass(frozen=True)
class AgentSaid:
    """A message came over a connection that proved an agent's token."""

    link: int
    """Number of the connection."""
    message: FromAgent
    address: str = ""
    """Of the peer, `HOST:PORT`."""
    token_name: str = ""
    """The name that the proved token was made for, and for one process; empty: that of all agents.
    """


@dataclass(frozen=True)
class AgentGone:
    """A connection has ended; whatever was said on it has been told before."""

    link: int
    reason: str


@dataclass(frozen=True)
class HostGone:
    """Whoever placed the agent of this name says that it is gone; it may be wrong."""

    name: str
    reason: str


@dataclass(frozen=True)
class FrameRefused:
    """A frame that was to be applied is none that a sound member sends."""

    member: int
    problem: str


Event = (
    Tick
    | FromWorkerEvent
    | WorkerExited
    | HangLocated
    | StopAsked
    | AbortAsked
    | DrainAsked
    | CannotStart
    | AgentSaid
    | AgentGone
    | HostGone
    | FrameRefused
)


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
class TellAgent:
    """Say something on an agent's connection; nothing when that is gone."""

    link: int
    message: ToAgent


@dataclass(frozen=True)
class AckFrames:
    """Tell an agent that all frames before `next_seq` are safe, as soon as they are."""

    link: int
    next_seq: int


@dataclass(frozen=True)
class SendBundle:
    """Send the test code."""

    link: int


@dataclass(frozen=True)
class HandOut:
    """Give each member its shares, anew if it had some."""

    workers: int
    """Local workers have the shares of their own numbers."""
    agents: dict[int, list[int]]
    """Shares by the number of the connection."""
    of: int
    """Shares of the whole run."""
    epoch: int


@dataclass(frozen=True)
class StartAgent:
    """Make an agent's second 0 the run's; comes after BeginLoad."""

    link: int
    start_ns: int
    one_way_ns: int
    """Half of the shortest round trip to it."""


@dataclass(frozen=True)
class AgentIsBack:
    """A connection is that of an agent of the run again: say what all have been told."""

    link: int


@dataclass(frozen=True)
class AgentIsLost:
    """Nothing more will be taken from this member."""

    member: int
    note: str


@dataclass(frozen=True)
class DropAgent:
    """End a connection, with a sentence for the agent if there is one to say."""

    link: int
    reason: str = ""
    user_error: bool = True


@dataclass(frozen=True)
class NoteSteering:
    """Keep in the journal and run.json who stopped or aborted the run."""

    action: str
    by: str


@dataclass(frozen=True)
class NoteDrain:
    """Keep in the journal and run.json who drained a member."""

    member: int
    by: str


@dataclass(frozen=True)
class NoteReason:
    """Keep in the journal what the report will say of an agent."""

    reason: str


@dataclass(frozen=True)
class NoteHandOver:
    """Keep in run.json who took what from whom."""

    hand_over: HandOver


@dataclass(frozen=True)
class RefuseRun:
    """The load cannot begin; `reason` is one sentence for a person."""

    reason: str
    user_error: bool


@dataclass(frozen=True)
class FinishRun:
    """All members have ended: make the report."""


Action = (
    Send
    | BeginLoad
    | ApplyFrame
    | LocateHang
    | KillWorker
    | WorkerIsLost
    | TellAgent
    | AckFrames
    | SendBundle
    | HandOut
    | StartAgent
    | AgentIsBack
    | AgentIsLost
    | DropAgent
    | Say
    | NoteSteering
    | NoteDrain
    | NoteReason
    | NoteHandOver
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
    lease_s: float = 15.0
    """An agent that hears nothing for so long stops its load."""
    lease_margin_s: float = 3.0
    """An agent that was not heard for so much longer has surely stopped it."""
    hinted_s: float = 2.0
    """The same for one whose host is said to be gone; it is pinged each second then."""
    return_wait_s: float = 60.0
    """How long the end of the run waits for agents that are away."""
    leave_s: float = 3.0
    """The same for those that have sent everything, and whose leave got lost."""
    hello_s: float = 10.0
    """How long an authenticated agent may take to say who it is."""


@dataclass(frozen=True)
class Terms:
    """What a person wants of the agents of a run."""

    expect: int
    """So many attach, no more."""
    start_timeout_s: float = 60.0
    """All must have attached by then."""
    fewer_ok: bool = False
    """After that time go with those that are there."""
    on_loss: str = "continue"
    """When an agent was lost: `continue` without it, `respread` its shares, or `fail`."""

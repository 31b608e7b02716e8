"""The typed messages between the processes of a run. Plain data, tagged msgspec unions.

Two conversations:
coordinator <-> worker   over two socketpairs made before the fork
engine <-> client        over the unix socket in the run directory
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario
from chaperon_engine.metrics.model import Frame, SeriesKey
from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 32 * 1024 * 1024
"""Longer frames are a protocol error on any conversation."""
MAX_TAKEN = 1 << 20
"""Shares that are handed out at a time."""

Share = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""Number of a share, or of an epoch."""
MAX_NAME = 64
"""Characters of an agent's name, as `wire` allows them."""
MAX_REASON = 2_000
"""Characters of a reason that a client gives."""


class Message(msgspec.Struct, tag=True, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages; the tag is the class name. What has an unknown field is no message."""


# coordinator -> worker


class Prepare(Message, frozen=True, kw_only=True):
    """Load the user's code and resolve the plan. Answered by WorkerReady or WorkerFailed.

    A later one, before Start, changes the share alone.
    """

    launch: bytes
    """A LaunchRequest, encoded."""
    workers: int
    """Shares of the whole run."""
    worker: int
    """Share of this one, from 0: the number that its sessions see."""
    seed: int


class Start(Message, frozen=True, kw_only=True):
    """Begin the load."""

    start_ns: int
    """Monotonic time that counts as second 0 for all workers."""


class Lease(Message, frozen=True, kw_only=True):
    """Stop the load at that moment, unless another one comes: whoever would have to say so may
    stand still itself, and others may have these shares then."""

    until_ns: int
    """Monotonic."""


class TakeShares(Message, frozen=True, kw_only=True):
    """Run the sessions of these shares, too, whose member is gone: anew, for what is left of the
    time of populations that have one."""

    shares: Annotated[list[Share], Meta(max_length=MAX_TAKEN)]
    of: Annotated[int, Meta(ge=1, le=1 << 31)]
    """Shares of the whole run."""
    epoch: Share
    """Grows with each handing out."""


class AcceptedSeries(Message, frozen=True, kw_only=True):
    """The run's table of series is full: from now on these keys exist and no others."""

    keys: list[SeriesKey]


class StopLoad(Message, frozen=True, kw_only=True):
    """Start no further iteration; running ones may end within the grace period."""

    grace_s: float | None = None
    """None: the grace period of each population."""


class AbortLoad(Message, frozen=True, kw_only=True):
    """Cancel what is in flight, send the last frame, exit."""


class Ping(Message, frozen=True, kw_only=True):
    """Are you there? A worker that hangs in user code does not answer."""

    number: int


class Place(Message, frozen=True, kw_only=True):
    """Run a scenario for a session of some worker. Answered by Placed."""

    placement: int
    """Number of it, unique in the run."""
    what: ScheduledScenario


class EndPlacement(Message, frozen=True, kw_only=True):
    """Nobody waits for this one any more: cancel it. Answered by Placed all the same."""

    placement: int


class Scheduled(Message, frozen=True, kw_only=True):
    """Answer to Schedule."""

    request: int
    outcome: ScheduledOutcome


class Release(Message, frozen=True, kw_only=True):
    """All workers are idle and nothing will be placed any more: send the last frame, exit."""


# worker -> coordinator


class WorkerReady(Message, frozen=True, kw_only=True):
    """The plan is resolved, services are reachable (worker 0 does the pre-flight)."""

    pid: int
    core: int | None = None


class WorkerFailed(Message, frozen=True, kw_only=True):
    """The worker cannot take part; `message` is one sentence for a person."""

    message: str
    user_error: bool = True


class WorkerFrame(Message, frozen=True, kw_only=True):
    """One tick."""

    frame: Frame


class Pong(Message, frozen=True, kw_only=True):
    """Answer to Ping, from the event loop."""

    number: int


class Schedule(Message, frozen=True, kw_only=True):
    """A session wants a scenario run on some worker. Answered by Scheduled, unless withdrawn."""

    request: int
    """Number of it, unique in this worker."""
    what: ScheduledScenario


class Withdraw(Message, frozen=True, kw_only=True):
    """The session that asked has ended or waits no longer."""

    request: int


class Placed(Message, frozen=True, kw_only=True):
    """A placement has ended."""

    placement: int
    outcome: ScheduledOutcome


class WorkerIdle(Message, frozen=True, kw_only=True):
    """All sessions of this worker's shares have ended; it goes on for placements until Release."""

    epoch: Share = 0
    """Of the newest TakeShares it knows; 0 without one."""


class WorkerDone(Message, frozen=True, kw_only=True):
    """After the last frame; the worker exits."""

    no_session_passed_init: bool = False


ToWorker = (
    Prepare
    | Start
    | Lease
    | TakeShares
    | AcceptedSeries
    | StopLoad
    | AbortLoad
    | Ping
    | Place
    | EndPlacement
    | Scheduled
    | Release
)
FromWorker = (
    WorkerReady
    | WorkerFailed
    | WorkerFrame
    | Pong
    | Schedule
    | Withdraw
    | Placed
    | WorkerIdle
    | WorkerDone
)


# client -> engine


class Hello(Message, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """First message of a client. Fields of a newer one are ignored: it is the protocol's number
    that says whether the two understand each other."""

    protocol: int
    lease: bool = False
    """This client owns the run: when all of its leases are gone for 5 s the run stops."""
    instance: Annotated[bytes, Meta(max_length=16)] = b""
    """Random, made once by a viewer that comes back when its connection breaks: the same on each
    of its connections."""


class Subscribe(Message, frozen=True, kw_only=True):
    """Send snapshots from now on; a second one changes view and rate."""

    view: View = View()
    rate_hz: float = 4.0
    """At most 4 a second."""
    had_intervals: int = 0
    """The viewer was here before and has had so many: send those that follow."""
    had_logs: int = 0
    """The same of log lines, counted as in `Snapshot.log_lines`."""


class StopRun(Message, frozen=True, kw_only=True):
    """Stop gracefully: drain within the grace period, full report."""


class AbortRun(Message, frozen=True, kw_only=True):
    """Cancel what is in flight, still a report."""


class DrainMember(Message, frozen=True, kw_only=True):
    """Have one member leave: it starts no further iteration, ends within the grace period and
    sends what it measured; the run goes on with the others. Answered by Refused when there is no
    such member, or it leaves anyway."""

    member: int


class NodeDied(Message, frozen=True, kw_only=True):
    """Whoever placed an agent says that its host or process is gone. A hint: an agent that is
    still heard goes on, one that is not heard counts as away earlier. Unknown names are ignored.
    """

    name: Annotated[str, Meta(max_length=MAX_NAME)]
    """Of the agent."""
    reason: Annotated[str, Meta(max_length=MAX_REASON)]
    """For people."""


class Leave(Message, frozen=True, kw_only=True):
    """This viewer hangs up on purpose and does not come back."""


class GetSeries(Message, frozen=True, kw_only=True):
    """Answered by SeriesReply."""

    request: int
    series: int


class GetWindow(Message, frozen=True, kw_only=True):
    """Answered by WindowReply. Whole seconds since the start, end excluded."""

    request: int
    start_s: int
    end_s: int


# engine -> client


class Welcome(Message, frozen=True, kw_only=True):
    """Answer to Hello."""

    protocol: int
    run_id: str
    pid: int
    plan: bytes
    """A Plan, encoded."""


class Gathering(Message, frozen=True, kw_only=True):
    """Before Welcome, to who waits for it: agents attach. Comes again with each change."""

    join: str
    """The command that attaches a machine."""
    token_file: str
    """Where the agents' token lies on this host; empty for viewers elsewhere."""
    expected: int
    attached: list[str] = []
    """Names of the agents that are here."""
    attach: str = ""
    """The command with which others watch."""


class SnapshotMessage(Message, frozen=True, kw_only=True):
    """The newest snapshot; older ones that were not sent are skipped, their history is not."""

    snapshot: Snapshot


class SeriesReply(Message, frozen=True, kw_only=True):
    request: int
    detail: SeriesDetail | None
    """None when there is no such series."""


class WindowReply(Message, frozen=True, kw_only=True):
    request: int
    summary: WindowSummary | None


class Refused(Message, frozen=True, kw_only=True):
    """The engine will not do that; one sentence. The connection ends when it was a Hello, or no
    message of the conversation."""

    reason: str
    user_error: bool = True
    """A person's input is the cause, not the engine."""


FromClient = (
    Hello | Subscribe | StopRun | AbortRun | DrainMember | NodeDied | Leave | GetSeries | GetWindow
)
FromEngine = Welcome | Gathering | SnapshotMessage | SeriesReply | WindowReply | Refused

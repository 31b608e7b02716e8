"""What a viewer sees of a run: one immutable Snapshot per tick. Plain data.

Percentiles stand only where they are visible: in the totals, in the rows that a viewer asked for
(`View`), and in what it requests on its own (`SeriesDetail`, `WindowSummary`).
"""

from __future__ import annotations

import msgspec

from chaperon_engine.metrics.model import (
    CheckCount,
    ExceptionGroup,
    IterationCounts,
    LogLine,
    SeriesKey,
    SessionCounts,
)

PERCENTILES = (
    10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 75.0, 80.0, 85.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999,
)  # fmt: skip
"""Percentiles of every export."""

HEATMAP_EDGES_US = tuple(round(10 * 10 ** (step / 4)) for step in range(29))
"""Lower edges of the heatmap's rows: 10 us to 100 s, four rows a decade; the first row also holds
what is faster, the last what is slower."""


class Percentiles(msgspec.Struct, frozen=True):
    """A distribution: whole microseconds, or values of a custom metric in its own unit. All zero
    when `count` is 0."""

    count: int = 0
    min: int | float = 0
    mean: float = 0.0
    p50: int | float = 0
    p75: int | float = 0
    p90: int | float = 0
    p95: int | float = 0
    p99: int | float = 0
    p99_9: int | float = 0
    max: int | float = 0


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """Sums over HTTP requests of the measured run (see `model` for the words)."""

    requests: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0

    @property
    def in_flight(self) -> int:
        return self.requests - self.ok - self.failed


class MessageTotals(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the WebSockets of the measured run (see `model` for the words)."""

    opened: int = 0
    open: int = 0
    """Now, also those that were opened in warm-up."""
    sent: int = 0
    received: int = 0
    """Complete and valid, read by the scenario or not."""
    failed: int = 0
    """Connects, sends, receives, pings and closes that failed."""
    bytes_in: int = 0
    """Payload."""
    bytes_out: int = 0

    @property
    def messages(self) -> int:
        return self.sent + self.received

    @property
    def are_there(self) -> bool:
        """There is or was a WebSocket, or somebody tried to open one."""
        return bool(self.opened or self.open or self.failed or self.messages)


class MessageSecond(msgspec.Struct, frozen=True, kw_only=True):
    """What went over WebSockets in one second of the run."""

    sent: int = 0
    received: int = 0
    failed: int = 0
    round_trip: Percentiles = Percentiles()
    """Of the round trips that ended in it."""
    heat: list[int] = []
    """Their counts for the rows of `HEATMAP_EDGES_US`; empty when there were none."""


class HealthView(msgspec.Struct, frozen=True, array_like=True):
    """Verdict on the generator itself."""

    verdict: str = "good"
    """Now: `good`, `degraded` or `saturated`."""
    reason: str = ""
    """Now: which limit was passed by which worker, with the figures; empty when good."""
    degraded_share: float = 0.0
    """Share of the run's worker-seconds that were degraded or worse, 0 to 1."""
    saturated_share: float = 0.0
    first_degraded_s: float | None = None
    """Seconds after the start."""
    first_saturated_s: float | None = None
    worst: str = "good"
    """Of the whole run."""


class Interval(msgspec.Struct, frozen=True):
    """One second of the run."""

    second: int
    """Whole seconds since the start of the run; the interval is [second, second + 1)."""
    requests: int
    """Sent in this second."""
    ok: int
    failed: int
    http_errors: int
    in_flight: int
    """At its end."""
    latency: Percentiles
    """Service time of complete responses with an expected status that ended in it."""
    heat: list[int] = []
    """Counts for the rows of `HEATMAP_EDGES_US`."""
    active_sessions: int = 0
    verdict: str = "good"
    phase: str = ""
    """Empty, `warmup` or `drain`."""
    bytes_in: int = 0
    lag_p99_us: int = 0
    """Worst worker."""
    cpu: float = 0.0
    """Worst worker, 0 to 1."""
    messages: MessageSecond | None = None
    """None when no WebSocket had anything to do."""


class SeriesRow(msgspec.Struct, frozen=True, array_like=True):
    """One line of the series table, interval or cumulative as the view says."""

    id: int
    """Number of the series within the run."""
    key: SeriesKey
    requests: int
    failed: int
    http_errors: int
    per_s: float
    """Completed per second: over the last second, or over the measured window."""
    latency: Percentiles
    value: float = 0.0
    """counter: sum; gauge: last value; rate: share of true values."""
    bytes_in: int = 0


class ErrorRow(msgspec.Struct, frozen=True, array_like=True):
    """Failures of one error class, or one unexpected status, of one series."""

    label: str
    """Series label."""
    session: str
    code: str
    """Error class, or `http_503`."""
    origin: str
    """`target`, `generator` or `scenario`."""
    count: int


class WorkerRow(msgspec.Struct, frozen=True, array_like=True):
    """One member of the run now: a worker of the engine's host, or an agent with its workers."""

    worker: int
    pid: int
    state: str
    """`starting`, `ready`, `running`, `draining`, `hung`, `done` or `lost`; of an agent also
    `attached`, `preparing` and `away`."""
    core: int | None
    requests_per_s: float
    active_sessions: int
    cpu: float
    lag_p99_us: int
    rss_bytes: int
    steal: float = 0.0
    verdict: str = "good"
    note: str = ""
    """Why it is hung, away or lost."""
    messages_per_s: float = 0.0
    """Sent and received over WebSockets."""
    agent: str = ""
    """Name of the agent; empty: a worker of the engine's host."""
    host: str = ""
    """Of the agent."""
    address: str = ""
    """From which it is connected, `HOST:PORT`."""
    cores: int = 1
    """Workers that it stands for."""
    shares: list[int] = []
    """Which of the run's shares are its own."""
    is_connected: bool = True
    round_trip_us: int | None = None
    """The shortest so far."""
    clock_offset_us: int = 0
    """Its monotonic clock minus the coordinator's, known within half of the round trip; latencies
    do not depend on it."""
    frames_behind: int = 0
    """Seconds whose frames should be here."""
    python: str = ""
    version: str = ""
    """Of Chaperon there."""


class MembersView(msgspec.Struct, frozen=True, array_like=True):
    """All members of the run together, whichever rows of them a viewer asked for."""

    count: int = 0
    cores: int = 0
    """Workers: those of the engine's host, and of each agent."""
    cpu: float = 0.0
    """Worst member, 0 to 1."""
    lag_p99_us: int = 0
    """Worst member."""
    away: int = 0
    """Workers of those that are away."""
    lost: int = 0
    """Workers that are lost or hang."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment."""

    run_id: str
    load_test: str
    state: str
    """`starting`, `warmup`, `running`, `draining`, `finished`."""
    status: str = ""
    """When finished: `complete`, `stopped`, `aborted` or `failed`."""
    elapsed_s: float
    """Since the start of load; 0 before it."""
    planned_s: float | None = None
    """When iterations stop starting; None if only the work decides."""
    measured_s: float = 0.0
    """The measured window so far: without warm-up and drain."""
    totals: Totals
    requests_per_s: float = 0.0
    """Sent in the last full second."""
    failed_per_s: float = 0.0
    latency: Percentiles
    """Cumulative, all HTTP requests with an expected status."""
    latency_now: Percentiles
    """The same over the last full second."""
    messages: MessageTotals = MessageTotals()
    """As of the last frames of all workers: up to a second ago."""
    messages_now: MessageTotals = MessageTotals()
    """The same over the last full second."""
    round_trip: Percentiles = Percentiles()
    """Cumulative, all round trips of WebSockets."""
    round_trip_now: Percentiles = Percentiles()
    sessions: SessionCounts
    iterations: IterationCounts
    health: HealthView
    members: MembersView = MembersView()
    workers: list[WorkerRow] = []
    """As asked for by the view, in the order in which they came; all in the last snapshot."""
    worker_offset: int = 0
    """Place of the first of these rows among all members."""
    series: list[SeriesRow] = []
    """As asked for by the view."""
    series_total: int = 0
    """How many series fit the view, on this page and on others."""
    folded: int = 0
    """Keys beyond the cap, folded into `(other)`."""
    errors: list[ErrorRow] = []
    """The most frequent first, at most 100."""
    checks: list[CheckCount] = []
    exceptions: list[ExceptionGroup] = []
    intervals: list[Interval] = []
    """Those that the viewer has not had: the whole history in its first snapshot."""
    logs: list[LogLine] = []
    """Those that the viewer has not had (bounded)."""
    log_lines: int = 0
    """Lines of the log since the run began, those that nobody has any more included."""
    partial: bool = False
    reasons: list[str] = []
    """Why the run is partial, stopped or failed: one sentence each."""
    report_path: str = ""
    """Set once the report has been written; empty for viewers on other machines."""
    unkept_report: bytes = b""
    """With the last snapshot, for who cannot read it from the run's directory: the report as JSON.
    It could not be written, or the viewer is on another machine."""
    exports: dict[str, str] = {}
    """Format to the path that was written."""
    export_errors: dict[str, str] = {}
    role: str = "owner"
    """Of the viewer: `owner` on the engine's host, `operator` or `observer` elsewhere. An observer
    may not steer."""
    join: str = ""
    """The command that attaches a machine; empty when the run does not listen."""
    attach: str = ""
    """The command with which others watch, from another machine; empty as well."""
    token_file: str = ""
    """Where the agents' token lies on the engine's host; empty for viewers elsewhere."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer looks at; decides for which series percentiles are computed."""

    sort: str = "requests"
    """`label`, `requests`, `per_s`, `failed`, `http_errors`, `p50`, `p95`, `p99`, `max`."""
    descending: bool = True
    offset: int = 0
    limit: int = 50
    """At most 200. Zero: no rows."""
    interval: bool = False
    """Figures of the last second instead of cumulative ones."""
    contains: str = ""
    """Only series whose label contains this text, case-insensitive."""
    kinds: tuple[str, ...] = ()
    """Only series of these kinds; empty: of all."""
    warmup: bool = True
    """Also series of the warm-up."""
    worker_offset: int = 0
    worker_limit: int = 10_000
    """At most so many rows of members; the default is all of any run. Zero: none."""


class SeriesDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One series in full, cumulative."""

    row: SeriesRow
    spectrum: list[tuple[float, int | float]]
    """(percentile, value in us or its own unit), ascending, for a percentile spectrum."""
    histogram: list[tuple[int | float, int]]
    """(lower edge in us or its own unit, count) over `HEATMAP_EDGES_US`."""
    statuses: dict[int, int] = {}
    errors: dict[str, int] = {}
    unexpected: Percentiles = Percentiles()
    failures: Percentiles = Percentiles()


class WindowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of a marked time window, exact (merged from the journal's intervals)."""

    start_s: int
    end_s: int
    totals: Totals
    latency: Percentiles
    rows: list[SeriesRow]
    messages: MessageTotals | None = None
    """Without `open`; None when the journal is too long to be read for it."""
    round_trip: Percentiles = Percentiles()

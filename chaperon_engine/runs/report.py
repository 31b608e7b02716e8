"""The report of a run, schema `chaperon.report/1`: what report.json holds and exporters read.

Latencies are microseconds, never rounded further than the histogram's three digits. Secrets are
already gone. The published JSON Schema is made from these types.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.metrics.snapshot import Interval, MessageSecond, Percentiles
from chaperon_engine.metrics.summary import (
    ReportHealth,
    ReportMessages,
    ReportMetric,
    ReportTotals,
)
from chaperon_engine.runs.record import HandOver

SCHEMA = "chaperon.report/1"


class ReportWorker(msgspec.Struct, kw_only=True):
    """One worker of the engine's host, or an agent with its workers, and what it says of itself."""

    worker: int
    pid: int
    core: int | None = None
    state: str = "done"
    """`done`, or `lost` with the reason in `note`."""
    note: str = ""
    sent: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: int = 0
    missing_latencies: int = 0
    """Requests counted in shared memory whose latency died with the worker."""
    agent: str = ""
    """Name of the agent; empty: a worker of the engine's host."""
    host: str = ""
    """Host of the agent; empty: the engine's."""
    cores: int = 1
    """Workers that it stands for."""
    round_trip_us: int | None = None
    """Of an agent: the shortest."""
    clock_offset_us: int | None = None
    """Of an agent: its monotonic clock minus the coordinator's. No latency depends on it."""
    start_skew_us: int | None = None
    """Of an agent: its second 0 minus the run's, known within half of the round trip."""
    version: str = ""
    """Of Chaperon on the agent's host."""
    python: str = ""


class ReportRun(msgspec.Struct, kw_only=True):
    """What was run, how it ended, and with which provenance."""

    id: str
    load_test: str
    status: str
    """`complete`, `stopped`, `aborted` or `failed`."""
    partial: bool = False
    recovered: bool = False
    reasons: list[str] = []
    started_at: str = ""
    """ISO 8601, UTC; a label."""
    duration_s: float = 0.0
    """From the start of load to the last byte."""
    measured_s: float = 0.0
    """The measured window, without warm-up and drain: what rates divide by."""
    warmup_s: float = 0.0
    drain_s: float = 0.0
    workers: list[ReportWorker] = []
    hosts: list[str] = []
    """Where the load came from; the engine's host first if it had workers."""
    start_skew_us: int | None = None
    """Between the first and the last member's second 0; None without agents."""
    hand_overs: list[HandOver] = []
    """Shares that agents which left the load had, and who went on with them."""
    seed: int = 0
    tag: str = ""
    file: str = ""
    file_sha256: str = ""
    version: str = ""
    python: str = ""
    host: str = ""
    platform: str = ""
    metrics: list[str] = []
    """The words of the filter of metrics, or `<function name>`: totals and all else lack what it
    left out. Empty: everything was kept."""
    config: dict[str, Any] = {}
    """Resolved, secrets as `***`."""


class ReportCheck(msgspec.Struct, kw_only=True):
    """One named check."""

    scenario: str
    session: str
    name: str
    passed: int
    failed: int
    reason: str = ""


class ReportException(msgspec.Struct, kw_only=True):
    """Exceptions of user code from one place."""

    type: str
    file: str
    line: int
    count: int
    message: str
    traceback: str
    where: str
    session: str


class ReportInterval(msgspec.Struct, kw_only=True):
    """One second of the run; latencies are those of what ended in it, None when nothing did."""

    second: int
    """Whole seconds since the start of the run; the interval is [second, second + 1)."""
    phase: str = ""
    """Empty, `warmup` or `drain`."""
    requests: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    in_flight: int = 0
    """At its end."""
    active_sessions: int = 0
    bytes_in: int = 0
    samples: int = 0
    """Complete responses with an expected status, which the latencies below are of."""
    min: int | None = None
    mean: float | None = None
    p50: int | None = None
    p75: int | None = None
    p90: int | None = None
    p95: int | None = None
    p99: int | None = None
    p99_9: int | None = None
    max: int | None = None
    health: str = "good"
    """Verdict on the generator: `good`, `degraded` or `saturated`."""
    lag_p99_us: int = 0
    """Worst worker."""
    cpu: float = 0.0
    """Worst worker, 0 to 1."""
    heat: list[int] = []
    """Counts for the rows of a latency heatmap: 10 us to 100 s, four rows a decade."""
    messages: MessageSecond | None = None
    """What went over WebSockets; None when nothing did."""

    @classmethod
    def of(cls, interval: Interval) -> ReportInterval:
        """The same second as viewers saw it."""
        latency = interval.latency
        figures = msgspec.structs.asdict(latency) if latency.count else {}
        figures.pop("count", None)
        rest = msgspec.structs.asdict(interval)
        del rest["latency"]
        return cls(samples=latency.count, health=rest.pop("verdict"), **rest, **figures)

    def as_interval(self) -> Interval:
        """The second as viewers draw it."""
        latency = Percentiles()
        if self.samples:
            figures = {name: getattr(self, name) for name in Percentiles.__struct_fields__[1:]}
            latency = Percentiles(count=self.samples, **figures)
        return Interval(
            second=self.second,
            requests=self.requests,
            ok=self.ok,
            failed=self.failed,
            http_errors=self.http_errors,
            in_flight=self.in_flight,
            latency=latency,
            heat=self.heat,
            active_sessions=self.active_sessions,
            verdict=self.health,
            phase=self.phase,
            bytes_in=self.bytes_in,
            lag_p99_us=self.lag_p99_us,
            cpu=self.cpu,
            messages=self.messages,
        )


class Report(msgspec.Struct, kw_only=True):
    """A whole run."""

    schema: str = SCHEMA
    run: ReportRun
    sessions: SessionCounts
    iterations: IterationCounts
    totals: ReportTotals
    """HTTP requests."""
    messages: ReportMessages = msgspec.field(default_factory=ReportMessages)
    """WebSockets."""
    metrics: list[ReportMetric] = []
    checks: list[ReportCheck] = []
    exceptions: list[ReportException] = []
    health: ReportHealth = msgspec.field(default_factory=ReportHealth)
    intervals: list[ReportInterval] = []
    folded_series: int = 0
    """Keys beyond the cap, folded into `(other)`."""
    plan: dict[str, Any] = {}
    """The resolved plan: services, populations, profiles."""

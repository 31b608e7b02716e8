"""The figures of a report, as plain data: distributions, totals, series, health, workers.

These types are part of the report's published schema. Must not know what else a report holds.
"""

from __future__ import annotations

import msgspec


class Distribution(msgspec.Struct, kw_only=True):
    """A distribution with all percentiles of the exports: whole microseconds, or values of a custom
    metric in its own unit."""

    count: int = 0
    min: int | float = 0
    mean: float = 0.0
    max: int | float = 0
    p10: int | float = 0
    p20: int | float = 0
    p30: int | float = 0
    p40: int | float = 0
    p50: int | float = 0
    p60: int | float = 0
    p75: int | float = 0
    p80: int | float = 0
    p85: int | float = 0
    p90: int | float = 0
    p95: int | float = 0
    p99: int | float = 0
    p99_9: int | float = 0
    p99_99: int | float = 0
    p99_999: int | float = 0
    saturated: int = 0
    """Values out of range, recorded at the border."""
    thin: list[str] = []
    """Percentiles with fewer than 10 samples above them, by field name."""


class ReportTotals(msgspec.Struct, kw_only=True):
    """Sums over the HTTP requests of the measured run."""

    requests: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    in_flight: int = 0
    retries: int = 0
    requests_per_s: float = 0.0
    """Completed within the measured window, divided by it."""
    bytes_in: int = 0
    bytes_out: int = 0
    service_time_us: Distribution = msgspec.field(default_factory=Distribution)
    unexpected_service_time_us: Distribution = msgspec.field(default_factory=Distribution)
    failure_time_us: Distribution = msgspec.field(default_factory=Distribution)


class ReportMessages(msgspec.Struct, kw_only=True):
    """Sums over the WebSockets of the measured run."""

    opened: int = 0
    open: int = 0
    """Still open at the end of the run."""
    sent: int = 0
    """Messages handed to a connection."""
    received: int = 0
    """Messages that arrived complete and valid, read by the scenario or not."""
    failed: int = 0
    """Connects, sends, receives, pings and closes that failed."""
    messages_per_s: float = 0.0
    """Sent and received within the measured window, divided by it."""
    bytes_in: int = 0
    """Payload."""
    bytes_out: int = 0
    round_trip_us: Distribution = msgspec.field(default_factory=Distribution)
    """From a `ws_send` until the arrival of what the next `ws_await_recv` matched."""
    receive_us: Distribution = msgspec.field(default_factory=Distribution)
    """From a receive's call until the arrival of the message that it returned, over all URLs."""


class ReportMetric(msgspec.Struct, kw_only=True):
    """One series."""

    kind: str
    unit: str = "us"
    scenario: str = ""
    session: str = ""
    service: str = ""
    action: str = ""
    method: str = ""
    url: str = ""
    name: str = ""
    tags: dict[str, str] = {}
    phase: str = ""
    """Empty, or `warmup` for what was measured before the measured window."""
    count: int = 0
    """http: requests sent; else: values recorded."""
    failed: int = 0
    errors: dict[str, int] = {}
    http_errors: dict[str, int] = {}
    """Unexpected statuses and their counts."""
    statuses: dict[str, int] = {}
    retries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    value: float | None = None
    """counter: sum; gauge: last value; rate: share of true values."""
    service_time_us: Distribution = msgspec.field(default_factory=Distribution)
    unexpected_service_time_us: Distribution = msgspec.field(default_factory=Distribution)
    failure_time_us: Distribution = msgspec.field(default_factory=Distribution)


class WorkerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The measured requests of one worker; over all workers they add up to the totals."""

    worker: int
    sent: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: int = 0
    missing_latencies: int = 0
    """Completions known from shared memory alone: their latencies died with the worker."""


class ReportHealth(msgspec.Struct, kw_only=True):
    """The generator's own verdict on the run."""

    verdict: str = "good"
    """The worst of the run: `good`, `degraded` or `saturated`."""
    degraded_share: float = 0.0
    saturated_share: float = 0.0
    first_degraded_s: float | None = None
    first_saturated_s: float | None = None
    reason: str = ""
    lag_p99_us: int = 0
    """Worst second of the worst worker."""
    cpu: float = 0.0
    steal: float = 0.0

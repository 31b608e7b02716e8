"""What the report is made of, as frozen plain data.

The fields have the names of the report's own types, so that the engine converts each with
`msgspec.convert(summary, ReportMetric, from_attributes=True)`. Must not know the report.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chaperon_engine.metrics.histogram import CumulativeHistogram, in_unit, percentile_field
from chaperon_engine.metrics.snapshot import PERCENTILES


class DistributionSummary(msgspec.Struct, frozen=True, kw_only=True):
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
    thin: list[str] = []


class TotalsSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the HTTP requests of the measured run."""

    requests: int
    ok: int
    failed: int
    http_errors: int
    in_flight: int
    retries: int
    requests_per_s: float
    """Completed within the measured window, divided by it."""
    bytes_in: int
    bytes_out: int
    service_time_us: DistributionSummary
    unexpected_service_time_us: DistributionSummary
    failure_time_us: DistributionSummary


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One series."""

    kind: str
    unit: str
    scenario: str
    session: str
    service: str
    action: str
    method: str
    url: str
    name: str
    tags: dict[str, str]
    phase: str
    count: int
    failed: int
    errors: dict[str, int]
    http_errors: dict[str, int]
    """Unexpected statuses and their counts."""
    statuses: dict[str, int]
    retries: int
    bytes_in: int
    bytes_out: int
    value: float | None
    service_time_us: DistributionSummary
    unexpected_service_time_us: DistributionSummary
    failure_time_us: DistributionSummary


class WorkerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The measured requests of one worker; over all workers they add up to the totals."""

    worker: int
    sent: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: int = 0
    missing_latencies: int = 0
    """Completions known from shared memory alone: their latencies died with the worker."""


class HealthSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The generator's own verdict on the run."""

    verdict: str = "good"
    degraded_share: float = 0.0
    saturated_share: float = 0.0
    first_degraded_s: float | None = None
    first_saturated_s: float | None = None
    reason: str = ""
    lag_p99_us: int = 0
    """Worst second of the worst worker."""
    cpu: float = 0.0
    steal: float = 0.0


def distribution(histogram: CumulativeHistogram, scale: int = 1) -> DistributionSummary:
    """All figures of a histogram, in the unit that was recorded times `scale`."""
    if not histogram.count:
        return DistributionSummary()
    fields: dict[str, Any] = {
        percentile_field(percentile): in_unit(value, scale)
        for percentile, value in zip(PERCENTILES, histogram.values_at(PERCENTILES), strict=True)
    }
    return DistributionSummary(
        count=histogram.count,
        min=in_unit(histogram.lowest_us, scale),
        mean=histogram.mean_us / scale,
        max=in_unit(histogram.highest_us, scale),
        saturated=histogram.saturated,
        thin=histogram.thin(),
        **fields,
    )

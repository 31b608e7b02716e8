"""CSV of a report: one row per series, after one row for the totals.

Latencies are microseconds as recorded, never rounded. Must not know how files are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaperon_engine.export.cells import (
    TABLE_OPTIONS,
    Cell,
    counts_cell,
    dialect,
    encode_table,
    text_cell,
)
from chaperon_engine.export.exporter import Encoded, FileExporter, Output
from chaperon_engine.metrics.summary import Distribution, ReportMetric
from chaperon_engine.runs.report import Report

DISTRIBUTION = (
    "min", "mean", "max", "p10", "p20", "p30", "p40", "p50", "p60", "p75", "p80", "p85", "p90",
    "p95", "p99", "p99_9", "p99_99", "p99_999",
)  # fmt: skip
_BRIEF = ("count", "p50", "p99", "max")
COLUMNS = (
    "kind", "unit", "scenario", "session", "service", "action", "method", "url", "name", "tags",
    "phase", "count", "failed", "http_errors", "errors", "statuses", "retries", "bytes_in",
    "bytes_out", "value", "samples", *DISTRIBUTION, "saturated", "thin",
    *(f"unexpected_{name}" for name in _BRIEF), *(f"failure_{name}" for name in _BRIEF),
)  # fmt: skip
"""`samples` and what follows describe complete responses with an expected status."""


class CsvExporter(FileExporter):
    """Options: `separator`, `delimiter`."""

    summary = "a row for the totals, then one for each series"
    extension = "csv"
    options = TABLE_OPTIONS

    def check(self, output: Output) -> None:
        dialect(output.options, "csv")

    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        return encode_table(COLUMNS, _rows(report), options, "csv")


def _rows(report: Report) -> Iterator[Sequence[Cell]]:
    totals = report.totals
    yield (
        "total", "us", "", "", "", "", "", "", "", "", "", totals.requests, totals.failed,
        totals.http_errors, "", "", totals.retries, totals.bytes_in, totals.bytes_out, None,
        *_distribution(totals.service_time_us), *_brief(totals.unexpected_service_time_us),
        *_brief(totals.failure_time_us),
    )  # fmt: skip
    for metric in report.metrics:
        yield _row(metric)


def _row(metric: ReportMetric) -> Sequence[Cell]:
    tags = text_cell(" ".join(f"{key}={value}" for key, value in sorted(metric.tags.items())))
    return (
        metric.kind, text_cell(metric.unit), text_cell(metric.scenario), text_cell(metric.session),
        text_cell(metric.service), text_cell(metric.action), text_cell(metric.method),
        text_cell(metric.url), text_cell(metric.name), tags, metric.phase, metric.count,
        metric.failed, sum(metric.http_errors.values()), counts_cell(metric.errors),
        counts_cell(metric.statuses), metric.retries, metric.bytes_in, metric.bytes_out,
        metric.value, *_distribution(metric.service_time_us),
        *_brief(metric.unexpected_service_time_us), *_brief(metric.failure_time_us),
    )  # fmt: skip


def _distribution(distribution: Distribution) -> tuple[Cell, ...]:
    """Cells are empty where nothing was recorded: a zero would be a latency."""
    if not distribution.count:
        return (0, *(None for _ in DISTRIBUTION), 0, "")
    return (
        distribution.count,
        *(getattr(distribution, name) for name in DISTRIBUTION),
        distribution.saturated,
        " ".join(distribution.thin),
    )


def _brief(distribution: Distribution) -> tuple[Cell, ...]:
    if not distribution.count:
        return (0, None, None, None)
    return tuple(getattr(distribution, name) for name in _BRIEF)

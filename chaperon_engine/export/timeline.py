"""The seconds of a run as CSV, one row each. Must not know how files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaperon_engine.export.cells import Cell, encode_table
from chaperon_engine.export.exporter import Encoded, Exporter
from chaperon_engine.runs.report import Report

_PERCENTILES = ("min", "mean", "p50", "p75", "p90", "p95", "p99", "p99_9", "max")
COLUMNS = (
    "second", "phase", "requests", "ok", "failed", "http_errors", "in_flight", "active_sessions",
    "bytes_in", "samples", *_PERCENTILES, "health", "lag_p99_us", "cpu",
)  # fmt: skip
"""`samples` up to `max`: service time in microseconds of what ended in this second."""


class TimelineExporter(Exporter):
    """Options: `separator`, `delimiter`."""

    extension = "timeline.csv"

    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        return encode_table(COLUMNS, _rows(report), options, "timeline")


def _rows(report: Report) -> Iterator[Sequence[Cell]]:
    for second in report.intervals:
        latency = second.latency
        percentiles: tuple[Cell, ...] = tuple(
            getattr(latency, name) if latency.count else None for name in _PERCENTILES
        )
        yield (
            second.second, second.phase, second.requests, second.ok, second.failed,
            second.http_errors, second.in_flight, second.active_sessions, second.bytes_in,
            latency.count, *percentiles, second.verdict, second.lag_p99_us, second.cpu,
        )  # fmt: skip

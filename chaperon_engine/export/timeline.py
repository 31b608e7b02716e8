"""The seconds of a run as CSV, one row each. Must not know how files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaperon_engine.export.cells import TABLE_OPTIONS, Cell, dialect, encode_table
from chaperon_engine.export.exporter import Encoded, FileExporter, Output
from chaperon_engine.metrics.snapshot import MessageSecond
from chaperon_engine.runs.report import Report, ReportInterval

_OF_REQUESTS = tuple(
    name for name in ReportInterval.__struct_fields__ if name not in ("heat", "messages")
)
_ROUND_TRIP = ("p50", "p75", "p90", "p95", "p99", "p99_9", "max")
_OF_MESSAGES = (
    "messages_sent",
    "messages_received",
    "messages_failed",
    "round_trips",
    *(f"round_trip_{name}" for name in _ROUND_TRIP),
)
COLUMNS = (*_OF_REQUESTS, *_OF_MESSAGES)
"""`samples` up to `max`: service time in microseconds of what ended in this second. The columns of
WebSockets are empty in seconds without."""


class TimelineExporter(FileExporter):
    """Options: `separator`, `delimiter`."""

    summary = "a row for each second of the run, as CSV"
    extension = "timeline.csv"
    options = TABLE_OPTIONS

    def check(self, output: Output) -> None:
        dialect(output.options, "timeline")

    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        return encode_table(COLUMNS, _rows(report), options, "timeline")


def _rows(report: Report) -> Iterator[Sequence[Cell]]:
    for second in report.intervals:
        yield [*(getattr(second, name) for name in _OF_REQUESTS), *_messages(second.messages)]


def _messages(second: MessageSecond | None) -> Sequence[Cell]:
    if second is None:
        return [None] * len(_OF_MESSAGES)
    trip = second.round_trip
    times = [getattr(trip, name) if trip.count else None for name in _ROUND_TRIP]
    return [second.sent, second.received, second.failed, trip.count, *times]

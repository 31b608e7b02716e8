"""The seconds of a run as CSV, one row each. Must not know how files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaperon_engine.export.cells import TABLE_OPTIONS, Cell, dialect, encode_table
from chaperon_engine.export.exporter import Encoded, FileExporter, Output
from chaperon_engine.runs.report import Report, ReportInterval

COLUMNS = tuple(name for name in ReportInterval.__struct_fields__ if name != "heat")
"""`samples` up to `max`: service time in microseconds of what ended in this second."""


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
        yield [getattr(second, name) for name in COLUMNS]

"""JSON of a report, schema `chaperon.report/1` (docs/report.schema.json).

Must not know how files are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chaperon_engine.export.exporter import Encoded, FileExporter
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible, visible_block

_MAX_TEXT = 4000


class JsonExporter(FileExporter):
    """No options."""

    summary = "the whole report"
    extension = "json"

    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        return encode_report(report)


def encode_report(report: Report) -> bytes:
    """The report as one line of JSON with a newline at its end."""
    plain: dict[str, Any] = msgspec.to_builtins(report, str_keys=True)
    # Seconds carry numbers and words of our own only; a long run has tens of thousands.
    shown = {key: value if key == "intervals" else _shown(value) for key, value in plain.items()}
    for group, original in zip(shown["exceptions"], report.exceptions, strict=True):
        group["traceback"] = visible_block(original.traceback)
    return msgspec.json.encode(shown) + b"\n"


def _shown(value: Any) -> Any:
    """`value` with every text in it visible."""
    if isinstance(value, str):
        return visible(value, _MAX_TEXT)
    if isinstance(value, dict):
        return {visible(key, _MAX_TEXT): _shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return value

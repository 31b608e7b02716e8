"""Prints the JSON Schema of a report: `python -m chaperon_engine.export.schema`."""

from __future__ import annotations

import sys

import msgspec

from chaperon_engine.runs.report import Report


def schema() -> bytes:
    """The JSON Schema that docs/report.schema.json publishes."""
    plain = msgspec.json.encode(msgspec.json.schema(Report))
    return msgspec.json.format(plain, indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())

"""The formats there are, and where their exporters are found.

Formats of others come through the entry-point group `chaperon.exporters`; the built-in ones are
known also where no metadata is installed, as in a source tree. Exporters are loaded when they are
used: naming the formats imports none of them.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from chaperon_engine.export.exporter import Exporter, FileExporter, Option
from chaperon_engine.export.files import ExportError
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "chaperon.exporters"

BUILT_IN = {
    "csv": "chaperon_engine.export.csv:CsvExporter",
    "influxdb": "chaperon_engine.export.influxdb:InfluxExporter",
    "json": "chaperon_engine.export.json:JsonExporter",
    "s3": "chaperon_engine.export.s3:S3Exporter",
    "timeline": "chaperon_engine.export.timeline:TimelineExporter",
}


@dataclass(frozen=True)
class ExportFormat:
    """A format as a front door shows it."""

    name: str
    summary: str = ""
    destination: str = ""
    """What a person says as destination: `PATH`, `http://HOST:8086/DATABASE`."""
    needs_destination: bool = False
    """There is none to fall back on, neither a default path nor one in the settings file."""
    is_file: bool = False
    """Writes a file on this machine and nothing else."""
    options: tuple[Option, ...] = ()
    problem: str = ""
    """Why it cannot be used, in one sentence; then everything but the name is empty."""


def formats() -> list[str]:
    """Names of all formats, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points())})


def find(format: str) -> Exporter:
    """A new exporter for `format`; raises `ExportError` with the nearest name."""
    if format in BUILT_IN:
        module, _, name = BUILT_IN[format].partition(":")
        return cast(Exporter, getattr(importlib.import_module(module), name)())
    for point in entry_points():
        if point.name == format:
            where = f"the exporter {visible(format, 60)!r} ({visible(point.value)})"
            try:
                exporter = point.load()()
            except Exception as error:
                raise ExportError(
                    f"{where} cannot be loaded: {type(error).__name__}: {visible(error)}; ask who "
                    "wrote it, or remove its package"
                ) from error
            if not isinstance(exporter, Exporter):
                raise ExportError(
                    f"{where} is no exporter: it must subclass chaperon_engine.Exporter or "
                    "FileExporter"
                )
            return exporter
    hint = nearest(format, formats(), "there are")
    raise ExportError(f"there is no export format {visible(format, 60)!r}; {hint}")


def describe(format: str) -> ExportFormat:
    """What a front door shows of `format`, also when it cannot be used. Raises nothing."""
    from chaperon_engine.export import settings

    try:
        exporter = find(format)
        return ExportFormat(
            name=format,
            summary=exporter.summary,
            destination=exporter.destination,
            needs_destination=exporter.needs_destination and not settings.destination_of(format),
            is_file=isinstance(exporter, FileExporter),
            options=tuple(settings.all_options(exporter)),
        )
    except ExportError as error:
        return ExportFormat(name=format, problem=str(error))


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean csv?`, or `there are csv, json` when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"{otherwise} {', '.join(names)}" if names else f"{otherwise} none"


def entry_points() -> EntryPoints:
    """Those of the group, of all installed packages."""
    # Importing it takes 30 ms that a run without exports need not pay.
    from importlib.metadata import entry_points as installed

    return installed(group=GROUP)

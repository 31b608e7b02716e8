"""The `Exporter` protocol and the registry of formats.

Owns: what an exporter is, where exporters are found, how one is called. Must not know any format.
Formats of others are found through the entry-point group `chaperon.exporters`; the built-in ones
also where no metadata is installed, as in a source tree.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from chaperon_engine.errors import UserError
from chaperon_engine.export.files import Destination, ExportError, destination_for, write_file
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "chaperon.exporters"

Encoded = bytes | Iterable[bytes]
"""A whole document, or its chunks in order."""

BUILT_IN = {
    "csv": "chaperon_engine.export.csv:CsvExporter",
    "json": "chaperon_engine.export.json:JsonExporter",
    "timeline": "chaperon_engine.export.timeline:TimelineExporter",
}


class Exporter(Protocol):
    """Makes a document of a report. Subclass it to inherit `write_output`."""

    extension: str
    """Of the file at the default path, without the leading dot."""

    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        """The document. `options` are the exporter's own; refuse unknown ones (`check_options`)."""
        ...

    def write_output(self, encoded: Encoded, destination: Destination) -> Path:
        """Puts the document where it belongs and says where that is; raises `ExportError`.

        Inherited: a file, written under a temporary name, synced and renamed.
        """
        return write_file(chunks(encoded), destination)


def chunks(encoded: Encoded) -> Iterable[bytes]:
    """`encoded` as chunks."""
    return (encoded,) if isinstance(encoded, bytes) else encoded


def check_options(options: Mapping[str, str], known: Iterable[str], format: str) -> None:
    """Raises `ExportError` for an option that is not among `known`."""
    names = sorted(known)
    for name in options:
        if name not in names:
            have = f"it has {', '.join(names)}" if names else "it has none"
            raise ExportError(f"the {format} exporter has no option {visible(name)!r}; {have}")


def formats() -> list[str]:
    """Names of all formats, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in _entry_points())})


def find(format: str) -> Exporter:
    """A new exporter for `format`; raises `ExportError` with the nearest name."""
    if format in BUILT_IN:
        module, _, name = BUILT_IN[format].partition(":")
        return cast(Exporter, getattr(importlib.import_module(module), name)())
    for point in _entry_points():
        if point.name == format:
            try:
                return cast(Exporter, point.load()())
            except Exception as error:
                raise ExportError(
                    f"the exporter {format!r} ({visible(point.value)}) cannot be loaded: "
                    f"{type(error).__name__}: {visible(error)}"
                ) from error
    near = difflib.get_close_matches(format, formats(), 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(formats())}"
    raise ExportError(f"there is no export format {visible(format, 60)!r}; {hint}")


def write(
    report: Report,
    format: str,
    path: str | Path | None = None,
    *,
    options: Mapping[str, str] | None = None,
    folder: str | Path = "results",
) -> Path:
    """Writes `report` in `format` and returns the path.

    Without a path: `<folder>/<date>/<LoadTest>/<tag>-<timestamp>.<extension>` with the resolved
    config and the list of scenarios beside it, never over an existing file. A path that is a
    folder or ends in `/` gets a file of that name; any other path is replaced. Raises
    `ExportError`.
    """
    exporter = find(format)
    destination = destination_for(report, exporter.extension, path, Path(folder))
    try:
        encoded = exporter.encode(report, options or {})
        return exporter.write_output(encoded, destination)
    except UserError:
        raise
    except Exception as error:
        if format in BUILT_IN:
            raise
        raise ExportError(
            f"the exporter {format!r} failed: {type(error).__name__}: {visible(error)}"
        ) from error


def _entry_points() -> EntryPoints:
    # Importing it takes 30 ms that a run without exports need not pay.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)

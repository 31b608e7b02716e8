"""What an exporter is: the `Exporter` protocol, its options, and the one for documents in files.

Owns: the protocols, and what exporters are told (`Output`). Must not know any format, nor where
exporters are found.

Exporter           checks a destination before the run, sends a finished report there
└── FileExporter   makes one document; inherits how files are named and written
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from chaperon_engine.export.files import Destination, destination_for, write_file
from chaperon_engine.runs.report import Report

Encoded = bytes | Iterable[bytes]
"""A whole document, or its chunks in order."""


@dataclass(frozen=True)
class Option:
    """Something a person can say to an exporter. Values are texts."""

    name: str
    """Small letters and hyphens, such as `endpoint-url`."""
    help: str = ""
    """A few words, for `--help` and the export dialog."""
    default: str = ""
    secret: bool = False
    """Never in an argument, a launch request or a message. A second option, `NAME-env`, says which
    environment variable has it."""
    env: str = ""
    """The environment variable that is read when the option is not given."""


@dataclass(frozen=True)
class Output:
    """Where a report goes, as a person said it."""

    destination: str = ""
    """What stood behind `--out FORMAT=`; empty when nothing did."""
    options: Mapping[str, str] = field(default_factory=dict)
    """A text for every option of the exporter; those that nobody gave have their default."""
    folder: Path = Path("results")
    """Below which files go that have no destination."""

    def __repr__(self) -> str:
        # Options may hold secrets, and a traceback shows arguments.
        return f"Output({self.destination!r})"


@runtime_checkable
class Exporter(Protocol):
    """Sends a report somewhere. Subclass it to inherit what has a body."""

    summary: str = ""
    """What it makes, in a few words."""
    destination: str = "DESTINATION"
    """What stands behind `--out FORMAT=`, as in `--help`: `PATH`, `URL`."""
    needs_destination: bool = True
    options: Sequence[Option] = ()

    def check(self, output: Output) -> None:
        """Refuses what can never work: an `ExportError` with one sentence, before the run.

        Must not use the network and must be quick.
        """

    @abstractmethod
    def export(self, report: Report, output: Output) -> str:
        """Sends the report and says where it is now; raises `ExportError` with one sentence."""
        ...

    def find_option(self, name: str) -> Option | None:
        """The option of this name."""
        return next((option for option in self.options if option.name == name), None)

    def absolute(self, destination: str) -> str:
        """`destination` as it is understood in any working folder."""
        return destination


class FileExporter(Exporter):
    """Makes a document of a report. Give it an `extension` and `encode`."""

    destination = "PATH"
    needs_destination = False
    extension: str = ""
    """Of the file at the default path, without the leading dot."""

    @abstractmethod
    def encode(self, report: Report, options: Mapping[str, str]) -> Encoded:
        """The document. `options` has a text for each of `self.options`."""
        ...

    def write_output(self, encoded: Encoded, destination: Destination) -> Path:
        """Puts the document where it belongs; raises `ExportError`.

        Inherited: a file, written under a temporary name, synced and renamed.
        """
        return write_file(chunks(encoded), destination)

    def export(self, report: Report, output: Output) -> str:
        """A file; see `writing.write` for its path."""
        destination = destination_for(report, self.extension, output.destination, output.folder)
        return str(self.write_output(self.encode(report, output.options), destination))

    def absolute(self, destination: str) -> str:
        """An absolute path; a slash at the end, which says that it is a folder, stays."""
        if not destination:
            return ""
        path = str(Path(destination).expanduser().absolute())
        return path + os.sep if destination.endswith(("/", os.sep)) else path


def chunks(encoded: Encoded) -> Iterable[bytes]:
    """`encoded` as chunks."""
    return (encoded,) if isinstance(encoded, bytes) else encoded

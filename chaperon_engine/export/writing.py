"""Exports as front doors ask for them: refused before the run, written after it, all of them.

Owns: what happens when one fails, and that no message shows a secret. Must not know any format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaperon_engine.errors import UserError
from chaperon_engine.export import settings
from chaperon_engine.export.exporter import Exporter, FileExporter, Output
from chaperon_engine.export.files import ExportError
from chaperon_engine.export.registry import BUILT_IN, find, nearest
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

MASK = "***"
_SHORTEST_MASKED = 3
"""A shorter text occurs in any sentence."""

Options = Mapping[str, Mapping[str, str]]
"""Options by format and name."""


@dataclass
class Written:
    """What came of the exports of a run, by format."""

    places: dict[str, str] = field(default_factory=dict)
    """Paths and URLs."""
    errors: dict[str, str] = field(default_factory=dict)
    """Sentences."""


def check(exports: Mapping[str, str], options: Options | None = None) -> None:
    """Refuses exports that can never work, and secrets among the options: a `UserError`.

    `exports` are destinations by format, empty where none was said. Uses no network.
    """
    given = options or {}
    for format, of_format in given.items():
        if of_format and format not in exports:
            hint = nearest(format, exports, "the exports are") if exports else "there is no export"
            raise UserError(
                f"option {visible(format, 60)}.{visible(next(iter(of_format)), 60)} is for an "
                f"export that was not asked for; {hint}"
            )
    for format, destination in exports.items():
        try:
            exporter = find(format)
            _refuse_secrets(format, exporter, given.get(format, {}))
            _prepare(format, exporter, destination, given.get(format, {}), Path())
        except ExportError as error:
            raise UserError(str(error)) from error


def write(
    report: Report,
    format: str,
    destination: str | Path | None = None,
    *,
    options: Mapping[str, str] | None = None,
    folder: str | Path = "results",
) -> str:
    """Exports `report` and says where it is now: a path, or a URL. Raises `ExportError`.

    A file without a destination goes to
    `<folder>/<date>/<LoadTest>/<tag>-<timestamp>.<extension>` with the resolved config and the list
    of scenarios beside it, never over an existing file. A destination that is a folder or ends in
    `/` gets a file of that name; any other file is replaced.
    """
    exporter = find(format)
    output = _prepare(format, exporter, str(destination or ""), options or {}, Path(folder))
    secrets = settings.secrets_of(exporter, output.options)
    try:
        return exporter.export(report, output)
    except UserError as error:
        if isinstance(exporter, FileExporter):
            raise
        again = f"`chaperon report {report.run.id} --out {format}=…` tries again"
        raise ExportError(f"{_masked(str(error), secrets)}; the report is kept, {again}") from None
    except Exception as error:
        if format in BUILT_IN and not secrets:
            raise
        shown = _masked(f"{type(error).__name__}: {visible(error)}", secrets)
        # What was raised may hold a secret, and --debug shows it.
        cause = None if secrets else error
        raise ExportError(f"the exporter {visible(format, 60)!r} failed: {shown}") from cause


def write_all(
    report: Report,
    exports: Mapping[str, str],
    options: Options | None = None,
    *,
    folder: str | Path = "results",
) -> Written:
    """All exports, whatever becomes of each. Files come first: a network may take its time."""
    written = Written()
    for format in sorted(exports, key=lambda format: not _is_file(format)):
        try:
            written.places[format] = write(
                report,
                format,
                exports[format],
                options=(options or {}).get(format),
                folder=folder,
            )
        except UserError as error:
            written.errors[format] = str(error)
        except OSError as error:
            written.errors[format] = visible(f"{exports[format]}: {error.strerror}")
        except Exception as error:
            written.errors[format] = f"{type(error).__name__}: {visible(error)}"
    return written


def _is_file(format: str) -> bool:
    try:
        return isinstance(find(format), FileExporter)
    except ExportError:
        return True


def _prepare(
    format: str, exporter: Exporter, destination: str, options: Mapping[str, str], folder: Path
) -> Output:
    output = settings.resolve(format, exporter, destination, options, folder)
    if exporter.needs_destination and not output.destination:
        raise ExportError(
            f"the {visible(format, 60)} exporter needs a destination: "
            f"{visible(format, 60)}={exporter.destination}"
        )
    exporter.check(output)
    return output


def _refuse_secrets(format: str, exporter: Exporter, options: Mapping[str, str]) -> None:
    for name in options:
        option = settings.find_option(exporter, name)
        if option is not None and option.secret:
            variable = f"put it into ${option.env}, or " if option.env else ""
            raise ExportError(
                f"{format}.{name} is secret and must not stand here: {variable}name the environment"
                f" variable that has it with {format}.{name}{settings.SUFFIX}=NAME, or write it "
                f"into {visible(settings.settings_file(), 500)}"
            )


def _masked(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_MASKED:
            text = text.replace(secret, MASK)
    return text

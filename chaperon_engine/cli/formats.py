"""The part of the help that lists export formats with their options."""

from __future__ import annotations

from collections.abc import Iterator

from chaperon_engine import export
from chaperon_engine.export.layout import wrap
from chaperon_engine.export.settings import settings_file
from chaperon_engine.text import visible

_WIDTH = 80
_NAMES = 26
"""Columns for names, with what is before them."""


def show_formats() -> str:
    """All formats, also those of other packages; what cannot be used says why."""
    lines = ["", "formats of --out, and their options (--out-option FORMAT.NAME=VALUE):"]
    for name in export.formats():
        lines += _of_format(export.describe(name))
    lines += [
        "",
        "Secrets come from the environment or from the file below, never from an option.",
        "Options and destinations that never change stand there as well, a table for each",
        f"format: {visible(settings_file(), 1000)}",
    ]
    return "\n".join(lines) + "\n"


def _of_format(format: export.ExportFormat) -> Iterator[str]:
    name = visible(format.name, 60)
    if format.problem:
        yield f"  {name}"
        yield from wrap(format.problem, _WIDTH, "      ")
        return
    destination = f"={format.destination}"
    yield f"  {name}{visible(destination if format.needs_destination else f'[{destination}]', 200)}"
    yield f"      {visible(format.summary)}"
    for option in format.options:
        if option.secret:
            continue
        default = f"default {option.default}" if option.default else ""
        variable = f"${option.env}" if option.env else ""
        notes = ", ".join(note for note in (default, variable) if note)
        text = visible(option.help) + (f" ({visible(notes)})" if notes else "")
        yield f"      {visible(option.name, 60):<{_NAMES - 6}}{text}"

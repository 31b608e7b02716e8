"""What a person is told and asks of the export formats."""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine import ExportFormat, UserError, visible
from chaperon_tui.state.table import Column, Table

FORMATS = (
    Column("format", "Format", 12, "left"),
    Column("summary", "Makes", 0, "left"),
)


def formats_table(formats: Sequence[ExportFormat]) -> Table:
    """Every format with what it makes, or why it cannot be used."""
    rows = [
        (
            (visible(each.name, 30), ""),
            (visible(each.problem or each.summary, 200), "bad" if each.problem else "dim"),
        )
        for each in formats
    ]
    return Table.of(FORMATS, rows, empty="No formats.")


def destination_words(format: ExportFormat) -> tuple[str, str]:
    """What its destination is called, and what an empty one means."""
    if format.is_file:
        return "Path", "empty: the default path, results/<date>/<load test>/…"
    shown = visible(format.destination, 60) or "destination"
    fallback = "needed" if format.needs_destination else "empty: that of your settings"
    return "Destination", f"{shown} · {fallback}"


def launch_hint(format: ExportFormat) -> str:
    """The placeholder of its field in the launch form."""
    if format.problem:
        return visible(format.problem, 120)
    if format.is_file:
        return "path, or - for the default path; empty: none"
    fallback = "" if format.needs_destination else ", or - for that of your settings"
    return f"{visible(format.destination, 60)}{fallback}; empty: none"


def options_hint(format: ExportFormat) -> str:
    """`separator=VALUE  token-env=VALUE`; empty for a format without options."""
    names = [f"{each.name}-env" if each.secret else each.name for each in format.options]
    return "  ".join(f"{visible(name, 30)}=VALUE" for name in names)


def parse_options(text: str, format: ExportFormat) -> dict[str, object]:
    """`name=value` separated by blanks, as keywords of an export. Raises UserError."""
    options: dict[str, object] = {}
    for word in text.split():
        name, sign, value = word.partition("=")
        if not sign or not name:
            known = options_hint(format) or "this format has no options"
            raise UserError(f"{visible(word, 60)!r} is no option such as name=value: {known}")
        options[name.replace("-", "_")] = value
    return options

"""CSV cells and tables. Pure.

Owns: dialect options, and that no text becomes a formula in a spreadsheet. Must not know reports.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from chaperon_engine.export.exporter import Option
from chaperon_engine.export.files import ExportError
from chaperon_engine.text import visible

Cell = str | int | float | None

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters with which spreadsheets begin a formula; the last four are full-width."""

_MAX_TEXT = 4000
_NAMED = {"tab": "\t", "crlf": "\r\n", "lf": "\n", "\\t": "\t", "\\n": "\n", "\\r\\n": "\r\n"}

TABLE_OPTIONS = (
    Option("separator", "between cells: one character, or tab", ","),
    Option("delimiter", "between rows: lf, crlf, or any text", "lf"),
)


def text_cell(text: object) -> str:
    """Foreign text for a cell: visible, and never a formula (a leading apostrophe)."""
    shown = str(text)
    shown = (
        visible(shown, _MAX_TEXT)
        if not shown.startswith(("\t", "\r"))
        else ("'" + visible(shown, _MAX_TEXT))
    )
    return "'" + shown if shown.startswith(_FORMULA_STARTS) else shown


def counts_cell(counts: Mapping[str, int]) -> str:
    """A mapping of counts in one cell: `reset:3 timeout_total:12`."""
    return text_cell(" ".join(f"{key}:{count}" for key, count in sorted(counts.items())))


def encode_table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], options: Mapping[str, str], format: str
) -> Iterator[bytes]:
    """A table in UTF-8, in chunks. `options` are those of `TABLE_OPTIONS`."""
    separator, delimiter = dialect(options, format)
    return _encode(header, rows, separator, delimiter)


def dialect(options: Mapping[str, str], format: str) -> tuple[str, str]:
    """(separator, delimiter); raises `ExportError` when they would make no table."""
    separator = _NAMED.get(options["separator"], options["separator"])
    delimiter = _NAMED.get(options["delimiter"], options["delimiter"])
    if len(separator) != 1 or separator in '"\r\n':
        raise ExportError(f"the {format} separator must be one character such as ; or tab")
    if not delimiter or '"' in delimiter or separator in delimiter:
        raise ExportError(f"the {format} delimiter must end a row, such as lf or crlf")
    return separator, delimiter


def _encode(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], separator: str, delimiter: str
) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=delimiter)
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        if buffer.tell() > 64 * 1024:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()

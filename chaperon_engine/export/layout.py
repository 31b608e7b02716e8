"""Text in columns for terminals: widths of wide characters, tables, colours. Pure.

Every text that goes in here has passed `text.visible` already.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

Style = Literal["", "bold", "dim", "red", "yellow", "green", "cyan"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33", "green": "32", "cyan": "36"}


def paint(text: str, style: Style, color: bool) -> str:
    """`text` in a style, or as it is when there is no colour."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style and text else text


def cell_width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, ending in `…` when something was cut."""
    if cell_width(text) <= width:
        return text
    if width < 1:
        return ""
    kept, used = [], 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` cut and filled with blanks to exactly `width` columns."""
    shown = cut(text, width)
    blanks = " " * (width - cell_width(shown))
    return blanks + shown if right else shown + blanks


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    color: bool,
    left: int = 1,
    flexible: int = 0,
    styles: Sequence[Style] = (),
    indent: int = 2,
) -> list[str]:
    """Lines of a table: the first `left` columns to the left, the others to the right.

    The column `flexible` gives way when the whole is wider than `width`, down to 12 columns; what
    is still wider is cut.
    `styles` colours whole rows.
    """
    everything = [header, *rows]
    widths = [max(cell_width(row[column]) for row in everything) for column in range(len(header))]
    spare = width - indent - sum(widths) - 2 * (len(widths) - 1)
    if spare < 0:
        widths[flexible] = max(12, widths[flexible] + spare)
    lines = []
    for number, row in enumerate(everything):
        cells = [pad(cell, widths[column], right=column >= left) for column, cell in enumerate(row)]
        line = cut((" " * indent + "  ".join(cells)).rstrip(), width)
        style: Style = "dim" if not number else (styles[number - 1] if styles else "")
        lines.append(paint(line, style, color))
    return lines


_COUNTED = frozenset({"requests", "failed", "http err"})
"""Titles that read well behind their number."""


def stacked(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    color: bool,
    left: int = 1,
    styles: Sequence[Style] = (),
    indent: int = 2,
) -> list[str]:
    """The same as `table` where it would not fit: a row is a line with its first column, then lines
    of titles and values: `12 requests  p50 3 ms`."""
    lines: list[str] = []
    for number, row in enumerate(rows):
        style: Style = styles[number] if styles else ""
        lines.append(paint(cut(" " * indent + row[0], width), style, color))
        current = ""
        for column, (title, cell) in enumerate(zip(header[1:], row[1:], strict=True), 1):
            is_count = column >= left and title in _COUNTED
            part = f"{cell} {title}" if is_count else f"{title} {cell}"
            if current and cell_width(current) + 2 + cell_width(part) > width:
                lines.append(paint(cut(current, width), style, color))
                current = ""
            current = f"{current}  {part}" if current else " " * 2 * indent + part
        lines.append(paint(cut(current, width), style, color))
    return lines


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """`text` in lines of at most `width` columns, broken at blanks; longer words are left whole."""
    lines: list[str] = []
    current = indent
    for word in text.split(" "):
        if current.strip() and cell_width(current) + 1 + cell_width(word) > width:
            lines.append(current)
            current = indent + word
        else:
            current = f"{current} {word}" if current.strip() else indent + word
    return [*lines, current]


def plural(number: int, one: str, many: str = "") -> str:
    """`1 request`, `1,234 requests`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

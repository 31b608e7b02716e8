"""Rows of styled text and their width in terminal cells.

A character is not a cell: CJK and emoji take two, combining marks none. Every text that is put
beside another passes `pad`, so that columns stand straight whatever a server sent.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

Run = tuple[str, str]
"""Text and the name of its role; the empty role is plain text."""

Row = tuple[Run, ...]
"""One line, left to right."""


@lru_cache(maxsize=4096)
def char_width(char: str) -> int:
    """Cells that one character takes: 0, 1 or 2."""
    if " " <= char <= "~":
        return 1
    category = unicodedata.category(char)
    if category in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def text_width(text: str) -> int:
    """Cells that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(char_width, text))


def clip(text: str, width: int) -> str:
    """`text` in at most `width` cells; what was cut ends in `…`."""
    if text.isascii() and len(text) <= width:
        return text
    if text_width(text) <= width:
        return text
    if width <= 0:
        return ""
    kept: list[str] = []
    room = width - 1
    for char in text:
        room -= char_width(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "…"


def clip_middle(text: str, width: int) -> str:
    """`text` in at most `width` cells; what was cut from its middle stands as `…`.

    Two thirds of the room are the beginning's: names and paths differ at both ends.
    """
    if text_width(text) <= width or width < 6:
        return clip(text, width)
    tail: list[str] = []
    room = (width - 1) // 3
    for char in reversed(text):
        room -= char_width(char)
        # A mark that combines with the character before it would combine with the sign of the cut.
        if room < 0:
            break
        tail.append(char)
    while tail and not char_width(tail[-1]):
        tail.pop()
    end = "".join(reversed(tail))
    return clip(text, width - text_width(end)) + end


def pad(text: str, width: int, align: str = "left") -> str:
    """`text` in exactly `width` cells, cut or filled; `align` is left, right or center."""
    shown = clip(text, width)
    missing = width - text_width(shown)
    if missing <= 0:
        return shown
    if align == "right":
        return " " * missing + shown
    if align == "center":
        left = missing // 2
        return " " * left + shown + " " * (missing - left)
    return shown + " " * missing


def row_width(row: Row) -> int:
    """Cells that a row takes."""
    return sum(text_width(text) for text, _ in row)


def row_text(row: Row) -> str:
    """The plain text of a row."""
    return "".join(text for text, _ in row)


def merge_runs(cells: list[str], roles: list[str]) -> Row:
    """Neighbouring cells of equal role joined into runs."""
    runs: list[Run] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or roles[index] != roles[start]:
            runs.append(("".join(cells[start:index]), roles[start]))
            start = index
    return tuple(runs)

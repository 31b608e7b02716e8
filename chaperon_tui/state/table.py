"""Tables as plain data: columns that know their width, rows of cells with roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from chaperon_tui.raster.cells import Row, clip_middle, pad, text_width

Cell = tuple[str, str]
"""Text and role."""


@dataclass(frozen=True)
class Column:
    """One column."""

    key: str
    title: str
    width: int = 0
    """In cells; 0 takes what the others leave."""
    align: str = "right"
    from_width: int = 0
    """Shown only in tables at least this wide."""
    sort: str = ""
    """Name by which the table can be sorted; empty if it cannot."""
    cut_middle: bool = False
    """What has no room is cut from the middle, not the end."""


Cells = tuple[Cell, ...]
"""One row of a table."""


class MadeRows(Sequence[Cells]):
    """Rows that are made when they are looked at: of thousands a screen shows some dozens."""

    def __init__(self, count: int, make: Callable[[int], Cells]):
        self._places = range(count)
        self._make = make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Cells: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Cells]: ...
    def __getitem__(self, place: int | slice) -> Cells | Sequence[Cells]:
        if isinstance(place, slice):
            return [self._make(each) for each in self._places[place]]
        return self._make(self._places[place])


@dataclass(frozen=True)
class Table:
    """Columns and rows; `rows` holds a part of `total` beginning at `offset`."""

    columns: tuple[Column, ...]
    rows: Sequence[Cells] = ()
    offset: int = 0
    total: int = 0
    sort: str = ""
    descending: bool = True
    empty: str = "Nothing yet."
    """Said when there are no rows."""

    @classmethod
    def of(cls, columns: Sequence[Column], rows: Sequence[Cells], *, empty: str) -> Table:
        """A table that holds all its rows."""
        return cls(tuple(columns), rows, total=len(rows), empty=empty)


def widths(columns: Sequence[Column], total: int) -> list[int]:
    """Width of each column in a table `total` cells wide, one blank between; 0 hides a column."""
    shown = [column for column in columns if column.from_width <= total]
    fixed = sum(column.width for column in shown) + len(shown) - 1
    flexible = [column for column in shown if column.width == 0]
    room = max(0, total - fixed)
    result: list[int] = []
    for column in columns:
        if column not in shown:
            result.append(0)
        elif column.width:
            result.append(column.width)
        else:
            share = room // len(flexible)
            if column is flexible[-1]:
                share = room - share * (len(flexible) - 1)
            result.append(max(share, 1))
    return result


def header_row(table: Table, total: int) -> Row:
    """The titles; an arrow marks the column by which the table is sorted."""
    cells: list[Cell] = []
    for column, width in zip(table.columns, widths(table.columns, total), strict=True):
        if not width:
            continue
        title = column.title
        is_sorted = bool(column.sort) and column.sort == table.sort
        if is_sorted:
            arrow = "▼" if table.descending else "▲"
            title = f"{arrow}{title}" if column.align == "right" else f"{title} {arrow}"
        role = "sorted" if is_sorted else "header"
        cells.append((pad(title, width, column.align), role))
        cells.append((" ", "header"))
    return fit(tuple(cells[:-1]), total)


def body_row(table: Table, row: Sequence[Cell], total: int) -> Row:
    """One line of the table."""
    cells: list[Cell] = []
    for column, width, (text, role) in zip(
        table.columns, widths(table.columns, total), row, strict=True
    ):
        if width:
            shown = clip_middle(text, width) if column.cut_middle else text
            cells.append((pad(shown, width, column.align), role))
            cells.append((" ", ""))
    return fit(tuple(cells[:-1]), total)


def column_at(table: Table, x: int, total: int) -> Column | None:
    """The column that stands at cell `x`."""
    start = 0
    for column, width in zip(table.columns, widths(table.columns, total), strict=True):
        if width and start <= x < start + width + 1:
            return column
        start += width + 1 if width else 0
    return None


def fit(row: Row, width: int) -> Row:
    """The row in exactly `width` cells."""
    kept: list[Cell] = []
    room = width
    for text, role in row:
        if room <= 0:
            break
        shown = pad(text, min(room, text_width(text)))
        kept.append((shown, role))
        room -= text_width(shown)
    if room > 0:
        kept.append((" " * room, ""))
    return tuple(kept)


def short_path(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(path.rsplit("/", 2)[-2:])

"""Rows given by their owner, drawn as they are: heads, summaries, notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.geometry import Size

from chaperon_tui.raster.cells import Row, char_width, merge_runs, row_width
from chaperon_tui.state.table import fit
from chaperon_tui.widgets.painted import Painted


class Rows(Painted):
    """Fixed rows; long ones are wrapped at blanks if `wrap`, else cut."""

    def __init__(
        self,
        rows: Sequence[Row] = (),
        *,
        wrap: bool = False,
        hanging: int = 0,
        id: str | None = None,
        classes: str | None = None,
    ):
        super().__init__(id=id, classes=classes)
        self._given: list[Row] = list(rows)
        self._wrap = wrap
        self._hanging = hanging

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows; the layout changes only if their number does."""
        if list(rows) == self._given:
            return
        is_taller = len(rows) != len(self._given) or self._wrap
        self._given = list(rows)
        self._rows = None
        self.refresh(layout=is_taller)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the rows take."""
        return max(1, len(self._lines(width)))

    def paint(self, width: int, height: int) -> list[Row]:
        return [fit(row, width) for row in self._lines(width)[:height]]

    def _lines(self, width: int) -> list[Row]:
        if not self._wrap:
            return self._given
        return [line for row in self._given for line in wrap_row(row, width, self._hanging)]


class Drawing(Painted):
    """Rows made by a function of width and height: charts."""

    def __init__(
        self, draw: Callable[[int, int], list[Row]], *, id: str | None = None,
        classes: str | None = None,
    ):  # fmt: skip
        super().__init__(id=id, classes=classes)
        self._draw = draw

    def paint(self, width: int, height: int) -> list[Row]:
        return self._draw(width, height)


def _joined(cells: list[tuple[str, str]]) -> Row:
    return merge_runs([char for char, _ in cells], [role for _, role in cells])


def wrap_row(row: Row, width: int, hanging: int = 0) -> list[Row]:
    """A row in lines of at most `width` cells, broken at blanks where there are any.

    The second line and those after it begin with `hanging` blanks.
    """
    if row_width(row) <= width or width < 2:
        return [row]
    cells = [(char, role) for text, role in row for char in text]
    lines: list[Row] = []
    start = 0
    while start < len(cells):
        indent = hanging if lines and hanging < width // 2 else 0
        taken, end, blank = indent, start, -1
        while end < len(cells) and taken + char_width(cells[end][0]) <= width:
            taken += char_width(cells[end][0])
            if cells[end][0] == " ":
                blank = end
            end += 1
        if end < len(cells) and blank > start:
            end = blank + 1
        end = max(end, start + 1)
        lines.append((*(((" " * indent, ""),) if indent else ()), *_joined(cells[start:end])))
        start = end
    return lines

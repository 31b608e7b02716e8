"""The base of all widgets that draw rows of cells themselves.

Owns: from rows to strips, and drawing no more than has changed and can be seen. A widget gives its
rows in `paint`; `repaint` compares them with those on the screen and refreshes those that differ.
Roles get their look from `looks`.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from chaperon_tui.raster.cells import Row, row_width
from chaperon_tui.widgets.looks import style_of


class Painted(Widget):
    """A widget of its own rows."""

    def __init__(self, *, id: str | None = None, classes: str | None = None):
        super().__init__(id=id, classes=classes)
        self._rows: list[Row] | None = None
        self._painted_at = (-1, -1)
        self._looks: dict[str, Style] = {}

    def paint(self, width: int, height: int) -> list[Row]:
        """The rows for this size; missing ones are blank, as all are here."""
        return []

    @property
    def is_seen(self) -> bool:
        """On the screen, and the screen is not below another one."""
        return self.is_attached and self.screen.is_current and self.is_on_screen

    def repaint(self) -> None:
        """Something to show has changed: draw the lines that differ, or nothing while unseen."""
        if not self.is_seen:
            if self._rows is not None:
                self._rows = None
                self.refresh()
            return
        width, height = self.size
        before = self._rows
        if before is None or self._painted_at != (width, height):
            self._rows = None
            self.refresh()
            return
        rows = self.paint(width, height)
        self._rows = rows
        if len(rows) != len(before):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, rows, strict=True)) if old != new]
        if changed:
            self.refresh(*_regions(changed, width))

    def render_line(self, y: int) -> Strip:
        """One line, painted when it is asked for."""
        width, height = self.size
        if self._rows is None or self._painted_at != (width, height):
            self._rows = self.paint(width, height)
            self._painted_at = (width, height)
        return self._strip(self._rows[y] if y < len(self._rows) else (), width)

    def notify_style_update(self) -> None:
        """Forget the looks of roles: the theme or the state of the widget has changed."""
        super().notify_style_update()
        self._looks = {}

    def _strip(self, row: Row, width: int) -> Strip:
        segments = [Segment(text, self._look(role)) for text, role in row if text]
        strip = Strip(segments, row_width(row))
        return strip.adjust_cell_length(width, self._look(""))

    def _look(self, role: str) -> Style:
        look = self._looks.get(role)
        if look is None:
            background = self.background_colors[1]
            look = style_of(role, self.app.theme_variables, background)
            self._looks[role] = look
        return look


def _regions(lines: list[int], width: int) -> list[Region]:
    """Neighbouring lines as one region each."""
    regions: list[Region] = []
    start = before = lines[0]
    for line in [*lines[1:], -1]:
        if line != before + 1:
            regions.append(Region(0, start, width, before - start + 1))
            start = line
        before = line
    return regions

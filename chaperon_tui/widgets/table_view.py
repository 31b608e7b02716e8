"""A table with a cursor: draws a `Table`, turns keys and mouse into messages.

The rows may be a part of a longer table elsewhere: the view then says which rows it shows
(`Scrolled`) and draws those it has.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from chaperon_tui.raster.cells import Row
from chaperon_tui.state.table import Table, body_row, column_at, fit, header_row
from chaperon_tui.widgets.painted import Painted


class TableView(Painted, can_focus=True):
    """Header, visible rows and a cursor line marked with `›`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class TableMessage(Message):
        """Base of the messages of a table."""

        def __init__(self, view: TableView):
            super().__init__()
            self.view = view

        @property
        def control(self) -> TableView:
            """The table that sent it."""
            return self.view

    class Chosen(TableMessage):
        """Enter or click on a row."""

    class Moved(TableMessage):
        """The cursor stands on another row."""

    class Scrolled(TableMessage):
        """Other rows are to be seen: from `view.top`, `view.page` of them."""

    class HeaderChosen(TableMessage):
        """Click on the title of a column that can be sorted."""

        def __init__(self, view: TableView, sort: str):
            super().__init__(view)
            self.sort = sort

    def __init__(
        self,
        table: Table,
        *,
        header: bool = True,
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ):
        super().__init__(id=id, classes=classes)
        self.table = table
        self.cursor = 0
        """Row of the whole table."""
        self.top = 0
        """First visible row of the whole table."""
        self._header = header
        self._follow = follow
        """Stay at the end while the cursor is there: for logs."""

    @property
    def page(self) -> int:
        """How many rows fit."""
        return max(1, self.size.height - (1 if self._header else 0))

    def show(self, table: Table) -> None:
        """Show other rows; cursor and place stay."""
        was_last = self.cursor >= self.table.total - 1
        self.table = table
        if self._follow and was_last:
            self.cursor = max(0, table.total - 1)
        self._clamp()
        self.repaint()

    def paint(self, width: int, height: int) -> list[Row]:
        table, inner = self.table, width - 2
        rows: list[Row] = []
        if self._header:
            rows.append((("  ", "header"), *header_row(table, inner)))
        if not table.total:
            rows.append(fit((("  " + table.empty, "dim"),), width))
            return rows
        self._clamp()
        for index in range(self.top, min(self.top + height - len(rows), table.total)):
            here = index - table.offset
            if not 0 <= here < len(table.rows):
                rows.append(fit((("  …", "dim"),), width))
                continue
            row = body_row(table, table.rows[here], inner)
            if index == self.cursor and self.has_focus:
                row = tuple((text, f"{role}+cursor") for text, role in row)
                rows.append((("› ", "key+cursor"), *row))
            else:
                rows.append((("› " if index == self.cursor else "  ", "dim"), *row))
        return rows

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and bring it into view."""
        before, top = self.cursor, self.top
        self.cursor = index
        self._clamp()
        self.repaint()
        if self.cursor != before:
            self.post_message(self.Moved(self))
        if self.top != top:
            self.post_message(self.Scrolled(self))

    def action_move(self, step: int) -> None:
        """One row up or down."""
        self.move_to(self.cursor + step)

    def action_page(self, step: int) -> None:
        """One page up or down."""
        self.move_to(self.cursor + step * self.page)

    def action_edge(self, step: int) -> None:
        """First or last row."""
        self.move_to(0 if step < 0 else self.table.total - 1)

    def action_choose(self) -> None:
        """Open the row below the cursor."""
        if self.table.total:
            self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """Header: sort. Row: cursor; a second click opens it."""
        at = event.get_content_offset(self)
        if at is None:
            return
        if self._header and at.y == 0:
            column = column_at(self.table, at.x - 2, self.size.width - 2)
            if column is not None and column.sort:
                self.post_message(self.HeaderChosen(self, column.sort))
            return
        index = self.top + at.y - (1 if self._header else 0)
        if index < self.table.total:
            is_again = index == self.cursor
            self.move_to(index)
            if is_again or event.chain > 1:
                self.action_choose()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self.move_to(self.cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self.move_to(self.cursor - 3)

    def on_focus(self) -> None:
        """The cursor line shows the focus."""
        self.repaint()

    def on_blur(self) -> None:
        """The cursor line shows the focus."""
        self.repaint()

    def on_resize(self) -> None:
        """Other rows fit."""
        self._clamp()
        self.post_message(self.Scrolled(self))

    def _clamp(self) -> None:
        total, page = self.table.total, self.page
        self.cursor = max(0, min(self.cursor, total - 1))
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + page:
            self.top = self.cursor - page + 1
        self.top = max(0, min(self.top, total - page))

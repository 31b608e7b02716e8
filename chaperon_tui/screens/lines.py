"""One row of a table in full: what a column had no room for, and the traceback of an exception."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from chaperon_engine import ExceptionGroup, ReportException, visible, visible_block
from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.screens.dialog import Dialog
from chaperon_tui.state.table import Cell, Table, short_path
from chaperon_tui.widgets.rows import Rows


class LinesScreen(Dialog[None]):
    """Rows in a frame that can be scrolled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close", id="lines.close"),
    ]

    def __init__(self, title: str, rows: Sequence[Row]):
        super().__init__()
        self._title = title
        self._rows = rows

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            yield Rows(self._rows, wrap=True)


def row_screen(
    table: Table,
    row: Sequence[Cell],
    exceptions: Sequence[ExceptionGroup | ReportException] = (),
) -> LinesScreen:
    """A row with its column titles, and the traceback if it is an exception's."""
    rows: list[Row] = [
        ((pad(column.title.strip(), 14) + " ", "dim"), (text, role))
        for column, (text, role) in zip(table.columns, row, strict=True)
        if text.strip()
    ]
    texts = {text for text, _ in row}
    for group in exceptions:
        place = visible(f"{short_path(group.file)}:{group.line}", 120)
        if place in texts and visible(f"{group.type}: {group.message}", 120) in texts:
            rows += [(), ((f"In {visible(group.where, 20)}, the first of {group.count}:", "dim"),)]
            rows += [((line, ""),) for line in visible_block(group.traceback).split("\n")]
    return LinesScreen("Details", rows)

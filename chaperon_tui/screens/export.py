"""Writes a report as a file: format, path, and where it was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from chaperon_engine import ChaperonError, Report, visible
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.table import Column, Table
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp


_COLUMNS = (Column("format", "Format", 0, "left"),)


class ExportScreen(ModalScreen[dict[str, str]]):
    """Dismisses with what was written: format to path."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="export.close"),
        Binding("f5,ctrl+l", "write", "Write", id="export.write", priority=True),
    ]

    def __init__(self, report: Report):
        super().__init__()
        self._report = report
        self._formats: list[str] = []
        self._written: dict[str, str] = {}
        self._is_writing = False

    def compose(self) -> ComposeResult:
        self._formats = cast("ChaperonApp", self.app).engine.export_formats()
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content("Export the report")
            yield Rows([(("Format", "heading"), ("  arrow keys choose", "dim"))])
            rows = [((visible(name, 30), ""),) for name in self._formats]
            chooser = TableView(
                Table.of(_COLUMNS, rows, empty="No formats."), header=False, id="format"
            )
            chooser.styles.height = max(1, len(rows))
            yield chooser
            yield Rows([(("Path", "heading"), ("  empty for the default path", "dim"))])
            yield Input(placeholder="default: results/<date>/<load test>/…", id="path")
            yield Rows(wrap=True, id="answer")
            with Horizontal(classes="buttons"):
                yield Button(Content("Write"), variant="primary", id="write")
                yield Button(Content("Close"), id="close")

    def on_mount(self) -> None:
        """Begin with the format."""
        self.query_one(TableView).focus()

    @on(Button.Pressed, "#write")
    @on(Input.Submitted)
    @on(TableView.Chosen)
    def pressed(self) -> None:
        """Write."""
        self.action_write()

    @on(Button.Pressed, "#close")
    def closed(self) -> None:
        """Close."""
        self.action_close()

    def action_write(self) -> None:
        """Write one file at a time."""
        if not self._is_writing:
            self._is_writing = True
            self.run_worker(self._write(), group="write")

    async def _write(self) -> None:
        name = self._formats[self.query_one(TableView).cursor]
        path = self.query_one("#path", Input).value.strip() or None
        answer = self.query_one("#answer", Rows)
        engine = cast("ChaperonApp", self.app).engine
        try:
            written = await asyncio.to_thread(engine.export_report, self._report, name, path)
        except (ChaperonError, OSError) as error:
            answer.show([((f"✗ {in_words(error)}", "bad"),)])
        else:
            self._written[name] = str(written)
            answer.show([(("✓ Written: ", "good"), (visible(written), "value"))])
        finally:
            self._is_writing = False

    def action_close(self) -> None:
        """Back to the report, which names the paths."""
        self.dismiss(self._written)

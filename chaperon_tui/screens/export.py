"""Sends a report to a file or a service: format, destination, and where it is now."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input

from chaperon_engine import ChaperonError, ExportFormat, Report, UserError, visible
from chaperon_tui.screens.dialog import Dialog
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.exports import (
    destination_words,
    formats_table,
    options_hint,
    parse_options,
)
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp


class ExportScreen(Dialog[dict[str, str]]):
    """Dismisses with what was written: format to path."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="export.close"),
        Binding("f5,ctrl+l", "write", "Write", id="export.write", priority=True),
    ]

    def __init__(self, report: Report):
        super().__init__()
        self._report = report
        self._formats: list[ExportFormat] = []
        self._written: dict[str, str] = {}
        self._is_writing = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content("Export the report")
            yield Rows([(("Format", "heading"), ("  arrow keys choose", "dim"))])
            yield TableView(formats_table([]), header=False, id="format")
            yield Rows(id="destination-name")
            yield Input(id="path")
            yield Rows([(("Options", "heading"),)], id="options-name")
            yield Input(id="options")
            yield Rows(wrap=True, id="answer")
            with Horizontal(classes="buttons"):
                yield Button(Content("Write"), variant="primary", id="write")
                yield Button(Content("Close"), id="close")

    async def on_mount(self) -> None:
        """Begin with the format; reading all of them may load libraries."""
        engine = cast("ChaperonApp", self.app).engine
        self._formats = await asyncio.to_thread(
            lambda: [engine.export_format(name) for name in engine.export_formats()]
        )
        chooser = self.query_one(TableView)
        chooser.styles.height = max(1, min(len(self._formats), 8))
        chooser.show(formats_table(self._formats))
        chooser.focus()
        self._show_format()

    @property
    def _chosen(self) -> ExportFormat | None:
        cursor = self.query_one(TableView).cursor
        return self._formats[cursor] if cursor < len(self._formats) else None

    @on(TableView.Moved)
    def _show_format(self) -> None:
        """What can be said to the chosen format."""
        chosen = self._chosen
        if chosen is None:
            return
        name, hint = destination_words(chosen)
        self.query_one("#destination-name", Rows).show([((name, "heading"), (f"  {hint}", "dim"))])
        options = options_hint(chosen)
        self.query_one("#options", Input).placeholder = options
        for widget in ("#options-name", "#options"):
            self.query_one(widget).display = bool(options)

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
        chosen = self._chosen
        answer = self.query_one("#answer", Rows)
        if chosen is None:
            return
        path = self.query_one("#path", Input).value.strip() or None
        given = self.query_one("#options", Input).value if chosen.options else ""
        engine = cast("ChaperonApp", self.app).engine
        try:
            if chosen.problem:
                raise UserError(chosen.problem)
            options = parse_options(given, chosen)
            written = await asyncio.to_thread(
                partial(engine.export_report, self._report, chosen.name, path, **options)
            )
        except (ChaperonError, OSError) as error:
            answer.show([((f"✗ {in_words(error)}", "bad"),)])
        else:
            self._written[chosen.name] = str(written)
            answer.show([(("✓ Written: ", "good"), (visible(written), "value"))])
        finally:
            self._is_writing = False

    def action_close(self) -> None:
        """Back to the report, which names the paths."""
        self.answer(self._written)

"""Former runs: open a report, attach to what is running, recover what was killed, remove."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, Report, visible
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.state.runs import runs_table
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_engine import RunSummary
    from chaperon_tui.app import ChaperonApp


class RunsScreen(Screen[None]):
    """A table of all runs of this user on this machine."""

    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", id="runs.open",
                tooltip="Open the report, attach to a running run, or recover a killed one "
                "(also Enter)"),
        Binding("d,delete", "remove", "Remove", id="runs.remove",
                tooltip="Remove the run and its record from this machine"),
        Binding("f5", "reload", "Reload", id="runs.reload", tooltip="Read the list again"),
        Binding("escape,q", "app.pop_screen", "Back", id="runs.back", tooltip="Back to the menu"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[RunSummary] = []

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    def compose(self) -> ComposeResult:
        yield Rows([((" Former runs", "key"), ("  Enter opens", "dim"))], id="head")
        with Vertical(classes="panel", id="list") as panel:
            panel.border_title = Content("Runs")
            yield TableView(runs_table([]), id="runs")
        yield Footer()

    def on_mount(self) -> None:
        """Read the list."""
        self.query_one("#runs").focus()
        self.action_reload()

    def on_screen_resume(self) -> None:
        """A run may have ended meanwhile."""
        self.action_reload()

    @work(group="list", exclusive=True)
    async def action_reload(self) -> None:
        """Read the list again."""
        try:
            self._runs = await asyncio.to_thread(self.chaperon.engine.list_runs)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self.query_one("#runs", TableView).show(runs_table(self._runs))
        self.query_one("#list").border_subtitle = Content(str(len(self._runs)))

    @property
    def chosen(self) -> RunSummary | None:
        """The run below the cursor."""
        cursor = self.query_one("#runs", TableView).cursor
        return self._runs[cursor] if cursor < len(self._runs) else None

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """Enter or click."""
        self.action_open()

    @work(group="open", exclusive=True)
    async def action_open(self) -> None:
        """Report, live screen or recovery, as the run's state allows."""
        run = self.chosen
        if run is None:
            return
        if run.state == "running":
            self.chaperon.attach_to(run.id)
            return
        engine = self.chaperon.engine
        try:
            if run.state == "killed":
                answer = await self.app.push_screen_wait(ConfirmScreen(
                    "This run was killed",
                    [(("Recovering makes a report of what its journal holds.", ""),)],
                    [Choice("r", "Recover", "recover", "primary"), Choice("c", "Back", "")],
                ))  # fmt: skip
                if answer != "recover":
                    return
                report = await asyncio.to_thread(engine.recover, run.id)
            else:
                report = await asyncio.to_thread(engine.load_report, run.id)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self._show(report)

    def _show(self, report: Report) -> None:
        from chaperon_tui.screens.report import ReportScreen

        self.app.push_screen(ReportScreen(report, request=None, written={}))

    @work(group="remove", exclusive=True)
    async def action_remove(self) -> None:
        """Remove, after a question."""
        run = self.chosen
        if run is None:
            return
        if run.state == "running":
            self.chaperon.say("A run that is going cannot be removed; stop it first.", severe=True)
            return
        answer = await self.app.push_screen_wait(ConfirmScreen(
            "Remove this run?",
            [((visible(run.id, 80), "value"),),
             (("Its journal and report are deleted; exports elsewhere stay.", ""),)],
            [Choice("r", "Remove", "remove", "error"), Choice("c", "Keep", "", "primary")],
        ))  # fmt: skip
        if answer == "remove":
            try:
                await asyncio.to_thread(self.chaperon.engine.delete_run, run.id)
            except (ChaperonError, OSError) as error:
                self.chaperon.say(error, severe=True)
            self.action_reload()

"""The report of a run: summary, series, problems, percentiles of a marked time window, export."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer

from chaperon_engine import ChaperonError, LaunchRequest, Report, visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.state import charts
from chaperon_tui.state.elsewhere import elsewhere_row
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.history import History, message_step, request_step
from chaperon_tui.state.reports import (
    metrics_table,
    problems_table,
    shown_metrics,
    shows_messages,
    summary_rows,
    window_rows,
)
from chaperon_tui.widgets.board import Board, Panel, has_room
from chaperon_tui.widgets.rows import Drawing, Rows
from chaperon_tui.widgets.table_view import TableView
from chaperon_tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp

WINDOW_AFTER_S = 0.2
"""How long a window stands before its percentiles are asked for."""


class ReportScreen(Screen[None]):
    """Reads a finished report; nothing here changes any more but what is exported."""

    CSS_PATH = "report.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "export", "Export", id="report.export",
                tooltip="Write the report as a file: CSV, JSON, timeline"),
        Binding("n", "again", "Start again", id="report.again",
                tooltip="Launch form for the same load test"),
        Binding("w", "window", "Time window", id="report.window",
                tooltip="Mark a time window with the arrow keys and see its exact percentiles"),
        Binding("f", "all_series", "All series", show=False, id="report.all",
                tooltip="All series, also first bytes, connections and warm-up, or the main ones"),
        Binding("z", "zoom", "Zoom", id="report.zoom",
                tooltip="One panel over the whole screen, or all panels"),
        *(Binding(str(n), f"panel({n - 1})", f"Panel {n}", show=False) for n in range(1, 5)),
        Binding("escape,q", "back", "Back", id="report.back", tooltip="Leave the report"),
    ]  # fmt: skip

    def __init__(
        self,
        report: Report,
        *,
        request: LaunchRequest | None,
        written: Mapping[str, str],
        where: str = "",
    ):
        super().__init__()
        self.report = report
        self.request = request
        self.written = dict(written)
        """Format to the path that was written."""
        self.where = where
        """`HOST:PORT` of the engine when the run was on another machine: its files are there."""
        self.all_series = False
        is_of_messages = shows_messages(report)
        self._subject = charts.MESSAGES if is_of_messages else charts.REQUESTS
        self._history = History(message_step if is_of_messages else request_step)
        self._history.extend([second.as_interval() for second in report.intervals])
        self._timer: Timer | None = None

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    def compose(self) -> ComposeResult:
        yield Rows(summary_rows(self.report), wrap=True, id="summary")
        yield Rows(wrap=True, hanging=1, id="written")
        yield Board(
            [
                Panel("Series", TableView(metrics_table(self.report), id="metrics"), id="series"),
                Panel("Time window", Timeline(self._draw_latency, self._history.last_s + 1,
                      id="timeline"), Rows([_HINT], wrap=True, id="window-figures"), id="window"),
                Panel(self._subject.rate.capitalize(), Drawing(self._draw_rate, id="rate"),
                      id="rates"),
                Panel("Errors, checks", TableView(problems_table(self.report), id="problems"),
                      id="errors"),
            ],
            id="board",
        )  # fmt: skip
        yield Footer()

    def on_mount(self) -> None:
        """Begin with the series."""
        self._show_written()
        self.query_one("#metrics").focus()
        self._note_series()
        warmup = charts.warmup_words(self.report.run.warmup_s)
        self.query_one("#window", Panel).set_note(f"{self._subject.time} · ← → mark{warmup}")
        self.query_one("#rates", Panel).set_note(warmup.removeprefix(" · "))

    @property
    def _phases(self) -> charts.Phases:
        run = self.report.run
        return charts.Phases(run.warmup_s, run.warmup_s + run.measured_s)

    def _draw_latency(
        self, width: int, height: int, marks: tuple[float, float] | None
    ) -> list[Row]:
        x = charts.time_range(self._history, self._history.last_s + 1.0, None, width)
        return charts.latency_chart(self._history.span(None), x, width, height, marks, self._phases)

    def _draw_rate(self, width: int, height: int) -> list[Row]:
        x = charts.time_range(self._history, self._history.last_s + 1.0, None, width)
        return charts.rate_chart(self._history.span(None), x, width, height, phases=self._phases,
                                 subject=self._subject)  # fmt: skip

    def _show_written(self) -> None:
        rows: list[Row] = [
            (("✓ Written: ", "good"), (f"{visible(name, 100)} ", "dim"), (visible(path), "value"))
            for name, path in self.written.items()
        ]
        if self.where:
            rows.insert(0, elsewhere_row(self.report.run.id, self.where))
        self.query_one("#written", Rows).show(rows)
        self.query_one("#written").display = bool(rows)

    def on_timeline_marked(self, event: Timeline.Marked) -> None:
        """Ask once the window stands."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(
            WINDOW_AFTER_S, lambda: self._ask_window(event.start_s, event.end_s)
        )

    @work(group="window", exclusive=True)
    async def _ask_window(self, start_s: int, end_s: int) -> None:
        figures = self.query_one("#window-figures", Rows)
        if self.where:
            figures.show([_NO_JOURNAL])
            return
        try:
            summary = await asyncio.to_thread(
                self.chaperon.engine.load_window, self.report.run.id, start_s, end_s
            )
        except (ChaperonError, OSError) as error:
            figures.show([((in_words(error), "bad"),)])
            return
        if summary is None:
            figures.show([(("Nothing was recorded in this window.", "dim"),)])
        else:
            figures.show(window_rows(summary))

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """A series, or a problem in full."""
        if event.view.id == "metrics":
            from chaperon_tui.screens.series import SeriesScreen
            from chaperon_tui.screens.series_sources import ReportSeries

            metrics = shown_metrics(self.report, all_kinds=self.all_series)
            source = ReportSeries(self.report, metrics[event.view.cursor])
            self.app.push_screen(SeriesScreen(source))
            return
        from chaperon_tui.screens.lines import row_screen

        table = event.view.table
        row = table.rows[event.view.cursor]
        self.app.push_screen(row_screen(table, row, self.report.exceptions))

    def action_window(self) -> None:
        """The time window; the first time one is marked."""
        self.query_one("#board", Board).select(1)
        timeline = self.query_one("#timeline", Timeline)
        if timeline.window is None:
            timeline.action_move(1)

    def action_all_series(self) -> None:
        """All series, or the main ones."""
        self.all_series = not self.all_series
        table = self.query_one("#metrics", TableView)
        table.show(metrics_table(self.report, all_kinds=self.all_series))
        table.move_to(0)
        self._note_series()

    def _note_series(self) -> None:
        total = self.query_one("#metrics", TableView).table.total
        note = f"{total} · all kinds" if self.all_series else f"{total}"
        self.query_one("#series", Panel).set_note(note)

    def action_panel(self, number: int) -> None:
        """Bring a panel to the front."""
        self.query_one("#board", Board).select(number)

    def action_zoom(self) -> None:
        """One panel or all."""
        self.query_one("#board", Board).toggle_zoom()

    @work(group="export", exclusive=True)
    async def action_export(self) -> None:
        """Ask for format and path, write, show the path."""
        from chaperon_tui.screens.export import ExportScreen

        written = await self.app.push_screen_wait(ExportScreen(self.report))
        if written:
            self.written.update(written)
            self._show_written()

    def action_again(self) -> None:
        """The launch form for the same load test."""
        from chaperon_tui.screens.launch import LaunchScreen

        run = self.report.run
        request = self.request or LaunchRequest(
            file=run.file, name=str(self.report.plan.get("load_test") or "") or None, detach=True
        )
        self.app.push_screen(LaunchScreen(request))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Start again needs a file, zoom several panels."""
        if action == "again":
            return not self.where and (self.request is not None or bool(self.report.run.file))
        if action == "zoom":
            return has_room(self)
        return True

    def action_back(self) -> None:
        """Leave the zoom, then the report."""
        board = self.query_one("#board", Board)
        if board.has_class("-zoomed"):
            self.action_zoom()
        else:
            self.app.pop_screen()


_NO_JOURNAL: Row = (("The journal, of which windows are made, lies on the run's own host.", "dim"),)
_HINT: Row = (("← → mark a window and move it, < > make it shorter or longer", "dim"),)

"""The live screen: one run, from its first second to its report.

Draws what the store holds. Counters and the series table follow every snapshot, charts and heatmap
every new second; nothing is drawn while the display is paused or another screen lies above.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import (
    ChaperonError,
    LaunchRequest,
    Report,
    Snapshot,
    View,
    show_count,
    visible,
)
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.screens.live_keys import KEYS
from chaperon_tui.state import charts
from chaperon_tui.state.figures import Progress, Tile, health_line, progress, tiles
from chaperon_tui.state.series import SeriesChoice
from chaperon_tui.state.store import RunStore
from chaperon_tui.state.table import Table
from chaperon_tui.state.tables import (
    ERRORS,
    LOG,
    SERIES,
    WORKERS,
    errors_table,
    log_table,
    workers_table,
)
from chaperon_tui.widgets.bars import HealthBar, StateLine, Tiles
from chaperon_tui.widgets.board import Board, Panel, has_room
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import Drawing
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.engine import RunHandle

RATE_HZ = 4.0
FRAME_S = 0.06
"""Longer than the toolkit's own interval between two frames."""
_EMPTY_TILES = tuple(
    Tile(title, "–") for title in ("Requests/s", "p50", "p95", "p99", "Failed", "In flight")
)


class LiveScreen(Screen[None]):
    """State, health, tiles and six panels."""

    CSS_PATH = "live.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, client: RunHandle, request: LaunchRequest | None):
        super().__init__()
        self.client = client
        self.request = request
        """What the run was launched from; None when this viewer attached to it."""
        self.store = RunStore(client.run_id, client.plan)
        self.series = SeriesChoice()
        self.report: Report | None = None
        self.is_paused = False
        self._charts = charts.RunCharts(self.store)
        self._subscribed: View | None = None
        self._quits_at_end = False
        self._question: ConfirmScreen | None = None
        self._is_report_due = False
        """The run has ended below another screen: its report opens when that one is gone."""

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    @property
    def is_going(self) -> bool:
        """The run has not ended, as far as is known here."""
        return not self.store.is_finished

    def compose(self) -> ComposeResult:
        yield StateLine(self._state, id="state")
        yield HealthBar(lambda: health_line(self.store), id="health")
        yield Tiles(self._tiles, id="tiles")
        yield Board(
            [
                Panel("Charts", Horizontal(
                    Drawing(self._charts.latency, id="latency"),
                    Drawing(self._charts.rate, id="rate"),
                    id="charts-box"), id="charts"),
                Panel("Heatmap", Drawing(self._charts.heat, id="heat"), id="heatmap"),
                Panel("Series", TableView(Table(SERIES), id="series-table"), id="series"),
                Panel("Errors", TableView(Table(ERRORS, empty="No errors."), id="errors-table"),
                      id="errors"),
                Panel("Workers", TableView(Table(WORKERS), id="workers-table"), id="workers"),
                Panel("Log", TableView(Table(LOG, empty="The log is empty."), header=False,
                                       follow=True, id="log-table"), id="log"),
            ],
            id="board",
        )  # fmt: skip
        yield Footer()

    def on_mount(self) -> None:
        """Follow the run."""
        self._note_charts()
        self.query_one("#series-table").focus()
        self.run_worker(self._follow(), group="follow", exclusive=True)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self._draw(True)
        self._look()
        if self._is_report_due and not self.is_paused:
            self._show_report()

    # The run

    async def _follow(self) -> None:
        try:
            await self._subscribe()
            async for snapshot in self.client.snapshots():
                self.take(snapshot)
        except (ChaperonError, OSError) as error:
            self.store.lost = visible(error)
        if not self.store.is_finished:
            self.store.lost = f"the engine of {self.store.run_id} ended without a report"
        self._draw(True)
        self.refresh_bindings()
        self._answer_moot_question()
        if self.store.lost:
            await self._offer_recovery()
        else:
            await self._open_report()

    def take(self, snapshot: Snapshot) -> None:
        """Fold a snapshot and draw what it changes."""
        was_warming_up = self.store.is_warming_up
        has_new_seconds = self.store.fold(snapshot)
        if self.store.is_warming_up != was_warming_up:
            self._look()
        if self.is_paused:
            return
        if has_new_seconds or snapshot.state == "finished":
            self._draw(True)
        else:
            # The toolkit composes anew all that lies between the highest and the lowest line that
            # has changed: figures and table in frames of their own cost half as much.
            self._draw_figures()
            self.set_timer(FRAME_S, self._draw_series)

    def _answer_moot_question(self) -> None:
        """Whether to leave, stop or abort a run is no question any more when it has ended."""
        if self._question is not None and self._question.is_active:
            self._question.dismiss("")

    async def _ask(self, question: ConfirmScreen) -> str:
        """The answer to a question that makes sense only while the run is going."""
        self._question = question
        try:
            return await self.app.push_screen_wait(question)
        finally:
            self._question = None

    async def _offer_recovery(self) -> None:
        answer = await self.app.push_screen_wait(ConfirmScreen(
            "The engine is gone",
            [((self.store.lost, "bad"),), (),
             (("What it had recorded is in its journal. Recovering makes a report of it.", ""),)],
            [Choice("r", "Recover", "recover", "primary"), Choice("c", "Close", "")],
        ))  # fmt: skip
        if answer != "recover":
            return
        try:
            self.report = await asyncio.to_thread(self.chaperon.engine.recover, self.store.run_id)
        except ChaperonError as error:
            self.chaperon.say(error, severe=True)
            return
        self._show_report()

    async def _open_report(self) -> None:
        try:
            self.report = await asyncio.to_thread(
                self.chaperon.engine.load_report, self.store.run_id
            )
        except ChaperonError as error:
            self.chaperon.say(error, severe=True)
            return
        self.chaperon.last_report = self.report
        self.refresh_bindings()
        if self._quits_at_end:
            self.app.exit()
        elif self.is_paused:
            self._is_report_due = True
        else:
            self._show_report()

    def _show_report(self) -> None:
        """Open the report now, or as soon as no other screen lies above."""
        from chaperon_tui.screens.report import ReportScreen

        if self.report is None:
            return
        self.chaperon.last_report = self.report
        self._is_report_due = not self.is_active
        if self.is_active:
            snapshot = self.store.snapshot
            written = dict(snapshot.exports) if snapshot is not None else {}
            self.app.push_screen(ReportScreen(self.report, request=self.request, written=written))

    async def _subscribe(self) -> None:
        """Tell the engine what is looked at, if that has changed."""
        if self.series.view != self._subscribed:
            self._subscribed = self.series.view
            await self.client.subscribe(self.series.view, RATE_HZ)

    def _look(self) -> None:
        """Ask for the rows that are visible; none while the table is not."""
        table = self.query_one("#series-table", TableView)
        limit = min(table.page + 1, 200) if table.is_seen else 0
        self.series.look(table.top, limit, in_warmup=self.store.is_warming_up)
        if self.series.view != self._subscribed and self.is_going:
            self.run_worker(self._subscribe_quietly(), group="view", exclusive=True)

    async def _subscribe_quietly(self) -> None:
        with contextlib.suppress(ChaperonError, OSError):
            await self._subscribe()

    # What is drawn

    def _state(self) -> tuple[Progress, str]:
        words = self.series.period
        return progress(self.store), f"PAUSED · {words}" if self.is_paused else words

    def _tiles(self) -> tuple[Tile, ...]:
        snapshot = self.store.snapshot
        if snapshot is None:
            return _EMPTY_TILES
        return tiles(snapshot, interval=self.series.view.interval)

    def _draw(self, charts_too: bool) -> None:
        snapshot = self.store.snapshot
        if not self.is_current or not self.is_mounted:
            return
        with self.app.batch_update():
            self._draw_figures()
            self._draw_series()
            if snapshot is None or not charts_too:
                return
            for name in ("#latency", "#rate", "#heat"):
                self.query_one(name, Painted).repaint()
            self._fill("#errors-table", lambda: errors_table(snapshot))
            self._fill("#workers-table", lambda: workers_table(snapshot))
            self._fill("#log-table", lambda: log_table(self.store.log))
            self._note_panels(snapshot)

    def _draw_figures(self) -> None:
        if self.is_current:
            for name in ("#state", "#health", "#tiles"):
                self.query_one(name, Painted).repaint()

    def _draw_series(self) -> None:
        snapshot = self.store.snapshot
        if snapshot is not None and self.is_current and not self.is_paused:
            self._fill("#series-table", lambda: self.series.table(snapshot))

    def _fill(self, name: str, make: Callable[[], Table]) -> None:
        """Make the rows of a table only while it is seen."""
        table = self.query_one(name, TableView)
        if table.is_seen:
            table.show(make())

    def _note_panels(self, snapshot: Snapshot) -> None:
        errors = sum(error.count for error in snapshot.errors)
        notes = {
            "series": self.series.note(snapshot),
            "errors": f"{show_count(errors)}" if errors else "none",
            "workers": str(len(snapshot.workers)),
            "log": show_count(self.store.log_count),
        }
        for name, note in notes.items():
            self.query_one(f"#{name}", Panel).set_note(note)

    def _note_charts(self) -> None:
        words = charts.span_words(self._charts.span)
        words += charts.warmup_words(self.store.plan.warmup_s)
        self.query_one("#charts", Panel).set_note(f"service time, requests/s · {words}")
        self.query_one("#heatmap", Panel).set_note(f"responses by service time · {words}")

    def _all_again(self) -> None:
        """Other panels are visible: fill and draw them."""
        self._look()
        self._draw(True)

    # Keys

    def action_panel(self, number: int) -> None:
        """Bring a panel to the front."""
        self.query_one("#board", Board).select(number)
        self.call_after_refresh(self._all_again)

    def action_zoom(self) -> None:
        """One panel or all."""
        self.query_one("#board", Board).toggle_zoom()
        self.call_after_refresh(self._all_again)

    def on_resize(self) -> None:
        """Other panels may be visible."""
        self.call_after_refresh(self._all_again)

    def on_tabs_chosen(self) -> None:
        """A tab was clicked; the board has selected it."""
        self.call_after_refresh(self._all_again)

    def action_interval(self) -> None:
        """Figures of the last second or of the whole run."""
        self.series.change(interval=not self.series.view.interval)
        self._all_again()

    def action_all_series(self) -> None:
        """All series, or the main ones."""
        self.series.all_kinds = not self.series.all_kinds
        self._all_from_top()

    def action_pause(self) -> None:
        """Hold the display, or catch up."""
        self.is_paused = not self.is_paused
        if self.is_paused:
            self.query_one("#state", Painted).repaint()
        else:
            self._all_again()
            if self._is_report_due:
                self._show_report()

    def action_span(self) -> None:
        """The next time span."""
        self._charts.next_span()
        self._note_charts()
        self._draw(True)

    def action_sort(self) -> None:
        """The next column."""
        self.series.sort_by_next()
        self._all_from_top()

    def action_reverse(self) -> None:
        """The other way round."""
        self.series.reverse()
        self._look()

    def on_table_view_header_chosen(self, event: TableView.HeaderChosen) -> None:
        """Sort by the clicked column, or the other way round."""
        if event.sort == self.series.view.sort:
            self.action_reverse()
        else:
            self.series.sort_by(event.sort)
            self._all_from_top()

    def _all_from_top(self) -> None:
        """Other series are to be seen, from the first."""
        self.query_one("#series-table", TableView).move_to(0)
        self._look()

    def on_table_view_scrolled(self, event: TableView.Scrolled) -> None:
        """Other series are to be seen."""
        if event.view.id == "series-table":
            self._look()

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """Open a series or a problem."""
        snapshot, table = self.store.snapshot, event.view
        if snapshot is None:
            return
        if table.id == "series-table":
            here = table.cursor - table.table.offset
            if 0 <= here < len(self.series.rows):
                from chaperon_tui.screens.series import SeriesScreen

                self.app.push_screen(SeriesScreen(self, self.series.rows[here].id))
        elif table.id in ("errors-table", "log-table", "workers-table"):
            from chaperon_tui.screens.lines import row_screen

            row = table.table.rows[table.cursor - table.table.offset]
            self.app.push_screen(row_screen(table.table, row, snapshot.exceptions))

    @work(group="filter", exclusive=True)
    async def action_filter(self) -> None:
        """Ask for a text that the names of series contain."""
        from chaperon_tui.screens.prompt import PromptScreen

        text = await self.app.push_screen_wait(
            PromptScreen(
                "Find series", "part of a name; empty shows all", self.series.view.contains
            )
        )
        if text is not None:
            self.series.change(contains=text)
            self._all_from_top()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what makes sense now."""
        if action in ("stop", "abort"):
            return self.is_going
        if action == "again":
            return not self.is_going and self.request is not None
        if action == "report":
            return self.report is not None
        if action == "zoom":
            return has_room(self)
        return True

    @work(group="stop", exclusive=True)
    async def action_stop(self) -> None:
        """Stop gracefully."""
        with contextlib.suppress(ChaperonError, OSError):
            await self.client.stop()
            self.store.is_stopping = True
            self.query_one("#state", Painted).repaint()

    @work(group="stop", exclusive=True)
    async def action_abort(self) -> None:
        """Cancel everything, after a question."""
        answer = await self._ask(ConfirmScreen(
            "Abort the run?",
            [(("Requests in flight are cancelled at once. There is still a report; "
               "stopping (s) lets them end.", ""),)],
            [Choice("a", "Abort", "abort", "error"), Choice("c", "Go on", "", "primary")],
        ))  # fmt: skip
        if answer == "abort":
            with contextlib.suppress(ChaperonError, OSError):
                await self.client.abort()
                self.store.is_stopping = True

    @work(group="again", exclusive=True)
    async def action_again(self) -> None:
        """Launch the same once more."""
        if self.request is None:
            return
        self.chaperon.say("Starting the engine and its workers …")
        try:
            client = await self.chaperon.engine.launch(self.request)
        except ChaperonError as error:
            self.chaperon.say(error, severe=True)
            return
        self.app.switch_screen(LiveScreen(client, self.request))

    def action_report(self) -> None:
        """The report of the ended run."""
        self._show_report()

    def action_back(self) -> None:
        """Leave the screen."""
        board = self.query_one("#board", Board)
        if board.has_class("-zoomed"):
            self.action_zoom()
        elif self.is_going:
            self.ask_to_leave(quits=False)
        else:
            self.app.pop_screen()

    @work(group="leave", exclusive=True)
    async def ask_to_leave(self, *, quits: bool) -> None:
        """Leave the run running, or stop it, or stay."""
        from chaperon_tui.screens.leave import LeaveScreen

        answer = await self._ask(LeaveScreen(self.store.run_id))
        if answer == "leave":
            self.chaperon.left_running.append(self.store.run_id)
            if quits:
                self.app.exit()
            else:
                self.app.pop_screen()
        elif answer == "stop":
            self._quits_at_end = quits
            self.action_stop()

    async def on_unmount(self) -> None:
        """The connection ends with the screen; the run does not."""
        with contextlib.suppress(ChaperonError, OSError):
            await self.client.close()

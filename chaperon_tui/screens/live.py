"""The live screen: one run, from its first second to its report.

Owns: following the run, steering it, and what happens when it ends. What is drawn is `RunView`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, LaunchRequest, Report
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.screens.live_keys import KEYS
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.series import SeriesChoice
from chaperon_tui.state.store import RunStore
from chaperon_tui.widgets.board import has_room
from chaperon_tui.widgets.run_view import RunView
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.engine import RunHandle

RATE_HZ = 4.0


class LiveScreen(Screen[None]):
    """Keys and questions around the view of one run."""

    CSS_PATH = "live.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, client: RunHandle, request: LaunchRequest | None):
        super().__init__()
        self.client = client
        self.request = request
        """What the run was launched from; None when this viewer attached to it."""
        self.store = RunStore(client.run_id, client.plan)
        self.view = RunView(self.store)
        self.report: Report | None = None
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

    @property
    def series(self) -> SeriesChoice:
        """Which series are looked at."""
        return self.view.series

    @property
    def is_paused(self) -> bool:
        """The display is held; the run and its record go on."""
        return self.view.is_held

    def compose(self) -> ComposeResult:
        yield self.view
        yield Footer()

    def on_mount(self) -> None:
        """Follow the run."""
        self.run_worker(self._follow(), group="follow", exclusive=True)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self.view.refill()
        if self._is_report_due and not self.is_paused:
            self._show_report()

    # The run

    async def _follow(self) -> None:
        try:
            await self.client.subscribe(self.series.view, RATE_HZ)
            async for snapshot in self.client.snapshots():
                self.view.take(snapshot)
        except (ChaperonError, OSError) as error:
            self.store.lost = in_words(error)
        if not self.store.is_finished:
            self.store.lost = f"the engine of {self.store.run_id} ended without a report"
        self.view.draw()
        self.refresh_bindings()
        self._answer_moot_question()
        if self.store.lost:
            await self._offer_recovery()
        else:
            await self._open_report()

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
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self._show_report()

    async def _open_report(self) -> None:
        try:
            self.report = await asyncio.to_thread(
                self.chaperon.engine.load_report, self.store.run_id
            )
        except (ChaperonError, OSError) as error:
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

    @work(group="view", exclusive=True)
    async def on_run_view_looked(self, event: RunView.Looked) -> None:
        """Tell the engine what is looked at; it computes nothing else."""
        if self.is_going:
            with contextlib.suppress(ChaperonError, OSError):
                await self.client.subscribe(event.view, RATE_HZ)

    # Keys

    def action_panel(self, number: int) -> None:
        """Bring a panel to the front."""
        self.view.select(number)

    def action_zoom(self) -> None:
        """One panel or all."""
        self.view.toggle_zoom()

    def action_interval(self) -> None:
        """Figures of the last second or of the whole run."""
        self.series.change(interval=not self.series.view.interval)
        self.view.refill()

    def action_all_series(self) -> None:
        """All series, or the main ones."""
        self.series.all_kinds = not self.series.all_kinds
        self.view.look_from_top()

    def action_pause(self) -> None:
        """Hold the display, or catch up."""
        self.view.is_held = not self.is_paused
        if self.is_paused:
            self.view.draw_figures()
        else:
            self.view.refill()
            if self._is_report_due:
                self._show_report()

    def action_span(self) -> None:
        """The next time span."""
        self.view.next_span()

    def action_sort(self) -> None:
        """The next column."""
        self.series.sort_by_next()
        self.view.look_from_top()

    def action_reverse(self) -> None:
        """The other way round."""
        self.series.reverse()
        self.view.look()

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """Open a series or a problem."""
        snapshot, table = self.store.snapshot, event.view
        if snapshot is None:
            return
        if table.id == "series-table":
            row = self.view.row_at_cursor()
            if row is not None:
                from chaperon_tui.screens.series import SeriesScreen
                from chaperon_tui.screens.series_sources import LiveSeries

                self.app.push_screen(SeriesScreen(LiveSeries(self, row)))
        else:
            from chaperon_tui.screens.lines import row_screen

            row_cells = table.table.rows[table.cursor - table.table.offset]
            self.app.push_screen(row_screen(table.table, row_cells, snapshot.exceptions))

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
            self.view.look_from_top()

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
            self.view.draw_figures()

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
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self.app.switch_screen(LiveScreen(client, self.request))

    def action_report(self) -> None:
        """The report of the ended run."""
        self._show_report()

    def action_back(self) -> None:
        """Leave the screen."""
        if self.view.board.has_class("-zoomed"):
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

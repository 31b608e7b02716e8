"""The live screen: one run, from its first second to its report.

Owns: what is looked at, and the ways to other screens. Following and steering the run are
`RunScreen`'s, what is drawn is `RunView`'s.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer

from chaperon_engine import ChaperonError
from chaperon_tui.screens.live_keys import KEYS
from chaperon_tui.screens.run_screen import RATE_HZ, RunScreen
from chaperon_tui.state.series import SeriesChoice
from chaperon_tui.widgets.board import has_room
from chaperon_tui.widgets.run_view import MAX_ROWS, RunView
from chaperon_tui.widgets.table_view import TableView


class LiveScreen(RunScreen):
    """Keys around the view of one run."""

    CSS_PATH = "live.tcss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    @property
    def series(self) -> SeriesChoice:
        """Which series are looked at."""
        return self.view.series

    def compose(self) -> ComposeResult:
        yield self.view
        yield Footer()

    @work(group="view", exclusive=True)
    async def on_run_view_looked(self, event: RunView.Looked) -> None:
        """Tell the engine what is looked at; it computes nothing else."""
        if self.is_going:
            with contextlib.suppress(ChaperonError, OSError):
                await self.client.subscribe(event.view, self._rate_hz)

    @property
    def _rate_hz(self) -> float:
        """Rows of members change once a second, and many of them cost their sender as well."""
        snapshot = self.store.snapshot
        if not self.view.wants_all_members or snapshot is None:
            return RATE_HZ
        return RATE_HZ / 2 if snapshot.members.count <= MAX_ROWS else RATE_HZ / 4

    def look_at_members(self, *, all_of_them: bool) -> None:
        """Ask the engine for all members, or for those that are seen here."""
        self.view.wants_all_members = all_of_them
        self.view.look()

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
        elif table.id == "workers-table":
            from chaperon_tui.screens.workers import WorkersScreen

            member = self.view.worker_at_cursor()
            self.app.push_screen(WorkersScreen(self, None if member is None else member.worker))
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
        if action == "again":
            return not self.is_going and self.request is not None
        if action == "zoom":
            return has_room(self)
        if action == "join":
            return bool(self.store.snapshot and self.store.snapshot.attach)
        return super().check_action(action, parameters)

    def action_workers(self) -> None:
        """All members of the run in full."""
        from chaperon_tui.screens.workers import WorkersScreen

        self.app.push_screen(WorkersScreen(self))

    def action_join(self) -> None:
        """How machines attach, and people."""
        from chaperon_tui.screens.join import JoinScreen

        if self.store.snapshot is not None:
            self.app.push_screen(JoinScreen(self.store.snapshot))

    @work(group="again", exclusive=True)
    async def action_again(self) -> None:
        """Launch the same once more."""
        if self.request is None:
            return
        if self.request.expect:
            from chaperon_tui.screens.gathering import GatheringScreen, launch_of

            launched = await self.app.push_screen_wait(
                GatheringScreen(launch_of(self.chaperon.engine, self.request))
            )
            if launched.client is None:
                self.chaperon.say(launched.problem, severe=True)
            else:
                self.app.switch_screen(LiveScreen(launched.client, self.request))
            return
        self.chaperon.say("Starting the engine and its workers …")
        try:
            client = await self.chaperon.engine.launch(self.request)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self.app.switch_screen(LiveScreen(client, self.request))

    def action_back(self) -> None:
        """Leave the screen."""
        if self.view.board.has_class("-zoomed"):
            self.action_zoom()
        elif self.is_going:
            self.ask_to_leave(quits=False)
        else:
            self.app.pop_screen()

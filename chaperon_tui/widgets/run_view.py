"""A run as it goes: state, health, tiles and six panels.

Draws what the store holds. Figures and the series table follow every snapshot, charts and heatmap
every new second; nothing is drawn while the display is held or another screen lies above. Must not
know the engine: which series are looked at is told by a message.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.message import Message

from chaperon_engine import SeriesRow, Snapshot, View, WorkerRow, show_count
from chaperon_tui.state import charts
from chaperon_tui.state.elsewhere import role_words
from chaperon_tui.state.figures import EMPTY_TILES, Progress, Tile, health_line, progress, tiles
from chaperon_tui.state.series import FEW_MEMBERS, SeriesChoice, filter_words
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
from chaperon_tui.widgets.board import Board, Panel
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import Drawing
from chaperon_tui.widgets.table_view import TableView

FRAME_S = 0.06
"""Longer than the toolkit's own interval between two frames."""
MAX_ROWS = 200
"""The most rows of one table that the engine is asked for."""
ALL_MEMBERS = View().worker_limit


class RunView(Container):
    """Everything of a live screen but its footer."""

    class Looked(Message):
        """Other series are looked at, or other figures of them."""

        def __init__(self, view: View):
            super().__init__()
            self.view = view

    def __init__(self, store: RunStore, *, id: str | None = None):
        super().__init__(id=id)
        self.store = store
        self.series = SeriesChoice()
        self.is_held = False
        """The display is paused; the store goes on."""
        self.wants_all_members = False
        """Another screen shows all members; else the engine is asked for those that are seen."""
        self._workers: list[WorkerRow] = []
        """As shown last."""
        self._charts = charts.RunCharts(store)
        self._told: View | None = None
        """The view of the last message."""

    def compose(self) -> ComposeResult:
        yield StateLine(self.state, id="state")
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

    def on_mount(self) -> None:
        """Begin with the series."""
        self._note_charts()
        self.query_one("#series-table").focus()

    @property
    def board(self) -> Board:
        """The six panels."""
        return self.query_one("#board", Board)

    def take(self, snapshot: Snapshot) -> None:
        """Fold a snapshot and draw what it changes."""
        was_warming_up = self.store.is_warming_up
        has_new_seconds = self.store.fold(snapshot)
        if self.store.is_warming_up != was_warming_up:
            self.look()
        if self.is_held:
            return
        if has_new_seconds or snapshot.state == "finished":
            self.draw()
        else:
            # The toolkit composes anew all that lies between the highest and the lowest line that
            # has changed: figures and table in frames of their own cost half as much.
            self.draw_figures()
            self.set_timer(FRAME_S, self._draw_series)

    def row_at_cursor(self) -> SeriesRow | None:
        """The series below the cursor; None while its row has not come."""
        table = self.query_one("#series-table", TableView)
        here = table.cursor - table.table.offset
        return self.series.rows[here] if 0 <= here < len(self.series.rows) else None

    def worker_at_cursor(self) -> WorkerRow | None:
        """The member below the cursor of its table; None while its row has not come."""
        table = self.query_one("#workers-table", TableView)
        here = table.cursor - table.table.offset
        return self._workers[here] if 0 <= here < len(self._workers) else None

    # What is looked at

    def look(self) -> None:
        """Ask for the rows that are visible; none while the table is not."""
        top, limit = self._page("#series-table")
        self.series.look(top, limit, in_warmup=self.store.is_warming_up)
        top, limit = (0, ALL_MEMBERS) if self.wants_all_members else self._page("#workers-table")
        view = self.series.change(worker_offset=top, worker_limit=max(limit, FEW_MEMBERS))
        if view != self._told:
            self._told = view
            self.post_message(self.Looked(view))

    def _page(self, name: str) -> tuple[int, int]:
        """The first row of a table that is seen, and how many are."""
        table = self.query_one(name, TableView)
        return (table.top, min(table.page + 1, MAX_ROWS)) if table.is_seen else (0, 0)

    def look_from_top(self) -> None:
        """Other series are to be seen, from the first."""
        self.query_one("#series-table", TableView).move_to(0)
        self.look()

    def on_table_view_scrolled(self, event: TableView.Scrolled) -> None:
        """Other rows are to be seen."""
        if event.view.id in ("series-table", "workers-table"):
            self.look()

    def on_table_view_header_chosen(self, event: TableView.HeaderChosen) -> None:
        """Sort by the clicked column, or the other way round."""
        if event.sort == self.series.view.sort:
            self.series.reverse()
            self.look()
        else:
            self.series.sort_by(event.sort)
            self.look_from_top()

    def refill(self) -> None:
        """Other panels are visible: fill and draw them."""
        self.look()
        self.draw()

    def on_resize(self) -> None:
        """Other panels may be visible."""
        self.call_after_refresh(self.refill)

    def on_tabs_chosen(self) -> None:
        """A tab was clicked; the board has selected it."""
        self.call_after_refresh(self.refill)

    def select(self, number: int) -> None:
        """Bring a panel to the front."""
        self.board.select(number)
        self.call_after_refresh(self.refill)

    def toggle_zoom(self) -> None:
        """One panel or all."""
        self.board.toggle_zoom()
        self.call_after_refresh(self.refill)

    def next_span(self) -> None:
        """The next time span of the charts."""
        self._charts.next_span()
        self._note_charts()
        self.draw()

    # What is drawn

    def state(self) -> tuple[Progress, str]:
        """Where the run stands, and what kind of figures are shown to whom."""
        words = " · ".join(filter(None, (role_words(self.store), self.series.period)))
        if self.store.plan.metrics:
            words = f"filtered · {words}"
        return progress(self.store), f"PAUSED · {words}" if self.is_held else words

    def _tiles(self) -> tuple[Tile, ...]:
        snapshot = self.store.snapshot
        if snapshot is None:
            return EMPTY_TILES
        return tiles(snapshot, interval=self.series.view.interval)

    def draw(self) -> None:
        """Everything that is seen."""
        snapshot = self.store.snapshot
        if not self.screen.is_current or not self.is_mounted:
            return
        with self.app.batch_update():
            self.draw_figures()
            self._draw_series()
            if snapshot is None:
                return
            for name in ("#latency", "#rate", "#heat"):
                self.query_one(name, Painted).repaint()
            self._fill("#errors-table", lambda: errors_table(snapshot))
            self._fill_workers(snapshot)
            self._fill("#log-table", lambda: log_table(self.store.log))
            self._note_panels(snapshot)

    def draw_figures(self) -> None:
        """The lines above the panels."""
        if self.screen.is_current:
            for name in ("#state", "#health", "#tiles"):
                self.query_one(name, Painted).repaint()

    def _draw_series(self) -> None:
        snapshot = self.store.snapshot
        if snapshot is not None and self.screen.is_current and not self.is_held:
            self._fill("#series-table", lambda: self.series.table(snapshot))
            if self._is_other_page(snapshot):
                self._fill_workers(snapshot)

    def _is_other_page(self, snapshot: Snapshot) -> bool:
        """Else figures of workers are new once a second, as the charts are."""
        shown = self.query_one("#workers-table", TableView).table
        return (shown.offset, len(shown.rows)) != (snapshot.worker_offset, len(snapshot.workers))

    def _fill_workers(self, snapshot: Snapshot) -> None:
        self._workers = snapshot.workers
        self._fill("#workers-table", lambda: workers_table(snapshot))

    def _fill(self, name: str, make: Callable[[], Table]) -> None:
        """Make the rows of a table only while it is seen."""
        table = self.query_one(name, TableView)
        if table.is_seen:
            table.show(make())

    def _note_panels(self, snapshot: Snapshot) -> None:
        self._note_charts()
        errors = sum(error.count for error in snapshot.errors)
        notes = {
            "series": filter_words(self.store.plan.metrics) + self.series.note(snapshot),
            "errors": f"{show_count(errors)}" if errors else "none",
            "workers": f"{snapshot.members.count:,} · w shows all",
            "log": show_count(self.store.log_count),
        }
        for name, note in notes.items():
            self.query_one(f"#{name}", Panel).set_note(note)

    def _note_charts(self) -> None:
        words = charts.span_words(self._charts.span)
        words += charts.warmup_words(self.store.plan.warmup_s)
        subject = self._charts.subject
        self.query_one("#charts", Panel).set_note(f"{subject.time}, {subject.rate} · {words}")
        self.query_one("#heatmap", Panel).set_note(f"{subject.heat} · {words}")

"""The members of a run in full: hosts, their workers and agents; drain one, show the join line."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_tui.state.figures import health_line
from chaperon_tui.state.members import (
    COLUMNS,
    Line,
    count_words,
    line_rows,
    may_be_drained,
    member_lines,
    members_table,
)
from chaperon_tui.state.table import Table
from chaperon_tui.widgets.bars import HealthBar, StateLine
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_engine import Snapshot
    from chaperon_tui.screens.live import LiveScreen

LOOK_EVERY_S = 0.5
"""How often it is looked whether there is a newer snapshot."""


class WorkersScreen(Screen[None]):
    """The members above, the chosen one in full below."""

    CSS_PATH = "workers.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "drain", "Drain", id="workers.drain",
                tooltip="Have the chosen member leave, after a question; the run goes on"),
        Binding("l", "join", "Join line", id="workers.join",
                tooltip="The lines that attach a machine or a viewer, to be copied"),
        Binding("escape,q", "app.pop_screen", "Back", id="workers.back",
                tooltip="Back to the run"),
    ]  # fmt: skip

    def __init__(self, live: LiveScreen, select: int | None = None):
        super().__init__()
        self._live = live
        self._select = select
        """Number of the member to put the cursor on."""
        self._lines: list[Line] = []
        self._shown: Snapshot | None = None
        self._offered: list[bool | None] = []

    def compose(self) -> ComposeResult:
        yield StateLine(self._live.view.state, id="state")
        yield HealthBar(lambda: health_line(self._live.store), id="health")
        with Vertical(classes="panel", id="list") as panel:
            panel.border_title = Content("Workers")
            yield TableView(Table(COLUMNS), id="members")
        with VerticalScroll(classes="panel", id="member") as scroll:
            scroll.border_title = Content("In full")
            yield Rows(wrap=True, hanging=10, id="full")
        yield Footer()

    def on_mount(self) -> None:
        """Show what there is, and what comes."""
        self.query_one("#members").focus()
        self._look()
        self.set_interval(LOOK_EVERY_S, self._look)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self._look()

    @property
    def chosen(self) -> Line | None:
        """The line below the cursor."""
        cursor = self.query_one("#members", TableView).cursor
        return self._lines[cursor] if cursor < len(self._lines) else None

    def _look(self) -> None:
        """Draw the newest snapshot; the cursor stays on its member."""
        snapshot = self._live.store.snapshot
        for name in ("#state", "#health"):
            self.query_one(name, Painted).repaint()
        is_held = self._live.is_paused and self._shown is not None
        if snapshot is None or snapshot is self._shown or is_held or not self.is_current:
            return
        table = self.query_one("#members", TableView)
        lines = member_lines(snapshot)
        if self._select is None and not self._lines and snapshot.workers:
            self._select = snapshot.workers[0].worker
        wanted = self._select if self._select is not None else self._number()
        place = next((n for n, line in enumerate(lines)
                      if line.member and line.member.worker == wanted), None)  # fmt: skip
        self._lines, self._shown = lines, snapshot
        if place is not None:
            table.cursor = place
            self._select = None
        table.show(members_table(snapshot, lines))
        self.query_one("#list").border_subtitle = Content(count_words(snapshot))
        self._show_chosen()

    def _number(self) -> int | None:
        line = self.chosen
        return line.member.worker if line is not None and line.member is not None else None

    def _show_chosen(self) -> None:
        line = self.chosen
        if line is not None and self._shown is not None:
            self.query_one("#full", Rows).show(line_rows(line, self._shown))
        # The footer is built anew, which costs, only when it offers something else.
        offered = [self.check_action(action, ()) for action in ("drain", "join")]
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_table_view_moved(self, event: TableView.Moved) -> None:
        """Another line is chosen."""
        self._show_chosen()
        self.query_one("#member").scroll_home(animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what this viewer may do, and what makes sense for the chosen line."""
        if action == "drain":
            if not (self._live.is_going and self._live.store.may_steer):
                return False
            line = self.chosen if self.is_mounted else None
            return True if line is not None and may_be_drained(line.member) else None
        if action == "join":
            return bool(self._shown is not None and self._shown.attach)
        return True

    @work(group="drain", exclusive=True)
    async def action_drain(self) -> None:
        """Have the chosen member leave, after a question."""
        line = self.chosen
        if line is not None and line.member is not None:
            await self._live.drain(line.member)

    def action_join(self) -> None:
        """How machines attach, and people."""
        self._live.action_join()

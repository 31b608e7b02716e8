"""The members of a run in full: hosts, their workers and agents; find one, drain one.

Asks the engine for all members while it is open: they are sorted and searched here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_tui.screens.prompt import PromptScreen
from chaperon_tui.state.figures import health_line
from chaperon_tui.state.member_choice import MemberChoice, next_trouble, worst_lag
from chaperon_tui.state.members import (
    COLUMNS,
    Line,
    count_words,
    line_rows,
    may_be_drained,
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

LOOK_EVERY_S = 0.25
"""How often it is looked whether there is a newer snapshot."""


_COMING = "Reading the members …"
_NOT_FOUND = "No member matches; Esc shows all."


class WorkersScreen(Screen[None]):
    """The members above, the chosen one in full below."""

    CSS_PATH = "workers.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "drain", "Drain", id="workers.drain",
                tooltip="Have the chosen member leave, after a question; the run goes on"),
        Binding("slash", "filter", "Find", id="workers.filter",
                tooltip="Show only members whose host, name, address or state contains a text"),
        Binding("n", "trouble", "Trouble", id="workers.trouble",
                tooltip="The next member that is away, without its connection, lost or hung"),
        Binding("m", "lag", "Most lag", show=False, id="workers.lag",
                tooltip="The member whose event loop lags most"),
        Binding("o", "sort", "Sort", show=False, id="workers.sort",
                tooltip="Sort by the next column; after the last one hosts stand as they came"),
        Binding("O", "reverse", "Reverse", show=False, id="workers.reverse",
                tooltip="The other way round"),
        Binding("l", "join", "Join line", id="workers.join",
                tooltip="The lines that attach a machine or a viewer, to be copied"),
        Binding("escape,q", "back", "Back", id="workers.back",
                tooltip="Show all members again, or go back to the run"),
    ]  # fmt: skip

    def __init__(self, live: LiveScreen, select: int | None = None):
        super().__init__()
        self.live = live
        self._select = select
        """Number of the member to put the cursor on."""
        self._choice = MemberChoice()
        self._lines: list[Line] = []
        self.shown: Snapshot | None = None
        """Whose members stand in the table."""
        self._offered: list[bool | None] = []

    def compose(self) -> ComposeResult:
        yield StateLine(self.live.view.state, id="state")
        yield HealthBar(lambda: health_line(self.live.store), id="health")
        with Vertical(classes="panel", id="list") as panel:
            panel.border_title = Content("Workers")
            yield TableView(Table(COLUMNS, empty=_COMING), id="members")
        with VerticalScroll(classes="panel", id="member") as scroll:
            scroll.border_title = Content("In full")
            yield Rows(wrap=True, hanging=10, id="full")
        yield Footer()

    def on_mount(self) -> None:
        """Show what there is, and what comes."""
        self._table.focus()
        self.live.look_at_members(all_of_them=True)
        self._look()
        self.set_interval(LOOK_EVERY_S, self._look)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self._look()

    def on_unmount(self) -> None:
        """Nobody looks at all members any more."""
        self.live.look_at_members(all_of_them=False)

    @property
    def _table(self) -> TableView:
        return self.query_one("#members", TableView)

    @property
    def chosen(self) -> Line | None:
        """The line below the cursor."""
        cursor = self._table.cursor
        return self._lines[cursor] if cursor < len(self._lines) else None

    def _look(self) -> None:
        """Draw the newest snapshot; the cursor stays on its member."""
        snapshot = self.live.store.snapshot
        for name in ("#state", "#health"):
            self.query_one(name, Painted).repaint()
        is_held = self.live.is_paused and self.shown is not None
        if snapshot is None or snapshot is self.shown or is_held or not self.is_current:
            return
        if len(snapshot.workers) < snapshot.members.count and self.live.is_going:
            return  # The other rows are on their way.
        self.shown = snapshot
        self._draw()

    def _draw(self) -> None:
        """The lines of the snapshot that is shown; the cursor stays on its member."""
        snapshot = self.shown
        if snapshot is None:
            return
        if self._select is None and not self._lines and snapshot.workers:
            self._select = snapshot.workers[0].worker
        wanted = self._select if self._select is not None else self._number()
        choice, table = self._choice, self._table
        self._lines = choice.lines(snapshot)
        place = next((n for n, line in enumerate(self._lines)
                      if line.member and line.member.worker == wanted), None)  # fmt: skip
        if place is not None:
            table.cursor = place
            self._select = None
        empty = _NOT_FOUND if choice.contains else "No member has reported yet."
        table.show(
            members_table(
                snapshot, self._lines, sort=choice.sort, descending=choice.descending, empty=empty
            )
        )
        words = choice.note(self._lines) + count_words(snapshot)
        self.query_one("#list").border_subtitle = Content(words)
        self._show_chosen()

    def _number(self) -> int | None:
        line = self.chosen
        return line.member.worker if line is not None and line.member is not None else None

    def _show_chosen(self) -> None:
        line = self.chosen
        if self.shown is not None:
            rows = [] if line is None else line_rows(line, self.shown)
            self.query_one("#full", Rows).show(rows)
        # The footer is built anew, which costs, only when it offers something else.
        offered = [self.check_action(action, ()) for action in ("drain", "join")]
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_table_view_moved(self, event: TableView.Moved) -> None:
        """Another line is chosen."""
        self._show_chosen()
        self.query_one("#member").scroll_home(animate=False)

    def on_table_view_header_chosen(self, event: TableView.HeaderChosen) -> None:
        """Sort by the clicked column, or the other way round."""
        self._choice.sort_by(event.sort)
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what this viewer may do, and what makes sense for the chosen line."""
        if action == "drain":
            if not (self.live.is_going and self.live.store.may_steer):
                return False
            line = self.chosen if self.is_mounted else None
            return True if line is not None and may_be_drained(line.member) else None
        if action == "join":
            return bool(self.shown is not None and self.shown.attach)
        return True

    @work(group="drain", exclusive=True)
    async def action_drain(self) -> None:
        """Have the chosen member leave, after a question."""
        line = self.chosen
        if line is not None and line.member is not None:
            await self.live.drain(line.member)

    def action_sort(self) -> None:
        """By the next column."""
        self._choice.sort_by_next()
        self._draw()

    def action_reverse(self) -> None:
        """The other way round."""
        self._choice.reverse()
        self._draw()

    def action_lag(self) -> None:
        """To the member whose loop lags most."""
        place = worst_lag(self._lines)
        if place is not None:
            self._table.move_to(place)

    def action_trouble(self) -> None:
        """To the next one that is away, without its connection, lost or hung."""
        place = next_trouble(self._lines, self._table.cursor)
        if place is not None:
            self._table.move_to(place)
        else:
            self.live.chaperon.say("Nobody of those shown is away, lost or hung.")

    @work(group="filter", exclusive=True)
    async def action_filter(self) -> None:
        """Ask for a text that members contain."""
        title, hint = "Find members", "words of host, name, address, state; empty shows all"
        text = await self.app.push_screen_wait(PromptScreen(title, hint, self._choice.contains))
        if text is not None:
            self._show_those_with(text)

    def action_back(self) -> None:
        """All members again, or back to the run."""
        if self._choice.contains:
            self._show_those_with("")
        else:
            self.app.pop_screen()

    def _show_those_with(self, text: str) -> None:
        self._choice.contains = text
        self._draw()

    def action_join(self) -> None:
        """How machines attach, and people."""
        self.live.action_join()

"""The menu: load tests and scenarios to choose from, found by typing, with a preview."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Input

from chaperon_engine import ChaperonError, Entry, LaunchRequest, Plan
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.menu import entry_rows, led_to, menu_table, plan_rows, search
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp

DEMO = "CheckoutTest"
"""Chosen first in a demo."""
DESCRIBE_AFTER_S = 0.25
"""How long the cursor rests on an entry before its code is run to learn its plan."""


class MenuScreen(Screen[None]):
    """Search field, list, preview."""

    CSS_PATH = "menu.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Launch form", id="menu.open", priority=True,
                tooltip="Set up and launch the chosen entry"),
        Binding("ctrl+r", "runs", "Runs", id="menu.runs",
                tooltip="List former runs; open, attach to or remove them"),
        Binding("ctrl+g", "queue", "Queue", id="menu.queue",
                tooltip="The queue of load tests: what runs, what waits, what has ended"),
        Binding("f5", "reload", "Reload", id="menu.reload", tooltip="Read the folders again"),
        Binding("escape", "clear", "Clear search", show=False, id="menu.clear",
                tooltip="Empty the search field"),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = []
        self._has_looked = False
        self._found: list[Entry] = []
        self._plans: dict[tuple[str, str], Plan | str] = {}
        self._timer: Timer | None = None

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    def compose(self) -> ComposeResult:
        yield Rows([((" Chaperon", "key"), ("  choose a load test", "dim"))], id="head")
        yield Input(placeholder="type to search", id="search", select_on_focus=False)
        with Horizontal(id="body"):
            with Vertical(classes="panel", id="list") as panel:
                panel.border_title = Content("Load tests")
                yield TableView(menu_table(None), header=False, id="entries")
            with VerticalScroll(classes="panel", id="preview") as panel:
                panel.border_title = Content("What it does")
                panel.can_focus = False
                yield Rows(wrap=True, id="about")
        yield Footer()

    def on_mount(self) -> None:
        """Find what there is."""
        self.query_one("#entries", TableView).can_focus = False
        self.query_one("#search", Input).focus()
        self.action_reload()

    def action_reload(self) -> None:
        """Read the folders again."""
        self._plans.clear()
        self.run_worker(self._discover(), group="discover", exclusive=True)

    async def _discover(self) -> None:
        try:
            self._entries = await asyncio.to_thread(self.chaperon.engine.discover)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
        self._has_looked = True
        self._search()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as you type."""
        self._search()

    def _search(self) -> None:
        text = self.query_one("#search", Input).value
        self._found = search(self._entries, text)
        table = self.query_one("#entries", TableView)
        table.cursor = 0
        if self.chaperon.start.target_url and not text:
            names = [entry.name for entry in self._found]
            table.cursor = names.index(DEMO) if DEMO in names else 0
        table.show(menu_table(self._found if self._has_looked else None, text))
        count = len(self._found)
        note = f"{count}" if count == len(self._entries) else f"{count} of {len(self._entries)}"
        self.query_one("#list").border_subtitle = Content(note)
        self._preview()

    def on_table_view_moved(self, event: TableView.Moved) -> None:
        """Another entry is chosen."""
        self._preview()

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """Clicked twice."""
        self.action_open()

    @property
    def chosen(self) -> Entry | None:
        """The entry below the cursor."""
        cursor = self.query_one("#entries", TableView).cursor
        return self._found[cursor] if cursor < len(self._found) else None

    def _preview(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        entry = self.chosen
        self._show_about(entry)
        if entry is not None and not entry.problem and _key(entry) not in self._plans:
            self._timer = self.set_timer(DESCRIBE_AFTER_S, self._describe)

    def _show_about(self, entry: Entry | None) -> None:
        rows: list[Row] = []
        if entry is not None:
            rows = entry_rows(entry)
            known = self._plans.get(_key(entry))
            if isinstance(known, Plan):
                rows += plan_rows(led_to(known, self.chaperon.start.target_url))
            elif known:
                rows.append(((f"✗ {known}", "bad"),))
            elif not entry.problem:
                rows.append((("Reading the plan …", "dim"),))
        self.query_one("#about", Rows).show(rows)

    def _describe(self) -> None:
        entry = self.chosen
        if entry is not None:
            self.run_worker(self._describe_entry(entry), group="describe", exclusive=True)

    async def _describe_entry(self, entry: Entry) -> None:
        try:
            self._plans[_key(entry)] = await self.chaperon.engine.describe(request_for(entry))
        except (ChaperonError, OSError) as error:
            self._plans[_key(entry)] = in_words(error)
        if self.chosen == entry:
            self._show_about(entry)

    def action_move(self, step: int) -> None:
        """The cursor of the list moves while the search field keeps the focus."""
        self.query_one("#entries", TableView).action_move(step)

    def action_page(self, step: int) -> None:
        """A page of the list."""
        self.query_one("#entries", TableView).action_page(step)

    def action_clear(self) -> None:
        """Empty the search field."""
        self.query_one("#search", Input).value = ""

    def action_open(self) -> None:
        """The launch form of the chosen entry."""
        entry = self.chosen
        if entry is None:
            return
        if entry.problem:
            self.chaperon.say(entry.problem, severe=True)
            return
        from chaperon_tui.screens.launch import LaunchScreen

        known = self._plans.get(_key(entry))
        plan = known if isinstance(known, Plan) else None
        target = self.chaperon.start.target_url
        self.app.push_screen(LaunchScreen(request_for(entry), plan, target=target))

    def action_runs(self) -> None:
        """The list of former runs."""
        from chaperon_tui.screens.runs import RunsScreen

        self.app.push_screen(RunsScreen())

    def action_queue(self) -> None:
        """The queue of load tests."""
        from chaperon_tui.screens.queue import QueueScreen

        self.app.push_screen(QueueScreen())


def request_for(entry: Entry) -> LaunchRequest:
    """What to launch for an entry, nothing decided yet."""
    return LaunchRequest(file=entry.file, name=entry.name, detach=True)


def _key(entry: Entry) -> tuple[str, str]:
    return (entry.file, entry.name)

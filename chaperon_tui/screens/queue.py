"""The queue: what runs, what waits and what has ended; cancel, re-order, open.

Owns: following the queue's server, also one that comes later or comes back. The queue is the
server's: what is shown here is what it said last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, QueueEntry, visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.hosts import host_of
from chaperon_tui.state.queue import (
    attach_there_row,
    count_words,
    entry_rows,
    place_of,
    queue_table,
    with_moved,
)
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.engine import QueueHandle

RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to reach a server; the last one is repeated."""
_DEPENDENT = ("open", "cancel", "cancel_all", "move_entry", "retry")


class QueueScreen(Screen[None]):
    """The entries above, the chosen one in full below."""

    CSS_PATH = "queue.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", show=False, id="queue.open",
                tooltip="Open the running test or the report (also Enter)"),
        Binding("a", "add", "Add", id="queue.add",
                tooltip="Choose a load test; its launch form has a key that queues it"),
        Binding("c,delete", "cancel", "Cancel", id="queue.cancel",
                tooltip="Take a waiting test out of the queue, or abort the running one"),
        Binding("C", "cancel_all", "Cancel all", id="queue.cancel_all",
                tooltip="Cancel all that wait, or the running one too"),
        # One entry in the footer for both: there is no room for two.
        Binding("shift+up,K", "move_entry(-1)", "Move", key_display="⇧↑↓", id="queue.up",
                tooltip="Run a waiting test earlier (Shift+↑ or K) or later (Shift+↓ or J)"),
        Binding("shift+down,J", "move_entry(1)", "Move down", show=False, id="queue.down"),
        Binding("f5", "retry", "Try again", show=False, id="queue.retry",
                tooltip="Look for the queue's server now, not in a moment"),
        Binding("escape,q", "app.pop_screen", "Back", id="queue.back",
                tooltip="Leave the queue; it goes on by itself"),
    ]  # fmt: skip

    def __init__(self, url: str | None = None, *, select: str = ""):
        super().__init__()
        self._url = url
        """Of a server on another machine; None: this user's own."""
        self._select = select
        """Id of the entry to put the cursor on when it is listed."""
        self._entries: list[QueueEntry] = []
        self._queue: QueueHandle | None = None
        """The connection, from the first list that came through it."""
        self._is_known = False
        """A server has said at least once what is in the queue."""
        self._failures = 0
        """Attempts in vain to reach a server since the last list."""
        self._retry = asyncio.Event()
        self._turn = asyncio.Lock()
        """One move after the other: each begins where the one before has ended."""
        self._offered: list[bool | None] = []
        """What the footer offers of the keys that depend on the entry and the server."""
        # Held here: the server may have something to say while the screen is being taken down, and
        # a query would not find them any more.
        self._table = TableView(queue_table([], is_known=False), id="entries")
        self._problem = Rows(wrap=True, id="problem")
        self._full = Rows(wrap=True, id="full")
        self._panel = Vertical(self._table, classes="panel", id="list")

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    @property
    def chosen(self) -> QueueEntry | None:
        """The entry below the cursor."""
        cursor = self._table.cursor
        return self._entries[cursor] if cursor < len(self._entries) else None

    def compose(self) -> ComposeResult:
        whose = "" if self._url is None else f"of {visible(host_of(self._url), 60)} · "
        words = f"  {whose}one load test runs at a time · Enter opens"
        yield Rows([((" Queue", "key"), (words, "dim"))], id="head")
        yield self._problem
        self._panel.border_title = Content("Load tests")
        yield self._panel
        with VerticalScroll(classes="panel", id="entry") as panel:
            panel.border_title = Content("In full")
            yield self._full
        yield Footer()

    def on_mount(self) -> None:
        """Follow the queue."""
        self._table.focus()
        self.run_worker(self._follow(), group="follow", exclusive=True)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self._show()

    # The server

    async def _follow(self) -> None:
        """Show the queue as long as the screen lives; a server that is gone is looked for."""
        while True:
            problem = "The queue's server has closed the connection."
            try:
                async with await self.chaperon.engine.QueueClient.connect(self._url) as queue:
                    await self._watch(queue)
            except (ChaperonError, OSError) as error:
                problem = in_words(error)
            self._lose(problem)
            self._retry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S[min(self._failures, len(RETRY_S) - 1)]):
                    await self._retry.wait()
            self._failures += 1

    async def _watch(self, queue: QueueHandle) -> None:
        """Show what the server says, until it goes."""
        try:
            async with contextlib.aclosing(queue.events()) as events:
                async for entries in events:
                    self._queue = queue
                    self._is_known = True
                    self._failures = 0
                    self.remove_class("-lost")
                    self._list(entries)
        finally:
            self._queue = None

    def _lose(self, problem: str) -> None:
        """There is no server; what it said last stays to be read."""
        rows: list[Row] = [((f"✗ {problem}", "bad"),)]
        if self._is_known:
            rows.append((("What is listed is what it said last. Looking for it …", "dim"),))
        self._problem.show(rows)
        self.add_class("-lost")
        self._show()

    def _list(self, entries: list[QueueEntry]) -> None:
        """Show other entries; the cursor stays on its own, wherever it stands now."""
        chosen = self.chosen
        wanted = self._select or (chosen.id if chosen else "")
        row = place_of(entries, wanted)
        if row is not None:
            self._table.cursor = row
            self._select = ""
        self._entries = entries
        self._show()

    def _show(self) -> None:
        self._table.show(queue_table(self._entries, is_known=self._is_known))
        words = count_words(self._entries) if self._is_known else ""
        self._panel.border_subtitle = Content(words)
        self._show_chosen()

    def _show_chosen(self) -> None:
        entry = self.chosen
        if entry is not None:
            rows = entry_rows(entry)
        elif self._is_known:
            rows = [(("Ctrl+G in the launch form of a load test queues it.", "dim"),)]
        else:
            rows = [(("Looking for the queue …", "dim"),)]
        self._full.show(rows)
        # The footer is built anew, which costs, only when it offers something else.
        offered = [self.check_action(action, ()) for action in _DEPENDENT]
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_table_view_moved(self, event: TableView.Moved) -> None:
        """Another entry is chosen."""
        self._show_chosen()
        self.query_one("#entry").scroll_home(animate=False)

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """Enter or click."""
        self.action_open()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what makes sense now; the footer stays as it is."""
        entry = self.chosen
        is_possible = True
        if action == "open":
            is_possible = entry is not None
        elif action == "cancel":
            is_possible = self._queue is not None and entry is not None and not entry.has_ended
        elif action == "cancel_all":
            is_possible = self._queue is not None and not all(e.has_ended for e in self._entries)
        elif action == "move_entry":
            is_possible = self._queue is not None and entry is not None and entry.position > 0
        elif action == "retry":
            return self._queue is None
        elif action == "add":
            # A server elsewhere runs only what lies in folders of its own.
            return self._url is None
        return True if is_possible else None

    def action_retry(self) -> None:
        """Look for a server now."""
        self._retry.set()

    def action_add(self) -> None:
        """Back to the menu, where load tests are chosen."""
        from chaperon_tui.screens.menu import MenuScreen

        while not isinstance(self.app.screen, MenuScreen):
            self.app.pop_screen()
        self.chaperon.say("Choose a load test; Ctrl+G in its launch form queues it.")

    @work(group="open", exclusive=True)
    async def action_open(self) -> None:
        """The live screen, the report, or what is to be said of an entry without either."""
        entry = self.chosen
        if entry is None:
            return
        if entry.state == "running" and entry.run_id and self._url is None:
            self.chaperon.attach_to(entry.run_id)
        elif entry.has_ended and entry.run_id:
            await self._open_report(entry.run_id)
        else:
            from chaperon_tui.screens.lines import LinesScreen

            rows = entry_rows(entry)
            if entry.state == "running" and self._url is not None:
                rows += [(), attach_there_row(self._url, entry.run_id)]
            await self.app.push_screen(LinesScreen("In the queue", rows))

    async def _open_report(self, run: str) -> None:
        from chaperon_tui.screens.report import ReportScreen

        try:
            if self._url is None:
                report = await asyncio.to_thread(self.chaperon.engine.load_report, run)
            elif self._queue is not None:
                report = await self._queue.report(run)
            else:
                return
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        where = "" if self._url is None else host_of(self._url)
        await self.app.push_screen(ReportScreen(report, request=None, written={}, where=where))

    async def _tell(self, what: Callable[[QueueHandle], Awaitable[object]]) -> None:
        """Ask the server for something; a refusal is said in one sentence."""
        if self._queue is None:
            return
        try:
            await what(self._queue)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)

    @work(group="move")
    async def action_move_entry(self, step: int) -> None:
        """One place earlier or later."""
        async with self._turn:
            entry = self.chosen
            if entry is None:
                return
            place = entry.position + step
            if not 1 <= place <= sum(each.state == "queued" for each in self._entries):
                return

            async def move(queue: QueueHandle) -> None:
                self._list(with_moved(self._entries, await queue.move(entry.id, place)))

            await self._tell(move)

    @work(group="cancel", exclusive=True)
    async def action_cancel(self) -> None:
        """Cancel the chosen entry, after a question."""
        entry = self.chosen
        if entry is None or entry.has_ended:
            return
        answer = await self.app.push_screen_wait(_cancel_question(entry))
        now = place_of(self._entries, entry.id)
        if answer != "cancel" or now is None:
            return
        if self._entries[now].state != entry.state:
            # The question was about another thing: a test that waited, and runs by now.
            words = "has ended" if self._entries[now].has_ended else "is running"
            self.chaperon.say(f"{entry.name} {words} by now; it was left as it is.")
            return
        if entry.state == "queued":
            # What is cancelled goes to the end of the list: the cursor stays where it was.
            self._select = self._entries[min(now + 1, len(self._entries) - 1)].id
        await self._tell(lambda queue: queue.cancel(entry.id))

    @work(group="cancel", exclusive=True)
    async def action_cancel_all(self) -> None:
        """Cancel what waits, or everything, after a question."""
        answer = await self.app.push_screen_wait(ConfirmScreen(
            "Cancel all?",
            [((count_words(self._entries).rpartition(" · ")[0], "value"),),
             (("A running test is aborted and keeps its report.", ""),)],
            [Choice("a", "All", "all", "error"),
             Choice("w", "Only what waits", "waiting", "warning"),
             Choice("c", "Keep", "", "primary")],
        ))  # fmt: skip
        if answer == "all":
            await self._tell(lambda queue: queue.cancel_all())
        elif answer == "waiting":
            await self._tell(lambda queue: queue.cancel_queued())


def _cancel_question(entry: QueueEntry) -> ConfirmScreen:
    """Asked before an entry is cancelled."""
    if entry.state == "running":
        title, choice = "Abort the running test?", Choice("a", "Abort", "cancel", "error")
        text = "Requests in flight are cancelled at once. There is still a report."
    else:
        title, choice = "Take it out of the queue?", Choice("r", "Remove", "cancel", "error")
        text = "It has not begun to run."
    return ConfirmScreen(
        title,
        [((visible(entry.name, 80), "value"), (f"  {visible(entry.tag, 64)}", "dim")),
         ((text, ""),)],
        [choice, Choice("c", "Keep", "", "primary")],
    )  # fmt: skip

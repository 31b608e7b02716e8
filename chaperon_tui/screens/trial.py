"""Try: one session once, with every request, response, timing and check."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, LaunchRequest
from chaperon_tui.screens.lines import LinesScreen
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.trial import TrialStore
from chaperon_tui.widgets.rows import Rows
from chaperon_tui.widgets.table_view import TableView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp


class TrialScreen(Screen[None]):
    """The exchanges above, the chosen one in full below."""

    CSS_PATH = "trial.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "again", "Again", id="trial.again", tooltip="Run the session once more"),
        Binding("escape,q", "app.pop_screen", "Back", id="trial.back",
                tooltip="Back to the launch form"),
    ]  # fmt: skip

    def __init__(self, request: LaunchRequest):
        super().__init__()
        self._request = request
        self._store = TrialStore()

    def compose(self) -> ComposeResult:
        yield Rows([((" Try", "key"),)], id="head")
        with Vertical(classes="panel", id="list") as panel:
            panel.border_title = Content("Exchanges")
            yield TableView(self._store.table(), id="exchanges")
        with VerticalScroll(classes="panel", id="exchange") as panel:
            panel.border_title = Content("In full")
            yield Rows(wrap=True, id="full")
        yield Footer()

    def on_mount(self) -> None:
        """Begin at once."""
        self.query_one("#exchanges").focus()
        self.action_again()

    def action_again(self) -> None:
        """Run the session once more."""
        self.run_worker(self._follow(), group="trial", exclusive=True)

    async def _follow(self) -> None:
        self._store = TrialStore()
        engine = cast("ChaperonApp", self.app).engine
        self._show()
        try:
            async for event in engine.trial(self._request):
                self._store.fold(event)
                self._show()
        except (ChaperonError, OSError) as error:
            self._store.fail(in_words(error))
        self._show()

    def _show(self) -> None:
        head = self._store.verdict or ((" Try  ", "key"), *self._store.head)
        self.query_one("#head", Rows).show([head])
        self.query_one("#exchanges", TableView).show(self._store.table())
        self._show_full()

    def _show_full(self) -> None:
        cursor = self.query_one("#exchanges", TableView).cursor
        self.query_one("#full", Rows).show(self._store.details(cursor))

    def on_table_view_moved(self, event: TableView.Moved) -> None:
        """Another exchange is chosen."""
        self._show_full()
        self.query_one("#exchange").scroll_home(animate=False)

    def on_table_view_chosen(self, event: TableView.Chosen) -> None:
        """The exchange over the whole screen."""
        details = self._store.details(event.view.cursor)
        self.app.push_screen(LinesScreen("Exchange", details))

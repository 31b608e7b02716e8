"""How machines attach to a run and people watch it: lines to copy, the token on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import Snapshot, visible
from chaperon_tui.state.join import copied_text, read_token
from chaperon_tui.widgets.join_card import JoinCard
from chaperon_tui.widgets.rows import Rows

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp

_NOTE = (
    "The load has begun: no new machine is taken. An agent that was ended delivers what it has "
    "kept when it is started again under its name:"
)
CARD_KEYS: list[BindingType] = [
    Binding("c", "copy('join')", "Copy join line", id="join.copy",
            tooltip="Put the line that attaches a machine into the clipboard of the terminal"),
    Binding("w", "copy('watch')", "Copy watch line", id="join.watch",
            tooltip="The same with the line for who wants to watch from another machine"),
    Binding("t", "token", "Token", id="join.token",
            tooltip="Show the agents' token on the screen, or hide it"),
]  # fmt: skip


class CardKeys(Screen[Any]):
    """The keys of a screen with a join card."""

    @property
    def card(self) -> JoinCard:
        """The lines."""
        return self.query_one("#card", JoinCard)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what there is."""
        card = self.card if self.is_mounted else None
        if action == "copy":
            return card is not None and bool(card.command(str(parameters[0])))
        if action == "token":
            return card is not None and bool(card.token_file)
        return True

    def action_copy(self, which: str) -> None:
        """Into the clipboard, as far as the terminal allows it."""
        command = self.card.command(which)
        self.app.copy_to_clipboard(copied_text(command))
        name = "join line" if which == "join" else "watch line"
        cast("ChaperonApp", self.app).say(
            f"The {name} was sent to your terminal's clipboard. A terminal that takes none (OSC "
            "52) ignores it: mark the line with Shift and the mouse then."
        )

    @work(group="token", exclusive=True)
    async def action_token(self) -> None:
        """Show the token, or hide it; it is read anew each time and kept nowhere."""
        card = self.card
        if card.is_token_shown:
            card.show_token("")
            return
        try:
            card.show_token(await asyncio.to_thread(read_token, card.token_file))
        except OSError as error:
            cast("ChaperonApp", self.app).say(
                f"The token file {visible(card.token_file)} cannot be read: "
                f"{visible(error.strerror)}", severe=True,
            )  # fmt: skip


class JoinScreen(CardKeys, Screen[None]):
    """The lines of a run whose load has begun."""

    CSS_PATH = "join.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *CARD_KEYS,
        Binding("escape,q", "app.pop_screen", "Back", id="join.back", tooltip="Back to the run"),
    ]

    def __init__(self, snapshot: Snapshot):
        super().__init__()
        self._snapshot = snapshot

    def compose(self) -> ComposeResult:
        title = visible(self._snapshot.load_test, 40)
        words = "how to attach" if self._snapshot.join else "how to watch it from elsewhere"
        yield Rows([((f" {title}  ", "title"), (words, "key"))], id="head")
        with VerticalScroll(id="body"):
            yield JoinCard(_NOTE, id="card", watch_first=True)
        yield Footer()

    def on_mount(self) -> None:
        """Fill the card."""
        snapshot = self._snapshot
        self.card.show(snapshot.join, snapshot.token_file, snapshot.attach)
        self.refresh_bindings()

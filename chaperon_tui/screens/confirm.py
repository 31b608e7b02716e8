"""A question with a few answers, each with a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button

from chaperon_tui.raster.cells import Row
from chaperon_tui.screens.dialog import Dialog
from chaperon_tui.widgets.rows import Rows


@dataclass(frozen=True)
class Choice:
    """One answer."""

    key: str
    label: str
    value: str
    variant: Literal["default", "primary", "success", "warning", "error"] = "default"


class ConfirmScreen(Dialog[str]):
    """Dismisses with the value of the chosen answer, or with the empty text for Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="confirm.back"),
        Binding("left,up", "app.focus_previous", "Previous", show=False),
        Binding("right,down", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, title: str, rows: Sequence[Row], choices: Sequence[Choice]):
        super().__init__()
        self._title = title
        self._rows = rows
        self._choices = list(choices)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            yield Rows(self._rows, wrap=True)
            with Horizontal(classes="buttons"):
                for number, choice in enumerate(self._choices):
                    yield Button(
                        Content(f"{choice.key.upper()} {choice.label}"),
                        variant=choice.variant,
                        id=f"choice-{number}",
                    )

    def on_mount(self) -> None:
        """The last answer is the harmless one."""
        self.query_one(f"#choice-{len(self._choices) - 1}").focus()

    def on_key(self, event: events.Key) -> None:
        """The key of an answer gives it."""
        for choice in self._choices:
            if event.key == choice.key:
                event.stop()
                self.answer(choice.value)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter on the focused answer."""
        number = int((event.button.id or "").removeprefix("choice-"))
        self.answer(self._choices[number].value)

    def action_cancel(self) -> None:
        """No answer."""
        self.answer("")

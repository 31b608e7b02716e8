"""Asks for one line of text."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from chaperon_tui.screens.dialog import Dialog


class PromptScreen(Dialog[str | None]):
    """Dismisses with the text, or with None for Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="prompt.back"),
    ]

    def __init__(self, title: str, placeholder: str, value: str = ""):
        super().__init__()
        self._title = title
        self._placeholder = placeholder
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            yield Input(self._value, placeholder=self._placeholder)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        self.answer(event.value.strip())

    def action_cancel(self) -> None:
        """Esc."""
        self.answer(None)

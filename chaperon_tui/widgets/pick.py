"""A field with a few values to choose from, on one line of a form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.widgets.painted import Painted


class Pick(Painted, can_focus=True):
    """`‹ continue ›`: left, right and blank change it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Previous", show=False),
        Binding("right,l,space", "step(1)", "Next", show=False),
        Binding("enter", "submit", "Launch", show=False),
    ]

    class Changed(Message):
        """Another value was chosen."""

    class Submitted(Message):
        """Enter, as in a text field."""

    def __init__(self, value: str, choices: Sequence[str], *, key: str):
        super().__init__()
        self.key = key
        self._choices = tuple(choices)
        self.value = value if value in self._choices else self._choices[0]

    def paint(self, width: int, height: int) -> list[Row]:
        role = "key" if self.has_focus else ""
        hint = " ".join(each for each in self._choices if each != self.value)
        row = ((" ‹ ", role), (self.value, "value"), (" › ", role))
        room = width - 6 - len(self.value)
        return [(*row, (pad(f" {hint}", room), "dim"))]

    def action_step(self, step: int) -> None:
        """The next value, round and round."""
        place = self._choices.index(self.value) + step
        self.value = self._choices[place % len(self._choices)]
        self.repaint()
        self.post_message(self.Changed())

    def action_submit(self) -> None:
        """What Enter does in a text field."""
        self.post_message(self.Submitted())

    def on_click(self, event: events.Click) -> None:
        """The next value."""
        self.action_step(1)

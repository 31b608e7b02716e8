"""Panels side by side where there is room, one at a time behind tabs where there is not.

The style sheet decides by the classes `-narrow` and `-short` of the screen and `-zoomed` of the
board.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import events
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from chaperon_tui.raster.cells import Row
from chaperon_tui.state.table import fit
from chaperon_tui.widgets.painted import Painted


def has_room(screen: Screen[Any]) -> bool:
    """Several panels stand side by side on a screen of this size."""
    return not (screen.has_class("-narrow") or screen.has_class("-short"))


class Panel(Container):
    """A frame with a title around what it shows."""

    def __init__(self, title: str, *children: Widget, id: str):
        super().__init__(*children, id=id, classes="panel")
        self.short_title = title

    def set_note(self, note: str) -> None:
        """Say something more beside the title; `note` has passed `visible`."""
        self.border_subtitle = Content(note)


class Tabs(Painted):
    """The names of the panels with their keys."""

    class Chosen(Message):
        """Click on a tab."""

        def __init__(self, number: int):
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[str]):
        super().__init__()
        self._titles = titles
        self.current = 0

    def paint(self, width: int, height: int) -> list[Row]:
        row: list[tuple[str, str]] = []
        for number, title in enumerate(self._titles):
            role = "tab-current" if number == self.current else "tab"
            mark = "▸" if number == self.current else " "
            row += [(f"{mark}{number + 1} {title} ", role), (" ", "")]
        return [fit(tuple(row), width)]

    def on_click(self, event: events.Click) -> None:
        """Choose the tab that was hit."""
        start = 0
        for number, title in enumerate(self._titles):
            end = start + len(title) + 5
            if start <= event.x < end:
                self.post_message(self.Chosen(number))
                return
            start = end


class Board(Container):
    """Panels and their tabs."""

    def __init__(self, panels: Iterable[Panel], *, id: str):
        self.panels = list(panels)
        self.tabs = Tabs([panel.short_title for panel in self.panels])
        super().__init__(self.tabs, Container(*self.panels, classes="panels"), id=id)
        self.current = 0

    def on_mount(self) -> None:
        """Name the panels and begin with the first."""
        for number, panel in enumerate(self.panels):
            panel.border_title = Content(f"{number + 1} {panel.short_title}")
        self.select(0, focus=False)

    def select(self, number: int, *, focus: bool = True) -> None:
        """Bring a panel to the front and give it the focus."""
        if not 0 <= number < len(self.panels):
            return
        self.current = number
        for index, panel in enumerate(self.panels):
            panel.set_class(index == number, "-current")
        self.tabs.current = number
        self.tabs.repaint()
        if focus:
            for widget in self.panels[number].query("*"):
                if widget.focusable or widget.can_focus:
                    widget.focus()
                    return
            self.screen.set_focus(None)

    def toggle_zoom(self) -> None:
        """One panel over the whole board, or all of them."""
        self.toggle_class("-zoomed")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The panel with the focus is the current one."""
        for number, panel in enumerate(self.panels):
            if panel in event.widget.ancestors and number != self.current:
                self.select(number, focus=False)

    def on_tabs_chosen(self, event: Tabs.Chosen) -> None:
        """A tab was clicked."""
        event.stop()
        self.select(event.number)

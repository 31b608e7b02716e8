"""A chart over the time of a run in which a window can be marked by keys or mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from chaperon_tui.raster.cells import Row
from chaperon_tui.widgets.painted import Painted

LEFT_MARGIN = 8
"""Cells left of the plot, about; only the mouse needs them."""


class Timeline(Painted, can_focus=True):
    """Left and right move the window, shift makes it longer or shorter, drag marks one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Window left", show=False, id="timeline.left",
                tooltip="Move the time window, or mark one"),
        Binding("right", "move(1)", "Window right", show=False, id="timeline.right",
                tooltip="Move the time window, or mark one"),
        Binding("shift+left,comma", "grow(-1)", "Shorter", show=False, id="timeline.shorter",
                tooltip="Make the time window shorter"),
        Binding("shift+right,full_stop", "grow(1)", "Longer", show=False, id="timeline.longer",
                tooltip="Make the time window longer"),
    ]  # fmt: skip

    class Marked(Message):
        """A window stands: [start_s, end_s) in whole seconds."""

        def __init__(self, start_s: int, end_s: int):
            super().__init__()
            self.start_s = start_s
            self.end_s = end_s

    def __init__(
        self,
        draw: Callable[[int, int, tuple[float, float] | None], list[Row]],
        length_s: int,
        *,
        id: str | None = None,
    ):
        super().__init__(id=id)
        self._draw = draw
        self._length_s = max(length_s, 1)
        self._step_s = max(1, length_s // 60)
        self.window: tuple[int, int] | None = None
        self._drag_from: int | None = None

    def paint(self, width: int, height: int) -> list[Row]:
        marks = None if self.window is None else (float(self.window[0]), float(self.window[1]))
        return self._draw(width, height, marks)

    def mark(self, start_s: int, end_s: int) -> None:
        """Mark a window, brought into the run's time."""
        start = max(0, min(start_s, self._length_s - 1))
        end = max(start + 1, min(end_s, self._length_s))
        if self.window != (start, end):
            self.window = (start, end)
            self.repaint()
            self.post_message(self.Marked(start, end))

    def action_move(self, direction: int) -> None:
        """Move the window; the first time mark the middle third of the run."""
        if self.window is None:
            self.mark(self._length_s // 3, max(self._length_s * 2 // 3, 1))
            return
        start, end = self.window
        step = direction * self._step_s
        step = max(-start, min(step, self._length_s - end))
        self.mark(start + step, end + step)

    def action_grow(self, direction: int) -> None:
        """Move the end of the window."""
        if self.window is None:
            self.action_move(1)
            return
        self.mark(self.window[0], self.window[1] + direction * self._step_s)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin a window."""
        self._drag_from = self._second(event.x)
        self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End a window."""
        self.release_mouse()
        if self._drag_from is not None:
            first, last = sorted((self._drag_from, self._second(event.x)))
            self._drag_from = None
            self.mark(first, last + 1)

    def _second(self, x: int) -> int:
        room = max(1, self.size.width - LEFT_MARGIN - 8)
        return int(max(0.0, min((x - LEFT_MARGIN) / room, 1.0)) * self._length_s)

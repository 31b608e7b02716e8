"""What standard output is: its width, whether it takes colour, and a line that is rewritten.

Must not know what is written.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

from chaperon_engine.export.layout import Style, cut, paint


class Terminal:
    """Standard output, or another stream, as a place for people."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = sys.stdout if stream is None else stream
        self.is_terminal = self._stream.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.color = self.is_terminal and not plain
        self._live = False

    @property
    def columns(self) -> int | None:
        """None when nobody looks."""
        return shutil.get_terminal_size((100, 24)).columns if self.is_terminal else None

    @property
    def width(self) -> int:
        """Columns; 100 when nobody looks."""
        return self.columns or 100

    def paint(self, text: str, style: Style) -> str:
        """`text` in a style if this terminal shows it."""
        return paint(text, style, self.color)

    def write(self, text: str = "") -> None:
        """Whole lines, above the live line; flushed."""
        self.clear_live()
        self._stream.write(text if text.endswith("\n") else text + "\n")
        self._stream.flush()

    def live(self, text: str, style: Style = "") -> None:
        """Rewrite the live line; where there is no terminal it is a line like any other."""
        if not self.is_terminal:
            self.write(text)
            return
        shown = self.paint(cut(text, self.width - 1), style)
        self._stream.write(f"\r{shown}\x1b[K")
        self._stream.flush()
        self._live = True

    def clear_live(self) -> None:
        """Take the live line away."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._live = False

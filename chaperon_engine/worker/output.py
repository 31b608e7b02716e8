"""What user code prints, as bounded lines of the run's log instead of on a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

MAX_LINE = 2000
"""Characters after which a line without an end is taken as one."""


class OutputStream(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr; each complete line goes to `sink`."""

    def __init__(self, sink: Callable[[str], None]):
        super().__init__()
        self._sink = sink
        self._partial = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Keep what is no whole line yet; never fails, never blocks."""
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._sink(line)
        while len(self._partial) > MAX_LINE:
            self._sink(self._partial[:MAX_LINE])
            self._partial = self._partial[MAX_LINE:]
        return len(text)

    def finish(self) -> None:
        """Hand on a last line without an end."""
        if self._partial:
            self._sink(self._partial)
            self._partial = ""

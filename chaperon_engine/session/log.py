"""The log of one worker: bounded between two frames, so that chatty sessions cost little."""

from __future__ import annotations

import logging
from typing import Final

from chaperon_engine.clock import now_ns
from chaperon_engine.metrics.model import LogLine
from chaperon_engine.text import visible

MAX_LINES: Final = 200
"""Lines that are kept between two calls of `collect`; further ones are counted."""
MAX_TEXT: Final = 1_000


class LogBook:
    """Lines of a worker since the last `collect`.

    `collect` is called for each frame, once a second: the bound on lines is the rate limit.
    """

    def __init__(self, *, level: int = logging.INFO, max_lines: int = MAX_LINES) -> None:
        self.start_ns = now_ns()
        """Monotonic time from which lines are dated: the start of the run."""
        self.logger = logging.Logger("chaperon.session", level)
        """Not known to `logging.getLogger`: what users configure there stays theirs."""
        self.logger.addHandler(_BookHandler(self))
        self._max_lines = max_lines
        self._lines: list[LogLine] = []
        self._dropped = 0

    @property
    def is_full(self) -> bool:
        """Whether further lines are only counted."""
        return len(self._lines) >= self._max_lines

    def add(self, level: str, source: str, text: object) -> None:
        """Keep a line, or count it when there are too many. `level` as in `LogLine`."""
        if self.is_full:
            self._dropped += 1
            return
        at_s = max(0.0, (now_ns() - self.start_ns) / 1e9)
        self._lines.append(LogLine(at_s, level, visible(source), visible(text, MAX_TEXT)))

    def collect(self) -> tuple[list[LogLine], int]:
        """The lines and the number of dropped ones since the last call."""
        lines, dropped = self._lines, self._dropped
        self._lines, self._dropped = [], 0
        return lines, dropped


class SessionLogger(logging.LoggerAdapter[logging.Logger]):
    """A standard logger adapter whose lines carry the session's id (which begins with its name)."""

    def __init__(self, logger: logging.Logger, session_id: str) -> None:
        super().__init__(logger, {"session": session_id})


class _BookHandler(logging.Handler):
    def __init__(self, book: LogBook) -> None:
        super().__init__()
        self._book = book

    def emit(self, record: logging.LogRecord) -> None:
        source = getattr(record, "session", "")
        if self._book.is_full:
            self._book.add("", source, "")
            return
        try:
            text = record.getMessage()
        except Exception as error:
            text = f"{record.msg!r} cannot be formatted: {error}"
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        self._book.add(record.levelname.lower(), source, text)

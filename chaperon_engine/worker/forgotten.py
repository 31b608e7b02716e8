"""Calls that a scenario forgot to await: exceptions of the report instead of lines in a log."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from chaperon_engine.metrics.model import ExceptionGroup
from chaperon_engine.text import visible

NEVER_AWAITED: Final = "NeverAwaited"
"""What stands in place of an exception's type."""

_WARNING: Final = re.compile(r"coroutine '(?:.*\.)?(.+)' was never awaited")


@contextmanager
def watching(sink: Callable[[ExceptionGroup], None]) -> Iterator[None]:
    """Hands each call that nobody awaits to `sink`. Other warnings are shown as ever."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message="coroutine .* was never awaited")
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            found = _WARNING.match(str(message))
            if found is None:
                shown(message, category, filename, lineno, file, line)
                return
            text = f"{visible(found[1])} did nothing: its call was never awaited; write await"
            sink(
                ExceptionGroup(
                    type=NEVER_AWAITED,
                    file=filename,
                    line=lineno,
                    count=1,
                    message=f"{text} before it",
                    traceback="",
                    where="run",
                )
            )

        warnings.showwarning = show
        yield

"""Where a process hangs, read from the stack that faulthandler wrote. Pure."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')

NOT_THE_USERS = (
    str(Path(__file__).resolve().parent.parent),
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)
"""Folders whose code is ours, Python's or a library's."""


def innermost_user_frame(dump: str, foreign: Sequence[str] = NOT_THE_USERS) -> str:
    """`FILE:LINE in FUNCTION` of the innermost frame outside of the `foreign` folders.

    The innermost frame of all when every frame is inside of one; empty when there is none.
    """
    innermost = ""
    for line in dump.splitlines():
        match = _FRAME.match(line)
        if match is None:
            continue
        place = f"{match['file']}:{match['line']} in {match['name']}"
        innermost = innermost or place
        inside = any(match["file"].startswith(f"{folder}/") for folder in foreign)
        if not inside and not match["file"].startswith("<"):
            return place
    return innermost

"""InfluxDB's line protocol: one point as one line. Pure.

Owns: escaping. Must not know what is measured.

The format has no escape for a backslash in keys and tags: before a comma, an equals sign, a space,
another backslash or the end it would swallow what follows, and the parsers of versions 1, 2 and 3
differ in what they make of two. There it is written as `＼` (U+FF3C), which none of them touches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache

from chaperon_engine.text import visible

Field = int | float | str | bool | None

_MAX_TEXT = 1000
_SWALLOWING = re.compile(r"\\(?=[\\,= \"]|$)")
_SPECIAL = re.compile(r"([,= ])")
_MEASUREMENT_SPECIAL = re.compile(r"([, ])")
_INT64 = range(-(2**63), 2**63)


def series(measurement: str, tags: Mapping[str, str]) -> str:
    """The part of a line before its first blank: points that share it and their time are one point.

    The same tags give the same text in any order; empty ones are left out.
    """
    head = [_MEASUREMENT_SPECIAL.sub(r"\\\1", _plain(measurement))]
    head += [f"{_key(name)}={_key(value)}" for name, value in sorted(tags.items()) if value]
    return ",".join(head)


def line(series: str, fields: Mapping[str, Field], time_ms: int) -> str:
    """A point without the newline at its end; empty when no field has a value.

    Fields that are None, and numbers that the format cannot carry, are left out.
    """
    written = [
        f"{_key(name)}={text}"
        for name, value in fields.items()
        if (text := _value(value)) is not None
    ]
    return f"{series} {','.join(written)} {time_ms}" if written else ""


def _plain(text: str) -> str:
    return _SWALLOWING.sub("\uff3c", visible(text, _MAX_TEXT))


@lru_cache(maxsize=1024)  # The seconds of a run repeat a few names tens of thousands of times.
def _key(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", _plain(text))


def _value(value: Field) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i" if value in _INT64 else None
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    if value is None:
        return None
    shown = visible(value, _MAX_TEXT).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'

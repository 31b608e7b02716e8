"""A load test as plain data, made of the types of JSON so that it arrives whole elsewhere.

Must not know: what its keys mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_MAX_DEPTH = 50


def plain_data(load_test: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy. Raises UserError naming the first value that is no plain data."""
    return _table(load_test, "", 0)


def _table(table: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, value in table.items():
        if type(key) is not str:
            shown = visible(repr(key), 80)
            beside = f" in {where.removesuffix('.')}" if where else ""
            raise _wrong(f"the key {shown}{beside}", f"is {type(key).__name__}, not text")
        copy[_value(key, f"a key below {where}", depth)] = _value(value, f"{where}{key}", depth)
    return copy


def _value(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise _wrong(where, "has half a character in it (a lone surrogate)")
        return value
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise _wrong(where, "is a number of more than 64 bits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _wrong(where, f"is {value}, which is no number of JSON")
        return value
    if depth >= _MAX_DEPTH:
        raise _wrong(where, f"is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return _table(value, f"{where}.", depth + 1)
    if isinstance(value, list | tuple):
        return [_value(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, type):
        raise _wrong(where, f'is the class {value.__name__}; name it as "file.py:{value.__name__}"')
    raise _wrong(
        where,
        f"is of type {kind.__name__}; plain data has only text, numbers, true and false, lists and "
        "tables of them",
    )


def _wrong(where: str, problem: str) -> UserError:
    return UserError(f"{visible(where, 100)} of the load test {visible(problem)}")

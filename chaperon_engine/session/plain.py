"""Values that leave the worker: only plain data does, anything else is an error naming the key.

Plain are None, true and false, numbers of 64 bits, text, bytes, and lists and tables of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.net.cookies import PlainCookie
from chaperon_engine.session.assigned import Assigned, below
from chaperon_engine.text import visible

MAX_BYTES: Final = 64 * 1024
"""Of one table, packed."""
_MAX_DEPTH: Final = 32


def pack(values: Mapping[str, Any], what: str) -> bytes:
    """A table as bytes. `what` is what a value of it is called: `config value`.

    Raises InvalidRequest naming the first value that is not plain.
    """
    return _bounded(_table(values, what, "", 0), what)


def unpack(packed: bytes) -> dict[str, Any]:
    """What `pack` packed; tuples have become lists."""
    return msgspec.msgpack.decode(packed, type=dict[str, Any])


def pack_assigned(assigned: Assigned) -> bytes:
    """Assigned values with their namespaces."""
    return _bounded(_spaces(assigned, "", 0), "assigned value")


def unpack_assigned(packed: bytes) -> Assigned:
    """What `pack_assigned` packed."""
    assigned = Assigned()
    values = msgspec.msgpack.decode(packed, type=list[Any])
    if values:
        _fill(assigned, values)
    return assigned


def pack_cookies(cookies: list[PlainCookie]) -> bytes:
    """The cookies of a jar."""
    return _bounded(cookies, "cookie")


def unpack_cookies(packed: bytes) -> list[PlainCookie]:
    """What `pack_cookies` packed."""
    return msgspec.msgpack.decode(packed, type=list[PlainCookie])


def _bounded(values: Any, what: str) -> bytes:
    packed = msgspec.msgpack.encode(values)
    if len(packed) > MAX_BYTES:
        raise InvalidRequest(
            f"the {what}s take {len(packed):,} bytes; at most {MAX_BYTES:,} go to another worker"
        )
    return packed


def _spaces(assigned: Assigned, prefix: str, depth: int) -> list[Any]:
    spaces = {name: value for name, value in assigned.items() if isinstance(value, Assigned)}
    values = {name: value for name, value in assigned.items() if name not in spaces}
    if depth > _MAX_DEPTH:
        raise InvalidRequest(f"assigned value {prefix!r} is nested too deeply")
    return [
        _table(values, "assigned value", prefix, 0),
        {name: _spaces(space, f"{prefix}{name}.", depth + 1) for name, space in spaces.items()},
    ]


def _fill(assigned: Assigned, packed: list[Any]) -> None:
    values, spaces = packed
    for name, value in values.items():
        assigned[name] = value
    for name, space in spaces.items():
        _fill(below(assigned, name), space)


def _table(values: Mapping[Any, Any], what: str, prefix: str, depth: int) -> dict[Any, Any]:
    table: dict[Any, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str | int) or isinstance(key, bool):
            kind = type(key).__name__
            raise InvalidRequest(
                f"{what} {prefix}{visible(repr(key))}: a key must be text, not {kind}"
            )
        name = key if isinstance(key, int) else str(key)
        table[_plain(name, what, f"{prefix}{name}", depth)] = _plain(
            value, what, f"{prefix}{name}", depth
        )
    return table


def _plain(value: Any, what: str, name: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    # Subclasses (enums, secrets) become what they are made of.
    if isinstance(value, str):
        text = str.__str__(value)
        if not text.isascii() and _has_surrogates(text):
            raise InvalidRequest(f"{what} {visible(name)!r} is text that is not valid Unicode")
        return text
    if isinstance(value, int):
        number = int(value)
        if not -(2**63) <= number < 2**64:
            raise InvalidRequest(f"{what} {visible(name)!r} is a number of more than 64 bits")
        return number
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if depth >= _MAX_DEPTH:
        raise InvalidRequest(f"{what} {visible(name)!r} is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return _table(value, what, f"{name}.", depth + 1)
    if isinstance(value, list | tuple):
        return [
            _plain(item, what, f"{name}[{number}]", depth + 1) for number, item in enumerate(value)
        ]
    kind = visible(type(value).__qualname__)
    raise InvalidRequest(
        f"{what} {visible(name)!r} is of type {kind}; only plain data (text, numbers, bytes, lists "
        "and tables of them) goes to another worker"
    )


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)

"""Changes inside messages: what a fuzzer that only knows bytes seldom gets past the decoder.

Owns: taking an input apart into its msgpack values, changing some of them, and putting it together
again with right lengths and checksums. Pure. Must not know who takes the input.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import msgspec

Framing = Literal["bytes", "value", "messages", "records"]
"""`value`: one msgpack value; `messages`: each after its length; `records`: after length and
checksum; `bytes`: nothing is known."""

_NUMBERS = (
    0, 1, 2, -1, 127, 2047, 2048, 28_671, 28_672, 1 << 31, 1 << 53, 10**9, 86_400_000_000,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63), 0.0, -0.0, 1e308, float("inf"), float("nan"),
)  # fmt: skip
_TEXTS = ("", "(other)", "warmup", "http", "gauge", "ws_message", "call", "x" * 70, "\x1b[2J", "é")


def changed(data: bytes, framing: Framing, chance: random.Random) -> bytes:
    """The input with one to three values changed. Raises ValueError when it cannot be read."""
    values = _taken_apart(data, framing)
    for _ in range(chance.randrange(1, 4)):
        if values:
            _change(values, chance)
    try:
        return b"".join(_framed(msgspec.msgpack.encode(value), framing) for value in values)
    except (TypeError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None


def _taken_apart(data: bytes, framing: Framing) -> list[Any]:
    if framing == "bytes":
        raise ValueError("nothing is known of its inside")
    bodies = [data]
    if framing != "value":
        head = 4 if framing == "messages" else 8
        bodies, at = [], 0
        while at + head <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            bodies.append(data[at + head : at + head + length])
            at += head + length
    try:
        values = [msgspec.msgpack.decode(body) for body in bodies]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(str(error)) from None
    if not values:
        raise ValueError("it is empty")
    return values


def _framed(body: bytes, framing: Framing) -> bytes:
    length = len(body).to_bytes(4, "big")
    if framing == "messages":
        return length + body
    if framing == "records":
        return length + zlib.crc32(body).to_bytes(4, "big") + body
    return body


def _change(values: list[Any], chance: random.Random) -> None:
    """Change one place, anywhere in the tree; deep ones are as likely as others."""
    places = list(_places(values))
    holder, key = chance.choice(places)
    found = holder[key]
    if isinstance(found, (list, dict)) and chance.random() < 0.5:
        _rearrange(found, places, chance)
    elif isinstance(holder, list) and chance.random() < 0.15:
        _rearrange(holder, places, chance)
    else:
        holder[key] = _another(found, places, chance)


def _places(tree: list[Any] | dict[Any, Any]) -> list[tuple[Any, Any]]:
    """(holder, key or index) of every value below."""
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [tree]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], (list, dict)):
                waiting.append(holder[key])
    return found


def _rearrange(
    holder: list[Any] | dict[Any, Any], places: list[tuple[Any, Any]], chance: random.Random
) -> None:
    """Elements go, come twice, or change places."""
    if isinstance(holder, dict):
        if holder and chance.random() < 0.5:
            del holder[chance.choice(list(holder))]
        else:
            other, key = chance.choice(places)
            holder[chance.choice([*_TEXTS[:4], 200, -1])] = deepcopy(other[key])
        return
    at = chance.randrange(len(holder) + 1)
    other, key = chance.choice(places)
    steps: list[Callable[[], Any]] = [lambda: holder.insert(at, deepcopy(other[key]))]
    if holder:
        again = chance.choice(holder)
        steps += [
            lambda: holder.insert(at, deepcopy(again)),
            lambda: holder.pop(chance.randrange(len(holder))),
            lambda: chance.shuffle(holder),
        ]
    chance.choice(steps)()


def _another(found: Any, places: list[tuple[Any, Any]], chance: random.Random) -> Any:
    if chance.random() < 0.2:
        holder, key = chance.choice(places)
        return deepcopy(holder[key])
    if isinstance(found, bool) or found is None:
        return chance.choice([True, False, None, 1])
    if isinstance(found, (int, float)):
        step = chance.choice([-1, 1, 2, 100, 10**9])
        return chance.choice([found + step, found + step, chance.choice(_NUMBERS)])
    if isinstance(found, str):
        return chance.choice([*_TEXTS, found + found, found[: len(found) // 2]])
    if isinstance(found, bytes):
        return chance.choice([b"", found[:-1], found + b"\0", chance.randbytes(len(found))])
    return chance.choice([[], {}, None, 0, ""])

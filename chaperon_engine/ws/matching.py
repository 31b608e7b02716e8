"""Which message a receive is for, and what the scenario gets of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import iscoroutine
from typing import Any, Final, Literal

import msgspec

from chaperon_engine.errors import DecodeError, InvalidRequest
from chaperon_engine.text import visible

Message = str | bytes
Decoding = Literal["json"] | Callable[[Message], Any]
"""JSON, or a function of the message."""

NOTHING: Final = object()
"""Stands for an argument that is not given, where None is a value."""

Test = Callable[[Message], tuple[bool, Any]]
"""Whether a message fits, and what the scenario gets of it."""


def decoded(message: Message, decode: Decoding | None) -> Any:
    """What a message says. Raises DecodeError when it is not the JSON that it should be."""
    if decode is None:
        return message
    if decode == "json":
        try:
            return msgspec.json.decode(message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DecodeError(
                f"the message is not JSON ({visible(error)}): {shown(message)}"
            ) from None
    return decode(message)


def test_of(expected: Any, subset: Any, decode: Decoding | None) -> Test:
    """The test for `ws_await_recv(expected, json=subset, decode=decode)`.

    Raises InvalidRequest for arguments that cannot be.
    """
    check_decoding(decode)
    if (expected is NOTHING) == (subset is NOTHING):
        raise InvalidRequest("ws_await_recv takes an expected value or function, or json=")
    if subset is not NOTHING:
        return _fits_subset(subset)
    if callable(expected):
        return _fits_predicate(expected, decode)
    if decode is None and not isinstance(expected, (str, bytes)):
        raise InvalidRequest(
            f"a message is text or bytes and never equals a {type(expected).__name__}; "
            'use json=, or decode="json"'
        )

    def equals(message: Message) -> tuple[bool, Any]:
        value = _decoded_or_nothing(message, decode)
        return (value is not NOTHING and value == expected), value

    return equals


def check_decoding(decode: Decoding | None) -> None:
    """Raises InvalidRequest unless `decode` is one."""
    if decode is not None and decode != "json" and not callable(decode):
        raise InvalidRequest("decode must be 'json' or a function of the message")


def contains(value: Any, subset: Any) -> bool:
    """Whether decoded JSON has all of `subset`: each key of its objects, its lists one to one."""
    if isinstance(subset, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and contains(value[key], part) for key, part in subset.items()
        )
    if isinstance(subset, (list, tuple)):
        return (
            isinstance(value, list)
            and len(value) == len(subset)
            and all(contains(one, part) for one, part in zip(value, subset, strict=True))
        )
    if isinstance(subset, bool) or isinstance(value, bool):
        return value is subset  # 1 == True is no match of JSON
    return bool(value == subset)


def shown(message: Message) -> str:
    """The beginning of a message, fit for a terminal."""
    if isinstance(message, str):
        return visible(repr(message[:200]), 80)
    return f"{visible(repr(message[:40]), 80)} ({len(message)} bytes)"


def _fits_subset(subset: Any) -> Test:
    def fits(message: Message) -> tuple[bool, Any]:
        value = _decoded_or_nothing(message, "json")
        return (value is not NOTHING and contains(value, subset)), value

    return fits


def _fits_predicate(predicate: Callable[[Any], Any], decode: Decoding | None) -> Test:
    def fits(message: Message) -> tuple[bool, Any]:
        value = _decoded_or_nothing(message, decode)
        if value is NOTHING:
            return False, None
        answer = predicate(value)
        if iscoroutine(answer):
            answer.close()
            raise InvalidRequest("the function given to ws_await_recv must not be asynchronous")
        return bool(answer), value

    return fits


def _decoded_or_nothing(message: Message, decode: Decoding | None) -> Any:
    """Of messages that are not JSON, none fits."""
    try:
        return decoded(message, decode)
    except DecodeError:
        return NOTHING

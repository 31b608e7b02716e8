"""The kinds of values that settings take: one function each, from what people write to one type.

Each takes the value and words for it (`timeout in default_config of X`) and raises ValueError with
one sentence. Values that may be secret never appear in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaperon_engine import units
from chaperon_engine.definition.model import Tls
from chaperon_engine.definition.problems import WrongValue, did_you_mean
from chaperon_engine.definition.resolved import Interval
from chaperon_engine.definition.secrets import plain
from chaperon_engine.text import visible

Kind = Callable[[Any, str], Any]

_SCHEMES = ("http", "https", "ws", "wss")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[^\s/?#@\\\x00-\x20\x7f<>\"^`{|}%]+")
_FORBIDDEN_IN_HEADER = re.compile(r"[\r\n\x00]")
TLS_FIELDS = tuple(field.name for field in fields(Tls))


def shown(value: Any) -> str:
    """A wrong value as it may stand in a sentence: text as written, objects by their class."""
    if isinstance(value, str):
        return f"'{visible(plain(value), 80)}'"
    safe = plain(value)
    return visible(safe if isinstance(safe, str) else repr(safe), 80)


def duration(value: Any, what: str) -> float:
    """Seconds, zero or more."""
    return units.seconds(value, what)


def positive_duration(value: Any, what: str) -> float:
    """Seconds, more than zero."""
    result = units.seconds(value, what)
    if result == 0:
        raise ValueError(f"{what} must be more than zero seconds")
    return result


def at_least(minimum: int) -> Kind:
    """A whole number of `minimum` or more; `10k` is understood."""

    def number(value: Any, what: str) -> int:
        result = units.count(value, what)
        if result < minimum:
            raise ValueError(f"{what} must be {minimum} or more, not {result}")
        return result

    return number


def size(value: Any, what: str) -> int:
    """Bytes, at least one; `64KiB` is understood."""
    result = units.byte_size(value, what)
    if result < 1:
        raise ValueError(f"{what} must be at least 1 byte")
    return result


def flag(value: Any, what: str) -> bool:
    """True or False and nothing else."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be true or false, not {shown(value)}")
    return value


def text(value: Any, what: str) -> str:
    """A string without control characters."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, not {type(value).__name__}")
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ValueError(f"{what} must be one line without control characters")
    if not _is_encodable(value):
        raise ValueError(f"{what} has half a character in it (a lone surrogate)")
    return value


def label(value: Any, what: str) -> str:
    """A name that people see: text, not empty, at most 100 characters."""
    name = text(value, what).strip()
    if not name:
        raise ValueError(f"{what} must not be empty")
    if len(name) > 100:
        raise ValueError(f"{what} has {len(name)} characters, at most 100 are allowed")
    return name


def metrics(value: Any, what: str) -> tuple[str, ...] | Callable[..., Any]:
    """A filter of metrics: words in a list, or in text with commas between; or a function."""
    if callable(value) and not isinstance(value, type):
        return value  # type: ignore[no-any-return]
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple | set | frozenset) or not words:
        raise ValueError(
            f"{what} must be a list of kinds, actions or names such as ['get', 'ws_recv'], or a "
            f"function of a series, not {shown(value)}"
        )
    return tuple(label(word, f"a word of {what}") for word in words)


def choice(*allowed: str) -> Kind:
    """One of a few words."""

    def word(value: Any, what: str) -> str:
        if value not in allowed:
            options = " or ".join(f"'{option}'" for option in allowed)
            raise ValueError(f"{what} must be {options}, not {shown(value)}")
        return str(value)

    return word


def headers(value: Any, what: str) -> dict[str, str]:
    """Header fields by name; numbers are taken as text."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be a table of names and values, not {type(value).__name__}")
    result: dict[str, str] = {}
    for name, content in value.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise WrongValue(
                f"{what} has {shown(name)}, which cannot be the name of a header", name
            )
        if isinstance(content, bool) or not isinstance(content, str | int | float):
            kind = type(content).__name__
            raise WrongValue(f"{what}: the value of {name} must be text, not {kind}", name)
        result[name] = content if isinstance(content, str) else str(content)
        if _FORBIDDEN_IN_HEADER.search(result[name]):
            raise WrongValue(f"{what}: the value of {name} has a line break or NUL in it", name)
        if not _is_encodable(result[name]):
            raise WrongValue(f"{what}: the value of {name} has half a character in it", name)
    return result


def credentials(value: Any, what: str) -> tuple[str, str]:
    """User and password as a pair, as `user:password` or as a table of both."""
    expected = f"{what} must be a pair of user and password, or text 'user:password'"
    if isinstance(value, str):
        user, colon, password = value.partition(":")
        pair: Sequence[Any] = (user, password) if colon else ()
    elif isinstance(value, Mapping):
        pair = (value["user"], value["password"]) if set(value) == {"user", "password"} else ()
    else:
        pair = value if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
        raise ValueError(expected)
    if ":" in pair[0]:
        raise ValueError(f"{what}: the user name must not have a colon in it")
    return text(pair[0], what), text(pair[1], what)


def tls(value: Any, what: str) -> dict[str, Any]:
    """The fields of `Tls` that are given."""
    if isinstance(value, Tls):
        value = {
            field.name: getattr(value, field.name)
            for field in fields(Tls)
            if getattr(value, field.name) != field.default
        }
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be Tls(...) or a table, not {type(value).__name__}")
    result: dict[str, Any] = {}
    for name, content in value.items():
        if name not in TLS_FIELDS:
            hint = did_you_mean(str(name), TLS_FIELDS)
            raise WrongValue(f"{what} has no setting {shown(name)}{hint}", name)
        try:
            result[name] = _tls_value(name, content, f"{name} of {what}")
        except ValueError as error:
            raise WrongValue(str(error), name) from None
    return result


def _tls_value(name: str, value: Any, what: str) -> Any:
    if name == "insecure":
        return flag(value, what)
    return text(str(value) if isinstance(value, Path) else value, what)


def interval(value: Any, what: str) -> Interval:
    """A period and the function that is called, as a pair."""
    pair = value if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not callable(pair[1]):
        raise ValueError(f"{what} must be a pair of a period and a function, as ('10s', function)")
    return Interval(period_s=positive_duration(pair[0], f"the period of {what}"), function=pair[1])


def base_url(value: Any, what: str) -> str:
    """An absolute URL of a service. Empty text means that it is said at launch."""
    url = text(value, what).strip()
    if not url:
        return ""
    scheme, separator, rest = url.partition("://")
    if not separator:
        guess = f"http://{url}"
        hint = f"; did you mean {visible(guess, 100)}?" if _is_url(guess) else ""
        raise ValueError(f"{what} is {shown(url)}, which does not begin with http://{hint}")
    if scheme.lower() not in _SCHEMES:
        raise ValueError(f"{what} has the scheme {shown(scheme)}; use http, https, ws or wss")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError(f"{what} has credentials in it; put them into basic_auth=(user, password)")
    if "?" in rest or "#" in rest:
        raise ValueError(f"{what} has a query or a fragment, but paths are appended to it")
    if not _is_url(url):
        raise ValueError(f"{what} is {shown(url)}, which is no URL of the form http://HOST:PORT")
    return f"{scheme.lower()}://{rest}"


def _is_encodable(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or re.search(r"\s|\\", url):
        return False
    if parts.netloc.endswith(":"):
        return False
    return len(host) <= 253 and _HOST.fullmatch(host) is not None

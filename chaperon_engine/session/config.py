"""Looking up and changing a session's config. All sessions of a population share one mapping until
a session changes its own: changes copy the levels on their way, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from chaperon_engine.definition.problems import listed
from chaperon_engine.errors import MissingConfig

if TYPE_CHECKING:
    from chaperon_engine.session import Session

Config = Mapping[str, Any]
REQUIRED: Any = object()
"""The default that says: there is none, the value must be there."""


def keys_of(key: str | Sequence[str]) -> list[str]:
    """The way down to a value: `"a.b.c"` and `["a", "b", "c"]` are the same."""
    return key.split(".") if isinstance(key, str) else list(key)


def lookup(config: Config, key: str | Sequence[str], default: Any = REQUIRED) -> Any:
    """The value under a key, a dotted key or a list of keys.

    A key that itself has dots is found too. Raises MissingConfig naming the key if it is absent
    and there is no default.
    """
    if isinstance(key, str) and key in config:
        return config[key]
    value: Any = config
    for part in keys_of(key):
        if not isinstance(value, Mapping) or part not in value:
            if default is REQUIRED:
                raise MissingConfig(_missing(config, key))
            return default
        value = value[part]
    return value


def replaced(config: Config, key: str | Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of the config with another value under a key; levels in between are made."""
    first, *rest = keys_of(key)
    changed = dict(config)
    if rest:
        inner = config.get(first)
        changed[first] = replaced(inner if isinstance(inner, Mapping) else {}, rest, value)
    else:
        changed[first] = value
    return changed


def has_functions(config: Config) -> bool:
    """Whether any value must be computed when a session starts."""
    return any(
        has_functions(value) if isinstance(value, Mapping) else _is_function(value)
        for value in config.values()
    )


async def computed(config: Config, session: Session) -> dict[str, Any]:
    """A copy of the config in which every function is replaced by what it returns."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            result[key] = await computed(value, session)
        elif _is_function(value):
            result[key] = await _value_of(value, session)
        else:
            result[key] = value
    return result


def _is_function(value: object) -> bool:
    # A class as a value is a value: people keep models and enums in their config.
    return callable(value) and not isinstance(value, type)


async def _value_of(function: Callable[..., Any], session: Session) -> Any:
    value = function(session)
    return await value if isawaitable(value) else value


def _missing(config: Config, key: str | Sequence[str]) -> str:
    """What is there instead, at the level where the way down ends."""
    way = [str(part) for part in keys_of(key)]
    problem = f"config value {'.'.join(way)!r} is missing"
    value: Any = config
    for depth, part in enumerate(way):
        above = ".".join(way[:depth])
        if not isinstance(value, Mapping):
            return f"{problem}; {above!r} is no table"
        if part not in value:
            below = f" below {above!r}" if above else ""
            return f"{problem}; there is {listed(sorted(map(str, value))) or 'nothing'}{below}"
        value = value[part]
    return problem

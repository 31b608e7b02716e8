"""Values a session keeps for itself: `session.assigned.cart`, also below a namespace."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from chaperon_engine.errors import MissingConfig


class MissingAssigned(MissingConfig, AttributeError):
    """An assigned value is absent; an AttributeError too, so that `hasattr` answers."""


class Assigned(Mapping[str, Any]):
    """Assigned values, as attributes and as items. A missing one raises an error that names it.

    A value whose name is that of a method of mappings (`items`, `get`) is reached as an item only.
    """

    __slots__ = ("_prefix", "_values")

    _prefix: str
    _values: dict[str, Any]

    def __init__(self, prefix: str = "") -> None:
        """`prefix` is the way here through namespaces, for messages."""
        object.__setattr__(self, "_prefix", prefix)
        object.__setattr__(self, "_values", {})

    def __getitem__(self, key: str) -> Any:
        try:
            return self._values[key]
        except KeyError:
            raise MissingAssigned(self._missing(key)) from None

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __setattr__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        if self._values.pop(key, self) is self:
            raise MissingAssigned(self._missing(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Assigned {', '.join(self._values) or 'nothing'}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Assigned:
        return copied(self)

    def _missing(self, key: str) -> str:
        known = ", ".join(sorted(self._values)) or "nothing"
        return f"assigned value {self._prefix + key!r} is missing; there is {known}"


def below(assigned: Assigned, namespace: str | None) -> Assigned:
    """The values below a namespace, made when it is new; without a name `assigned` itself."""
    if namespace is None:
        return assigned
    inner = assigned._values.get(namespace)
    if not isinstance(inner, Assigned):
        inner = assigned._values[namespace] = Assigned(f"{assigned._prefix}{namespace}.")
    return inner


def copied(assigned: Assigned) -> Assigned:
    """A deep copy; values that cannot be copied (locks, open files) are shared."""
    twin = Assigned(assigned._prefix)
    for key, value in assigned._values.items():
        twin._values[key] = copied(value) if isinstance(value, Assigned) else _copy_of(value)
    return twin


def _copy_of(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:
        return value

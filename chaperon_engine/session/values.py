"""The part of a session that keeps values: what it assigned, and its config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaperon_engine.session import config as configuration
from chaperon_engine.session.assigned import below
from chaperon_engine.session.config import REQUIRED
from chaperon_engine.session.core import SessionCore


class Values(SessionCore):
    """Assigned values and config values."""

    __slots__ = ()

    def assign(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        namespace: str | None = None,
        **assignments: Any,
    ) -> None:
        """Keep values for later: `assign(cart=[])`, `assign({"cart": []}, namespace="shop")`."""
        target = below(self.assigned, namespace)
        for key, value in {**(values or {}), **assignments}.items():
            target[key] = value

    def update_assign(
        self, *, namespace: str | None = None, **functions: Callable[[Any], Any]
    ) -> None:
        """Replace values by what a function makes of them: `update_assign(n=lambda n: n + 1)`.

        Raises MissingConfig naming the first value that is not there.
        """
        target = below(self.assigned, namespace)
        for key, function in functions.items():
            target[key] = function(target[key])

    def delete_assign(self, *keys: str, namespace: str | None = None) -> None:
        """Forget values. Raises MissingConfig naming the first that is not there."""
        target = below(self.assigned, namespace)
        for key in keys:
            del target[key]

    def config(self, key: str | Sequence[str], default: Any = REQUIRED) -> Any:
        """A config value by key, dotted key (`"a.b.c"`) or list of keys.

        Raises MissingConfig naming the key if it is absent and there is no default. The value is
        shared with other sessions: change it with `set_config`, never in place.
        """
        return configuration.lookup(self._config, key, default)

    def set_config(self, values: Mapping[str, Any] | None = None, /, **assignments: Any) -> None:
        """Set config values of this session alone; keys of the mapping may be dotted."""
        for key, value in {**(values or {}), **assignments}.items():
            self._config = configuration.replaced(self._config, key, value)

    def update_config(
        self,
        functions: Mapping[str, Callable[[Any], Any]] | None = None,
        /,
        **more: Callable[[Any], Any],
    ) -> None:
        """Replace config values of this session by what a function makes of them."""
        for key, function in {**(functions or {}), **more}.items():
            self._config = configuration.replaced(self._config, key, function(self.config(key)))

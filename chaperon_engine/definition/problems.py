"""Collects what is wrong with a definition, so that a person sees all of it at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

Keys = tuple[str | int, ...]
"""The way down to a value, from the top of a file: names of keys, and numbers of list items."""

_MAX_SENTENCE = 600


class WrongValue(ValueError):
    """One sentence about a value, and the way from it to the part of it that is wrong."""

    def __init__(self, message: str, *keys: str | int) -> None:
        super().__init__(message)
        self.keys: Keys = keys


@dataclass(frozen=True)
class Place:
    """Where a value was written: words for the sentence, and file and line when there are any."""

    label: str
    """As in `timeout in <label>`, for example `default_config of CheckoutTest`."""
    path: Path | None = None
    find_line: Callable[[Keys], int | None] | None = None
    """Called only when there is a problem: it costs a parse of the file."""
    keys: Keys = ()
    """Where in the file, as far as `find_line` cares."""
    within: Path | None = None
    """Files that are named here must lie below this folder; None where they may lie anywhere."""

    def at(self, *keys: str | int) -> Place:
        """The place of a value below this one; the words stay."""
        return replace(self, keys=(*self.keys, *keys))

    def called(self, label: str) -> Place:
        """The same place in other words."""
        return replace(self, label=label)

    @property
    def line(self) -> int | None:
        """The line, or that of the nearest key above; None when it cannot be said."""
        return self.find_line(self.keys) if self.find_line is not None else None


class Problems:
    """Problems in the order found; `finish` raises them as one UserError."""

    def __init__(self) -> None:
        self.found: list[UserError] = []

    def add(self, message: str, place: Place | None = None) -> None:
        """Note one sentence about something at `place`; names in it may be anything."""
        path = line = None
        if place is not None:
            path, line = place.path, place.line
        self.found.append(UserError(visible(message, _MAX_SENTENCE), path=path, line=line))

    def typed(self, place: Place, kind: Callable[[Any, str], Any], value: object, what: str) -> Any:
        """`value` as `kind` reads it; None and a problem noted when it cannot."""
        try:
            return kind(value, what)
        except ValueError as error:
            wrong = error.keys if isinstance(error, WrongValue) else ()
            self.add(str(error), place.at(*wrong))
            return None

    def finish(self) -> None:
        """Raise UserError when anything was found: one line per problem, each with its place.

        A single problem has its `path` and `line` in the error's fields.
        """
        lines = list(dict.fromkeys(str(problem) for problem in self.found))
        if len(lines) == 1:
            raise self.found[0]
        if lines:
            raise UserError("\n".join(lines))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    by_folded = {known_name.casefold(): known_name for known_name in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or, without a near name, `; there is a, b and c`."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean '{visible(near, 80)}'?"
    return f"; known are {listed(names)}" if names else ""


def listed(names: Iterable[str], limit: int = 20) -> str:
    """`a, b and c`, cut after `limit` names."""
    shown = [visible(name, 80) for name in names]
    if len(shown) > limit:
        return ", ".join(shown[:limit]) + f" and {len(shown) - limit} more"
    if len(shown) < 2:
        return "".join(shown)
    return ", ".join(shown[:-1]) + f" and {shown[-1]}"

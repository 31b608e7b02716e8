"""Collects what is wrong with a definition, so that a person sees all of it at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_MAX_SENTENCE = 600


@dataclass(frozen=True)
class Place:
    """Where a value was written: words for the sentence, and file and line when there are any."""

    label: str
    """As in `timeout in <label>`, for example `default_config of CheckoutTest`."""
    path: Path | None = None
    line: Callable[[], int | None] | None = None
    """Found only when there is a problem: it costs a parse of the file."""


class Problems:
    """Problems in the order found; `finish` raises them as one UserError."""

    def __init__(self) -> None:
        self.found: list[UserError] = []

    def add(self, message: str, place: Place | None = None) -> None:
        """Note one sentence about something at `place`; names in it may be anything."""
        path = line = None
        if place is not None:
            path = place.path
            line = place.line() if place.line is not None else None
        self.found.append(UserError(visible(message, _MAX_SENTENCE), path=path, line=line))

    def typed(self, place: Place, kind: Callable[[Any, str], Any], value: object, what: str) -> Any:
        """`value` as `kind` reads it; None and a problem noted when it cannot."""
        try:
            return kind(value, what)
        except ValueError as error:
            self.add(str(error), place)
            return None

    def finish(self) -> None:
        """Raise UserError when anything was found: one line per problem.

        `path` and `line` are set when all problems share them; otherwise each line names its own.
        """
        if not self.found:
            return
        places = {(problem.path, problem.line) for problem in self.found}
        if len(places) == 1:
            path, line = places.pop()
            text = "\n".join(dict.fromkeys(problem.message for problem in self.found))
            raise UserError(text, path=path, line=line)
        raise UserError("\n".join(dict.fromkeys(str(problem) for problem in self.found)))


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

"""Which series a run keeps. What is left out is recorded nowhere, neither in counters nor totals.

A filter is a set of words, any of which may be the kind, action, method or name of a series, or a
predicate on its key. The first byte of a request is kept with the request. Checks and exceptions
are always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from chaperon_engine.metrics.messages import NULL_MESSAGES
from chaperon_engine.metrics.model import (
    HTTP,
    MESSAGE_KINDS,
    TIMED_KINDS,
    VALUE_KINDS,
    SeriesKey,
)
from chaperon_engine.metrics.series import NULL_HTTP, NULL_TIMED, Series, ValueSeries

Keep = Callable[[SeriesKey], bool]


def keep_words(words: Iterable[str]) -> Keep:
    """Keep series that one of the words speaks of."""
    wanted = frozenset(words)

    def keep(key: SeriesKey) -> bool:
        return (
            key.action in wanted or key.kind in wanted or key.name in wanted or key.method in wanted
        )

    return keep


def keep_where(predicate: Callable[[SeriesKey], object], on_error: Callable[[str], None]) -> Keep:
    """Keep series for which somebody's function says so; where it raises, too."""

    def keep(key: SeriesKey) -> bool:
        try:
            return bool(predicate(key))
        except Exception as error:
            name = type(error).__qualname__
            on_error(f"the filter of metrics raises {name} for {key.kind} {key.label}: {error}")
            return True

    return keep


class _NullValue(ValueSeries):
    """Records nothing."""

    __slots__ = ()

    def record(self, value: float) -> None:
        pass


NULL_VALUE: Final[ValueSeries] = _NullValue(SeriesKey(kind="counter"), 0)
"""A ValueSeries that records nothing."""


def null_of(kind: str) -> Series:
    """The series of this kind that records nothing. Raises ValueError for no kind at all."""
    if kind == HTTP:
        return NULL_HTTP
    if kind in MESSAGE_KINDS:
        return NULL_MESSAGES
    if kind in TIMED_KINDS:
        return NULL_TIMED
    if kind in VALUE_KINDS:
        return NULL_VALUE
    raise ValueError(f"no kind of series is called {kind!r}")

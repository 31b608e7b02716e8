"""Which rows a viewer sees: filter, sort, page; rows of errors. Pure functions over totals.

Percentiles are computed for the rows of the page alone; a view that sorts by one costs that one
for every series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Final

from chaperon_engine.errors import ActionError, GeneratorExhausted
from chaperon_engine.metrics.accumulate import LOST, SeriesTotals
from chaperon_engine.metrics.model import HTTP, MESSAGE_KINDS
from chaperon_engine.metrics.snapshot import ErrorRow, SeriesRow, View

MAX_ROWS: Final = 200
MAX_ERRORS: Final = 100

_ERROR_KINDS: Final = MESSAGE_KINDS | {HTTP, "call"}
"""A connect or DNS failure stands in its request's series too; it is shown there, once."""

_SORTS: Final[Mapping[str, Callable[[SeriesTotals], float | str]]] = {
    "label": lambda series: series.key.label.casefold(),
    "requests": attrgetter("sent"),
    "per_s": attrgetter("done_in_window"),
    "failed": attrgetter("failed"),
    "http_errors": attrgetter("http_errors"),
    "p50": lambda series: series.expected.value_at(50.0),
    "p95": lambda series: series.expected.value_at(95.0),
    "p99": lambda series: series.expected.value_at(99.0),
    "max": attrgetter("expected.highest_us"),
}


def page(
    series: Iterable[tuple[int, SeriesTotals]], view: View, window_s: float
) -> list[SeriesRow]:
    """The rows of a view, from (number, totals); `window_s` is what rates divide by.

    Series in which nothing was recorded have no row. An unknown sort order is that by requests.
    Equal ones keep the order of their numbers.
    """
    found = _fitting(series, view)
    first = max(view.offset, 0)
    shown = slice(first, first + min(max(view.limit, 0), MAX_ROWS))
    order = _SORTS.get(view.sort, _SORTS["requests"])
    found.sort(key=lambda item: order(item[1]), reverse=view.descending)
    return [totals.row(number, window_s) for number, totals in found[shown]]


def count(series: Iterable[tuple[int, SeriesTotals]], view: View) -> int:
    """How many rows fit a view, on all its pages."""
    return len(_fitting(series, view))


def _fitting(
    series: Iterable[tuple[int, SeriesTotals]], view: View
) -> list[tuple[int, SeriesTotals]]:
    wanted = view.contains.casefold()
    return [
        (number, totals)
        for number, totals in series
        if totals.sent
        and (view.warmup or not totals.key.phase)
        and (not view.kinds or totals.key.kind in view.kinds)
        and (not wanted or wanted in totals.key.label.casefold())
    ]


def error_rows(series: Iterable[SeriesTotals], limit: int = MAX_ERRORS) -> list[ErrorRow]:
    """Failures and unexpected statuses of the measured run, the most frequent first."""
    rows: list[ErrorRow] = []
    for totals in series:
        key = totals.key
        if key.phase or key.kind not in _ERROR_KINDS:
            continue
        label = f"{key.kind} {key.label}" if key.kind in MESSAGE_KINDS else key.label
        rows += [
            ErrorRow(label, key.session, code, origin_of(code), count)
            for code, count in totals.errors.items()
        ]
        rows += [
            ErrorRow(label, key.session, f"http_{status}", "target", count)
            for status, count in totals.unexpected_statuses.items()
        ]
    rows.sort(key=lambda row: (-row.count, row.label, row.code))
    return rows[:limit]


def origin_of(code: str) -> str:
    """Whose fault an error class is: `target`, `generator` or `scenario`.

    Classes that are not Chaperon's own are those of a user's actions, which speak of the target.
    """
    if code == LOST or code.startswith(f"{GeneratorExhausted.code}_"):
        return "generator"
    return _ORIGINS.get(code, "target")


def _origins(error: type[ActionError]) -> dict[str, str]:
    found = {error.code: str(error.origin)}
    for child in error.__subclasses__():
        found |= _origins(child)
    return found


_ORIGINS: Final = _origins(ActionError)

"""Which series of a run are looked at, and in which order they are shown.

Owns the view that the engine is asked for. Must not know how many rows a screen has room for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chaperon_engine import SeriesRow, Snapshot, View, visible
from chaperon_tui.state.table import Table
from chaperon_tui.state.tables import MAIN_KINDS, SORTS, series_table

FEW_MEMBERS = 32
"""So many are always asked for: of most runs these are all, there when somebody looks."""


class SeriesChoice:
    """The view of one run, changed by keys."""

    def __init__(self) -> None:
        self.view = View(limit=0, kinds=MAIN_KINDS, warmup=False, worker_limit=FEW_MEMBERS)
        self.all_kinds = False
        """Series of all kinds, the warm-up's too, instead of the main ones."""
        self.rows: list[SeriesRow] = []
        """As shown last."""
        self._shown = self.view

    def look(self, offset: int, limit: int, *, in_warmup: bool) -> View:
        """The view for a page.

        While the run warms up nothing else has been recorded, so its series are shown.
        """
        kinds = () if self.all_kinds else MAIN_KINDS
        warmup = self.all_kinds or in_warmup
        return self.change(offset=offset, limit=limit, kinds=kinds, warmup=warmup)

    def change(self, **fields: Any) -> View:
        """Set fields of the view."""
        self.view = msgspec.structs.replace(self.view, **fields)
        return self.view

    def sort_by(self, sort: str) -> None:
        """Another column, the largest first."""
        self.change(sort=sort, descending=sort != "label")

    def sort_by_next(self) -> None:
        """The column to the right."""
        self.sort_by(SORTS[(SORTS.index(self.view.sort) + 1) % len(SORTS)])

    def reverse(self) -> None:
        """The other way round."""
        self.change(descending=not self.view.descending)

    @property
    def period(self) -> str:
        """What time the figures are of."""
        return "last second" if self.view.interval else "whole run"

    def note(self, snapshot: Snapshot) -> str:
        """How many series there are, and which."""
        contains = self.view.contains
        found = f" with {visible(contains, 20)!r}" if contains else ""
        kinds = ", all kinds" if self.all_kinds else ""
        folded = f", {snapshot.folded} in (other)" if snapshot.folded else ""
        return f"{snapshot.series_total}{found}{kinds}{folded} · {self.period}"

    def table(self, snapshot: Snapshot) -> Table:
        """The rows of a snapshot."""
        before = [row.id for row in self.rows] if self.view == self._shown else []
        self.rows, self._shown = calm_rows(snapshot.series, before, self.view), self.view
        return series_table(snapshot, self.rows, self.view)


def filter_words(metrics: Sequence[str]) -> str:
    """`only get, ws_recv · `: what a filter of metrics keeps; empty when all are kept."""
    return f"only {visible(', '.join(metrics), 40)} · " if metrics else ""


def calm_rows(rows: Sequence[SeriesRow], before: Sequence[int], view: View) -> list[SeriesRow]:
    """Sorted rows in which neighbours of nearly equal figures stand as they stood `before`.

    Pages that are requested in turn would change places with every snapshot. `before` holds the
    numbers of the series as shown last.
    """
    result = list(rows)
    if view.sort == "label":
        return result
    place = {number: index for index, number in enumerate(before)}
    nearly = 0.1 if view.interval else 0.02
    value = _SORT_VALUES[view.sort]
    for end in range(len(result) - 1, 0, -1):
        has_moved = False
        for index in range(end):
            first, second = result[index], result[index + 1]
            if place.get(first.id, -1) <= place.get(second.id, len(before)):
                continue
            a, b = value(first), value(second)
            if abs(a - b) <= nearly * max(a, b):
                result[index], result[index + 1] = second, first
                has_moved = True
        if not has_moved:
            break
    return result


_SORT_VALUES: Mapping[str, Callable[[SeriesRow], float]] = {
    "requests": lambda row: row.requests or row.latency.count,
    "per_s": lambda row: row.per_s,
    "failed": lambda row: row.failed,
    "http_errors": lambda row: row.http_errors,
    "p50": lambda row: row.latency.p50,
    "p95": lambda row: row.latency.p95,
    "p99": lambda row: row.latency.p99,
    "max": lambda row: row.latency.max,
}

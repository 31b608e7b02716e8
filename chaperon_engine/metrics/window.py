"""Percentiles of a marked time window, exact: intervals are merged, never averaged.

Two sources. `WindowHistory` keeps the totals of each second of a run in progress, packed and within
a budget of memory. `window_summary` merges the frames of a journal and has the rows of all series.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from chaperon_engine.metrics.accumulate import SeriesTotals
from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.frames import check_deltas
from chaperon_engine.metrics.histogram import CumulativeHistogram
from chaperon_engine.metrics.model import HTTP, Frame, HistogramDelta
from chaperon_engine.metrics.snapshot import Totals, WindowSummary
from chaperon_engine.metrics.table import SeriesTable
from chaperon_engine.metrics.traffic import MessageFigures

BUDGET_BUCKETS: Final = 4_000_000
"""Buckets that a history keeps, 3 bytes each and more; beyond it neighbouring slots become one."""


class _Slot(msgspec.Struct):
    """Totals of [start_s, end_s)."""

    start_s: int
    end_s: int
    counts: CounterValues
    latency: HistogramDelta | None
    values: int
    """In the latency."""

    @property
    def buckets(self) -> int:
        """In use."""
        return 0 if self.latency is None else len(self.latency.buckets) // 2

    def add_to(self, histogram: CumulativeHistogram) -> None:
        if self.latency is not None:
            histogram.add(self.latency, self.values)


class WindowHistory:
    """The totals of each second of a run, so that any window can be summed up."""

    def __init__(self, budget_buckets: int = BUDGET_BUCKETS) -> None:
        self._budget = budget_buckets
        self._slots: list[_Slot] = []
        self._buckets = 0

    def append(self, second: int, counts: CounterValues, latency: CumulativeHistogram) -> None:
        """Keep a closed second; seconds come in order."""
        self._keep(_pack(second, second + 1, counts, latency))
        while self._buckets > self._budget and len(self._slots) > 1:
            self._coarsen()

    def _keep(self, slot: _Slot) -> None:
        self._slots.append(slot)
        self._buckets += slot.buckets

    def _coarsen(self) -> None:
        """Make pairs of neighbours one slot each: half the resolution in time, exact counts."""
        slots, self._slots, self._buckets = self._slots, [], 0
        for first, second in zip(slots[::2], [*slots[1::2], None], strict=False):
            if second is None:
                self._keep(first)
                continue
            histogram = CumulativeHistogram()
            first.add_to(histogram)
            second.add_to(histogram)
            counts = first.counts + second.counts
            self._keep(_pack(first.start_s, second.end_s, counts, histogram))

    def summary(self, start_s: int, end_s: int) -> WindowSummary | None:
        """Totals of the window, widened to what is told apart; None when nothing lies in it."""
        slots = [slot for slot in self._slots if slot.start_s < end_s and slot.end_s > start_s]
        if not slots:
            return None
        counts, histogram = CounterValues(), CumulativeHistogram()
        for slot in slots:
            counts += slot.counts
            slot.add_to(histogram)
        return WindowSummary(
            start_s=slots[0].start_s,
            end_s=slots[-1].end_s,
            totals=totals_of(counts),
            latency=histogram.percentiles(),
            rows=[],
        )


def _pack(start_s: int, end_s: int, counts: CounterValues, histogram: CumulativeHistogram) -> _Slot:
    return _Slot(
        start_s=start_s,
        end_s=end_s,
        counts=counts,
        latency=histogram.delta(),
        values=histogram.count,
    )


def totals_of(counts: CounterValues) -> Totals:
    """Counters in the words of a snapshot."""
    return Totals(
        requests=counts.sent,
        ok=counts.ok,
        failed=counts.failed,
        http_errors=counts.http_errors,
        bytes_in=counts.bytes_in,
        bytes_out=counts.bytes_out,
        retries=counts.retries,
    )


def window_summary(
    frames: Iterable[Frame], run_start_ns: int, start_s: int, end_s: int, *, max_series: int = 2000
) -> WindowSummary | None:
    """Sum up [start_s, end_s) from a run's frames: totals and a row for each series.

    `frames` are all frames from the start of the run (each worker's in order, because the first
    mention of a series names it); those whose middle lies in the window are merged. Requests of
    warm-up and drain count when the window holds them. None when no frame lies in the window.
    Raises ValueError when a frame is none that a sound worker sends.
    """
    table = SeriesTable(max_series)
    series: dict[int, SeriesTotals] = {}
    messages = MessageFigures()
    is_empty = True
    for frame in frames:
        for _, key in frame.new_series:
            table.announce(frame.worker, key)
        middle_s = ((frame.start_ns + frame.end_ns) / 2 - run_start_ns) / 1e9
        if not start_s <= middle_s < end_s:
            continue
        is_empty = False
        numbers = [_number(table, frame.worker, delta.id) for delta in frame.deltas]
        check_deltas([table.keys[number].kind for number in numbers], frame.deltas)
        for number, delta in zip(numbers, frame.deltas, strict=True):
            if number not in series:
                series[number] = SeriesTotals(table.keys[number])
            series[number].add_all([delta])
            messages.add(table.keys[number].kind, delta)
    if is_empty:
        return None
    counts, latency = CounterValues(), CumulativeHistogram()
    for found in series.values():
        if found.key.kind == HTTP:
            counts += CounterValues(
                found.sent,
                found.ok,
                found.failed,
                found.http_errors,
                found.bytes_in,
                found.bytes_out,
                found.retries,
            )
            latency.merge(found.expected)
    return WindowSummary(
        start_s=start_s,
        end_s=end_s,
        totals=totals_of(counts),
        latency=latency.percentiles(),
        rows=[found.row(number, end_s - start_s) for number, found in sorted(series.items())],
        messages=messages.totals(0),
        round_trip=messages.round_trip.percentiles(),
    )


def _number(table: SeriesTable, worker: int, id: int) -> int:
    number = table.of_worker(worker, id)
    if number is None:
        raise ValueError(f"series {id} of worker {worker} was never named")
    return number

"""Histograms of one interval: recorded by a worker, packed for a frame, put together.

Workers record and send these, so nothing here needs a library. Must not know series, frames or
figures: what is read from many intervals is in `histogram`.

A full HdrHistogram of this range has 28,672 counters; most intervals touch some dozens. Hence
dictionaries, bucket -> count, with exact sum, minimum and maximum beside them.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Final

from chaperon_engine.metrics.buckets import EXACT_BELOW_US, MAX_US
from chaperon_engine.metrics.model import HistogramDelta

UNSET_MIN: Final = MAX_US + 1
"""Minimum of a histogram without a value."""

_WORDS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Codes of unsigned words by their size in bytes."""


class IntervalHistogram:
    """What one series records between two ticks. Single writer.

    Up to `EXACT_BELOW_US` a value is its own bucket: the recorder's hot path only counts it in
    `exact`, sum and extremes follow from there when the interval is taken. `exact` stays the same
    object for the histogram's whole life.
    """

    __slots__ = ("_counts", "_max_us", "_min_us", "_saturated", "_sum_us", "exact")

    def __init__(self) -> None:
        self.exact: defaultdict[int, int] = defaultdict(int)
        """How often each value below `EXACT_BELOW_US`, and not below 0, was recorded."""
        self._counts: defaultdict[int, int] = defaultdict(int)
        """Of the higher values, by bucket."""
        self._sum_us = 0
        self._min_us = UNSET_MIN
        self._max_us = -1
        self._saturated = 0

    def record(self, value_us: int) -> None:
        """Count one value; out of the range it is recorded at the border and counted so."""
        if 0 <= value_us < EXACT_BELOW_US:
            self.exact[value_us] += 1
            return
        if value_us > self._max_us or value_us < self._min_us:
            if not 0 <= value_us <= MAX_US:
                self._saturated += 1
                if value_us < 0:
                    self.exact[0] += 1
                    return
                value_us = MAX_US
            self._max_us = max(self._max_us, value_us)
            self._min_us = min(self._min_us, value_us)
        shift = value_us.bit_length() - 11
        self._counts[(shift << 10) + (value_us >> shift)] += 1
        self._sum_us += value_us

    def pour(self, *others: IntervalHistogram) -> None:
        """Adds all of this to each of the others, and starts anew."""
        for other in others:
            for value, count in self.exact.items():
                other.exact[value] += count
            for index, count in self._counts.items():
                other._counts[index] += count
            other._sum_us += self._sum_us
            other._min_us = min(other._min_us, self._min_us)
            other._max_us = max(other._max_us, self._max_us)
            other._saturated += self._saturated
        self._clear()

    @property
    def count(self) -> int:
        """Values since the last `take`."""
        return sum(self.exact.values()) + sum(self._counts.values())

    @property
    def is_empty(self) -> bool:
        return not self.exact and not self._counts

    def take(self) -> HistogramDelta | None:
        """What was recorded since the last call, or None when nothing was; starts anew."""
        if self.is_empty:
            return None
        exact, counts = self.exact, self._counts
        low, high = sorted(exact), sorted(counts)
        low_counts = list(map(exact.__getitem__, low))
        delta = packed(
            low + high,
            low_counts + list(map(counts.__getitem__, high)),
            sum_us=sum(map(mul, low, low_counts)) + self._sum_us,
            min_us=low[0] if low else self._min_us,
            max_us=self._max_us if high else low[-1],
            saturated=self._saturated,
        )
        self._clear()
        return delta

    def _clear(self) -> None:
        self.exact.clear()
        self._counts.clear()
        self._sum_us = 0
        self._min_us = UNSET_MIN
        self._max_us = -1
        self._saturated = 0


def packed(
    indices: Sequence[int],
    counts: Sequence[int],
    *,
    sum_us: int,
    min_us: int,
    max_us: int,
    saturated: int = 0,
) -> HistogramDelta:
    """An interval from ascending bucket indices and how many values each of them holds."""
    highest = max(counts)
    size = 1 if highest < 1 << 8 else 2 if highest < 1 << 16 else 4 if highest < 1 << 32 else 8
    return HistogramDelta(
        buckets=_bytes(2, indices),
        counts=bytes(counts) if size == 1 else _bytes(size, counts),
        sum_us=sum_us,
        min_us=min_us,
        max_us=max_us,
        saturated=saturated,
    )


def unpacked(delta: HistogramDelta) -> tuple[list[int], list[int]]:
    """The bucket indices and the counts of a valid interval."""
    buckets = len(delta.buckets) // 2
    return _numbers(2, delta.buckets), _numbers(len(delta.counts) // buckets, delta.counts)


def combined(deltas: Iterable[HistogramDelta | None]) -> HistogramDelta | None:
    """Valid intervals as one; None when there is none."""
    known = [delta for delta in deltas if delta is not None]
    if len(known) < 2:
        return known[0] if known else None
    sums: dict[int, int] = {}
    for delta in known:
        for index, amount in zip(*unpacked(delta), strict=True):
            sums[index] = sums.get(index, 0) + amount
    indices = sorted(sums)
    return packed(
        indices,
        list(map(sums.__getitem__, indices)),
        sum_us=sum(delta.sum_us for delta in known),
        min_us=min(delta.min_us for delta in known),
        max_us=max(delta.max_us for delta in known),
        saturated=sum(delta.saturated for delta in known),
    )


def _bytes(size: int, numbers: Sequence[int]) -> bytes:
    words = array(_WORDS[size], numbers)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def _numbers(size: int, data: bytes) -> list[int]:
    words: array[int] = array(_WORDS[size])
    words.frombytes(data)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tolist()

"""Intervals of many workers checked, added up and read: percentiles, extremes, rows of a heatmap.

Percentiles, minimum and maximum are those that the hdrhistogram package would give for the same
values: a percentile is the highest value that its bucket stands for. Must not know series or
frames, nor be loaded by workers, which only record (see `interval`).

What arrives is kept as it came until somebody looks; then all of it is added up at once. A thousand
intervals together cost little more than one, which is why numpy does it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final

from chaperon_engine.metrics.buckets import (
    MAX_US,
    bucket_index,
    highest_equivalent,
    in_unit,
    lowest_equivalent,
)
from chaperon_engine.metrics.interval import UNSET_MIN
from chaperon_engine.metrics.model import HistogramDelta
from chaperon_engine.metrics.snapshot import HEATMAP_EDGES_US, PERCENTILES, Percentiles
from chaperon_engine.metrics.summary import Distribution

# Threads for linear algebra, of which there is none here, would only take descriptors and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
from numpy.typing import NDArray

THIN_SAMPLES: Final = 10
"""A percentile with fewer samples than this above it is thin: chance decides its value."""

MAX_COUNT: Final = (1 << 40) - 1
"""Of one bucket in one interval: no sum over all intervals of a run is too large to be exact."""

FRESH_BYTES: Final = 1 << 18
"""So much of what arrived is kept at most until it is added up."""

SORTED_BELOW: Final = 1024
"""So few buckets are added up by sorting: that costs less than a counter for all in their range."""

_TICKS_PER_HALF: Final = 5
_SUM_US, _MIN_US = attrgetter("sum_us"), attrgetter("min_us")
_MAX_US, _SATURATED = attrgetter("max_us"), attrgetter("saturated")
_NO_VALUE: Final = "bucket with a count below 1"
_BUCKETS: Final = np.dtype("<u2")
_COUNTS: Final[dict[int, np.dtype[np.integer[Any]]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<i8"),
}
"""By the bytes of a count; numbers that need the last bit of eight bytes appear negative."""
_EDGES: Final = np.array([bucket_index(edge) for edge in HEATMAP_EDGES_US[1:]])
_NO_INDICES: Final = np.empty(0, dtype=np.uint16)
_NO_COUNTS: Final = np.empty(0, dtype=np.int64)


class CumulativeHistogram:
    """Intervals added up. Merging is exact: any split of the values gives the same figures."""

    __slots__ = (
        "_below", "_counts", "_fresh", "_fresh_bytes", "_indices", "count", "max_us", "min_us",
        "saturated", "sum_us",
    )  # fmt: skip

    def __init__(self) -> None:
        self._indices: NDArray[np.uint16] = _NO_INDICES
        """Buckets in use, ascending. This array and the next two are never changed in place."""
        self._counts: NDArray[np.int64] = _NO_COUNTS
        self._below: NDArray[np.int64] | None = None
        """How many values lie in each bucket or below."""
        self._fresh: list[HistogramDelta] = []
        """What is not in the arrays yet."""
        self._fresh_bytes = 0
        self.count = 0
        self.sum_us = 0
        self.min_us = UNSET_MIN
        """Exact; above the range while empty."""
        self.max_us = -1
        """Exact; -1 while empty."""
        self.saturated = 0

    def add(self, delta: HistogramDelta, count: int) -> None:
        """Add one valid interval, which holds so many values (see `checked_counts`)."""
        self.add_all([delta], count)

    def add_all(self, deltas: Sequence[HistogramDelta], count: int) -> None:
        """Add valid intervals, which hold so many values together."""
        if not deltas:
            return
        self._fresh += deltas
        self._fresh_bytes += sum([len(each.buckets) + len(each.counts) for each in deltas])
        self.count += count
        self.sum_us += sum(map(_SUM_US, deltas))
        self.min_us = min(self.min_us, *map(_MIN_US, deltas))
        self.max_us = max(self.max_us, *map(_MAX_US, deltas))
        self.saturated += sum(map(_SATURATED, deltas))
        if self._fresh_bytes > FRESH_BYTES:
            self._settle()

    def merge(self, other: CumulativeHistogram) -> None:
        """Add everything that another histogram holds."""
        if not other.count:
            return
        other._settle()
        if self.count:
            self._settle()
            self._sum_up([self._indices, other._indices], [self._counts, other._counts])
        else:
            self._indices, self._counts = other._indices, other._counts
            self._below = other._below
        self.count += other.count
        self.sum_us += other.sum_us
        self.min_us = min(self.min_us, other.min_us)
        self.max_us = max(self.max_us, other.max_us)
        self.saturated += other.saturated

    def _settle(self) -> None:
        """Bring what is fresh into the arrays."""
        if not self._fresh:
            return
        by_size: dict[int, list[HistogramDelta]] = {}
        for delta in self._fresh:
            by_size.setdefault(2 * len(delta.counts) // len(delta.buckets), []).append(delta)
        self._fresh.clear()
        self._fresh_bytes = 0
        indices: list[NDArray[np.uint16]] = [self._indices]
        counts: list[NDArray[np.integer[Any]]] = [self._counts]
        for size, deltas in by_size.items():
            # Few long arrays: to make one costs more than to fill it.
            indices.append(np.frombuffer(b"".join([each.buckets for each in deltas]), _BUCKETS))
            counts.append(np.frombuffer(b"".join([each.counts for each in deltas]), _COUNTS[size]))
        self._sum_up(indices, counts)

    def _sum_up(
        self, indices: list[NDArray[np.uint16]], counts: list[NDArray[np.integer[Any]]]
    ) -> None:
        """From now on the arrays hold what these hold together, in any order and repeatedly."""
        every, amounts = np.concatenate(indices), np.concatenate(counts)
        if len(every) < SORTED_BELOW:
            order = every.argsort(kind="stable")
            every = every[order]
            is_first = np.empty(len(every), dtype=bool)
            is_first[0] = True
            np.not_equal(every[1:], every[:-1], out=is_first[1:])
            firsts = is_first.nonzero()[0]
            self._indices = every[firsts]
            self._counts = np.add.reduceat(amounts[order], firsts, dtype=np.int64)
        else:
            low = np.minimum.reduce(every)
            # As floating-point numbers, which are exact up to 2 ** 53.
            sums = np.bincount(every - low, weights=amounts)
            used = sums.nonzero()[0]
            self._indices = (used + low).astype(np.uint16)
            self._counts = sums[used].astype(np.int64)
        self._below = None

    def _order(self) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Ascending bucket indices, and how many values lie in each bucket or below."""
        self._settle()
        if self._below is None:
            self._below = self._counts.cumsum()
        return self._indices, self._below

    def delta(self) -> HistogramDelta | None:
        """All of it as one interval, or None when empty."""
        if not self.count:
            return None
        self._settle()
        highest = int(self._counts.max())
        size = next(size for size in (1, 2, 4, 8) if highest < 1 << 8 * size)
        return HistogramDelta(
            buckets=self._indices.astype(_BUCKETS).tobytes(),
            counts=self._counts.astype(_COUNTS[size]).tobytes(),
            sum_us=self.sum_us,
            min_us=self.min_us,
            max_us=self.max_us,
            saturated=self.saturated,
        )

    @property
    def mean_us(self) -> float:
        """Exact mean in microseconds; 0 when empty."""
        return self.sum_us / self.count if self.count else 0.0

    @property
    def lowest_us(self) -> int:
        """The minimum at the resolution of all other figures; 0 when empty."""
        return lowest_equivalent(bucket_index(self.min_us)) if self.count else 0

    @property
    def highest_us(self) -> int:
        """The maximum at the resolution of all other figures, so that no percentile passes it."""
        return highest_equivalent(bucket_index(self.max_us)) if self.max_us > 0 else 0

    def value_at(self, percentile: float) -> int:
        """Microseconds at a percentile from 0 to 100; 0 when empty."""
        return self.values_at((percentile,))[0]

    def values_at(self, percentiles: Sequence[float]) -> list[int]:
        """Microseconds at each of these percentiles."""
        if not self.count:
            return [0] * len(percentiles)
        indices, below = self._order()
        # Somebody who counts beyond 2 ** 53 gets wrong figures, but no rank beyond the last.
        last = int(below[-1])
        ranks = [min(target_count(percentile, self.count), last) for percentile in percentiles]
        places = below.searchsorted(ranks)
        return [
            highest_equivalent(index) if percentile else lowest_equivalent(index)
            for percentile, index in zip(percentiles, indices[places].tolist(), strict=True)
        ]

    def percentiles(self, scale: int = 1) -> Percentiles:
        """The figures that stand in tables, in the unit that was recorded times `scale`."""
        if not self.count:
            return Percentiles()
        p50, p75, p90, p95, p99, p99_9 = (
            in_unit(value, scale) for value in self.values_at((50.0, 75.0, 90.0, 95.0, 99.0, 99.9))
        )
        return Percentiles(
            count=self.count,
            min=in_unit(self.lowest_us, scale),
            mean=self.mean_us / scale,
            p50=p50,
            p75=p75,
            p90=p90,
            p95=p95,
            p99=p99,
            p99_9=p99_9,
            max=in_unit(self.highest_us, scale),
        )

    def distribution(self, scale: int = 1) -> Distribution:
        """All figures, in the unit that was recorded times `scale`."""
        if not self.count:
            return Distribution()
        fields: dict[str, Any] = {
            percentile_field(percentile): in_unit(value, scale)
            for percentile, value in zip(PERCENTILES, self.values_at(PERCENTILES), strict=True)
        }
        return Distribution(
            count=self.count,
            min=in_unit(self.lowest_us, scale),
            mean=self.mean_us / scale,
            max=in_unit(self.highest_us, scale),
            saturated=self.saturated,
            thin=self.thin(),
            **fields,
        )

    def thin(self) -> list[str]:
        """Field names of the export percentiles with fewer than 10 samples above them."""
        count = self.count
        return [
            percentile_field(percentile)
            for percentile in PERCENTILES
            if count and count - target_count(percentile, count) < THIN_SAMPLES
        ]

    def spectrum(self) -> list[tuple[float, int]]:
        """(percentile, microseconds) with five steps for each halving of what remains to 100."""
        if not self.count:
            return []
        percentiles: list[float] = []
        remaining = 100.0
        while remaining * self.count >= 100.0 and remaining > 1e-7:
            step = remaining / 2 / _TICKS_PER_HALF
            percentiles += [100.0 - remaining + tick * step for tick in range(_TICKS_PER_HALF)]
            remaining /= 2
        percentiles.append(100.0)
        return list(zip(percentiles, self.values_at(percentiles), strict=True))

    def heat_rows(self) -> list[int]:
        """Counts for the rows of HEATMAP_EDGES_US; the first also holds what is faster."""
        if not self.count:
            return [0] * len(HEATMAP_EDGES_US)
        indices, below = self._order()
        ends = np.searchsorted(indices, _EDGES)
        sums = np.concatenate(([0], below))[np.concatenate(([0], ends, [len(indices)]))]
        rows: list[int] = np.diff(sums).tolist()
        return rows


def target_count(percentile: float, count: int) -> int:
    """Rank of the value at a percentile, from 1; rounds as HdrHistogram does."""
    return max(int(min(percentile, 100.0) * count / 100 + 0.5), 1)


def percentile_field(percentile: float) -> str:
    """Name of a percentile's field in exports: `p50`, `p99_9`."""
    return f"p{percentile:g}".replace(".", "_")


def merged(deltas: Iterable[HistogramDelta | None]) -> CumulativeHistogram:
    """A histogram of these intervals. Raises ValueError when one is invalid."""
    known = [delta for delta in deltas if delta is not None]
    histogram = CumulativeHistogram()
    for delta, count in zip(known, checked_counts(known), strict=True):
        histogram.add(delta, count)
    return histogram


def checked_counts(deltas: Sequence[HistogramDelta]) -> list[int]:
    """The number of values in each of these intervals, which came over a wire.

    Raises ValueError with the reason when one of them is none that a recorder could have made.
    """
    if not deltas:
        return []
    every, amounts, lengths = _joined(deltas)
    ends = list(accumulate(lengths))
    ascends = every[1:] > every[:-1]
    ascends[[end - 1 for end in ends[:-1]]] = True  # from the last of one to the first of the next
    if not np.logical_and.reduce(ascends):
        raise ValueError("buckets do not ascend")
    totals: list[int] = np.add.reduceat(amounts, [0, *ends[:-1]], dtype=np.int64).tolist()
    firsts = every[[0, *ends[:-1]]].tolist()
    lasts = every[[end - 1 for end in ends]].tolist()
    for delta, total, first, last in zip(deltas, totals, firsts, lasts, strict=True):
        low, high = delta.min_us, delta.max_us
        if not 0 <= low <= high <= MAX_US:
            raise ValueError("minimum and maximum are not in order or out of range")
        # So no bucket is out of range either.
        if bucket_index(low) != first or bucket_index(high) != last:
            raise ValueError("minimum or maximum lies outside the recorded buckets")
        if not low * total <= delta.sum_us <= high * total:
            raise ValueError("sum does not fit minimum, maximum and count")
        if not 0 <= delta.saturated <= total:
            raise ValueError("more values saturated than recorded")
    return totals


def _joined(
    deltas: Sequence[HistogramDelta],
) -> tuple[NDArray[np.uint16], NDArray[np.integer[Any]], list[int]]:
    """Buckets and counts of all these intervals one after the other, and how many each has.
    Raises ValueError when they do not fit together, or for a count that is out of range."""
    buckets = [delta.buckets for delta in deltas]
    counts = [delta.counts for delta in deltas]
    lengths = list(map(len, counts))
    sizes = list(map(len, buckets))
    if all(lengths) and sizes == [2 * length for length in lengths]:
        # The usual case: all counts are small.
        joined = b"".join(counts)
        if 0 in joined:
            raise ValueError(_NO_VALUE)
        return (
            np.frombuffer(b"".join(buckets), _BUCKETS),
            np.frombuffer(joined, _COUNTS[1]),
            lengths,
        )
    arrays: list[NDArray[np.integer[Any]]] = []
    lengths = []
    for each, amounts in zip(buckets, counts, strict=True):
        length, odd = divmod(len(each), _BUCKETS.itemsize)
        if not length:
            raise ValueError("histogram without a bucket")
        size, rest = divmod(len(amounts), length)
        if odd or rest or size not in _COUNTS:
            raise ValueError(f"histogram has {len(amounts)} bytes of counts for {length} buckets")
        lengths.append(length)
        arrays.append(np.frombuffer(amounts, _COUNTS[size]))
    every = np.concatenate(arrays)
    if every.min() < 1:
        raise ValueError(_NO_VALUE)
    if every.max() > MAX_COUNT:
        raise ValueError(f"bucket with a count over {MAX_COUNT}")
    return np.frombuffer(b"".join(buckets), _BUCKETS), every, lengths

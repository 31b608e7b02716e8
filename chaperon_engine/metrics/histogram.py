"""Sparse histograms in HDR bucket layout: recording one interval, adding intervals up, reading.

Owns the bucket arithmetic (1 us to 24 h, 3 significant digits, the layout of HdrHistogram with a
sub-bucket count of 2048) and the figures that are read from it. Percentiles, minimum and maximum
are those that the hdrhistogram package would give for the same values: a percentile is the highest
value that its bucket stands for. Must not know series, frames or who records.

A full HdrHistogram of this range has 28,672 counters; most intervals touch some dozens. Hence the
dictionaries: bucket -> count, with exact sum, minimum and maximum beside them. What many intervals
are added up in has most of its buckets in use: it becomes a list of all buckets, in which a count
is found three times as fast.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress
from operator import add, lt, mul
from typing import Final

from chaperon_engine.metrics.model import HistogramDelta
from chaperon_engine.metrics.snapshot import HEATMAP_EDGES_US, PERCENTILES, Percentiles

MAX_US: Final = 86_400_000_000
"""24 hours in microseconds: the highest value that is told apart; what is above is saturated."""

THIN_SAMPLES: Final = 10
"""A percentile with fewer samples than this above it is thin: chance decides its value."""

EXACT_BELOW_US: Final = 2048
"""Values below have a bucket each."""

DENSE_FROM: Final = 512
"""A histogram with so many buckets in use keeps all up to its highest in a list, 8 bytes each."""

_UNSET_MIN: Final = MAX_US + 1
_TICKS_PER_HALF: Final = 5


def bucket_index(value_us: int) -> int:
    """Bucket of a value from 0 to MAX_US. The recorder has this formula inline.

    Values below 2048 have a bucket each; above, each doubling has 1024 buckets.
    """
    shift = (value_us | 2047).bit_length() - 11
    return (shift << 10) + (value_us >> shift)


MAX_INDEX: Final = bucket_index(MAX_US)
_EDGE_INDICES: Final = [bucket_index(edge) for edge in HEATMAP_EDGES_US]


def lowest_equivalent(index: int) -> int:
    """The lowest value in microseconds that falls into this bucket."""
    shift = max((index >> 10) - 1, 0)
    return (index - (shift << 10)) << shift


def highest_equivalent(index: int) -> int:
    """The highest value in microseconds that falls into this bucket."""
    shift = max((index >> 10) - 1, 0)
    return ((index - (shift << 10) + 1) << shift) - 1


def median_equivalent(index: int) -> int:
    """The middle of the values that fall into this bucket, in microseconds."""
    shift = max((index >> 10) - 1, 0)
    return ((index - (shift << 10)) << shift) + ((1 << shift) >> 1)


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
        self._min_us = _UNSET_MIN
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
    def is_empty(self) -> bool:
        return not self.exact and not self._counts

    def take(self) -> HistogramDelta | None:
        """What was recorded since the last call, or None when nothing was; starts anew."""
        if self.is_empty:
            return None
        exact, counts = self.exact, self._counts
        low, high = sorted(exact), sorted(counts)
        low_counts = list(map(exact.__getitem__, low))
        delta = HistogramDelta(
            indices=low + high,
            counts=low_counts + list(map(counts.__getitem__, high)),
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
        self._min_us = _UNSET_MIN
        self._max_us = -1
        self._saturated = 0


class CumulativeHistogram:
    """Intervals added up. Merging is exact: any split of the values gives the same figures."""

    __slots__ = (
        "_all", "_ordered", "_some", "count", "max_us", "min_us", "saturated", "sum_us",
    )  # fmt: skip

    def __init__(self) -> None:
        self._some: dict[int, int] = {}
        """Counts by bucket, as long as they are few."""
        self._all: list[int] = []
        """Instead of that the counts of all buckets up to the highest in use."""
        self.count = 0
        self.sum_us = 0
        self.min_us = _UNSET_MIN
        """Exact; above the range while empty."""
        self.max_us = -1
        """Exact; -1 while empty."""
        self.saturated = 0
        self._ordered: tuple[list[int], list[int]] | None = None

    def add(self, delta: HistogramDelta) -> None:
        """Add one interval, which must be valid (see `check_delta`)."""
        # As few calls as possible: with many workers this is most of what the coordinator does.
        indices, amounts = delta.indices, delta.counts
        if self._all:
            counts = self._all
            if indices[-1] >= len(counts):
                self._reach(indices[-1])
            for index, amount in zip(indices, amounts, strict=True):
                counts[index] += amount
        else:
            self._add_to_some(zip(indices, amounts, strict=True))
        self.count += sum(amounts)
        self.sum_us += delta.sum_us
        if delta.min_us < self.min_us:
            self.min_us = delta.min_us
        if delta.max_us > self.max_us:
            self.max_us = delta.max_us
        self.saturated += delta.saturated
        self._ordered = None

    def merge(self, other: CumulativeHistogram) -> None:
        """Add everything that another histogram holds."""
        if not other.count:
            return
        if other._all:
            self._spread()
            self._reach(len(other._all) - 1)
            used = slice(bucket_index(other.min_us), len(other._all))
            self._all[used] = map(add, self._all[used], other._all[used])
        elif self._all:
            counts = self._all
            self._reach(max(other._some))
            for index, amount in other._some.items():
                counts[index] += amount
        else:
            self._add_to_some(other._some.items())
        self.count += other.count
        self.sum_us += other.sum_us
        self.min_us = min(self.min_us, other.min_us)
        self.max_us = max(self.max_us, other.max_us)
        self.saturated += other.saturated
        self._ordered = None

    def _add_to_some(self, amounts: Iterable[tuple[int, int]]) -> None:
        counts = self._some
        if counts:
            for index, amount in amounts:
                counts[index] = counts.get(index, 0) + amount
        else:
            counts.update(amounts)
        if len(counts) >= DENSE_FROM:
            self._spread()

    def _spread(self) -> None:
        """From now on all buckets are in the list."""
        if not self._all:
            self._all = [0]
            some, self._some = self._some, {}
            self._reach(max(some, default=0))
            for index, amount in some.items():
                self._all[index] = amount

    def _reach(self, index: int) -> None:
        missing = index + 1 - len(self._all)
        if missing > 0:
            self._all += [0] * missing

    def delta(self) -> HistogramDelta | None:
        """All of it as one interval, or None when empty."""
        if not self.count:
            return None
        indices = list(self._order()[0])
        some = self._some
        return HistogramDelta(
            indices=indices,
            counts=list(filter(None, self._all)) if self._all else [some[at] for at in indices],
            sum_us=self.sum_us,
            min_us=self.min_us,
            max_us=self.max_us,
            saturated=self.saturated,
        )

    def _order(self) -> tuple[list[int], list[int]]:
        """Ascending bucket indices, and how many values lie in each bucket or below."""
        if self._ordered is None:
            if self._all:
                indices = list(compress(range(len(self._all)), self._all))
                amounts: Iterable[int] = filter(None, self._all)
            else:
                indices = sorted(self._some)
                amounts = map(self._some.__getitem__, indices)
            self._ordered = indices, list(accumulate(amounts))
        return self._ordered

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
        if not self.count:
            return 0
        indices, below = self._order()
        index = indices[bisect_left(below, target_count(percentile, self.count))]
        return highest_equivalent(index) if percentile else lowest_equivalent(index)

    def values_at(self, percentiles: Iterable[float]) -> list[int]:
        """Microseconds at each of these percentiles."""
        return [self.value_at(percentile) for percentile in percentiles]

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
        points: list[tuple[float, int]] = []
        remaining = 100.0
        while remaining * self.count >= 100.0 and remaining > 1e-7:
            step = remaining / 2 / _TICKS_PER_HALF
            for tick in range(_TICKS_PER_HALF):
                percentile = 100.0 - remaining + tick * step
                points.append((percentile, self.value_at(percentile)))
            remaining /= 2
        points.append((100.0, self.value_at(100.0)))
        return points

    def heat_rows(self) -> list[int]:
        """Counts for the rows of HEATMAP_EDGES_US; the first also holds what is faster."""
        if not self.count:
            return [0] * len(HEATMAP_EDGES_US)
        indices, below = self._order()
        ends = [bisect_left(indices, edge) for edge in _EDGE_INDICES[1:]]
        sums = [below[end - 1] if end else 0 for end in ends] + [self.count]
        return [upper - lower for lower, upper in zip([0, *sums], sums, strict=False)]


def target_count(percentile: float, count: int) -> int:
    """Rank of the value at a percentile, from 1; rounds as HdrHistogram does."""
    return max(int(min(percentile, 100.0) * count / 100 + 0.5), 1)


def in_unit(value: int, scale: int) -> int | float:
    """A figure of a histogram in the unit that was multiplied with `scale` to record it.

    A bucket stands for all values in it; a scaled one speaks as its roundest, so that 12.5,
    recorded as 12,500, is not 12.503.
    """
    if scale == 1:
        return value
    index = bucket_index(value)
    low, high = lowest_equivalent(index), highest_equivalent(index)
    step = int("1" + "0" * len(str(high)))
    while (roundest := -(-low // step) * step) > high:
        step //= 10
    return roundest / scale


def percentile_field(percentile: float) -> str:
    """Name of a percentile's field in exports: `p50`, `p99_9`."""
    return f"p{percentile:g}".replace(".", "_")


def merged(deltas: Iterable[HistogramDelta | None]) -> CumulativeHistogram:
    """A histogram of these intervals."""
    histogram = CumulativeHistogram()
    for delta in deltas:
        if delta is not None:
            histogram.add(delta)
    return histogram


def check_delta(delta: HistogramDelta) -> int:
    """The number of values in an interval that came over a wire.

    Raises ValueError with the reason when it is none that a recorder could have made.
    """
    indices, counts = delta.indices, delta.counts
    if not indices:
        raise ValueError("histogram without a bucket")
    if len(indices) != len(counts):
        raise ValueError(f"histogram has {len(indices)} buckets and {len(counts)} counts")
    if indices[0] < 0 or indices[-1] > MAX_INDEX:
        raise ValueError(f"bucket out of range 0..{MAX_INDEX}")
    if not _ascending(indices):
        raise ValueError("buckets do not ascend")
    if min(counts) < 1:
        raise ValueError("bucket with a count below 1")
    total = sum(counts)
    if not 0 <= delta.min_us <= delta.max_us <= MAX_US:
        raise ValueError("minimum and maximum are not in order or out of range")
    if bucket_index(delta.min_us) != indices[0] or bucket_index(delta.max_us) != indices[-1]:
        raise ValueError("minimum or maximum lies outside the recorded buckets")
    if not delta.min_us * total <= delta.sum_us <= delta.max_us * total:
        raise ValueError("sum does not fit minimum, maximum and count")
    if not 0 <= delta.saturated <= total:
        raise ValueError("more values saturated than recorded")
    return total


def _ascending(indices: Sequence[int]) -> bool:
    return all(map(lt, indices, indices[1:]))

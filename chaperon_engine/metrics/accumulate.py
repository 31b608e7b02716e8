"""One series of the run, cumulative: what all workers recorded for it, added up.

Owns counts, classes and the three histograms of a series, and the figures read from them. Must
not know frames, workers or other series.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from chaperon_engine.metrics.buckets import in_unit
from chaperon_engine.metrics.counters import CounterValues
from chaperon_engine.metrics.histogram import CumulativeHistogram
from chaperon_engine.metrics.model import HTTP, VALUE_KINDS, SeriesDelta, SeriesKey
from chaperon_engine.metrics.series import add_counts
from chaperon_engine.metrics.snapshot import (
    HEATMAP_EDGES_US,
    Percentiles,
    SeriesDetail,
    SeriesRow,
)
from chaperon_engine.metrics.summary import ReportMetric

_COUNTS = [
    attrgetter(name)
    for name in ("sent", "ok", "failed", "http_errors", "bytes_in", "bytes_out", "retries")
]
"""Of a delta, in the order of `CounterValues`."""
_VALUE = attrgetter("value_sum")

LOST = "worker_lost"
"""Class of failures that only shared memory knows: the real class died with the worker."""

LOST_STATUS = 0
"""Status of responses that only shared memory knows."""


class SeriesTotals:
    """Everything about one series since the start of the run."""

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.sent = 0
        self.ok = 0
        self.failed = 0
        self.http_errors = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.retries = 0
        self.done_in_window = 0
        """Completed before the load ended: the numerator of rates."""
        self.value_sum = 0.0
        self.expected = CumulativeHistogram()
        self.unexpected = CumulativeHistogram()
        self.failures = CumulativeHistogram()
        self.statuses: dict[int, int] = {}
        self.unexpected_statuses: dict[int, int] = {}
        self.errors: dict[str, int] = {}
        self._cached = Percentiles()

    def add_all(self, deltas: Sequence[SeriesDelta], *, in_window: bool = True) -> None:
        """Add what workers recorded in one interval each; there is at least one, all are valid."""
        # All at once: with many workers this is much of what the coordinator does.
        sums = CounterValues(*(sum(map(field, deltas)) for field in _COUNTS))
        self._add_counts(sums)
        if in_window:
            self.done_in_window += sums.ok + sums.failed
        if self.key.kind == "gauge":
            self.value_sum = deltas[-1].value_sum
        else:
            self.value_sum += sum(map(_VALUE, deltas))
        expected = [each.expected for each in deltas if each.expected is not None]
        self.expected.add_all(expected, sums.ok - sums.http_errors)
        if sums.http_errors:
            unexpected = [each.unexpected for each in deltas if each.unexpected is not None]
            self.unexpected.add_all(unexpected, sums.http_errors)
        if sums.failed:
            failures = [each.failures for each in deltas if each.failures is not None]
            self.failures.add_all(failures, sums.failed)
        for delta in deltas:
            if delta.statuses:
                add_counts(self.statuses, delta.statuses)
            if delta.unexpected_statuses:
                add_counts(self.unexpected_statuses, delta.unexpected_statuses)
            if delta.errors:
                add_counts(self.errors, delta.errors)

    def absorb(self, other: SeriesTotals) -> None:
        """Add everything that another one of the same series holds."""
        self._add_counts(other)
        self.done_in_window += other.done_in_window
        if self.key.kind == "gauge":
            self.value_sum = other.value_sum if other.sent else self.value_sum
        else:
            self.value_sum += other.value_sum
        self.expected.merge(other.expected)
        self.unexpected.merge(other.unexpected)
        self.failures.merge(other.failures)
        add_counts(self.statuses, other.statuses)
        add_counts(self.unexpected_statuses, other.unexpected_statuses)
        add_counts(self.errors, other.errors)

    def add_lost(self, values: CounterValues) -> None:
        """Add requests of which nothing is known but that they were counted."""
        self._add_counts(values)
        self.done_in_window += values.ok + values.failed
        if values.ok:
            add_counts(self.statuses, {LOST_STATUS: values.ok})
        if values.http_errors:
            add_counts(self.unexpected_statuses, {LOST_STATUS: values.http_errors})
        if values.failed:
            add_counts(self.errors, {LOST: values.failed})

    def _add_counts(self, change: CounterValues | SeriesTotals) -> None:
        self.sent += change.sent
        self.ok += change.ok
        self.failed += change.failed
        self.http_errors += change.http_errors
        self.bytes_in += change.bytes_in
        self.bytes_out += change.bytes_out
        self.retries += change.retries

    @property
    def value(self) -> float:
        """counter: sum; gauge: last value; rate: share of true values; else 0."""
        if self.key.kind == "rate":
            return self.value_sum / self.ok if self.ok else 0.0
        return self.value_sum

    def percentiles(self) -> Percentiles:
        """Of expected responses; computed again only when something was added."""
        if self._cached.count != self.expected.count:
            self._cached = self.expected.percentiles(self.key.scale)
        return self._cached

    def row(self, number: int, window_s: float) -> SeriesRow:
        """A line of the series table; `window_s` is what the rate divides by."""
        return SeriesRow(
            id=number,
            key=self.key,
            requests=self.sent,
            failed=self.failed,
            http_errors=self.http_errors,
            per_s=per_second(self.done_in_window, window_s),
            latency=self.percentiles(),
            value=self.value,
            bytes_in=self.bytes_in,
        )

    def detail(self, number: int, window_s: float) -> SeriesDetail:
        """Everything a viewer shows of one series."""
        scale = self.key.scale
        edges = [edge if scale == 1 else edge / scale for edge in HEATMAP_EDGES_US]
        return SeriesDetail(
            row=self.row(number, window_s),
            spectrum=[(at, in_unit(value, scale)) for at, value in self.expected.spectrum()],
            histogram=list(zip(edges, self.expected.heat_rows(), strict=True)),
            statuses=dict(self.statuses),
            errors=dict(self.errors),
            unexpected=self.unexpected.percentiles(),
            failures=self.failures.percentiles(),
        )

    def summary(self) -> ReportMetric:
        """For the report."""
        key = self.key
        return ReportMetric(
            kind=key.kind,
            unit=key.unit,
            scenario=key.scenario,
            session=key.session,
            service=key.service,
            action=key.action,
            method=key.method,
            url=key.url,
            name=key.name,
            tags=dict(key.tags),
            phase=key.phase,
            count=self.sent if key.kind == HTTP else self.ok + self.failed,
            failed=self.failed,
            errors=dict(sorted(self.errors.items())),
            http_errors={str(code): n for code, n in sorted(self.unexpected_statuses.items())},
            statuses={str(code): n for code, n in sorted(self.statuses.items())},
            retries=self.retries,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            value=self.value if key.kind in VALUE_KINDS else None,
            service_time_us=self.expected.distribution(key.scale),
            unexpected_service_time_us=self.unexpected.distribution(),
            failure_time_us=self.failures.distribution(),
        )


def per_second(amount: float, window_s: float) -> float:
    """A rate over a window; 0 for a window that has not begun."""
    return amount / window_s if window_s > 0 else 0.0

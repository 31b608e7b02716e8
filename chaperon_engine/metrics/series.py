"""What one worker records for one series: the hot path of the measurement.

Owns counting and interval histograms of a series between two ticks. Must not know frames, other
series or the cap (`recorder` does). HttpSeries writes its counters to shared memory as well, so
that they outlive the process.

A request costs one `sent` and one `completed` or `completed_at_once`. What is the same for most
requests is not done for each of them: one size and one status are the usual ones, and a reply that
came in one piece is recorded once for both its histograms.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, TypeVar

from chaperon_engine.metrics.buckets import EXACT_BELOW_US
from chaperon_engine.metrics.counters import (
    FAILED,
    HTTP_ERRORS,
    MORE_IN,
    MORE_OUT,
    OK,
    RETRIES,
    SENT,
    SLOT_WORDS,
    USUAL_IN,
    USUAL_OUT,
    WorkerCounters,
)
from chaperon_engine.metrics.interval import IntervalHistogram, combined
from chaperon_engine.metrics.model import SeriesDelta, SeriesKey

_K = TypeVar("_K", str, int)


class HttpSeries:
    """Requests of one series in one worker. `ok + failed + in flight = sent` at every moment.

    A request calls `sent` once and then exactly one of `completed` and `failed`, on the same
    object, so that it ends in the series (and phase) in which it began.
    """

    __slots__ = (
        "_at", "_at_once", "_errors", "_expected", "_failures", "_first_byte", "_more_in",
        "_more_out", "_ok_at", "_sent_at", "_statuses", "_taken", "_unexpected",
        "_unexpected_statuses", "_usual_in", "_usual_out", "_usual_status", "_words",
        "failed_count", "http_errors", "id", "key", "ok_count", "retries", "sent_count",
    )  # fmt: skip

    def __init__(
        self, key: SeriesKey, number: int, counters: WorkerCounters, first_byte: TimedSeries
    ) -> None:
        """`first_byte` is the series of the same labels that has the times to the first byte."""
        self.key = key
        self.id = number
        """Number within the worker, and of its slot in shared memory."""
        self.sent_count = 0
        self.ok_count = 0
        self.failed_count = 0
        self.http_errors = 0
        self.retries = 0
        self._usual_in = 0
        """Size of the first reply, and so of most; 0 as long as none is complete."""
        self._usual_out = 0
        self._more_in = 0
        """Bytes received beyond the usual ones of all complete replies; may be negative."""
        self._more_out = 0
        self._at_once = IntervalHistogram()
        """Of expected replies whose first byte and last came together: for both histograms."""
        self._expected = IntervalHistogram()
        self._unexpected = IntervalHistogram()
        self._failures = IntervalHistogram()
        self._first_byte = first_byte.histogram
        first_byte.feed_from(self)
        self._usual_status = 0
        """Most replies of a series have one status: it is not counted but follows from the rest."""
        self._statuses: defaultdict[int, int] = defaultdict(int)
        self._unexpected_statuses: defaultdict[int, int] = defaultdict(int)
        self._errors: defaultdict[str, int] = defaultdict(int)
        self._taken = (0, 0, 0, 0, 0, 0, 0)
        self._words = counters.words
        self._at = number * SLOT_WORDS
        self._sent_at = self._at + SENT
        self._ok_at = self._at + OK

    def sent(self, bytes_out: int) -> None:
        """A request begins; `bytes_out` is what is handed to the connection for it."""
        self.sent_count = count = self.sent_count + 1
        self._words[self._sent_at] = count
        if bytes_out != self._usual_out:
            self._sent_unusual(bytes_out)

    def wrote(self, bytes_out: int) -> None:
        """More bytes were handed to a connection for a request that counts as sent."""
        self._more_out = count = self._more_out + bytes_out
        self._words[self._at + MORE_OUT] = count

    def completed_at_once(self, elapsed_ns: int, status: int, bytes_in: int) -> None:
        """As `completed`, for an expected reply that came in one piece, this long after `start_ns`:
        its first byte and its last were there at the same time."""
        self.ok_count = count = self.ok_count + 1
        self._words[self._ok_at] = count
        if bytes_in != self._usual_in:
            self._received_unusual(bytes_in)
        if status != self._usual_status:
            self._statuses[status] += 1
        value = elapsed_ns // 1000
        if 0 <= value < EXACT_BELOW_US:
            self._at_once.exact[value] += 1
        else:
            self._at_once.record(value)

    def completed(
        self,
        start_ns: int,
        first_byte_ns: int,
        end_ns: int,
        status: int,
        expected: bool,
        bytes_in: int,
    ) -> None:
        """A complete valid response; times are monotonic, `start_ns` that of the first byte out."""
        self.ok_count = count = self.ok_count + 1
        self._words[self._ok_at] = count
        if bytes_in != self._usual_in:
            self._received_unusual(bytes_in)
        if status != self._usual_status:
            self._statuses[status] += 1
        if expected:
            histogram = self._expected
        else:
            histogram = self._unexpected
            self._unexpected_statuses[status] += 1
            self.http_errors = count = self.http_errors + 1
            self._words[self._at + HTTP_ERRORS] = count
        histogram.record((end_ns - start_ns) // 1000)
        self._first_byte.record((first_byte_ns - start_ns) // 1000)

    def failed(self, start_ns: int, end_ns: int, code: str, bytes_in: int = 0) -> None:
        """No complete valid response; `code` is that of the ActionError."""
        words = self._words
        self.failed_count = count = self.failed_count + 1
        words[self._at + FAILED] = count
        if bytes_in:
            self._more_in = count = self._more_in + bytes_in
            words[self._at + MORE_IN] = count
        self._errors[code] += 1
        self._failures.record((end_ns - start_ns) // 1000)

    def retried(self) -> None:
        """The send that follows is a second one after a stale connection."""
        self.retries = count = self.retries + 1
        self._words[self._at + RETRIES] = count

    @property
    def in_flight(self) -> int:
        return self.sent_count - self.ok_count - self.failed_count

    @property
    def bytes_in(self) -> int:
        """Bytes of all replies, complete or not."""
        return self.ok_count * self._usual_in + self._more_in

    @property
    def bytes_out(self) -> int:
        """Bytes of all requests, as far as they were handed to a connection."""
        return self.sent_count * self._usual_out + self._more_out

    def _sent_unusual(self, bytes_out: int) -> None:
        """The request that was counted has another size than most."""
        more = bytes_out - self._usual_out
        if not self._usual_out:
            self._words[self._at + USUAL_OUT] = self._usual_out = bytes_out
            more -= self.sent_count * bytes_out
        self.wrote(more)

    def _received_unusual(self, bytes_in: int) -> None:
        """The reply that was counted has another size than most."""
        more = bytes_in - self._usual_in
        if not self._usual_in:
            self._words[self._at + USUAL_IN] = self._usual_in = bytes_in
            more -= self.ok_count * bytes_in
        self._more_in = more = self._more_in + more
        self._words[self._at + MORE_IN] = more

    def settle(self) -> None:
        """Puts what was recorded once for two histograms into both."""
        if not self._at_once.is_empty:
            self._at_once.pour(self._expected, self._first_byte)

    def take(self) -> SeriesDelta | None:
        """What happened since the last call, or None when nothing did."""
        self.settle()
        now = (
            self.sent_count,
            self.ok_count,
            self.failed_count,
            self.http_errors,
            self.bytes_in,
            self.bytes_out,
            self.retries,
        )
        before = self._taken
        if now == before:
            return None
        self._taken = now
        delta = SeriesDelta(
            self.id,
            now[0] - before[0],
            now[1] - before[1],
            now[2] - before[2],
            now[3] - before[3],
            now[4] - before[4],
            now[5] - before[5],
            expected=self._expected.take(),
            retries=now[6] - before[6],
        )
        if delta.ok:
            delta.statuses = self._take_statuses(delta.ok)
        if delta.http_errors:
            delta.unexpected = self._unexpected.take()
            delta.unexpected_statuses = dict(self._unexpected_statuses)
            self._unexpected_statuses.clear()
        if delta.failed:
            delta.failures = self._failures.take()
            delta.errors = dict(self._errors)
            self._errors.clear()
        return delta

    def _take_statuses(self, ok: int) -> dict[int, int]:
        statuses = dict(self._statuses)
        self._statuses.clear()
        usual = ok - sum(statuses.values())
        if usual:
            statuses[self._usual_status] = usual
        elif self._usual_status not in statuses:
            self._usual_status = max(statuses, key=statuses.__getitem__)
        return statuses


class TimedSeries:
    """Durations of one series in one worker: call, connect, dns, tls, first_byte, pool_wait, trend.

    A trend holds whole numbers of the metric's own unit instead of microseconds.
    """

    __slots__ = ("_errors", "_expected", "_failures", "_feeders", "id", "key")

    def __init__(self, key: SeriesKey, number: int) -> None:
        self.key = key
        self.id = number
        self._feeders: list[HttpSeries] | None = None
        self._expected = IntervalHistogram()
        self._failures = IntervalHistogram()
        self._errors: defaultdict[str, int] = defaultdict(int)

    @property
    def histogram(self) -> IntervalHistogram:
        """Of successes; the recorder's HttpSeries writes to that of `first_byte` itself."""
        return self._expected

    def feed_from(self, series: HttpSeries) -> None:
        """Another series records here, and has to put in what it holds back before a take."""
        if self._feeders is None:
            self._feeders = []
        self._feeders.append(series)

    def record_ns(self, elapsed_ns: int) -> None:
        """Something took this long and succeeded."""
        self._expected.record(elapsed_ns // 1000)

    def record(self, value: int) -> None:
        """A value in the unit of the series (microseconds unless it is a trend)."""
        self._expected.record(value)

    def failed(self, elapsed_ns: int, code: str) -> None:
        """It failed after this long; `code` is that of the ActionError."""
        self._errors[code] += 1
        self._failures.record(elapsed_ns // 1000)

    def take(self) -> SeriesDelta | None:
        """What happened since the last call, or None when nothing did."""
        for series in self._feeders or ():
            series.settle()
        if self._expected.is_empty and not self._errors:
            return None
        delta = SeriesDelta(self.id, ok=self._expected.count, expected=self._expected.take())
        if self._errors:
            delta.failures = self._failures.take()
            delta.errors = dict(self._errors)
            delta.failed = sum(delta.errors.values())
            self._errors.clear()
        delta.sent = delta.ok + delta.failed
        return delta


class ValueSeries:
    """Numbers of one series in one worker: counter, gauge or rate."""

    __slots__ = ("_count", "_is_gauge", "_value", "id", "key")

    def __init__(self, key: SeriesKey, number: int) -> None:
        self.key = key
        self.id = number
        self._count = 0
        self._value = 0.0
        self._is_gauge = key.kind == "gauge"

    def record(self, value: float) -> None:
        """Add to a counter or rate, or set a gauge."""
        self._count += 1
        self._value = value if self._is_gauge else self._value + value

    def take(self) -> SeriesDelta | None:
        """What happened since the last call, or None when nothing did."""
        if not self._count:
            return None
        delta = SeriesDelta(self.id, sent=self._count, ok=self._count, value_sum=self._value)
        self._count = 0
        if not self._is_gauge:
            self._value = 0.0
        return delta


Series = HttpSeries | TimedSeries | ValueSeries


def combine(kind: str, number: int, deltas: list[SeriesDelta]) -> SeriesDelta:
    """Several deltas of one kind as one delta of series `number`. A gauge keeps the last value."""
    result = SeriesDelta(number, statuses={}, errors={}, unexpected_statuses={})
    for delta in deltas:
        result.sent += delta.sent
        result.ok += delta.ok
        result.failed += delta.failed
        result.http_errors += delta.http_errors
        result.bytes_in += delta.bytes_in
        result.bytes_out += delta.bytes_out
        result.retries += delta.retries
        result.value_sum = (
            delta.value_sum if kind == "gauge" else result.value_sum + delta.value_sum
        )
        add_counts(result.statuses, delta.statuses)
        add_counts(result.unexpected_statuses, delta.unexpected_statuses)
        add_counts(result.errors, delta.errors)
    result.expected = combined(delta.expected for delta in deltas)
    result.unexpected = combined(delta.unexpected for delta in deltas)
    result.failures = combined(delta.failures for delta in deltas)
    return result


def add_counts(target: dict[_K, int], amounts: dict[_K, int]) -> None:
    """Add counts by name to others."""
    for name, amount in amounts.items():
        target[name] = target.get(name, 0) + amount


class _NullHttp(HttpSeries):
    """Records nothing: for teardown and for what a metric filter left out."""

    __slots__ = ()

    def sent(self, bytes_out: int) -> None:
        pass

    def wrote(self, bytes_out: int) -> None:
        pass

    def completed_at_once(self, elapsed_ns: int, status: int, bytes_in: int) -> None:
        pass

    def completed(
        self,
        start_ns: int,
        first_byte_ns: int,
        end_ns: int,
        status: int,
        expected: bool,
        bytes_in: int,
    ) -> None:
        pass

    def failed(self, start_ns: int, end_ns: int, code: str, bytes_in: int = 0) -> None:
        pass

    def retried(self) -> None:
        pass


class _NullTimed(TimedSeries):
    """Records nothing."""

    __slots__ = ()

    def record_ns(self, elapsed_ns: int) -> None:
        pass

    def record(self, value: int) -> None:
        pass

    def failed(self, elapsed_ns: int, code: str) -> None:
        pass


NULL_HTTP: Final[HttpSeries] = _NullHttp(
    SeriesKey(kind="http"), 0, WorkerCounters(memoryview(bytes(16 * SLOT_WORDS)).cast("q"), 1),
    TimedSeries(SeriesKey(kind="first_byte"), 0),
)  # fmt: skip
"""An HttpSeries that records nothing."""

NULL_TIMED: Final[TimedSeries] = _NullTimed(SeriesKey(kind="call"), 0)
"""A TimedSeries that records nothing."""

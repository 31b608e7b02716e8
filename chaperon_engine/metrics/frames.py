"""Is this frame one that a sound worker could have sent? Nothing that a worker says is believed.

Owns the checks of a frame against itself and against what the same worker sent before. Must not
know how frames are merged. Messages name the worker and the figure, for the engine's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import isfinite
from typing import Final

import msgspec

from chaperon_engine.metrics.counters import CounterValues, slots_for, sum_of
from chaperon_engine.metrics.histogram import checked_counts
from chaperon_engine.metrics.model import (
    COUNTED_KINDS,
    HTTP,
    MAX_LABEL_CHARS,
    MAX_TEXT_CHARS,
    TIMED_KINDS,
    VALUE_KINDS,
    Frame,
    FrameTotals,
    SeriesDelta,
    SeriesKey,
)
from chaperon_engine.metrics.recorder import MAX_CHECKS, MAX_EXCEPTION_GROUPS

MAX_KEY_CHARS: Final = 64 * 1024 * 1024
"""Of all series keys of one worker together."""

_KINDS: Final = TIMED_KINDS | VALUE_KINDS | {HTTP}


class FrameError(ValueError):
    """A frame that no sound worker sends: out of range, inconsistent or out of order."""


class ConservationError(FrameError):
    """The deltas of a worker do not add up to the totals it states."""


class WorkerLedger:
    """What one worker has reported so far: its keys, its requests per series, its totals."""

    def __init__(self, worker: int, max_series: int = 2000) -> None:
        self.worker = worker
        self.epoch: int | None = None
        self.next_seq = 0
        self.keys: list[SeriesKey] = []
        self.requests: dict[int, CounterValues] = {}
        """Cumulative counts of its `http` series by number."""
        self.totals = FrameTotals()
        self.measured = CounterValues()
        """Requests of the measured run in the last frame, without those of lost workers."""
        self._max_keys = slots_for(max_series)
        self._key_chars = 0
        self._checks: set[tuple[str, str, str]] = set()
        self._exceptions: set[tuple[str, str, int]] = set()

    def admit(self, frame: Frame) -> bool:
        """Check a frame and enter it; False when it is a duplicate of one that was entered.

        Raises FrameError (ConservationError when it is the sums that differ); then nothing was
        entered.
        """
        if self.epoch is not None and frame.epoch != self.epoch:
            raise self._error(f"epoch {frame.epoch} instead of {self.epoch}")
        if frame.seq < self.next_seq:
            return False
        if frame.seq > self.next_seq:
            raise self._error(f"frame {frame.seq} where {self.next_seq} was due")
        if frame.end_ns < frame.start_ns:
            raise self._error("an interval that ends before it starts")
        self._check_state(frame)
        self._check_texts(frame)
        checks = self._checks | {(each.scenario, each.session, each.name) for each in frame.checks}
        exceptions = self._exceptions | {
            (each.type, each.file, each.line) for each in frame.exceptions
        }
        if len(checks) > MAX_CHECKS + 1 or len(exceptions) > MAX_EXCEPTION_GROUPS + 1:
            raise self._error("more checks or exceptions than a recorder keeps")
        keys = self.keys + self._checked_keys(frame)
        requests, measured = self._checked_deltas(frame, keys)
        self.epoch = frame.epoch
        self.next_seq += 1
        self.keys = keys
        self._key_chars += sum(_chars(key) for _, key in frame.new_series)
        self._checks, self._exceptions = checks, exceptions
        self.requests.update(requests)
        self.measured = measured
        self.totals = frame.totals
        return True

    def _error(self, problem: str) -> FrameError:
        return FrameError(f"worker {self.worker} sent {problem}")

    def _check_state(self, frame: Frame) -> None:
        sessions, iterations, health = frame.sessions, frame.iterations, frame.health
        counts = (
            sessions.planned, sessions.started, sessions.finished, sessions.failed,
            sessions.timed_out, sessions.interrupted, iterations.started, iterations.completed,
            iterations.failed, iterations.interrupted, health.lag_p99_us, health.lag_max_us,
            health.gc_us, health.rss_bytes, health.descriptors, frame.dropped_logs,
            frame.folded_keys,
        )  # fmt: skip
        if min(counts) < 0:
            raise self._error("a negative count")
        if not (isfinite(health.cpu) and isfinite(health.steal)):
            raise self._error("health figures that are no numbers")
        if len(frame.checks) > MAX_CHECKS + 1 or len(frame.exceptions) > MAX_EXCEPTION_GROUPS + 1:
            raise self._error("more checks or exceptions than a recorder keeps")
        if any(check.passed < 0 or check.failed < 0 for check in frame.checks):
            raise self._error("a check with a negative count")
        if any(group.count < 1 for group in frame.exceptions):
            raise self._error("an exception that did not occur")

    def _check_texts(self, frame: Frame) -> None:
        """Nothing that is kept for the whole run may be long."""
        labels = [each.name for each in frame.checks]
        texts = [lost.note for lost in frame.lost]
        for check in frame.checks:
            texts += (check.scenario, check.session, check.reason)
        for group in frame.exceptions:
            texts += (group.type, group.file, group.message, group.traceback, group.where)
            texts.append(group.session)
        for line in frame.logs:
            texts += (line.level, line.source, line.text)
        for delta in frame.deltas:
            texts += delta.errors
        chars = self._key_chars
        for _, key in frame.new_series:
            labels += (key.action, key.method, key.url, key.name, key.unit, key.phase)
            texts += (key.scenario, key.session, key.service)
            labels += chain.from_iterable(key.tags)
            chars += _chars(key)
        if (
            chars > MAX_KEY_CHARS
            or any(len(label) > MAX_LABEL_CHARS for label in labels)
            or any(len(text) > MAX_TEXT_CHARS for text in texts)
        ):
            raise self._error("longer texts than a recorder keeps")
        if any(not isfinite(line.at_s) for line in frame.logs):
            raise self._error("a log line at no time")

    def _checked_keys(self, frame: Frame) -> list[SeriesKey]:
        known = len(self.keys)
        if known + len(frame.new_series) > self._max_keys:
            raise self._error(f"more than {self._max_keys} series")
        for expected, (number, key) in enumerate(frame.new_series, start=known):
            if number != expected:
                raise self._error(f"series number {number} where {expected} was due")
            if key.kind not in _KINDS:
                raise self._error(f"a series of unknown kind {key.kind[:40]!r}")
        return [key for _, key in frame.new_series]

    def _checked_deltas(
        self, frame: Frame, keys: list[SeriesKey]
    ) -> tuple[dict[int, CounterValues], CounterValues]:
        """Requests by series as they stand with this frame, and those of its deltas together."""
        requests: dict[int, CounterValues] = {}
        seen: set[int] = set()
        for delta in frame.deltas:
            if not 0 <= delta.id < len(keys):
                raise self._error(f"a delta of series {delta.id}, which it has not announced")
            if delta.id in seen:
                raise self._error(f"two deltas of series {delta.id}")
            seen.add(delta.id)
        kinds = [keys[delta.id].kind for delta in frame.deltas]
        try:
            check_deltas(kinds, frame.deltas)
        except ValueError as error:
            raise self._error(str(error)) from None
        changes = [
            self._counted(delta, keys[delta.id], requests)
            for kind, delta in zip(kinds, frame.deltas, strict=True)
            if kind == HTTP
        ]
        measured = sum_of(changes)
        changes = [measured]
        for lost in frame.lost:
            for delta in lost.series:
                if not 0 <= delta.id < len(keys) or keys[delta.id].kind != HTTP:
                    raise self._error(f"lost requests of {delta.id}, which is no such series")
                if not is_counts_alone(delta):
                    raise self._error(f"more than counts of lost requests of series {delta.id}")
                changes.append(self._counted(delta, keys[delta.id], requests))
        self._check_totals(frame.totals, sum_of(changes))
        return requests, measured

    def _counted(
        self, delta: SeriesDelta, key: SeriesKey, requests: dict[int, CounterValues]
    ) -> CounterValues:
        """Enter the requests of a delta; answers what of them belongs to the totals."""
        change = counts_of(delta)
        before = requests.get(delta.id) or self.requests.get(delta.id)
        now = requests[delta.id] = change if before is None else before + change
        if now.in_flight < 0:
            raise ConservationError(
                f"worker {self.worker}, series {delta.id}: {now.ok} ok + {now.failed} failed "
                f"of {now.sent} sent"
            )
        return CounterValues() if key.phase else change

    def _check_totals(self, stated: FrameTotals, change: CounterValues) -> None:
        before = self.totals
        for name in ("sent", "ok", "failed", "http_errors", "bytes_in", "bytes_out"):
            expected = getattr(before, name) + getattr(change, name)
            if getattr(stated, name) != expected:
                raise ConservationError(
                    f"worker {self.worker} states {getattr(stated, name)} {name}, its deltas add "
                    f"up to {expected}"
                )


def _chars(key: SeriesKey) -> int:
    """How much text a key keeps in memory."""
    texts = (key.action, key.method, key.url, key.name, key.unit, key.phase, *chain(*key.tags))
    return sum(map(len, texts)) + len(key.scenario) + len(key.session) + len(key.service)


def counts_of(delta: SeriesDelta) -> CounterValues:
    """The request counts of a delta."""
    return CounterValues(
        delta.sent,
        delta.ok,
        delta.failed,
        delta.http_errors,
        delta.bytes_in,
        delta.bytes_out,
        delta.retries,
    )


def is_counts_alone(delta: SeriesDelta) -> bool:
    """Whether a delta says how many requests there were and no more: what is known of a lost
    worker's."""
    counts = msgspec.structs.astuple(counts_of(delta))
    return min(counts) >= 0 and delta == delta_of_counts(delta.id, counts_of(delta))


def delta_of_counts(number: int, counts: CounterValues) -> SeriesDelta:
    """Counts of series `number` as a delta without anything else."""
    return SeriesDelta(
        number,
        sent=counts.sent,
        ok=counts.ok,
        failed=counts.failed,
        http_errors=counts.http_errors,
        bytes_in=counts.bytes_in,
        bytes_out=counts.bytes_out,
        retries=counts.retries,
    )


def check_deltas(kinds: Sequence[str], deltas: Sequence[SeriesDelta]) -> None:
    """Raises ValueError, which names the series, unless counts, histograms and classes of each of
    these deltas, whose kinds stand beside them, agree."""
    histograms = [
        histogram
        for delta in deltas
        for histogram in (delta.expected, delta.unexpected, delta.failures)
        if histogram is not None
    ]
    try:
        # All at once, which costs little more than one.
        values = iter(checked_counts(histograms))
    except ValueError as error:
        if len(deltas) == 1:
            raise _bad(deltas[0], error) from None
        for kind, delta in zip(kinds, deltas, strict=True):
            check_deltas([kind], [delta])
        raise
    for kind, delta in zip(kinds, deltas, strict=True):
        try:
            _check_delta(kind, delta, values)
        except ValueError as error:
            raise _bad(delta, error) from None


def _bad(delta: SeriesDelta, error: ValueError) -> ValueError:
    return ValueError(f"a bad delta of series {delta.id}: {error}")


def _check_delta(kind: str, delta: SeriesDelta, values: Iterator[int]) -> None:
    """`values`: how many lie in the delta's histograms, and then those of others."""
    counts = (
        delta.sent, delta.ok, delta.failed, delta.http_errors, delta.bytes_in, delta.bytes_out,
        delta.retries,
    )  # fmt: skip
    if min(counts) < 0:
        raise ValueError("a negative count")
    if not isfinite(delta.value_sum):
        raise ValueError("a value that is no number")
    if kind in COUNTED_KINDS and delta.expected is not None:
        raise ValueError(f"a distribution in a {kind}")
    expected = 0 if delta.expected is None else next(values)
    unexpected = 0 if delta.unexpected is None else next(values)
    failures = 0 if delta.failures is None else next(values)
    if kind in COUNTED_KINDS:
        expected = delta.ok
    if kind in VALUE_KINDS:
        if expected or unexpected or failures:
            raise ValueError(f"a histogram in a {kind}")
        return
    if expected + unexpected != delta.ok or failures != delta.failed:
        raise ValueError("counts and histograms differ")
    if unexpected != delta.http_errors:
        raise ValueError("http errors and their histogram differ")
    if _class_sum(delta.errors) != delta.failed:
        raise ValueError("failures and their classes differ")
    if _class_sum(delta.unexpected_statuses) != delta.http_errors:
        raise ValueError("http errors and their statuses differ")
    if kind == HTTP and _class_sum(delta.statuses) != delta.ok:
        raise ValueError("responses and their statuses differ")


def _class_sum(counts: dict[int, int] | dict[str, int]) -> int:
    if not counts:
        return 0
    if min(counts.values()) < 1:
        raise ValueError("a class with a count below 1")
    return sum(counts.values())

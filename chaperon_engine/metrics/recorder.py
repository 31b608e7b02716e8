"""The recorder of one worker: which series exist there, and what a frame takes from them.

Owns the worker's table of series with its local cap, checks, grouped exceptions and the warm-up
phase. Must not know loops: a collection is an iterator, and whoever drives it may yield to its loop
between the steps. Single-threaded, one writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chaperon_engine.metrics.counters import (
    KIND_HTTP,
    KIND_HTTP_WARMUP,
    KIND_OTHER,
    OTHER_SLOTS,
    WorkerCounters,
)
from chaperon_engine.metrics.filter import Keep, null_of
from chaperon_engine.metrics.messages import MessageSeries
from chaperon_engine.metrics.model import (
    HTTP,
    MAX_LABEL_CHARS,
    MESSAGE_KINDS,
    OTHER,
    TIMED_KINDS,
    VALUE_KINDS,
    CheckCount,
    ExceptionGroup,
    Frame,
    FrameTotals,
    HealthSample,
    IterationCounts,
    LogLine,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.metrics.series import (
    NULL_HTTP,
    NULL_TIMED,
    HttpSeries,
    Series,
    TimedSeries,
    ValueSeries,
)
from chaperon_engine.text import encodable

__all__ = ["NULL_HTTP", "NULL_TIMED", "Collection", "HttpSeries", "Recorder", "TimedSeries"]

MAX_EXCEPTION_GROUPS: Final = 200
MAX_CHECKS: Final = 1000
MAX_REMEMBERED_KEYS: Final = 20_000
"""Up to here distinct folded keys are told apart when they are counted."""

_MAX_REASON: Final = 300
_STEP_WORK: Final = 2000
"""Buckets that one step of a collection visits: less than 2 ms of work on a slow core."""
_SERIES_WORK: Final = 12
"""What a series costs apart from its buckets, in buckets."""


class Recorder:
    """Everything that one worker measures. See `HttpSeries` and `TimedSeries` for the hot path.

    `http`, `timed` and the value methods look a series up by its key; callers on the hot path keep
    the object they got and ask again when `generation` has changed.
    """

    def __init__(
        self, counters: WorkerCounters, *, max_series: int = 2000, keep: Keep | None = None
    ) -> None:
        """`max_series` is the cap of the run; this worker folds on its own only beyond twice
        that, because it cannot know which keys the run will accept. `keep` is asked once for each
        key (without its phase); what it does not keep gets series that record nothing."""
        self._keep = keep
        self._kept: dict[SeriesKey, bool] = {}
        """What `keep` said."""
        self._counters = counters
        self._max_named = counters.slots - OTHER_SLOTS
        self._limit = min(2 * max_series, self._max_named // 2)
        self._series: dict[SeriesKey, Series] = {}
        self._ordered: list[Series] = []
        """All series by number; folded ones stay, what is in flight in them must be counted."""
        self._named = 0
        """Series that are not an `(other)`, folded ones included: their slots stay taken."""
        self._announced = 0
        self._accepted: frozenset[SeriesKey] | None = None
        self._refused: set[SeriesKey] = set()
        """Keys that this worker had announced and the run did not accept; the run counts them."""
        self._folded: set[int] = set()
        """Hashes of keys that this worker folded itself."""
        self._phase = ""
        self._totals = FrameTotals()
        self._checks: dict[tuple[str, str, str], CheckCount] = {}
        self._changed_checks: dict[tuple[str, str, str], None] = {}
        self._exceptions: dict[tuple[str, str, int], ExceptionGroup] = {}
        self._changed_exceptions: dict[tuple[str, str, int], None] = {}
        self._last_ns: int | None = None
        self.generation = 0
        """Grows whenever series objects must be looked up again: the phase changed or the run's
        table is full. Objects that were handed out go on working."""

    @property
    def phase(self) -> str:
        """Empty or `warmup`; keys without a phase get it when their series is looked up."""
        return self._phase

    @phase.setter
    def phase(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            self.generation += 1

    def http(self, key: SeriesKey) -> HttpSeries:
        """The request series of this key; the same object for an equal key in the same phase."""
        series = self._find(key)
        if not isinstance(series, HttpSeries):
            raise ValueError(f"a series of kind {key.kind} does not record requests")
        return series

    def timed(self, key: SeriesKey) -> TimedSeries:
        """The series of durations (or of a trend) of this key."""
        series = self._find(key)
        if not isinstance(series, TimedSeries):
            raise ValueError(f"a series of kind {key.kind} does not record durations")
        return series

    def messages(self, key: SeriesKey) -> MessageSeries:
        """The series of one of the kinds of a WebSocket."""
        series = self._find(key)
        if not isinstance(series, MessageSeries):
            raise ValueError(f"a series of kind {key.kind} does not record messages")
        return series

    def trend(self, key: SeriesKey, value: float) -> None:
        """Record a value of a custom trend, rounded as its unit says."""
        self.timed(key).record(round(value * key.scale))

    def count(self, key: SeriesKey, amount: float = 1) -> None:
        """Increase a custom counter."""
        self._value(key).record(amount)

    def gauge(self, key: SeriesKey, value: float) -> None:
        """Set a custom gauge; the last value of the run's last frame stays."""
        self._value(key).record(value)

    def rate(self, key: SeriesKey, value: bool) -> None:
        """Record a true or false value of a custom rate."""
        self._value(key).record(1.0 if value else 0.0)

    def _value(self, key: SeriesKey) -> ValueSeries:
        series = self._find(key)
        if not isinstance(series, ValueSeries):
            raise ValueError(f"a series of kind {key.kind} does not record single values")
        return series

    def _find(self, key: SeriesKey) -> Series:
        if self._phase and not key.phase:
            key = msgspec.structs.replace(key, phase=self._phase)
        if self._keep is not None and key not in self._series and not self._keeps(key.measured):
            return null_of(key.kind)
        return self._lookup(key)

    def _keeps(self, key: SeriesKey) -> bool:
        assert self._keep is not None
        keeps = self._kept.get(key)
        if keeps is None:
            keeps = self._keep(key.encodable)
            if len(self._kept) < MAX_REMEMBERED_KEYS:
                self._kept[key] = keeps
        return keeps

    def _lookup(self, key: SeriesKey) -> Series:
        """The series of a key whose phase is decided."""
        return self._series.get(key) or self._admit(key)

    def _admit(self, key: SeriesKey) -> Series:
        known = self._series.get(key := key.encodable)
        if known is not None:
            return known
        if not key.is_other and not self._has_room_for(key):
            measured = key.measured
            if measured not in self._refused and len(self._folded) < MAX_REMEMBERED_KEYS:
                self._folded.add(hash(measured))
            key = key.other
            existing = self._series.get(key)
            if existing is not None:
                return existing
        return self._make(key)

    def _has_room_for(self, key: SeriesKey) -> bool:
        if self._named >= self._max_named:
            return False
        return self._named < self._limit if self._accepted is None else self._accepts(key)

    def _accepts(self, key: SeriesKey) -> bool:
        return self._accepted is None or key.measured in self._accepted

    def _make(self, key: SeriesKey) -> Series:
        series: Series
        if key.kind == HTTP:
            # The first-byte series comes first: looking it up may take the last free place.
            first_byte = self._lookup(msgspec.structs.replace(key, kind="first_byte"))
            assert isinstance(first_byte, TimedSeries)
            slot = self._counters.allocate(KIND_HTTP_WARMUP if key.phase else KIND_HTTP)
            series = HttpSeries(key, slot, self._counters, first_byte)
        elif key.kind in MESSAGE_KINDS:
            series = MessageSeries(key, self._counters.allocate(KIND_OTHER))
        elif key.kind in TIMED_KINDS:
            series = TimedSeries(key, self._counters.allocate(KIND_OTHER))
        elif key.kind in VALUE_KINDS:
            series = ValueSeries(key, self._counters.allocate(KIND_OTHER))
        else:
            raise ValueError(f"no kind of series is called {key.kind!r}")
        self._series[key] = series
        self._ordered.append(series)
        if not key.is_other:
            self._named += 1
        return series

    def accept_only(self, keys: Iterable[SeriesKey]) -> None:
        """The run's table is full: from now on these keys exist, in both phases, and no others.

        Unknown keys go to the `(other)` of their kind and phase. Of series that this worker has
        and the run does not, a lookup gives `(other)` too; objects that were handed out go on
        counting what is in flight under the number they were announced with, because there their
        sends were counted. The coordinator adds that number to `(other)`, from its first delta on:
        so a key is folded everywhere or nowhere. (A worker that met more than twice the cap before
        it was told has folded on its own authority; `Frame.folded_keys` says so.)
        """
        self._accepted = frozenset(keys)
        for key in list(self._series):
            if not key.is_other and not self._accepts(key):
                del self._series[key]
                self._refused.add(key.measured)
        self.generation += 1

    def check(self, scenario: str, session: str, name: str, passed: bool, reason: str = "") -> None:
        """Count one result of a named check; the reason of the first failure is kept."""
        place = (scenario, session, encodable(name)[:MAX_LABEL_CHARS])
        found = self._checks.get(place)
        if found is None:
            if len(self._checks) >= MAX_CHECKS:
                place = ("", "", OTHER)
            found = self._checks.setdefault(place, CheckCount(*place))
        if passed:
            found.passed += 1
        else:
            if not found.failed:
                found.reason = encodable(reason[:_MAX_REASON])
            found.failed += 1
        self._changed_checks[place] = None

    def exception(self, group: ExceptionGroup) -> None:
        """Count `group.count` exceptions of one type from one place; the first texts are kept."""
        place = (group.type, group.file, group.line)
        found = self._exceptions.get(place)
        if found is None and len(self._exceptions) >= MAX_EXCEPTION_GROUPS:
            place = (OTHER, "", 0)
            found = self._exceptions.get(place)
            group = msgspec.structs.replace(group, type=OTHER, file="", line=0)
        if found is None:
            self._exceptions[place] = msgspec.structs.replace(group)
        else:
            found.count += group.count
        self._changed_exceptions[place] = None

    def collect(self, now_ns: int) -> Collection:
        """Take what was recorded since the last collection; `now_ns` is the interval's end.

        Iterate it to the end before the next one begins, yielding to the loop between the steps:
        `for _ in collection: await asyncio.sleep(0)`; then `collection.frame(...)`. Each series is
        taken at one moment; what happens in it afterwards belongs to the next frame.
        """
        start_ns = now_ns if self._last_ns is None else self._last_ns
        self._last_ns = now_ns
        return Collection(self, start_ns, now_ns)

    def begin(self, now_ns: int) -> None:
        """The first interval begins now."""
        self._last_ns = now_ns

    def _take_changed_checks(self) -> list[CheckCount]:
        changed = [msgspec.structs.replace(self._checks[place]) for place in self._changed_checks]
        self._changed_checks.clear()
        return changed

    def _take_changed_exceptions(self) -> list[ExceptionGroup]:
        changed = [
            msgspec.structs.replace(self._exceptions[place]) for place in self._changed_exceptions
        ]
        self._changed_exceptions.clear()
        return changed

    def _take_new_series(self) -> list[tuple[int, SeriesKey]]:
        new = self._ordered[self._announced :]
        self._announced += len(new)
        return [(series.id, series.key) for series in new]

    def _add_totals(self, delta: SeriesDelta) -> None:
        totals = self._totals
        totals.sent += delta.sent
        totals.ok += delta.ok
        totals.failed += delta.failed
        totals.http_errors += delta.http_errors
        totals.bytes_in += delta.bytes_in
        totals.bytes_out += delta.bytes_out


class Collection:
    """The parts of one frame, taken step by step: an iterator whose steps stay under 2 ms."""

    def __init__(self, recorder: Recorder, start_ns: int, end_ns: int) -> None:
        self._recorder = recorder
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._deltas: list[SeriesDelta] = []
        self._steps = self._run()

    def __iter__(self) -> Iterator[None]:
        return self._steps

    def _run(self) -> Iterator[None]:
        recorder = self._recorder
        work = 0
        for series in recorder._ordered[:]:
            delta = series.take()
            if delta is None:
                work += 1
            else:
                self._deltas.append(delta)
                if isinstance(series, HttpSeries) and not series.key.phase:
                    recorder._add_totals(delta)
                work += _SERIES_WORK
                for histogram in (delta.expected, delta.unexpected, delta.failures):
                    work += len(histogram.buckets) // 2 if histogram is not None else 0
            if work >= _STEP_WORK:
                work = 0
                yield

    def frame(
        self,
        worker: int,
        epoch: int,
        seq: int,
        *,
        sessions: SessionCounts | None = None,
        iterations: IterationCounts | None = None,
        logs: list[LogLine] | None = None,
        dropped_logs: int = 0,
        health: HealthSample | None = None,
        last: bool = False,
    ) -> Frame:
        """The frame; takes whatever steps are left. Call it once."""
        for _ in self._steps:
            pass
        recorder = self._recorder
        return Frame(
            worker=worker,
            epoch=epoch,
            seq=seq,
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            new_series=recorder._take_new_series(),
            deltas=self._deltas,
            totals=msgspec.structs.replace(recorder._totals),
            sessions=sessions or SessionCounts(),
            iterations=iterations or IterationCounts(),
            checks=recorder._take_changed_checks(),
            exceptions=recorder._take_changed_exceptions(),
            logs=logs or [],
            dropped_logs=dropped_logs,
            health=health or HealthSample(),
            folded_keys=len(recorder._folded),
            last=last,
        )

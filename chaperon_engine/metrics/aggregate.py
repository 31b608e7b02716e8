"""The run as the coordinator knows it: frames of all workers merged, and everything read from them.

Owns the merging of frames into series and seconds, and what lost workers had counted; what each
worker said of itself is in `workers`. Must not know sockets, processes or the report. Times are
seconds since the start of load unless a name ends in `_ns`.

    begin(start_ns)                      once, before the first frame
    apply(frame), worker_lost(...)       as they come; apply checks everything
    advance(now_ns)                      a few times a second: closes seconds
    end_load(at_s)                       when iterations stop starting, also in advance
    finish(at_s)                         after the last worker; then the summaries are final
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from chaperon_engine.metrics.accumulate import SeriesTotals, per_second
from chaperon_engine.metrics.counters import (
    KIND_HTTP,
    KIND_HTTP_WARMUP,
    CounterValues,
    WorkerCounters,
    beyond,
    sum_of,
)
from chaperon_engine.metrics.frames import FrameError, counts_of
from chaperon_engine.metrics.histogram import CumulativeHistogram
from chaperon_engine.metrics.intervals import Intervals
from chaperon_engine.metrics.model import (
    HTTP,
    MESSAGE_KINDS,
    OTHER,
    WARMUP,
    CheckCount,
    ExceptionGroup,
    Frame,
    IterationCounts,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.metrics.rows import count, error_rows, page
from chaperon_engine.metrics.seconds import Second, SecondHistory
from chaperon_engine.metrics.snapshot import (
    ErrorRow,
    HealthView,
    Percentiles,
    SeriesDetail,
    SeriesRow,
    Totals,
    View,
    WindowSummary,
)
from chaperon_engine.metrics.summary import (
    ReportHealth,
    ReportMetric,
    ReportTotals,
    WorkerSummary,
)
from chaperon_engine.metrics.table import SeriesTable
from chaperon_engine.metrics.traffic import MessageFigures, RunMessages
from chaperon_engine.metrics.window import totals_of
from chaperon_engine.metrics.workers import (
    KnownWorker,
    WorkerFigures,
    checks_of,
    exceptions_of,
    iterations_of,
    sessions_of,
)

MAX_AHEAD_S: Final = 3600.0
"""A frame that ends later than this after everything known is refused: each second between would
get an interval."""


class RunAggregate:
    """All measurements of one run."""

    def __init__(
        self,
        workers: int,
        *,
        warmup_s: float = 0.0,
        max_series: int = 2000,
        start_ns: int = 0,
        planned_sessions: int = 0,
    ) -> None:
        """`planned_sessions` are those of the plan: a worker may die before it says its share."""
        self.table = SeriesTable(max_series)
        self._series: list[SeriesTotals] = []
        self.messages = RunMessages(workers)
        """What goes over WebSockets."""
        self._workers = [KnownWorker(number, max_series) for number in range(workers)]
        self._seconds = SecondHistory(workers, self._series, warmup_s=warmup_s)
        self._warmup_s = warmup_s
        self._planned_sessions = planned_sessions
        self._start_ns = start_ns
        self._now_s = 0.0
        self._furthest_s = 0.0
        """End of the latest frame."""
        self._end_s: float | None = None
        self._measured = CounterValues()
        self._done_in_window = 0
        self._rows_of_second: tuple[int, list[tuple[int, SeriesTotals]]] = (-1, [])

    # what comes in

    def begin(self, start_ns: int) -> None:
        """The monotonic time of second 0."""
        self._start_ns = start_ns

    def apply(self, frame: Frame) -> bool:
        """Merge a worker's frame; False for a duplicate, or when the worker is already lost.

        Raises FrameError (a ValueError) when the frame is none that a sound worker sends, and its
        subclass ConservationError when the worker's sums differ. Nothing is merged then.
        """
        if not 0 <= frame.worker < len(self._workers):
            raise FrameError(f"there is no worker {frame.worker}")
        worker = self._workers[frame.worker]
        start_s, end_s = self._since_start(frame.start_ns), self._since_start(frame.end_ns)
        if end_s > max(self._now_s, self._furthest_s) + MAX_AHEAD_S:
            raise FrameError(f"worker {frame.worker} sent a frame that ends in the future")
        if worker.is_lost or not worker.ledger.admit(frame):
            return False
        self._furthest_s = max(self._furthest_s, end_s)
        for _, key in frame.new_series:
            self._totals_of(self.table.announce(frame.worker, key))
        middle_s = (start_s + end_s) / 2
        second = self._seconds.open_for(middle_s)
        load_end_s = self._seconds.load_end_s
        in_window = load_end_s is None or middle_s < load_end_s
        after_warmup = in_window and middle_s >= self._warmup_s
        sent, messages, measured = 0, 0, worker.ledger.measured
        numbers = self.table.numbers_of(frame.worker)  # all of a frame: the ledger has seen to it
        for delta in frame.deltas:
            number = numbers[delta.id]
            key = self._series[number].key
            second.add(number, key.kind, delta, in_window=in_window)
            if key.phase and after_warmup:
                self._count_in_window(key, delta.ok + delta.failed)
            if key.kind == HTTP:
                sent += delta.sent
            elif key.kind in MESSAGE_KINDS:
                messages += self.messages.add(frame.worker, key, delta, in_window=in_window)
        worker.measured += measured
        self._measured += measured
        if in_window:
            self._done_in_window += measured.ok + measured.failed
        for lost in frame.lost:
            for delta in lost.series:
                self._add_lost(worker, numbers[delta.id], counts_of(delta), second)
        worker.remember(frame)
        length_s = end_s - start_s
        worker.figures = WorkerFigures(
            per_second(sent, length_s),
            per_second(messages, length_s),
            frame.sessions.active,
            frame.health,
        )
        self._seconds.report(frame, start_s, end_s)
        return True

    def _count_in_window(self, key: SeriesKey, done: int) -> None:
        """What was sent in warm-up and completed after it is warm-up's, but for the rates."""
        self._totals_of(self.table.number(key.measured)).done_in_window += done
        if key.kind == HTTP:
            self._done_in_window += done

    def _totals_of(self, number: int) -> SeriesTotals:
        while len(self._series) < len(self.table.keys):
            self._series.append(SeriesTotals(self.table.keys[len(self._series)]))
        return self._series[number]

    def worker_lost(self, worker: int, counters: WorkerCounters) -> WorkerSummary:
        """Count what shared memory knows of a dead worker beyond its last frame.

        Requests, completions, failures and bytes are then exact (up to the one request it was
        about to count); statuses, failure classes and latencies of the difference are gone:
        `missing_latencies` says how many. Its sessions and iterations count as interrupted. Call
        it once, after the last frame was applied.
        """
        lost = self._workers[worker]
        lost.is_lost = True
        self.messages.worker_lost(worker)
        second = self._seconds.open_for(self._now_s)
        for slot in range(min(counters.used, counters.slots)):
            kind = counters.kind(slot)
            if kind not in (KIND_HTTP, KIND_HTTP_WARMUP):
                continue
            known = lost.ledger.requests.get(slot, CounterValues())
            missing = beyond(counters.values(slot), known)
            if missing == CounterValues():
                continue
            number = self.table.of_worker(worker, slot)
            if number is None:
                # Made after its last frame: the name died with it, the count did not.
                phase = WARMUP if kind == KIND_HTTP_WARMUP else ""
                number = self.table.number(SeriesKey(kind=HTTP, name=OTHER, phase=phase))
            self._add_lost(lost, number, missing, second)
        self._seconds.end_worker(worker)
        lost.interrupt()
        return lost.summary()

    def _add_lost(
        self, worker: KnownWorker, number: int, missing: CounterValues, second: Second
    ) -> None:
        """Requests of which nothing is known but that they were counted."""
        totals = self._totals_of(number)
        totals.add_lost(missing)
        second.add_lost(missing)
        if not totals.key.phase:
            done = missing.ok + missing.failed
            worker.measured += missing
            worker.missing_latencies += done
            self._measured += missing
            self._done_in_window += done

    def end_load(self, at_s: float) -> None:
        """Iterations stop starting at this time: the measured window ends, drain begins.

        May be called in advance with the planned time; the earliest one counts.
        """
        known = self._seconds.load_end_s
        self._seconds.load_end_s = at_s if known is None else min(known, at_s)

    def advance(self, now_ns: int) -> None:
        """Time has passed: close the seconds that nobody will add to."""
        self._now_s = max(self._now_s, self._since_start(now_ns))
        self._seconds.advance(self._now_s)

    def finish(self, at_s: float) -> None:
        """The run is over, no frame follows: close everything."""
        self._now_s = max(self._now_s, at_s)
        self._end_s = at_s
        self._seconds.finish()

    def _since_start(self, moment_ns: int) -> float:
        return max((moment_ns - self._start_ns) / 1e9, 0.0)

    # what a viewer sees

    @property
    def series(self) -> Sequence[SeriesTotals]:
        """Cumulative series by the run's numbers, with all that has come."""
        self._seconds.hand_on()
        return self._series

    @property
    def measured_s(self) -> float:
        """Length of the measured window so far, without warm-up and drain."""
        end_s = self._now_s if self._end_s is None else self._end_s
        if self._seconds.load_end_s is not None:
            end_s = min(end_s, self._seconds.load_end_s)
        return max(end_s - self._warmup_s, 0.0)

    @property
    def drain_s(self) -> float:
        """How long the run went on after the load had ended."""
        end_s = self._now_s if self._end_s is None else self._end_s
        load_end_s = self._seconds.load_end_s
        return 0.0 if load_end_s is None else max(end_s - load_end_s, 0.0)

    @property
    def totals(self) -> Totals:
        """Sums over the measured HTTP requests of all frames (and lost workers) so far.

        Shared memory is up to a second ahead: `totals_of(run_counters.totals())`.
        """
        return totals_of(self._measured)

    @property
    def latency(self) -> Percentiles:
        """Of all measured requests with an expected status, up to the last closed second."""
        return self._seconds.latency.percentiles()

    @property
    def latency_now(self) -> Percentiles:
        """Of the last full second."""
        last = self._seconds.last
        return Percentiles() if last is None else last.whole_latency().percentiles()

    @property
    def messages_now(self) -> MessageFigures:
        """What went over WebSockets in the last full second; not to be changed."""
        return MessageFigures() if self._seconds.last is None else self._seconds.last.messages

    @property
    def median_us(self) -> int | float:
        """The usual time of the last full second, which delays of workers are compared with."""
        return 0 if self._seconds.last is None else self._seconds.last.median_us

    @property
    def requests_per_s(self) -> float:
        """Sent in the last full second."""
        return 0.0 if self._seconds.last is None else float(self._seconds.last.requests)

    @property
    def failed_per_s(self) -> float:
        """Failed in the last full second."""
        return 0.0 if self._seconds.last is None else float(self._seconds.last.failed)

    @property
    def intervals(self) -> Intervals:
        """All closed seconds; not to be changed."""
        return self._seconds.intervals

    @property
    def sessions(self) -> SessionCounts:
        """Over all workers."""
        counts = sessions_of(self._workers)
        counts.planned = max(counts.planned, self._planned_sessions)
        return counts

    @property
    def iterations(self) -> IterationCounts:
        """Over all workers."""
        return iterations_of(self._workers)

    def name_member(self, worker: int, name: str) -> None:
        """What the verdict on the generator calls a member that is another machine."""
        self._seconds.health.names[worker] = name

    @property
    def health(self) -> HealthView:
        """The verdict on the generator."""
        return self._seconds.health.view()

    @property
    def folded(self) -> int:
        """Keys beyond the cap, at most: workers that folded the same key each count it."""
        return self.table.folded + sum(worker.folded_keys for worker in self._workers)

    def worker_figures(self, worker: int) -> WorkerFigures:
        """What the last frame of a worker says; of one that is not known yet, nothing."""
        return self._workers[worker].figures if worker < len(self._workers) else WorkerFigures()

    def counts_of(self, workers: Iterable[int]) -> CounterValues:
        """Measured HTTP requests of some workers, as far as their frames and losses tell."""
        return sum_of([self._workers[worker].measured for worker in workers])

    def absent(self, worker: int) -> None:
        """This number belongs to nobody."""
        self._seconds.end_worker(worker)

    def series_rows(self, view: View) -> list[SeriesRow]:
        """The page of the series table that a view shows."""
        if view.limit <= 0:
            return []
        return page(self._rows(view), view, 1.0 if view.interval else self.measured_s)

    def series_count(self, view: View) -> int:
        """How many series fit a view, on all its pages."""
        return count(self._rows(view), view)

    def _rows(self, view: View) -> Iterable[tuple[int, SeriesTotals]]:
        return self._last_second() if view.interval else enumerate(self.series)

    def _last_second(self) -> list[tuple[int, SeriesTotals]]:
        last = self._seconds.last
        if last is None:
            return []
        if self._rows_of_second[0] != last.number:
            rows = sorted(last.series.items())
            for _, totals in rows:
                totals.done_in_window = totals.ok + totals.failed
            self._rows_of_second = last.number, rows
        return self._rows_of_second[1]

    def series_detail(self, number: int) -> SeriesDetail | None:
        """One series in full; None when there is none with this number."""
        if not 0 <= number < len(self._series):
            return None
        return self.series[number].detail(number, self.measured_s)

    def error_rows(self) -> list[ErrorRow]:
        """Failures and unexpected statuses, the most frequent first."""
        return error_rows(self.series)

    def checks(self) -> list[CheckCount]:
        """All checks over all workers, by scenario, session and name."""
        return checks_of(self._workers)

    def exceptions(self) -> list[ExceptionGroup]:
        """Exceptions of user code over all workers, the most frequent first."""
        return exceptions_of(self._workers)

    def window(self, start_s: int, end_s: int) -> WindowSummary | None:
        """Totals and percentiles of a window of closed seconds, without rows (`window_summary`
        makes them from the journal). Widened to what is told apart in a very long run."""
        return self._seconds.window.summary(start_s, end_s)

    # what the report is made of

    def totals_summary(self) -> ReportTotals:
        """The report's totals."""
        expected, unexpected, failures = (CumulativeHistogram() for _ in range(3))
        for totals in self.series:
            if totals.key.kind == HTTP and not totals.key.phase:
                expected.merge(totals.expected)
                unexpected.merge(totals.unexpected)
                failures.merge(totals.failures)
        counts = self._measured
        return ReportTotals(
            requests=counts.sent,
            ok=counts.ok,
            failed=counts.failed,
            http_errors=counts.http_errors,
            in_flight=counts.in_flight,
            retries=counts.retries,
            requests_per_s=per_second(self._done_in_window, self.measured_s),
            bytes_in=counts.bytes_in,
            bytes_out=counts.bytes_out,
            service_time_us=expected.distribution(),
            unexpected_service_time_us=unexpected.distribution(),
            failure_time_us=failures.distribution(),
        )

    def metric_summaries(self) -> list[ReportMetric]:
        """The report's metrics: one for each series in which something was recorded."""
        return [totals.summary() for totals in self.series if totals.sent]

    def worker_summary(self, worker: int) -> WorkerSummary:
        """The report's figures of one worker."""
        return self._workers[worker].summary()

    def health_summary(self) -> ReportHealth:
        """The report's verdict."""
        return self._seconds.health.summary()

"""Frames of this host's workers in, one frame of the whole host a tick out. Pure.

Owns: the host's own numbers of series, what each worker last stated, and what the shared counters
of a lost worker add. Must not know: the network, or sequence numbers (`outbox` gives them).

Workers end their frames at the same moments, so a tick's frames are those whose intervals agree
within `SAME_TICK_NS`; others stay frames of their own, because a frame counts in the second of its
middle. A frame waits for those of the other workers no longer than `WAIT_S`.

Sums are exact: an aggregate that is fed with these frames has the totals, histograms, checks and
exceptions of one that was fed with the single frames. Health is what differs: the worst lag, the
mean of processor shares, the sum of memory and descriptors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from chaperon_engine.agent.folding import CheckSums, ExceptionSums
from chaperon_engine.metrics.counters import (
    KIND_HTTP,
    KIND_HTTP_WARMUP,
    OTHER_SLOTS,
    CounterValues,
    beyond,
    slots_for,
)
from chaperon_engine.metrics.frames import WorkerLedger, delta_of_counts
from chaperon_engine.metrics.model import (
    HTTP,
    OTHER,
    WARMUP,
    Frame,
    FrameTotals,
    HealthSample,
    IterationCounts,
    LogLine,
    LostWorker,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from chaperon_engine.metrics.series import combine
from chaperon_engine.runs.merging import MAX_LOGS

SAME_TICK_NS: Final = 50_000_000
"""Intervals whose borders differ by less are one tick: workers hear of a stop one by one."""
WAIT_S: Final = 0.5
"""How long a frame waits for those of the other workers: one that hangs must not stop the rest."""


class FrameMerger:
    """Merges the frames of one host."""

    def __init__(
        self,
        shares: Sequence[int],
        *,
        member: int,
        epoch: int,
        shift_ns: int = 0,
        max_series: int = 2000,
        name: str = "",
    ):
        """`shares` of the workers in their order. `shift_ns` is added to all times: from this
        host's monotonic clock to the coordinator's. `name`: of the host, in lines of the log."""
        self._workers = [_Worker(share, max_series) for share in shares]
        self._member = member
        self._epoch = epoch
        self._shift_ns = shift_ns
        self._name = f"{name} " if name else ""
        self._max_named = slots_for(max_series) - OTHER_SLOTS
        self._numbers: dict[SeriesKey, int] = {}
        """The host's series."""
        self._gauges: set[int] = set()
        self._folded: set[int] = set()
        """Hashes of keys beyond the cap."""
        self._new_series: list[tuple[int, SeriesKey]] = []
        self._checks = CheckSums([worker.checks for worker in self._workers])
        self._exceptions = ExceptionSums([worker.exceptions for worker in self._workers])
        self._totals = FrameTotals()
        self._end_ns = 0
        """End of the latest frame."""
        self.is_over = False
        """The last frame has been taken."""

    def put(self, worker: int, frame: Frame, now: float) -> None:
        """A worker's frame arrived. Raises FrameError when no sound worker sends it."""
        found = self._workers[worker]
        if found.is_closed or not found.ledger.admit(frame):
            return
        found.waiting.append((now, frame))
        found.is_closed = frame.last

    def lose(self, worker: int, note: str, slots: Iterable[Sequence[int]]) -> None:
        """A worker is gone without a last frame; `slots` are its shared counters, see
        `WorkerCounters.slots_as_counted`. The rest of its numbers follow from them."""
        found = self._workers[worker]
        if not found.is_closed:
            found.is_closed = True
            found.loss = (note, [list(slot) for slot in slots])

    def take(self, now: float) -> list[Frame]:
        """The merged frames that are due."""
        due: list[Frame] = []
        while (group := self._next_group(now)) is not None:
            due.append(self._merged(group))
        if not self.is_over and self._is_complete():
            # The end of the last worker, a lost one, became known after everything was sent.
            due.append(self._merged([]))
        return due

    def _next_group(self, now: float) -> list[tuple[_Worker, Frame]] | None:
        """The frames of the earliest tick, as long as it need not wait for more."""
        waiting = [worker for worker in self._workers if worker.waiting]
        if not waiting:
            return None
        arrived, first = min(
            (worker.waiting[0] for worker in waiting), key=lambda item: item[1].end_ns
        )
        is_missing_one = any(
            not worker.waiting
            and not worker.is_closed
            and worker.end_ns < first.end_ns - SAME_TICK_NS
            for worker in self._workers
        )
        if is_missing_one and now - arrived < WAIT_S:
            return None
        return [
            (worker, worker.waiting.popleft()[1])
            for worker in waiting
            if _is_same_tick(worker.waiting[0][1], first)
        ]

    def _is_complete(self) -> bool:
        return all(worker.is_closed and not worker.waiting for worker in self._workers)

    def _merged(self, group: list[tuple[_Worker, Frame]]) -> Frame:
        deltas: dict[int, list[SeriesDelta]] = {}
        logs: list[LogLine] = []
        dropped = 0
        for worker, frame in group:
            self._announce(worker, frame.new_series)
            for delta in frame.deltas:
                deltas.setdefault(worker.numbers[delta.id], []).append(delta)
            self._add_totals(worker.totals, frame.totals)
            worker.remember(frame)
            self._checks.changed(frame.checks)
            self._exceptions.changed(frame.exceptions)
            logs += map(self._attributed, frame.logs)
            dropped += frame.dropped_logs
        lost = self._losses()
        self.is_over = self._is_complete()
        start_ns = min((frame.start_ns for _, frame in group), default=self._end_ns)
        end_ns = max((frame.end_ns for _, frame in group), default=self._end_ns)
        self._end_ns = max(self._end_ns, end_ns)
        new_series, self._new_series = self._new_series, []
        return Frame(
            worker=self._member,
            epoch=self._epoch,
            seq=0,
            start_ns=start_ns + self._shift_ns,
            end_ns=end_ns + self._shift_ns,
            new_series=new_series,
            deltas=[self._one(number, parts) for number, parts in deltas.items()],
            totals=msgspec.structs.replace(self._totals),
            sessions=SessionCounts(*_sums(worker.sessions for worker in self._workers)),
            iterations=IterationCounts(*_sums(worker.iterations for worker in self._workers)),
            checks=self._checks.take(),
            exceptions=self._exceptions.take(),
            logs=logs[:MAX_LOGS],
            dropped_logs=dropped + max(0, len(logs) - MAX_LOGS),
            health=_health([frame.health for _, frame in group]),
            folded_keys=len(self._folded) + sum(worker.folded_keys for worker in self._workers),
            last=self.is_over,
            lost=lost,
        )

    def _announce(self, worker: _Worker, new_series: list[tuple[int, SeriesKey]]) -> None:
        worker.numbers += [self._number(key) for _, key in new_series]

    def _number(self, key: SeriesKey) -> int:
        """The host's number of a key; beyond the cap that of its `(other)`."""
        found = self._numbers.get(key)
        if found is not None:
            return found
        if len(self._numbers) >= self._max_named and not key.is_other:
            self._folded.add(hash(key.measured))
            return self._number(key.other)
        number = self._numbers[key] = len(self._numbers)
        self._new_series.append((number, key))
        if key.kind == "gauge":
            self._gauges.add(number)
        return number

    def _one(self, number: int, parts: list[SeriesDelta]) -> SeriesDelta:
        if len(parts) == 1:
            return msgspec.structs.replace(parts[0], id=number)
        return combine("gauge" if number in self._gauges else "", number, parts)

    def _attributed(self, line: LogLine) -> LogLine:
        """Other hosts have workers of these numbers, too; sessions have names of their own."""
        if not self._name or not line.source.startswith("worker "):
            return line
        return msgspec.structs.replace(line, source=self._name + line.source)

    def _add_totals(self, before: FrameTotals, after: FrameTotals) -> None:
        for name in FrameTotals.__struct_fields__:
            change = getattr(after, name) - getattr(before, name)
            setattr(self._totals, name, getattr(self._totals, name) + change)

    def _losses(self) -> list[LostWorker]:
        """Workers that are gone and whose frames have all been merged."""
        found: list[LostWorker] = []
        for worker in self._workers:
            if worker.loss is None or worker.waiting:
                continue
            note, slots = worker.loss
            worker.loss = None
            found.append(LostWorker(worker.share, note, self._lost_series(worker, slots)))
            worker.sessions.interrupted += worker.sessions.active
            worker.iterations.interrupted += worker.iterations.running
        return found

    def _lost_series(self, worker: _Worker, slots: list[list[int]]) -> list[SeriesDelta]:
        missing: dict[int, CounterValues] = {}
        for slot, (kind, *counted) in enumerate(slots):
            if kind not in (KIND_HTTP, KIND_HTTP_WARMUP):
                continue
            known = worker.ledger.requests.get(slot, CounterValues())
            change = beyond(CounterValues(*counted), known)
            if change == CounterValues():
                continue
            if slot < len(worker.numbers):
                number = worker.numbers[slot]
            else:
                # Made after its last frame: the name died with it, the count did not.
                phase = WARMUP if kind == KIND_HTTP_WARMUP else ""
                number = self._number(SeriesKey(kind=HTTP, name=OTHER, phase=phase))
            missing[number] = missing.get(number, CounterValues()) + change
            if kind == KIND_HTTP:
                self._add_totals(FrameTotals(), _totals_of(change))
        return [delta_of_counts(number, change) for number, change in missing.items()]


class _Worker:
    """What one worker has stated, as far as it was merged; `ledger` is ahead of that."""

    def __init__(self, share: int, max_series: int):
        self.share = share
        self.ledger = WorkerLedger(share, max_series)
        self.waiting: deque[tuple[float, Frame]] = deque()
        """Frames that were not merged yet, and when they arrived."""
        self.is_closed = False
        """No further frame comes."""
        self.loss: tuple[str, list[list[int]]] | None = None
        """Why it is gone, and its counters: as long as they were not told."""
        self.end_ns = 0
        """Of its latest frame that was merged."""
        self.numbers: list[int] = []
        """The host's number of each of its series."""
        self.totals = FrameTotals()
        self.sessions = SessionCounts()
        self.iterations = IterationCounts()
        self.folded_keys = 0
        self.checks: CheckSums.Stated = {}
        self.exceptions: ExceptionSums.Stated = {}

    def remember(self, frame: Frame) -> None:
        self.end_ns = frame.end_ns
        self.totals = frame.totals
        self.sessions = msgspec.structs.replace(frame.sessions)
        self.iterations = msgspec.structs.replace(frame.iterations)
        self.folded_keys = frame.folded_keys
        self.checks.update((CheckSums.place(check), check) for check in frame.checks)
        self.exceptions.update((ExceptionSums.place(group), group) for group in frame.exceptions)


def _is_same_tick(frame: Frame, other: Frame) -> bool:
    return (
        abs(frame.start_ns - other.start_ns) < SAME_TICK_NS
        and abs(frame.end_ns - other.end_ns) < SAME_TICK_NS
    )


def _sums(counts: Iterable[SessionCounts | IterationCounts]) -> list[int]:
    return [
        sum(column)
        for column in zip(*(msgspec.structs.astuple(each) for each in counts), strict=True)
    ]


def _totals_of(change: CounterValues) -> FrameTotals:
    return FrameTotals(
        change.sent, change.ok, change.failed, change.http_errors, change.bytes_in, change.bytes_out
    )


def _health(samples: list[HealthSample]) -> HealthSample:
    if not samples:
        return HealthSample()
    return HealthSample(
        lag_p99_us=max(sample.lag_p99_us for sample in samples),
        lag_max_us=max(sample.lag_max_us for sample in samples),
        cpu=sum(sample.cpu for sample in samples) / len(samples),
        steal=sum(sample.steal for sample in samples) / len(samples),
        gc_us=max(sample.gc_us for sample in samples),
        rss_bytes=sum(sample.rss_bytes for sample in samples),
        descriptors=sum(sample.descriptors for sample in samples),
    )

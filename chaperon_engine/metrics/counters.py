"""Request counters in shared memory: they outlive a worker that is killed.

Owns the layout of one anonymous shared mapping that is made before the workers are forked: for
each worker a header and one slot for each of its series (the slot's number is the series' number
within the worker). Each region has one writer, its worker, so there are no locks; a reader may see
a request as sent and not yet as completed, never the reverse. Must not know series keys or frames.

Words of a slot, 64 bits each: kind, sent, ok, failed, http errors, more bytes in, more bytes out,
retries, usual bytes in, usual bytes out. Each write costs a request more than counting does, and
most requests of a series have one size, most replies another: so bytes are kept as what all sent
(or completed) ones have at their usual size, and how many more there were (or fewer, below zero).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from itertools import compress
from operator import mul
from typing import Final

import msgspec

SLOT_WORDS: Final = 10
(KIND, SENT, OK, FAILED, HTTP_ERRORS, MORE_IN, MORE_OUT, RETRIES, USUAL_IN, USUAL_OUT) = range(
    SLOT_WORDS
)

KIND_FREE: Final = 0
KIND_HTTP: Final = 1
KIND_HTTP_WARMUP: Final = 2
KIND_OTHER: Final = 3
"""A series that does not count requests: its slot stays empty, only its number is taken."""

OTHER_SLOTS: Final = 32
"""Slots for the `(other)` of each kind and phase."""

_HEADER_WORDS: Final = SLOT_WORDS


def slots_for(max_series: int) -> int:
    """Slots that a worker needs under a run's cap on series.

    Twice the cap for what it meets before it knows which keys the run accepts, and twice the cap
    for accepted ones that it meets afterwards, each in warm-up and in the measured run.
    """
    return 4 * max_series + OTHER_SLOTS


DEFAULT_SLOTS: Final = slots_for(2000)


class CounterValues(msgspec.Struct, frozen=True):
    """Counters of one series, or sums over several."""

    sent: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0

    @property
    def in_flight(self) -> int:
        return self.sent - self.ok - self.failed

    def __add__(self, other: CounterValues) -> CounterValues:
        return CounterValues(
            self.sent + other.sent,
            self.ok + other.ok,
            self.failed + other.failed,
            self.http_errors + other.http_errors,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.retries + other.retries,
        )


def sum_of(values: Sequence[CounterValues]) -> CounterValues:
    """All of them added up."""
    if not values:
        return CounterValues()
    return CounterValues(*map(sum, zip(*map(msgspec.structs.astuple, values), strict=True)))


def beyond(counted: CounterValues, known: CounterValues) -> CounterValues:
    """What of the counted is not yet known; nothing is below 0."""
    pairs = zip(msgspec.structs.astuple(counted), msgspec.structs.astuple(known), strict=True)
    return CounterValues(*(max(new - old, 0) for new, old in pairs))


class WorkerCounters:
    """The slots of one worker. The worker allocates and writes; the coordinator reads."""

    def __init__(self, words: memoryview, slots: int) -> None:
        self.slots = slots
        self.words = words[_HEADER_WORDS:]
        """All slots as 64-bit words; slot n begins at n * SLOT_WORDS. The recorder writes here."""
        self._header = words[:_HEADER_WORDS]

    @property
    def used(self) -> int:
        """Slots that have been given to series."""
        return int(self._header[0])

    def allocate(self, kind: int) -> int:
        """Number of the next free slot, now of this kind. Raises IndexError when all are taken."""
        slot = self.used
        if slot >= self.slots:
            raise IndexError(f"all {self.slots} counter slots are taken")
        self.words[slot * SLOT_WORDS + KIND] = kind
        self._header[0] = slot + 1
        return slot

    def kind(self, slot: int) -> int:
        """Kind code of a slot."""
        return int(self.words[slot * SLOT_WORDS])

    def values(self, slot: int) -> CounterValues:
        """Counters of one slot now."""
        start = slot * SLOT_WORDS
        return _values(self.words[start : start + SLOT_WORDS].tolist(), [True])

    def slots_as_counted(self) -> list[list[int]]:
        """For each used slot its kind and its counters, in the order of `CounterValues`."""
        return [
            [self.kind(slot), *msgspec.structs.astuple(self.values(slot))]
            for slot in range(min(self.used, self.slots))
        ]

    def totals(self, kind: int = KIND_HTTP) -> CounterValues:
        """Sums over all slots of one kind: by default the measured HTTP requests."""
        words = self.words[: self.used * SLOT_WORDS].tolist()
        return _values(words, [found == kind for found in words[::SLOT_WORDS]])


def _values(words: list[int], chosen: list[bool]) -> CounterValues:
    """Sums over the chosen ones of these slots."""

    def column(word: int) -> list[int]:
        return list(compress(words[word::SLOT_WORDS], chosen))

    sent, ok = column(SENT), column(OK)
    sums = [sum(column(word)) for word in range(SENT, USUAL_IN)]
    # The copy is one pass from low to high words: a slot's sends may be a moment older than its
    # completions, but in flight is never negative.
    sums[0] = max(sums[0], sums[1] + sums[2])
    sums[4] = max(sums[4] + sum(map(mul, ok, column(USUAL_IN))), 0)
    sums[5] = max(sums[5] + sum(map(mul, sent, column(USUAL_OUT))), 0)
    return CounterValues(*sums)


class RunCounters:
    """Shared counters of a whole run: made by the coordinator before it forks its workers."""

    def __init__(self, workers: int, *, slots: int = DEFAULT_SLOTS) -> None:
        self.workers = workers
        self.slots = slots
        region = _HEADER_WORDS + slots * SLOT_WORDS
        # The mapping lives as long as a view of it; pages nobody writes cost nothing.
        words = memoryview(mmap.mmap(-1, workers * region * 8)).cast("q")
        self._regions = [
            WorkerCounters(words[number * region : (number + 1) * region], slots)
            for number in range(workers)
        ]

    def worker(self, number: int) -> WorkerCounters:
        """The slots of one worker, numbered from 0."""
        return self._regions[number]

    def totals(self, kind: int = KIND_HTTP) -> CounterValues:
        """Sums over all workers."""
        result = CounterValues()
        for region in self._regions:
            result += region.totals(kind)
        return result

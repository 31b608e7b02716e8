"""Seconds close when everybody has reported, or after a while; not while this process was away."""

from __future__ import annotations

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.model import Frame, FrameTotals, SeriesDelta, SeriesKey

S = 1_000_000_000


def test_what_was_measured_while_this_process_stood_still_counts_where_it_belongs() -> None:
    aggregate = RunAggregate(2)
    aggregate.begin(0)
    key = SeriesKey(kind="http", name="page")

    def report(worker: int, seq: int, *, last: bool = False) -> None:
        aggregate.apply(
            Frame(
                worker=worker, epoch=0, seq=seq, start_ns=seq * S, end_ns=(seq + 1) * S,
                new_series=[] if seq else [(0, key)],
                deltas=[SeriesDelta(0, sent=1)], totals=FrameTotals(sent=seq + 1), last=last,
            )
        )  # fmt: skip

    for seq in range(3):
        report(0, seq)
        report(1, seq)
        aggregate.advance((seq + 1) * S)
    # Minutes pass in which nobody closes anything; worker 1 went on for fifteen seconds.
    for tick in range(8):
        aggregate.advance((300 + tick) * S)
    for seq in range(3, 18):
        report(1, seq)
    for tick in range(8, 20):
        aggregate.advance((300 + tick) * S)
    found = [interval.requests for interval in aggregate.intervals]
    assert found[:19] == [2, 2, 2] + [1] * 15 + [0]
    assert sum(found) == 21
    assert len(found) == 317


def test_a_worker_that_says_nothing_is_not_waited_for_when_nobody_stood_still() -> None:
    aggregate = RunAggregate(1)
    aggregate.begin(0)
    for tick in range(20):
        aggregate.advance(tick * S)
    assert len(aggregate.intervals) == 17

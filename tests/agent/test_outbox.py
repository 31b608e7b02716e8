"""Frames on a network that breaks: each arrives, once, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.agent.outbox import WINDOW, Outbox
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.model import Frame
from tests.metrics.fleet import Fleet


def frames(count: int) -> list[Frame]:
    fleet = Fleet(1)
    made = []
    for number in range(count):
        fleet.request(0, f"/{number % 3}", 1000 + number)
        made.append(fleet.frame(0, number + 1, last=number == count - 1))
    return made


STEPS = st.lists(
    st.sampled_from(["put", "send", "lose what is sent", "lose the answer", "answer", "reconnect"]),
    max_size=80,
)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 6))
def test_whatever_the_network_does_each_measurement_is_applied_once(steps, max_waiting):
    made = frames(30)
    singles = RunAggregate(1)
    for frame in made:
        assert singles.apply(frame)
    far, outbox = RunAggregate(1), Outbox(max_waiting=max_waiting)
    waiting, on_the_way, next_seq = list(made), [], 0

    def deliver() -> None:
        nonlocal next_seq
        for frame in on_the_way:
            if frame.seq == next_seq:
                assert far.apply(frame)
                next_seq += 1
            else:
                assert frame.seq < next_seq
        on_the_way.clear()

    for step in [*steps, *["put"] * len(made)]:
        if step == "put" and waiting:
            outbox.put(waiting.pop(0))
        elif step == "send":
            on_the_way += outbox.due()
        elif step == "lose what is sent":
            on_the_way.clear()
            outbox.resumed(next_seq)
        elif step == "lose the answer":
            deliver()
        elif step == "answer":
            deliver()
            outbox.acknowledged(next_seq)
        elif step == "reconnect":
            deliver()
            outbox.resumed(next_seq)
    on_the_way.clear()
    outbox.resumed(next_seq)
    while len(outbox):
        on_the_way += outbox.due()
        deliver()
        outbox.acknowledged(next_seq)
    for aggregate in (singles, far):
        aggregate.finish(30)
    assert far.totals_summary() == singles.totals_summary()
    assert [metric.count for metric in far.metric_summaries()] == [
        metric.count for metric in singles.metric_summaries()
    ]
    assert next_seq == outbox.next_seq <= len(made)


def test_no_more_than_a_window_is_on_its_way():
    outbox = Outbox(max_waiting=100)
    for frame in frames(WINDOW + 5):
        outbox.put(frame)
    assert [frame.seq for frame in outbox.due()] == list(range(WINDOW))
    assert outbox.due() == []
    outbox.acknowledged(3)
    assert [frame.seq for frame in outbox.due()] == [WINDOW, WINDOW + 1, WINDOW + 2]


def test_what_was_sent_is_never_merged_and_what_waits_is():
    outbox = Outbox(max_waiting=3)
    first, *rest = frames(6)
    outbox.put(first)
    outbox.due()
    kept = [outbox.put(frame) for frame in rest]
    assert [frame.seq for frame in kept] == [1, 2, 2, 2, 2]
    assert len(outbox) == 3
    assert kept[-1].end_ns == rest[-1].end_ns
    outbox.resumed(0)
    assert [frame.seq for frame in outbox.due()] == [0, 1, 2]


def test_a_coordinator_cannot_acknowledge_what_was_never_sent_nor_want_what_it_had():
    outbox = Outbox()
    for frame in frames(3):
        outbox.put(frame)
    with pytest.raises(ValueError, match="never sent"):
        outbox.acknowledged(1)
    outbox.due()
    outbox.acknowledged(2)
    with pytest.raises(ValueError, match="lacks frame 1"):
        outbox.resumed(1)
    outbox.resumed(2)
    assert [frame.seq for frame in outbox.due()] == [2]

"""What of its history a viewer gets with each snapshot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.coordinator.state import RunState
from chaperon_engine.coordinator.view import LogMemory, Outcome, make_snapshot
from chaperon_engine.coordinator.viewer import Seen
from chaperon_engine.definition.plan import Plan
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import LogLine
from chaperon_engine.metrics.snapshot import HEATMAP_EDGES_US, Interval, Percentiles, Snapshot, View
from chaperon_engine.protocol.codec import encode
from chaperon_engine.protocol.messages import MAX_FRAME_BYTES, SnapshotMessage


def line(number: int) -> LogLine:
    return LogLine(0.0, "info", "x", str(number))


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 10))
def test_a_viewer_gets_every_line_once_as_long_as_memory_holds(
    additions: list[int], kept: int
) -> None:
    memory = LogMemory(kept)
    seen, added, position = [], 0, 0
    for amount in additions:
        memory.add(*(line(added + offset) for offset in range(amount)))
        added += amount
        lines, position = memory.since(position)
        seen += [int(found.text) for found in lines]
        assert lines == [line(number) for number in range(added - len(lines), added)]
        assert len(lines) == min(amount, kept)
    assert seen == sorted(set(seen))


def test_a_viewer_who_comes_late_gets_the_newest_lines() -> None:
    memory = LogMemory(3)
    memory.add(*(line(number) for number in range(10)))
    lines, position = memory.since(0)
    assert [found.text for found in lines] == ["7", "8", "9"]
    assert memory.since(position) == ([], 10)


DAY_S = 86_400


def of_a_day(seen: Seen, *, is_final: bool = False) -> Snapshot:
    """A snapshot of a run of a day whose figures are as long as they can be."""
    aggregate = RunAggregate(1)
    big = 2**40
    aggregate.intervals.extend(
        Interval(
            second=second,
            requests=big,
            ok=big,
            failed=big,
            http_errors=big,
            in_flight=big,
            latency=Percentiles(*[big] * len(Percentiles.__struct_fields__)),
            heat=[big] * len(HEATMAP_EDGES_US),
        )
        for second in range(DAY_S)
    )
    plan = Plan(load_test="T", file="", services=[], populations=[])
    outcome = Outcome(is_final=is_final, duration_s=float(DAY_S))
    state = RunState(plan, 1, 0.0)
    counters = RunCounters(1)
    return make_snapshot(
        "r", state, aggregate, counters, LogMemory(), outcome, View(), seen, float(DAY_S)
    )


def test_a_viewer_who_comes_after_a_day_gets_the_history_in_pieces_that_fit_a_frame() -> None:
    seen = Seen()
    for start in (0, 3600):
        snapshot = of_a_day(seen)
        assert len(encode(SnapshotMessage(snapshot=snapshot))) < MAX_FRAME_BYTES / 4
        seconds = [interval.second for interval in snapshot.intervals]
        assert seconds == list(range(start, start + 3600))


def test_the_last_snapshot_of_a_day_fits_a_frame_and_holds_the_newest_hours() -> None:
    snapshot = of_a_day(Seen(), is_final=True)
    assert len(encode(SnapshotMessage(snapshot=snapshot))) < MAX_FRAME_BYTES
    assert snapshot.intervals[-1].second == DAY_S - 1
    assert len(snapshot.intervals) > 11 * 3600

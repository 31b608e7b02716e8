"""What of its history a viewer gets with each snapshot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.coordinator.view import LogMemory
from chaperon_engine.metrics.model import LogLine


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

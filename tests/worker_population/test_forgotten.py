"""Calls that a scenario forgot to await."""

from __future__ import annotations

import warnings

from chaperon_engine.metrics.model import ExceptionGroup
from chaperon_engine.worker.forgotten import watching


async def _forgotten() -> None:
    pass


def test_each_is_told_with_its_line_and_what_to_write() -> None:
    groups: list[ExceptionGroup] = []
    with watching(groups.append):
        for _ in range(2):
            _forgotten()  # type: ignore[unused-coroutine]
    assert [(group.type, group.count) for group in groups] == [("NeverAwaited", 1)] * 2
    assert groups[0].file == __file__
    assert groups[0].message == (
        "_forgotten did nothing: its call was never awaited; write await before it"
    )


def test_other_warnings_are_shown_as_ever() -> None:
    groups: list[ExceptionGroup] = []
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with watching(groups.append):
            warnings.warn("something else", RuntimeWarning, stacklevel=1)
    assert [str(each.message) for each in shown] == ["something else"]
    assert not groups

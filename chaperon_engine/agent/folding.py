"""Checks and exceptions of several workers as those of one: cumulative sums, with one cap. Pure.

Each worker states its own cumulative counts; the sum over what each stated last is what the host
states. Places beyond the cap are one place, as in a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from chaperon_engine.metrics.model import OTHER, CheckCount, ExceptionGroup
from chaperon_engine.metrics.recorder import MAX_CHECKS, MAX_EXCEPTION_GROUPS

_Place = TypeVar("_Place", bound=tuple[Any, ...])
_Kind = TypeVar("_Kind", CheckCount, ExceptionGroup)

CheckPlace = tuple[str, str, str]
ExceptionPlace = tuple[str, str, int]


class _Sums(Generic[_Place, _Kind]):
    """Which places there are, which of them changed, and where those beyond the cap went."""

    max_places: ClassVar[int]
    other: ClassVar[tuple[Any, ...]]
    """Where everything beyond the cap is counted."""

    def __init__(self, stated: Sequence[dict[_Place, _Kind]]):
        """`stated`: for each worker what it last said of each place; whoever owns it fills it."""
        self._stated: Sequence[dict[_Place, _Kind]] = stated
        self._parts: dict[Any, list[_Place]] = {}
        """The host's places, and the workers' places that are counted there."""
        self._goes_to: dict[_Place, Any] = {}
        self._changed: dict[Any, None] = {}

    def _note(self, place: _Place) -> None:
        goes_to = self._goes_to.get(place)
        if goes_to is None:
            goes_to = place if len(self._parts) < self.max_places else self.other
            self._goes_to[place] = goes_to
            self._parts.setdefault(goes_to, []).append(place)
        self._changed[goes_to] = None

    def _taken(self) -> Iterable[tuple[Any, list[_Kind]]]:
        """Changed places, and what the workers said of each, in their order."""
        changed, self._changed = self._changed, {}
        for goes_to in changed:
            yield (
                goes_to,
                [
                    stated[place]
                    for stated in self._stated
                    for place in self._parts[goes_to]
                    if place in stated
                ],
            )


class CheckSums(_Sums[CheckPlace, CheckCount]):
    """The checks of a host."""

    Stated = dict[CheckPlace, CheckCount]
    max_places = MAX_CHECKS
    other = ("", "", OTHER)

    @staticmethod
    def place(check: CheckCount) -> CheckPlace:
        """Under which name it is counted."""
        return check.scenario, check.session, check.name

    def changed(self, checks: Iterable[CheckCount]) -> None:
        """A worker has new counts of these."""
        for check in checks:
            self._note(self.place(check))

    def take(self) -> list[CheckCount]:
        """The sums of those that changed since the last call."""
        return [
            CheckCount(
                scenario=place[0],
                session=place[1],
                name=place[2],
                passed=sum(part.passed for part in parts),
                failed=sum(part.failed for part in parts),
                reason=next((part.reason for part in parts if part.reason), ""),
            )
            for place, parts in self._taken()
        ]


class ExceptionSums(_Sums[ExceptionPlace, ExceptionGroup]):
    """The exceptions of user code of a host."""

    Stated = dict[ExceptionPlace, ExceptionGroup]
    max_places = MAX_EXCEPTION_GROUPS
    other = (OTHER, "", 0)

    @staticmethod
    def place(group: ExceptionGroup) -> ExceptionPlace:
        """Under which name it is counted."""
        return group.type, group.file, group.line

    def changed(self, groups: Iterable[ExceptionGroup]) -> None:
        """A worker has new counts of these."""
        for group in groups:
            self._note(self.place(group))

    def take(self) -> list[ExceptionGroup]:
        """The sums of those that changed since the last call, with the texts of the first."""
        return [
            msgspec.structs.replace(
                parts[0],
                type=place[0],
                file=place[1],
                line=place[2],
                count=sum(part.count for part in parts),
            )
            for place, parts in self._taken()
        ]

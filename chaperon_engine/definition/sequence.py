"""`[A, B]` as one scenario: run in order, what A assigned is config for B."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from chaperon_engine.definition.model import Scenario

if TYPE_CHECKING:
    from chaperon_engine.session import Session


class ScenarioSequence(Scenario):
    """Base of the classes that `sequence` makes.

    A part's `init` runs once per session, right before its first `run`, so that it finds what the
    parts before it assigned in its config; the first one's runs in the session's `init`. Every part
    that began is torn down at the end, in order.

    Of a population that is `fresh` each iteration begins with what the first `init` assigned, in a
    new `session.assigned`. What the others assigned is given back right before their `run`.
    """

    parts: ClassVar[tuple[type[Scenario], ...]] = ()

    def __init__(self) -> None:
        self._scenarios = [part() for part in self.parts]
        self._begun = 0
        self._assigned: object = None
        """`session.assigned` of the iteration before: it is another one in a fresh iteration."""
        self._given: dict[int, dict[str, Any]] = {}
        """What the `init` of each further part assigned."""

    async def init(self, session: Session) -> None:
        """Prepare the first part."""
        await self._begin(session)

    async def run(self, session: Session) -> None:
        """Run every part once."""
        is_fresh = session.assigned is not self._assigned
        self._assigned = session.assigned
        for number, scenario in enumerate(self._scenarios):
            if number > 0:
                session.set_config(**dict(session.assigned))
            if number >= self._begun:
                before = _copied(session.assigned)
                await self._begin(session)
                self._given[number] = {
                    key: value
                    for key, value in _copied(session.assigned).items()
                    if key not in before or _differ(before[key], value)
                }
            elif is_fresh and self._given.get(number):
                session.assign(_copied(self._given[number]))
            await scenario.run(session)

    async def teardown(self, session: Session) -> None:
        """Tear down every part that began; the first error is raised after the last of them."""
        failure: Exception | None = None
        for scenario in self._scenarios[: self._begun]:
            try:
                await scenario.teardown(session)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def _begin(self, session: Session) -> None:
        number = self._begun
        self._begun += 1
        try:
            await self._scenarios[number].init(session)
        except BaseException:  # A refusal and a cancellation, too: it has not begun.
            self._begun = number
            raise


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Deep copies; what cannot be copied (locks, open files) is shared."""
    copies: dict[str, Any] = {}
    for key, value in values.items():
        try:
            copies[key] = copy.deepcopy(value)
        except Exception:
            copies[key] = value
    return copies


def _differ(before: object, after: object) -> bool:
    try:
        return bool(before != after)
    except Exception:  # As arrays do, whose comparison is another array.
        return True


def sequence(scenarios: Sequence[type[Scenario]]) -> type[ScenarioSequence]:
    """A scenario class that runs `scenarios` in order; named `A+B`."""
    parts = tuple(scenarios)
    name = "+".join(part.__name__ for part in parts)
    docs = [part.__doc__ for part in parts if part.__doc__]
    return type(name, (ScenarioSequence,), {"parts": parts, "__doc__": docs[0] if docs else None})

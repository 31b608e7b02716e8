"""A scenario that is to run on some worker of the run: plain data, and classes found by name.

Only classes that both sides find under the same name in the user's own files can be named. Must not
know how anything travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.sequence import ScenarioSequence, sequence
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.text import visible

Modules = Mapping[str, ModuleType]
"""Loaded scenario files: the one of a load test under the empty name; those that a load test as
data names, under their paths."""

OutcomeKind = Literal["done", "failed", "refused", "lost"]

# What another machine may say at most; `session.plain` packs no more.
Packed = Annotated[bytes, Meta(max_length=65_536)]
Text = Annotated[str, Meta(max_length=65_536)]


class ScheduledScenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session wants to have run elsewhere."""

    population: Text
    """Whose services and settings hold."""
    scenarios: Annotated[list[Text], Meta(max_length=1000)]
    """Names as `name_of` gives them; several run in order."""
    name: Text = ""
    """Session name of its series; empty: as the one who asks."""
    index: int = 0
    """Of the session that asks."""
    seed: int = 0
    """Of its random numbers."""
    merge: bool = True
    """`config` goes over that of the population; else it stands alone."""
    config: Packed = b"\x80"
    """A table of plain data, msgpack."""
    assigned: Packed = b"\x90"
    """What its session begins with, as `session.plain` packs it."""
    cookies: Packed = b"\x90"
    """A list of those it begins with, as the jar dumps them, msgpack."""
    is_measured: bool = True
    """False when it was asked for in a teardown."""


class ScheduledOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scheduled scenario ended."""

    kind: OutcomeKind = "done"
    """`failed`: its own code; `refused`: it did not begin; `lost`: its worker was."""
    result: Packed = b"\x80"
    """What it assigned, a table of plain data, msgpack."""
    reason: Text = ""
    """One sentence, when it is not done."""


def parts_of(scenario: object) -> list[type[Scenario]]:
    """The classes of a scenario: itself, those of a sequence, of a list. Raises InvalidRequest."""
    if isinstance(scenario, type) and issubclass(scenario, ScenarioSequence):
        return list(scenario.parts)
    if isinstance(scenario, type) and issubclass(scenario, Scenario):
        return [scenario]
    if isinstance(scenario, Sequence) and not isinstance(scenario, str) and scenario:
        return [part for item in scenario for part in parts_of(item)]
    if isinstance(scenario, Scenario):
        name = type(scenario).__name__
        raise InvalidRequest(f"the scenario is an object; write the class {name} without brackets")
    raise InvalidRequest(
        f"the scenario must be a Scenario class or a list of them, not {visible(repr(scenario))}"
    )


def as_class(parts: Sequence[type[Scenario]]) -> type[Scenario]:
    """One class for all of them."""
    return parts[0] if len(parts) == 1 else sequence(parts)


def name_of(scenario: type[Scenario], modules: Modules) -> str:
    """The name under which every worker finds this class. Raises InvalidRequest naming it."""
    qualname = scenario.__qualname__
    for file, module in modules.items():
        if _found(module, qualname) is scenario:
            return f"{file}:{qualname}"
    where = next((module.__file__ for module in modules.values()), None)
    raise InvalidRequest(
        f"scenario {visible(qualname)} cannot be scheduled: other workers do not find it by that "
        f"name in {where or 'the file of the load test'}; define it there at the top level, or "
        "import it by its name"
    )


def class_of(name: str, modules: Modules) -> type[Scenario]:
    """The class that `name_of` named. Raises InvalidRequest."""
    file, _, qualname = name.partition(":")
    module = modules.get(file)
    found = None if module is None else _found(module, qualname)
    if isinstance(found, type) and issubclass(found, Scenario):
        return found
    raise InvalidRequest(f"there is no scenario {visible(name)} in this worker")


def _found(module: ModuleType, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found

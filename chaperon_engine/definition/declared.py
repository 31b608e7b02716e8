"""A load test as it was declared, as a class, as data or as a bare scenario, in one checked form.

`resolve` merges it with what is said at launch and does not care how it was written.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from chaperon_engine.definition import kinds
from chaperon_engine.definition.config import Known, LayerReader
from chaperon_engine.definition.layers import Settings
from chaperon_engine.definition.loader import line_of
from chaperon_engine.definition.model import LoadTest, Population, Scenario, Service
from chaperon_engine.definition.problems import Place, Problems
from chaperon_engine.definition.sequence import ScenarioSequence, sequence
from chaperon_engine.definition.settings import POPULATION_FIELDS
from chaperon_engine.text import visible


@dataclass
class DeclaredPopulation:
    """A population with its own fields checked and typed, before the launch speaks."""

    scenario: type[Scenario]
    name: str | None
    fields: Settings
    """Those of `settings.POPULATION_FIELDS` that are given."""
    config: object
    place: Place
    """Its label is as in `the config of <label>`."""


@dataclass
class Declared:
    """A load test as written in the user's file."""

    name: str
    file: Path | None
    """None for plain data that came with the launch."""
    folder: Path
    """Files named in settings are relative to it."""
    place: Place
    """Of the class or of the whole data; its label names it."""
    doc: str = ""
    services: dict[str, Settings] = field(default_factory=dict)
    """Typed service settings by name."""
    populations: list[DeclaredPopulation] = field(default_factory=list)
    default_config: object = field(default_factory=dict)
    warmup_s: float = 0.0
    metrics: Any = None
    """The filter of metrics, as `kinds.metrics` gives it."""
    is_bare: bool = False
    modules: dict[str, ModuleType] = field(default_factory=dict)
    """Loaded scenario files, as `scheduled.Modules`."""


def from_load_test(found: type[LoadTest], file: Path, problems: Problems) -> Declared:
    """Check a LoadTest class."""
    place = place_of(found, file)
    name = found.__name__
    if found.name is not None:
        name = problems.typed(place, kinds.label, found.name, f"name of {name}") or name
    declared = Declared(
        name=name,
        file=file,
        folder=file.parent,
        place=place,
        doc=first_paragraph(found),
        default_config=found.default_config,
    )
    declared.services = read_services(found.services, place, problems)
    warmup = problems.typed(place, kinds.duration, found.warmup, f"warmup of {place.label}")
    declared.warmup_s = warmup or 0.0
    declared.metrics = read_metrics(found.metrics, place, problems)
    scenarios = found.scenarios
    if not isinstance(scenarios, list | tuple):
        problems.add(
            f"scenarios of {place.label} must be a list, not {type(scenarios).__name__}", place
        )
        return declared
    if not scenarios:
        problems.add(
            f"{place.label} has no scenarios; add scenarios = [Population(MyScenario)]", place
        )
    for number, item in enumerate(scenarios, 1):
        population = from_population(item, f"scenario {number} of {place.label}", place, problems)
        if population is not None:
            declared.populations.append(population)
    return declared


def from_scenario(found: type[Scenario], file: Path, problems: Problems) -> Declared:
    """A bare scenario: one session of it, the service still to be said."""
    place = place_of(found, file)
    population = from_population(found, f"scenario {found.__name__}", place, problems)
    return Declared(
        name=found.__name__,
        file=file,
        folder=file.parent,
        place=place,
        doc=first_paragraph(found),
        populations=[population] if population is not None else [],
        is_bare=True,
    )


def read_metrics(raw: object, place: Place, problems: Problems) -> Any:
    """The filter of metrics that a load test declares; None keeps all."""
    if raw is None:
        return None
    return problems.typed(place.at("metrics"), kinds.metrics, raw, f"metrics of {place.label}")


def read_services(raw: object, place: Place, problems: Problems) -> dict[str, Settings]:
    """Typed settings of the `services` of a load test: `Service` objects, or tables as data."""
    place = place.at("services")
    if not isinstance(raw, Mapping):
        problems.add(
            f"services of {place.label} must be a table of names and services, "
            f"not {type(raw).__name__}",
            place,
        )
        return {}
    reader = LayerReader(Known(services=()), problems)
    services: dict[str, Settings] = {}
    for name, service in raw.items():
        here = place.at(name)
        label = f"services.{visible(name, 80)} of {place.label}"
        checked = problems.typed(here, kinds.label, name, f"the name of {label}")
        if checked is None:
            continue
        if isinstance(service, Service):
            table: Mapping[str, Any] = {
                item.name: getattr(service, item.name)
                for item in fields(Service)
                if item.name != "headers" or service.headers != {}
            }
        elif isinstance(service, Mapping):
            table = service
        else:
            problems.add(
                f"{label} must be a Service, not {type(service).__name__}; "
                'write Service("http://HOST:PORT")',
                here,
            )
            continue
        services[checked] = reader.service(table, label, here)
    return services


def from_population(
    item: object, label: str, place: Place, problems: Problems
) -> DeclaredPopulation | None:
    """Check one item of `scenarios`; a problem is noted and the rest still checked."""
    population = item if isinstance(item, Population) else Population(item)  # type: ignore[arg-type]
    scenario = read_scenario(population.scenario, label, place, problems)
    if scenario is None:
        return None
    name = population.name
    if name is not None:
        name = problems.typed(place, kinds.label, name, f"name of {label}")
    given = {key: getattr(population, key) for key in POPULATION_FIELDS}
    return declared_population(scenario, name, given, population.config, place, problems)


def declared_population(
    scenario: type[Scenario],
    name: str | None,
    given: Mapping[str, Any],
    config: object,
    place: Place,
    problems: Problems,
) -> DeclaredPopulation:
    """A population with its load profile checked; what is None in `given` is not said."""
    label = f"population '{name or scenario.__name__}'"
    reader = LayerReader(Known(services=()), problems)
    said = {key: value for key, value in given.items() if value is not None}
    fields = reader.population_fields(said, label, place)
    return DeclaredPopulation(scenario, name, fields, config, place.called(label))


def read_scenario(
    found: object, label: str, place: Place, problems: Problems
) -> type[Scenario] | None:
    """A scenario class or a list of them, checked to be one that can run."""
    if isinstance(found, Sequence) and not isinstance(found, str) and found:
        parts = [read_scenario(part, label, place, problems) for part in found]
        whole = [part for part in parts if part is not None]
        return sequence(whole) if len(whole) == len(parts) else None
    if isinstance(found, Scenario):
        name = type(found).__name__
        problems.add(f"{label} is an object; write the class {name} without brackets", place)
        return None
    if not (isinstance(found, type) and issubclass(found, Scenario)):
        problems.add(
            f"{label} must be a Scenario class, a list of them or a Population, "
            f"not {_described(found)}",
            place,
        )
        return None
    _check_methods(found, place, problems)
    return found


def place_of(found: type, file: Path) -> Place:
    """The place of a class; it may have come from another module than `file`."""
    source = getattr(sys.modules.get(found.__module__), "__file__", None)
    path = Path(source) if source else file
    return Place(found.__name__, path, lambda keys: line_of(found))


def _described(found: object) -> str:
    """What stands in place of a scenario; a class or function of people's own with its source."""
    if inspect.isfunction(found):
        return f"the function {found.__name__}{_source_of(found)}"
    if isinstance(found, type):
        is_own = found.__module__ not in sys.stdlib_module_names
        return f"the class {found.__name__}{_source_of(found)}" if is_own else found.__name__
    kind = type(found)
    if kind.__module__ in sys.stdlib_module_names or isinstance(found, Population):
        return kinds.shown(found)
    return f"an object of {kind.__name__}{_source_of(kind)}"


def _source_of(found: type | FunctionType) -> str:
    """` (file.py:12)`, as much of it as is known."""
    source = getattr(sys.modules.get(found.__module__), "__file__", None)
    if source is None:
        return ""
    line = line_of(found)
    return f" ({Path(source).name})" if line is None else f" ({Path(source).name}:{line})"


def first_paragraph(found: type | ModuleType) -> str:
    """First paragraph of the own docstring of a class or module, on one line."""
    own = vars(found).get("__doc__")
    doc = inspect.cleandoc(own) if isinstance(own, str) else ""
    return visible(" ".join(doc.split("\n\n")[0].split()), 500)


def _check_methods(found: type[Scenario], place: Place, problems: Problems) -> None:
    if issubclass(found, ScenarioSequence):
        return
    own = place_of(found, place.path) if place.path is not None else place
    if found.run is Scenario.run:
        problems.add(
            f"scenario {found.__name__} has no run; add 'async def run(self, session)'", own
        )
    for name in ("init", "run", "teardown"):
        method = getattr(found, name)
        if inspect.isasyncgenfunction(method):
            problems.add(f"{name} of scenario {found.__name__} must not use 'yield'", own)
        elif inspect.isfunction(method) and not _may_be_awaited(method):
            problems.add(f"{name} of scenario {found.__name__} must be 'async def'", own)
        elif not callable(method):
            shown = kinds.shown(method)
            problems.add(
                f"{name} of scenario {found.__name__} must be 'async def', not {shown}", own
            )
        elif not _takes_a_session(found, name):
            problems.add(
                f"{name} of scenario {found.__name__} must take the session and nothing else: "
                f"'async def {name}(self, session)'",
                own,
            )
    try:
        inspect.signature(found).bind()
    except TypeError:
        problems.add(
            f"scenario {found.__name__} takes arguments in __init__; a session makes it without "
            "any, so give values in the config instead",
            own,
        )
    except ValueError:
        pass  # No signature to look at.


def _takes_a_session(found: type[Scenario], name: str) -> bool:
    is_bound = isinstance(inspect.getattr_static(found, name), staticmethod | classmethod)
    arguments = [None] if is_bound else [None, None]
    try:
        # A decorator may give more to what it wraps: what counts is how it is called itself.
        inspect.signature(getattr(found, name), follow_wrapped=False).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        pass  # No signature to look at.
    return True


def _may_be_awaited(method: Any) -> bool:
    # A decorator may wrap a coroutine function in a plain one: only a bare `def` is surely wrong.
    return inspect.iscoroutinefunction(method) or hasattr(method, "__wrapped__")

"""A load test as plain data, in TOML or JSON: what a LoadTest class says, without a class.

Scenarios are named `file.py:Class`, relative to the data file's folder and never outside of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaperon_engine.definition import kinds
from chaperon_engine.definition.declared import (
    Declared,
    DeclaredPopulation,
    read_fields,
    read_scenario,
    read_services,
)
from chaperon_engine.definition.loader import choose, load
from chaperon_engine.definition.model import LoadTest, Scenario
from chaperon_engine.definition.problems import Place, Problems, did_you_mean
from chaperon_engine.definition.settings import POPULATION_FIELDS
from chaperon_engine.definition.sources import read_table
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_KEYS = ("name", "doc", "services", "scenarios", "default_config", "warmup")
_SCENARIO_KEYS = ("scenario", "name", "config", *POPULATION_FIELDS)


def from_data(file: Path, name: str | None, problems: Problems) -> Declared:
    """Read a load test from a .toml or .json file. Raises UserError when it is no table at all.

    `name` is the load test a person asked for: the file has one only, so another is an error.
    """
    table = read_table(file, "the load test")
    place = Place(file.name, file)
    declared = Declared(name=file.stem, file=file, place=place)
    for key in table:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            problems.add(f"unknown key '{visible(key, 80)}' in {place.label}{hint}", place)
    if "name" in table:
        given = problems.typed(place, kinds.label, table["name"], f"name in {place.label}")
        declared.name = given or declared.name
    if name is not None and name != declared.name:
        raise UserError(
            f"there is no load test {visible(name, 80)!r}{did_you_mean(name, [declared.name])}",
            path=file,
        )
    declared.doc = visible(table.get("doc", ""), 500)
    declared.services = read_services(_urls_as_tables(table.get("services", {})), place, problems)
    declared.default_config = table.get("default_config", {})
    warmup = table.get("warmup", 0)
    what = f"warmup in {place.label}"
    declared.warmup_s = problems.typed(place, kinds.duration, warmup, what) or 0.0
    scenarios = table.get("scenarios")
    if not isinstance(scenarios, list) or not scenarios:
        problems.add(
            f"{place.label} has no scenarios; add a list of tables called scenarios, each with "
            'scenario = "file.py:Class"',
            place,
        )
        return declared
    modules = _Modules(file.parent)
    for number, item in enumerate(scenarios, 1):
        label = f"scenario {number} of {place.label}"
        population = _population(item, label, place, modules, problems)
        if population is not None:
            declared.populations.append(population)
    return declared


def _urls_as_tables(services: Any) -> Any:
    if not isinstance(services, Mapping):
        return services
    return {
        name: {"base_url": service} if isinstance(service, str) else service
        for name, service in services.items()
    }


def _population(
    item: Any, label: str, place: Place, modules: _Modules, problems: Problems
) -> DeclaredPopulation | None:
    if isinstance(item, str | list):
        item = {"scenario": item}
    if not isinstance(item, Mapping):
        problems.add(f"{label} must be a table, not {type(item).__name__}", place)
        return None
    for key in item:
        if key not in _SCENARIO_KEYS:
            hint = did_you_mean(key, _SCENARIO_KEYS)
            problems.add(f"unknown key '{visible(key, 80)}' of {label}{hint}", place)
    if "scenario" not in item:
        problems.add(f'{label} does not say which; add scenario = "file.py:Class"', place)
        return None
    try:
        found = modules.find(item["scenario"], label)
    except UserError as error:
        problems.found.append(
            error if error.path is not None else UserError(error.message, path=place.path)
        )
        return None
    scenario = read_scenario(found, label, place, problems)
    if scenario is None:
        return None
    name = item.get("name")
    if name is not None:
        name = problems.typed(place, kinds.label, name, f"name of {label}")
    label = f"population '{name or scenario.__name__}'"
    given = {key: item[key] for key in POPULATION_FIELDS if item.get(key) is not None}
    return DeclaredPopulation(
        scenario=scenario,
        name=name,
        fields=read_fields(given, label, place, problems),
        config=item.get("config", {}),
        label=label,
    )


class _Modules:
    """The scenario files that the data names, each executed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._loaded: dict[Path, Any] = {}

    def find(self, reference: Any, label: str) -> object:
        """The class behind `file.py:Class`, or a list of them. Raises UserError."""
        if isinstance(reference, list) and reference:
            return [self.find(part, label) for part in reference]
        if not isinstance(reference, str) or not reference:
            raise UserError(f'{label} must name a scenario as "file.py:Class"')
        file, _, name = reference.partition(":")
        path = (self._folder / file).resolve()
        if Path(file).is_absolute() or not path.is_relative_to(self._folder):
            raise UserError(
                f"{label} is {visible(reference, 80)!r}; scenario files must lie in the folder of "
                "the load test"
            )
        if path not in self._loaded:
            self._loaded[path] = load(path)
        found: type[LoadTest] | type[Scenario] = choose(self._loaded[path], path, name or None)
        if issubclass(found, LoadTest):
            raise UserError(
                f"{label} is {visible(reference, 80)!r}, which is a load test; name a scenario"
            )
        return found

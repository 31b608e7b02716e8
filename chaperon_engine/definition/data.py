"""A load test as plain data, from a TOML or JSON file or with the launch: what a LoadTest class
says, without a class.

Scenarios are named `file.py:Class` or `module:Class`, relative to the folder of the load test. It
names no file outside of this folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from chaperon_engine.definition import kinds
from chaperon_engine.definition.confine import inside
from chaperon_engine.definition.declared import (
    Declared,
    DeclaredPopulation,
    declared_population,
    read_metrics,
    read_scenario,
    read_services,
)
from chaperon_engine.definition.loader import choose, load
from chaperon_engine.definition.model import LoadTest, Scenario
from chaperon_engine.definition.problems import Place, Problems, WrongValue, did_you_mean
from chaperon_engine.definition.settings import POPULATION_FIELDS
from chaperon_engine.definition.sources import Document, read_document
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_KEYS = ("name", "doc", "services", "scenarios", "default_config", "warmup", "metrics")
_SCENARIO_KEYS = ("scenario", "name", "config", *POPULATION_FIELDS)
_NO_SCENARIO = 'must name a scenario as "file.py:Class" or "module:Class"'


def from_file(file: Path, name: str | None, problems: Problems) -> Declared:
    """Read a load test from a .toml or .json file. Raises UserError when it is no table at all.

    `name` is the load test a person asked for: the file has one only, so another is an error.
    """
    document = read_document(file, "the load test")
    place = replace(document.place, within=file.parent)
    declared = Declared(name=file.stem, file=file, folder=file.parent, place=place)
    _read(replace(document, place=place), declared, name, problems)
    return declared


def from_data(
    table: dict[str, Any], folder: Path, name: str | None, problems: Problems
) -> Declared:
    """Read a load test that came with the launch; `folder` is where it may name files."""
    if not folder.is_absolute():
        raise UserError("a load test as plain data needs the absolute path of its folder")
    place = Place("the load test", within=folder)
    declared = Declared(name="LoadTest", file=None, folder=folder, place=place)
    _read(Document(table, place), declared, name, problems)
    return declared


def _read(document: Document, declared: Declared, name: str | None, problems: Problems) -> None:
    table, place = document.table, document.place
    for key in table:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            problems.add(f"unknown key '{visible(key, 80)}' in {place.label}{hint}", place.at(key))
    if "name" in table:
        what = f"name in {place.label}"
        given = problems.typed(place.at("name"), kinds.label, table["name"], what)
        declared.name = given or declared.name
    if name is not None and name != declared.name:
        hint = did_you_mean(name, [declared.name])
        raise UserError(f"there is no load test '{visible(name, 80)}'{hint}", path=place.path)
    doc = table.get("doc", "")
    if not isinstance(doc, str):
        kind = type(doc).__name__
        problems.add(f"doc in {place.label} must be text, not {kind}", place.at("doc"))
    declared.doc = visible(doc, 500)
    declared.services = read_services(_urls_as_tables(table.get("services", {})), place, problems)
    declared.default_config = table.get("default_config", {})
    what = f"warmup in {place.label}"
    warmup = problems.typed(place.at("warmup"), kinds.duration, table.get("warmup", 0), what)
    declared.warmup_s = warmup or 0.0
    declared.metrics = read_metrics(table.get("metrics"), place, problems)
    scenarios = table.get("scenarios")
    if not isinstance(scenarios, list) or not scenarios:
        problems.add(
            f"{place.label} has no scenarios; add a list of tables called scenarios, each with "
            'scenario = "file.py:Class"',
            place.at("scenarios"),
        )
        return
    modules = _Modules(declared.folder)
    for index, item in enumerate(scenarios):
        here = place.at("scenarios", index).called(f"scenario {index + 1} of {place.label}")
        population = _population(item, here, modules, problems)
        if population is not None:
            declared.populations.append(population)
    declared.modules = modules.by_path()


def _urls_as_tables(services: Any) -> Any:
    if not isinstance(services, Mapping):
        return services
    return {
        name: {"base_url": service} if isinstance(service, str) else service
        for name, service in services.items()
    }


def _population(
    item: Any, place: Place, modules: _Modules, problems: Problems
) -> DeclaredPopulation | None:
    label = place.label
    if isinstance(item, str | list):
        item = {"scenario": item}
    if not isinstance(item, Mapping):
        problems.add(f"{label} must be a table, not {type(item).__name__}", place)
        return None
    for key in item:
        if key not in _SCENARIO_KEYS:
            hint = did_you_mean(key, _SCENARIO_KEYS)
            problems.add(f"unknown key '{visible(key, 80)}' of {label}{hint}", place.at(key))
    if "scenario" not in item:
        problems.add(f'{label} does not say which; add scenario = "file.py:Class"', place)
        return None
    try:
        found = problems.typed(place.at("scenario"), modules.find, item["scenario"], label)
    except UserError as error:  # In the scenario's own file, which it names.
        problems.found.append(error)
        return None
    if found is None:
        return None
    scenario = read_scenario(found, label, place.at("scenario"), problems)
    if scenario is None:
        return None
    name = item.get("name")
    if name is not None:
        name = problems.typed(place.at("name"), kinds.label, name, f"name of {label}")
    given = {key: item.get(key) for key in POPULATION_FIELDS}
    return declared_population(scenario, name, given, item.get("config", {}), place, problems)


class _Modules:
    """The scenario files that the data names, each executed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[Path, ModuleType] = {}

    def find(self, reference: Any, label: str) -> Any:
        """The class behind `file.py:Class`, or a list of them.

        Raises WrongValue when the reference is none, UserError when its file is wrong.
        """
        if isinstance(reference, list) and reference:
            return [self._find_part(part, label, index) for index, part in enumerate(reference)]
        if not isinstance(reference, str) or not reference:
            raise WrongValue(f"{label} {_NO_SCENARIO}")
        shown = visible(reference, 80)
        source, _, name = reference.partition(":")
        file = _file_of(self._folder, source)
        if file is None:
            raise WrongValue(f"{label} is '{shown}', but {_NO_SCENARIO}")
        path = inside(self._folder, file)
        if path is None:
            raise WrongValue(
                f"{label} is '{shown}'; scenario files must lie in the folder of the load test, "
                f"{visible(self._folder)}"
            )
        if path not in self._loaded:
            self._loaded[path] = load(path, self._folder.resolve())
        found: type[LoadTest] | type[Scenario] = choose(self._loaded[path], path, name or None)
        if issubclass(found, LoadTest):
            raise WrongValue(f"{label} is '{shown}', which is a load test; name a scenario")
        return found

    def by_path(self) -> dict[str, ModuleType]:
        """All of them, by their paths within the folder."""
        folder = self._folder.resolve()
        return {os.path.relpath(path, folder): module for path, module in self._loaded.items()}

    def _find_part(self, reference: Any, label: str, index: int) -> Any:
        try:
            return self.find(reference, label)
        except WrongValue as error:
            raise WrongValue(str(error), index, *error.keys) from None


def _file_of(folder: Path, source: str) -> str | None:
    """The file that `file.py` or `some.module` means, relative to `folder`; None for neither."""
    if source.endswith(".py"):
        return source
    parts = source.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    package = "/".join([*parts, "__init__.py"])
    # A package hides a module of the same name, as in an import.
    return package if (folder / package).is_file() else "/".join(parts) + ".py"

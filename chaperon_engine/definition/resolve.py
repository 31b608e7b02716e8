"""LaunchRequest -> ResolvedTest: loads, merges the layers of config, checks everything, decides.

Reports all problems of a definition at once. Knows the order of layers; `config` knows how one
layer is read. Must not know how a session or a connection works.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaperon_engine.definition.config import (
    Known,
    Layer,
    LayerReader,
    deep_merge,
    merge_settings,
    of_scope,
    service_names,
)
from chaperon_engine.definition.data import from_data
from chaperon_engine.definition.declared import (
    Declared,
    DeclaredPopulation,
    first_paragraph,
    from_load_test,
    from_scenario,
)
from chaperon_engine.definition.loader import choose, forget, load, load_tests_of
from chaperon_engine.definition.model import LoadTest
from chaperon_engine.definition.plan import (
    LaunchRequest,
    LoadProfile,
    Plan,
    PopulationPlan,
)
from chaperon_engine.definition.problems import Place, Problems, did_you_mean, listed
from chaperon_engine.definition.resolved import (
    ResolvedPopulation,
    ResolvedService,
    ResolvedTest,
    SessionSettings,
)
from chaperon_engine.definition.secrets import plain
from chaperon_engine.definition.services import resolve_service, service_plan
from chaperon_engine.definition.settings import SERVICE_SETTINGS, SESSION_SETTINGS, SETTINGS
from chaperon_engine.definition.sources import overrides_as_table, read_table
from chaperon_engine.text import visible

__all__ = [
    "ResolvedPopulation",
    "ResolvedService",
    "ResolvedTest",
    "SessionSettings",
    "resolve",
]

_WAYS_TO_END = ("duration", "iterations", "shared_iterations")


def resolve(request: LaunchRequest) -> ResolvedTest:
    """Load and check what the request names, and decide everything a run needs to know.

    An empty base URL is let through, for the launch form asks for it: see `Plan.check_ready`.
    Raises UserError with one line per problem.
    """
    problems = Problems()
    declared = _declared(request, problems)
    file_table: dict[str, Any] = {}
    file_place = Place("--config")
    if request.config_file is not None:
        config_path = Path(request.config_file)
        file_table = read_table(config_path, "the config file")
        file_place = Place(config_path.name, config_path)
    set_table = overrides_as_table(request.overrides)
    resolved = _Resolver(request, declared, problems, (file_table, file_place), set_table).resolve()
    problems.finish()
    return resolved


def _declared(request: LaunchRequest, problems: Problems) -> Declared:
    forget()
    path = Path(os.path.abspath(request.file))
    if path.suffix.lower() in (".toml", ".json"):
        return from_data(path, request.name, problems)
    module = load(path)
    found = choose(module, path, request.name)
    if issubclass(found, LoadTest):
        declared = from_load_test(found, path, problems)
    else:
        declared = from_scenario(found, path, problems)
        load_tests = list(load_tests_of(module).values())
        if len(load_tests) == 1:
            # A scenario of a load test is tried against the services it was written for.
            whole = from_load_test(load_tests[0], path, problems)
            declared.services, declared.default_config = whole.services, whole.default_config
            declared.is_bare = not whole.services
    if not declared.doc:
        scenarios = [first_paragraph(population.scenario) for population in declared.populations]
        declared.doc = first_paragraph(module) or next(filter(None, scenarios), "")
    return declared


@dataclass(frozen=True)
class _Layers:
    """The layers of the whole test, lowest first; services and populations stand between."""

    default: Layer
    file: Layer
    override: Layer


class _Resolver:
    """One resolution; every step notes its problems and goes on with what is right."""

    def __init__(
        self,
        request: LaunchRequest,
        declared: Declared,
        problems: Problems,
        file: tuple[dict[str, Any], Place],
        override: dict[str, Any],
    ) -> None:
        self._request = request
        self._declared = declared
        self._problems = problems
        self._place = declared.place
        default = declared.default_config
        raws = [raw for raw in (default, file[0], override) if isinstance(raw, Mapping)]
        self._service_names = service_names(list(declared.services), raws)
        self._names = self._population_names()
        known = Known(self._service_names, self._names)
        self._reader = LayerReader(known, problems)
        place = Place(f"default_config of {declared.name}", self._place.path, self._place.line)
        self._layers = _Layers(
            default=self._reader.read(default, place, "test"),
            file=self._reader.read(file[0], file[1], "launch"),
            override=self._reader.read(override, Place("--set"), "launch"),
        )

    def resolve(self) -> ResolvedTest:
        declared, layers = self._declared, self._layers
        for name in self._request.sessions:
            self._check_sessions_key(name)
        services = self._services([layers.file, layers.override])
        populations = [
            self._population(population, name)
            for population, name in zip(declared.populations, self._names, strict=True)
        ]
        test = {"warmup": declared.warmup_s}
        for layer in (layers.default, layers.file, layers.override):
            test.update(layer.general)
        warmup_s = test["warmup"]
        if self._request.warmup_s is not None:
            warmup_s = self._request.warmup_s
        plan = Plan(
            load_test=declared.name,
            file=str(declared.file),
            doc=declared.doc,
            services=[service_plan(service) for service in services.values()],
            populations=[population.plan for population in populations],
            warmup_s=warmup_s,
            timeout_s=test.get("load_test_timeout"),
            max_series=test.get("max_series", SETTINGS["max_series"].default),
            is_bare=declared.is_bare,
        )
        self._check_warmup(plan)
        return ResolvedTest(plan=plan, services=services, populations=populations)

    def _population_names(self) -> list[str]:
        """Unique names: the given ones, else the scenario's, with `-2` when it is taken."""
        given = [population.name for population in self._declared.populations]
        taken = {name for name in given if name is not None}
        for name in sorted(taken):
            if given.count(name) > 1:
                self._problems.add(
                    f"{given.count(name)} populations of {self._place.label} are called "
                    f"'{visible(name)}'; give each a name of its own",
                    self._place,
                )
        names = []
        for population in self._declared.populations:
            name = population.name or population.scenario.__name__
            if population.name is None:
                base, number = name, 2
                while name in taken:
                    name, number = f"{base}-{number}", number + 1
                taken.add(name)
            names.append(name)
        return names

    def _check_sessions_key(self, name: str) -> None:
        if name == "*":
            if len(self._names) > 1:
                self._problems.add(
                    f"there are several populations, so sessions need a name: {listed(self._names)}"
                    f"; write --sessions {visible(self._names[0], 80)}=N"
                )
        elif name not in self._names:
            hint = did_you_mean(name, self._names)
            self._problems.add(f"unknown population '{visible(name, 80)}' in --sessions{hint}")

    def _population(self, declared: DeclaredPopulation, name: str) -> ResolvedPopulation:
        label = f"the config of population '{name}'"
        place = Place(label, self._place.path, self._place.line)
        own_layer = self._reader.read(declared.config, place, "population")
        layers = self._layers
        upper = [own_layer]
        for launch in (layers.file, layers.override):
            upper.append(launch)
            if name in launch.populations:
                upper.append(launch.populations[name].config)
        general: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for layer in (layers.default, *upper):
            general = merge_settings(general, layer.general)
            own = deep_merge(own, layer.own)
        fields = self._fields(declared, name)
        plan = PopulationPlan(
            name=name,
            scenario=declared.scenario.__qualname__,
            doc=first_paragraph(declared.scenario),
            sessions=fields.get("sessions", 1),
            profile=self._profile(fields, name),
            fresh=fields.get("fresh", False),
            graceful_stop_s=fields.get("graceful_stop", 30.0),
            config=_config_plan(general, own, own_layer),
        )
        session = of_scope(general, SESSION_SETTINGS)
        return ResolvedPopulation(
            scenario=declared.scenario,
            plan=plan,
            services=self._services(upper),
            settings=SessionSettings(
                **{SETTINGS[key].resolved or key: value for key, value in session.items()}
            ),
            config=own,
        )

    def _fields(self, declared: DeclaredPopulation, name: str) -> dict[str, Any]:
        """Load profile: class < --config < options of the launch < --set. A way of ending that is
        said at launch replaces those below it."""
        request, layers = self._request, self._layers
        options: dict[str, Any] = {
            "sessions": request.sessions.get(name, request.sessions.get("*")),
            "duration": request.duration_s,
            "iterations": request.iterations,
            "shared_iterations": request.shared_iterations,
        }
        for key, value in list(options.items()):
            if value is None or value <= 0:
                del options[key]
            if value is not None and value <= 0:
                self._problems.add(f"{key} must be more than zero, not {value}")
        fields = dict(declared.fields)
        for over in (_fields_of(layers.file, name), options, _fields_of(layers.override, name)):
            if any(way in over for way in _WAYS_TO_END):
                fields = {key: value for key, value in fields.items() if key not in _WAYS_TO_END}
            fields.update(over)
        return fields

    def _profile(self, fields: Mapping[str, Any], name: str) -> LoadProfile:
        profile = LoadProfile(
            duration_s=fields.get("duration"),
            iterations=fields.get("iterations"),
            shared_iterations=fields.get("shared_iterations"),
            ramp_up_s=fields.get("ramp_up", 0.0),
        )
        shown = f"population '{visible(name, 100)}'"
        if profile.iterations is not None and profile.shared_iterations is not None:
            self._problems.add(
                f"{shown} has both iterations and shared_iterations; keep one of them", self._place
            )
        if profile.duration_s is not None and profile.ramp_up_s >= profile.duration_s:
            self._problems.add(
                f"ramp_up of {shown} takes {profile.ramp_up_s:g} s, but its duration is only "
                f"{profile.duration_s:g} s: some sessions would never start",
                self._place,
            )
        return profile

    def _check_warmup(self, plan: Plan) -> None:
        if plan.planned_s is not None and plan.warmup_s >= plan.planned_s:
            self._problems.add(
                f"warmup takes {plan.warmup_s:g} s of a run of {plan.planned_s:g} s: nothing would "
                "be left to measure",
                self._place,
            )

    def _services(self, upper: list[Layer]) -> dict[str, ResolvedService]:
        """Every service with the settings that `upper` layers put over it."""
        return {name: self._service(name, upper) for name in self._service_names}

    def _service(self, name: str, upper: list[Layer]) -> ResolvedService:
        default = self._layers.default
        declared = dict(self._declared.services.get(name, {}))
        if not declared.get("base_url"):
            declared.pop("base_url", None)
        steps = [of_scope(default.general, SERVICE_SETTINGS), default.services.get(name, {})]
        steps.append(declared)
        for layer in upper:
            steps += [of_scope(layer.general, SERVICE_SETTINGS), layer.services.get(name, {})]
        folder = self._declared.file.parent
        return resolve_service(name, steps, folder, self._place, self._problems)


def _fields_of(layer: Layer, population: str) -> dict[str, Any]:
    found = layer.populations.get(population)
    return found.fields if found is not None else {}


def _config_plan(
    general: Mapping[str, Any], own: Mapping[str, Any], population: Layer
) -> dict[str, Any]:
    shown = {key: value for key, value in general.items() if SETTINGS[key].scope != "test"}
    if "interval" in shown:
        shown["interval"] = (shown["interval"].period_s, shown["interval"].function)
    if population.services:
        shown["services"] = population.services
    if own:
        shown["config"] = own
    result: dict[str, Any] = plain(shown)
    return result

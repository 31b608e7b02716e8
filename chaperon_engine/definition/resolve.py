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

from chaperon_engine.definition import kinds
from chaperon_engine.definition.config import Known, LayerReader
from chaperon_engine.definition.data import from_data, from_file
from chaperon_engine.definition.declared import (
    Declared,
    DeclaredPopulation,
    first_paragraph,
    from_load_test,
    from_scenario,
)
from chaperon_engine.definition.layers import (
    Layer,
    Settings,
    deep_merge,
    service_names,
)
from chaperon_engine.definition.loader import choose, forget, load, load_tests_of
from chaperon_engine.definition.model import LoadTest
from chaperon_engine.definition.plan import LaunchRequest, Plan, PopulationPlan
from chaperon_engine.definition.populations import (
    check_session_counts,
    load_profile,
    population_names,
    resolve_fields,
)
from chaperon_engine.definition.problems import Place, Problems
from chaperon_engine.definition.resolved import (
    ResolvedPopulation,
    ResolvedService,
    ResolvedTest,
    SessionSettings,
)
from chaperon_engine.definition.secrets import plain
from chaperon_engine.definition.services import resolve_service, service_plan
from chaperon_engine.definition.settings import SERVICE_SETTINGS, SESSION_SETTINGS, SETTINGS
from chaperon_engine.definition.sources import Document, overrides_as_table, read_document
from chaperon_engine.errors import UserError

__all__ = [
    "ResolvedPopulation",
    "ResolvedService",
    "ResolvedTest",
    "SessionSettings",
    "resolve",
]


def resolve(request: LaunchRequest) -> ResolvedTest:
    """Load and check what the request names, and decide everything a run needs to know.

    An empty base URL is let through, for the launch form asks for it: see `Plan.check_ready`.
    Raises UserError with one line per problem.
    """
    problems = Problems()
    declared = _declared(request, problems)
    file = Document({}, Place("--config"))
    if request.config_file is not None:
        file = read_document(Path(request.config_file), "the config file")
    override = Document(overrides_as_table(request.overrides), Place("--set"))
    resolved = _Resolver(request, declared, problems, file, override).resolve()
    problems.finish()
    return resolved


def _declared(request: LaunchRequest, problems: Problems) -> Declared:
    forget()
    if request.data is not None:
        return from_data(request.data, Path(request.folder), request.name, problems)
    if not request.file:
        raise UserError("the launch names no load test: neither a file nor data")
    path = Path(os.path.abspath(request.file))
    if path.suffix.lower() in (".toml", ".json"):
        return from_file(path, request.name, problems)
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
    declared.modules = {"": module}
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
        file: Document,
        override: Document,
    ) -> None:
        self._request = request
        self._declared = declared
        self._problems = problems
        default = declared.default_config
        raws = [raw for raw in (default, file.table, override.table) if isinstance(raw, Mapping)]
        self._service_names = service_names(list(declared.services), raws)
        self._names = population_names(declared, problems)
        known = Known(self._service_names, self._names)
        self._reader = LayerReader(known, problems)
        place = declared.place.at("default_config").called(f"default_config of {declared.name}")
        self._layers = _Layers(
            default=self._reader.read(default, place, "test"),
            file=self._reader.read(file.table, file.place, "launch"),
            override=self._reader.read(override.table, override.place, "launch"),
        )

    def resolve(self) -> ResolvedTest:
        declared, layers = self._declared, self._layers
        check_session_counts(self._request.sessions, self._names, self._problems)
        services = self._services([layers.file, layers.override])
        populations = [
            self._population(population, name)
            for population, name in zip(declared.populations, self._names, strict=True)
        ]
        test = Settings()
        test.put("warmup", declared.warmup_s, declared.place.at("warmup"))
        if declared.metrics is not None:
            test.put("metrics", declared.metrics, declared.place.at("metrics"))
        for layer in (layers.default, layers.file, layers.override):
            test = test.merged(layer.general)
        if self._request.warmup_s is not None:
            test.put("warmup", self._request.warmup_s, Place("--warmup"))
        if self._request.metrics is not None:
            place = Place("--metrics")
            given = self._problems.typed(place, kinds.metrics, self._request.metrics, "--metrics")
            test.put("metrics", given, place)
        metrics = test.get("metrics")
        plan = Plan(
            load_test=declared.name,
            file="" if declared.file is None else str(declared.file),
            doc=declared.doc,
            services=[service_plan(service) for service in services.values()],
            populations=[population.plan for population in populations],
            warmup_s=test["warmup"],
            timeout_s=test.get("load_test_timeout"),
            max_series=test.get("max_series", SETTINGS["max_series"].default),
            metrics=[plain(metrics)] if callable(metrics) else list(metrics or ()),
            is_bare=declared.is_bare,
        )
        self._check_warmup(plan, test.places["warmup"])
        return ResolvedTest(
            plan=plan,
            services=services,
            populations=populations,
            metrics=metrics,
            modules=declared.modules,
        )

    def _population(self, declared: DeclaredPopulation, name: str) -> ResolvedPopulation:
        place = declared.place.at("config").called(f"the config of population '{name}'")
        own_layer = self._reader.read(declared.config, place, "population")
        layers = self._layers
        upper = [own_layer]
        for launch in (layers.file, layers.override):
            upper.append(launch)
            if name in launch.populations:
                upper.append(launch.populations[name].config)
        general = Settings()
        own: dict[str, Any] = {}
        for layer in (layers.default, *upper):
            general = general.merged(layer.general)
            own = deep_merge(own, layer.own)
        fields = resolve_fields(
            declared, name, self._request, layers.file, layers.override, self._problems
        )
        plan = PopulationPlan(
            name=name,
            scenario=declared.scenario.__qualname__,
            doc=first_paragraph(declared.scenario),
            sessions=fields.get("sessions", 1),
            profile=load_profile(fields, name, self._problems),
            fresh=fields.get("fresh", False),
            graceful_stop_s=fields.get("graceful_stop", 30.0),
            config=_config_plan(general, own, own_layer),
        )
        session = general.only(SESSION_SETTINGS)
        return ResolvedPopulation(
            scenario=declared.scenario,
            plan=plan,
            services=self._services(upper),
            settings=SessionSettings(
                **{SETTINGS[key].resolved or key: value for key, value in session.items()}
            ),
            config=own,
        )

    def _check_warmup(self, plan: Plan, place: Place) -> None:
        if plan.planned_s is not None and plan.warmup_s >= plan.planned_s:
            self._problems.add(
                f"warmup takes {plan.warmup_s:g} s of a run of {plan.planned_s:g} s: nothing would "
                "be left to measure",
                place,
            )

    def _services(self, upper: list[Layer]) -> dict[str, ResolvedService]:
        """Every service with the settings that `upper` layers put over it."""
        return {name: self._service(name, upper) for name in self._service_names}

    def _service(self, name: str, upper: list[Layer]) -> ResolvedService:
        declared = Settings().merged(self._declared.services.get(name, Settings()))
        if not declared.get("base_url"):
            declared.pop("base_url", None)
        steps = [*_steps(self._layers.default, name), declared]
        for layer in upper:
            steps += _steps(layer, name)
        return resolve_service(name, steps, self._declared.folder, self._problems)


def _steps(layer: Layer, service: str) -> list[Settings]:
    """What a layer says of one service, the more special last."""
    return [layer.general.only(SERVICE_SETTINGS), layer.services.get(service, Settings())]


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

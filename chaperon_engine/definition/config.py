"""Config in layers: checks what people write at one place, and merges the places; last wins.

built-in < `default_config` < `Service` < population's config < `--config FILE` < `--set`. The
keyword of a call, which wins over all, is the session's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chaperon_engine.definition.problems import Place, Problems, did_you_mean, listed, nearest
from chaperon_engine.definition.settings import (
    INSECURE,
    POPULATION_FIELDS,
    SERVICE_SETTINGS,
    SETTINGS,
    Setting,
)
from chaperon_engine.text import visible

Level = Literal["test", "population", "launch"]
"""Where a layer stands: `default_config`, a population's config, or given at launch."""

DEFAULT_SERVICE = "default"
"""Name of the service that a bare `base_url` makes in a file without services."""


@dataclass
class Layer:
    """What one place says, checked and typed."""

    general: dict[str, Any] = field(default_factory=dict)
    """Our settings by name. Those of services hold for all of them."""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of single services."""
    populations: dict[str, PopulationLayer] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    """The user's own keys."""


@dataclass
class PopulationLayer:
    """What a launch layer says about one population."""

    fields: dict[str, Any] = field(default_factory=dict)
    config: Layer = field(default_factory=Layer)


@dataclass(frozen=True)
class Known:
    """Names that a layer may speak of."""

    services: Sequence[str]
    populations: Sequence[str] = ()


def deep_merge(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """A new table: tables are merged key by key, everything else of `over` replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        elif isinstance(value, Mapping):
            merged[key] = deep_merge({}, value)
        else:
            merged[key] = value
    return merged


def merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Typed settings merged: headers ignoring case, TLS field by field, one kind of credentials."""
    merged = dict(base)
    for name, value in over.items():
        if name == "headers":
            merged[name] = _merge_headers(merged.get(name, {}), value)
        elif name == "tls":
            merged[name] = {**merged.get(name, {}), **value}
        else:
            merged[name] = value
            if name in ("basic_auth", "bearer"):
                merged.pop("bearer" if name == "basic_auth" else "basic_auth", None)
    return merged


def _merge_headers(base: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    replaced = {name.lower() for name in over}
    return {name: value for name, value in base.items() if name.lower() not in replaced} | dict(
        over
    )


def service_names(declared: Sequence[str], raws: Sequence[Mapping[str, Any]]) -> list[str]:
    """The services of a test: the declared ones, else the first table of services in the config,
    else one called `default`."""
    if declared:
        return list(declared)
    for raw in raws:
        services = raw.get("services")
        if isinstance(services, Mapping) and services:
            return [str(name) for name in services]
    return [DEFAULT_SERVICE]


class LayerReader:
    """Reads raw tables into layers and notes every problem on the way."""

    def __init__(self, known: Known, problems: Problems) -> None:
        self._known = known
        self._problems = problems

    def read(self, raw: object, place: Place, level: Level) -> Layer:
        """Check and type one table."""
        layer = Layer()
        if not isinstance(raw, Mapping):
            kind = type(raw).__name__
            self._problems.add(f"{place.label} must be a table of settings, not {kind}", place)
            return layer
        for key, value in raw.items():
            if value is None:
                continue
            if key == "config":
                self._read_own(layer, value, place)
            elif key == "services":
                self._read_services(layer, value, place)
            elif key == "populations":
                self._read_populations(layer, value, place, level)
            elif key == "http":
                self._read_http(layer, raw, value, place)
            elif key == "base_url":
                self._read_base_url(layer, value, place)
            elif key == INSECURE or key in SETTINGS:
                if key in SETTINGS and SETTINGS[key].scope == "test" and level == "population":
                    self._problems.add(
                        f"{key} in {place.label} holds for the whole load test; "
                        "put it into default_config",
                        place,
                    )
                else:
                    self._read_setting(layer.general, key, value, f"{key} in {place.label}", place)
            else:
                self._unknown(key, place, level)
        self._check_credentials(layer.general, place.label, place)
        return layer

    def service(self, raw: Mapping[str, Any], label: str, place: Place) -> dict[str, Any]:
        """Check and type the settings of one service; `label` as in `timeout of <label>`."""
        settings: dict[str, Any] = {}
        known = [*SERVICE_SETTINGS, INSECURE]
        for key, value in raw.items():
            if value is None:
                continue
            if key in SETTINGS and key not in known:
                self._problems.add(
                    f"{key} of {label} is no setting of a service; put it beside 'services'", place
                )
                continue
            if key not in known:
                name = visible(key, 80)
                hint = did_you_mean(str(key), known)
                self._problems.add(f"unknown setting '{name}' of {label}{hint}", place)
                continue
            self._read_setting(settings, key, value, f"{key} of {label}", place)
        self._check_credentials(settings, label, place)
        return settings

    def _check_credentials(self, settings: dict[str, Any], label: str, place: Place) -> None:
        if "basic_auth" in settings and "bearer" in settings:
            self._problems.add(f"{label} has both basic_auth and bearer; keep one of them", place)

    def _read_setting(
        self, into: dict[str, Any], key: str, value: object, what: str, place: Place
    ) -> None:
        if key == INSECURE:
            key, value = "tls", {"insecure": value}
            what = what.removeprefix(f"{INSECURE} of ").removeprefix(f"{INSECURE} in ")
        typed = self._problems.typed(place, SETTINGS[key].kind, value, what)
        if typed is None:
            return
        if key in ("basic_auth", "bearer"):
            into[key] = typed
        else:
            into.update(merge_settings({key: into[key]} if key in into else {}, {key: typed}))

    def _read_own(self, layer: Layer, value: object, place: Place) -> None:
        if isinstance(value, Mapping):
            layer.own = deep_merge({}, value)
            return
        kind = type(value).__name__
        self._problems.add(
            f"config in {place.label} must be a table of your own keys, not {kind}", place
        )

    def _read_http(self, layer: Layer, raw: Mapping[str, Any], value: object, place: Place) -> None:
        if not isinstance(value, Mapping):
            kind = type(value).__name__
            self._problems.add(
                f"http in {place.label} must be a table of connection settings, not {kind}", place
            )
            return
        for key in value:
            if key in raw and key not in ("headers", "tls"):
                self._problems.add(
                    f"{key} stands twice in {place.label}, also as http.{key}; keep one of them",
                    place,
                )
        settings = {key: item for key, item in value.items() if key != "base_url"}
        if "base_url" in value:
            self._problems.add(
                f"base_url in {place.label} stands below http; it belongs beside it", place
            )
        read = self.service(settings, f"http in {place.label}", place)
        layer.general = merge_settings(read, layer.general)

    def _read_base_url(self, layer: Layer, value: object, place: Place) -> None:
        services = self._known.services
        if len(services) != 1:
            self._problems.add(
                f"base_url in {place.label} means the only service, but there are several: "
                f"{listed(services)}; write services.{services[0]}.base_url",
                place,
            )
            return
        settings = layer.services.setdefault(services[0], {})
        self._read_setting(settings, "base_url", value, f"base_url in {place.label}", place)

    def _read_services(self, layer: Layer, value: object, place: Place) -> None:
        if not isinstance(value, Mapping):
            kind = type(value).__name__
            self._problems.add(
                f"services in {place.label} must be a table of services, not {kind}", place
            )
            return
        for name, raw in value.items():
            if name not in self._known.services:
                shown = visible(name, 80)
                hint = did_you_mean(str(name), self._known.services)
                self._problems.add(f"unknown service '{shown}' in {place.label}{hint}", place)
                continue
            table = {"base_url": raw} if isinstance(raw, str) else raw
            label = f"services.{name} in {place.label}"
            if not isinstance(table, Mapping):
                kind = type(raw).__name__
                self._problems.add(f"{label} must be a table of settings, not {kind}", place)
                continue
            read = self.service(table, label, place)
            layer.services[name] = merge_settings(layer.services.get(name, {}), read)

    def _read_populations(self, layer: Layer, value: object, place: Place, level: Level) -> None:
        if level != "launch":
            self._problems.add(
                f"populations in {place.label} is only for the launch (--config and --set); "
                "here, write it into Population(...)",
                place,
            )
            return
        if not isinstance(value, Mapping):
            kind = type(value).__name__
            self._problems.add(
                f"populations in {place.label} must be a table of populations, not {kind}", place
            )
            return
        for name, raw in value.items():
            label = f"populations.{name} in {place.label}"
            if name not in self._known.populations:
                shown = visible(name, 80)
                hint = did_you_mean(str(name), self._known.populations)
                self._problems.add(f"unknown population '{shown}' in {place.label}{hint}", place)
            elif not isinstance(raw, Mapping):
                kind = type(raw).__name__
                self._problems.add(f"{label} must be a table of settings, not {kind}", place)
            else:
                layer.populations[name] = self._population(raw, label, place)

    def _population(self, raw: Mapping[str, Any], label: str, place: Place) -> PopulationLayer:
        result = PopulationLayer()
        for key, value in raw.items():
            if value is None:
                continue
            if key == "config":
                inner = Place(f"{label.replace(' in ', '.config in ', 1)}", place.path, place.line)
                result.config = self.read(value, inner, "population")
            elif key in POPULATION_FIELDS:
                typed = self._problems.typed(
                    place, POPULATION_FIELDS[key], value, f"{key} of {label}"
                )
                if typed is not None:
                    result.fields[key] = typed
            else:
                hint = did_you_mean(str(key), [*POPULATION_FIELDS, "config"])
                self._problems.add(f"unknown setting '{visible(key, 80)}' of {label}{hint}", place)
        return result

    def _unknown(self, key: object, place: Place, level: Level) -> None:
        name = visible(key, 80)
        special = ["config", "services", "http", INSECURE]
        known = [*SETTINGS, *special, *(["populations"] if level == "launch" else [])]
        near = nearest(str(key), known)
        hint = f"; did you mean '{near}'?" if near is not None else "."
        self._problems.add(
            f"unknown setting '{name}' in {place.label}{hint} Your own keys go below 'config'.",
            place,
        )


def of_scope(values: Mapping[str, Any], settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Those of `values` whose key is in `settings`."""
    return {name: value for name, value in values.items() if name in settings}

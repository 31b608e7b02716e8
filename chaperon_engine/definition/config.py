"""Reads one place of config: checks every key and value, and notes each problem with its place.

Knows the meaning of keys; `layers` knows who wins over whom.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaperon_engine.definition.confine import inside
from chaperon_engine.definition.layers import (
    Layer,
    Level,
    PopulationLayer,
    Settings,
    deep_merge,
)
from chaperon_engine.definition.problems import Place, Problems, did_you_mean, listed, nearest
from chaperon_engine.definition.settings import (
    INSECURE,
    POPULATION_FIELDS,
    SERVICE_SETTINGS,
    SETTINGS,
    TLS_FILES,
)
from chaperon_engine.text import visible


@dataclass(frozen=True)
class Known:
    """Names that a layer may speak of."""

    services: Sequence[str]
    populations: Sequence[str] = ()


class LayerReader:
    """Reads raw tables into layers and notes every problem on the way."""

    def __init__(self, known: Known, problems: Problems) -> None:
        self._known = known
        self._problems = problems

    def read(self, raw: object, place: Place, level: Level) -> Layer:
        """Check and type one table."""
        layer = Layer()
        table = self._table(raw, place.label, "settings", place)
        for key, value in table.items():
            if value is None:
                continue
            here = place.at(key)
            if key == "config":
                own = self._table(value, f"config in {place.label}", "your own keys", here)
                layer.own = deep_merge({}, own)
            elif key == "services":
                self._read_services(layer, value, here)
            elif key == "populations":
                self._read_populations(layer, value, here, level)
            elif key == "http":
                self._read_http(layer, table, here)
            elif key == "base_url":
                self._read_base_url(layer, value, here)
            elif key == INSECURE or key in SETTINGS:
                if key in SETTINGS and SETTINGS[key].scope == "test" and level == "population":
                    self._problems.add(
                        f"{key} in {place.label} holds for the whole load test; "
                        "put it into default_config",
                        here,
                    )
                else:
                    self._read_setting(layer.general, key, value, f"{key} in {place.label}", here)
            else:
                self._unknown(key, here, level)
        self._check_credentials(layer.general, place.label, place)
        return layer

    def service(self, raw: Mapping[str, Any], label: str, place: Place) -> Settings:
        """Check and type the settings of one service; `label` as in `timeout of <label>`."""
        settings = Settings()
        known = [*SERVICE_SETTINGS, INSECURE]
        for key, value in raw.items():
            if value is None:
                continue
            here = place.at(key)
            if key in SETTINGS and key not in known:
                self._problems.add(
                    f"{key} of {label} is no setting of a service; put it beside 'services'", here
                )
            elif key not in known:
                name = visible(key, 80)
                hint = did_you_mean(str(key), known)
                self._problems.add(f"unknown setting '{name}' of {label}{hint}", here)
            else:
                self._read_setting(settings, key, value, f"{key} of {label}", here)
        self._check_credentials(settings, label, place)
        return settings

    def _table(self, value: object, what: str, of: str, place: Place) -> Mapping[Any, Any]:
        """`value` when it is a table; otherwise an empty one, and a problem noted."""
        if isinstance(value, Mapping):
            return value
        kind = type(value).__name__
        self._problems.add(f"{what} must be a table of {of}, not {kind}", place)
        return {}

    def _check_credentials(self, settings: Settings, label: str, place: Place) -> None:
        if "basic_auth" in settings and "bearer" in settings:
            self._problems.add(
                f"{label} has both basic_auth and bearer; keep one of them",
                settings.places.get("bearer", place),
            )

    def _read_setting(
        self, into: Settings, key: str, value: object, what: str, place: Place
    ) -> None:
        if key == INSECURE:
            key, value = "tls", {"insecure": value}
            what = what.removeprefix(f"{INSECURE} of ").removeprefix(f"{INSECURE} in ")
        typed = self._problems.typed(place, SETTINGS[key].kind, value, what)
        if typed is None:
            return
        if key == "tls" and place.within is not None:
            self._check_files(typed, what, place, place.within)
        into.put(key, typed, place)

    def _check_files(self, tls: Mapping[str, Any], what: str, place: Place, folder: Path) -> None:
        for key in TLS_FILES:
            name = tls.get(key)
            if name is not None and inside(folder, os.path.expanduser(name)) is None:
                self._problems.add(
                    f"{key} of {what} must lie in the folder of the load test, {folder}, for it "
                    "is plain data; name other files at the launch, with --set or --config",
                    place.at(key),
                )

    def _read_http(self, layer: Layer, beside: Mapping[Any, Any], place: Place) -> None:
        label = f"http in {place.label}"
        table = self._table(beside["http"], label, "connection settings", place)
        for key in table:
            if key in beside and key not in ("headers", "tls"):
                self._problems.add(
                    f"{key} stands twice in {place.label}, also as http.{key}; keep one of them",
                    place.at(key),
                )
        if "base_url" in table:
            self._problems.add(
                f"base_url in {place.label} stands below http; it belongs beside it",
                place.at("base_url"),
            )
        settings = {key: item for key, item in table.items() if key != "base_url"}
        layer.general = self.service(settings, label, place).merged(layer.general)

    def _read_base_url(self, layer: Layer, value: object, place: Place) -> None:
        services = self._known.services
        if len(services) != 1:
            self._problems.add(
                f"base_url in {place.label} means the only service, but there are several: "
                f"{listed(services)}; write services.{services[0]}.base_url",
                place,
            )
            return
        settings = layer.services.setdefault(services[0], Settings())
        self._read_setting(settings, "base_url", value, f"base_url in {place.label}", place)

    def _read_services(self, layer: Layer, value: object, place: Place) -> None:
        table = self._table(value, f"services in {place.label}", "services", place)
        for name, raw in table.items():
            here = place.at(name)
            if name not in self._known.services:
                shown = visible(name, 80)
                hint = did_you_mean(str(name), self._known.services)
                self._problems.add(f"unknown service '{shown}' in {place.label}{hint}", here)
                continue
            label = f"services.{name} in {place.label}"
            service = {"base_url": raw} if isinstance(raw, str) else raw
            read = self.service(self._table(service, label, "settings", here), label, here)
            layer.services[name] = layer.services.get(name, Settings()).merged(read)

    def _read_populations(self, layer: Layer, value: object, place: Place, level: Level) -> None:
        if level != "launch":
            self._problems.add(
                f"populations in {place.label} is only for the launch (--config and --set); "
                "here, write it into Population(...)",
                place,
            )
            return
        table = self._table(value, f"populations in {place.label}", "populations", place)
        for name, raw in table.items():
            here = place.at(name)
            if name not in self._known.populations:
                shown = visible(name, 80)
                hint = did_you_mean(str(name), self._known.populations)
                self._problems.add(f"unknown population '{shown}' in {place.label}{hint}", here)
                continue
            label = f"populations.{name} in {place.label}"
            layer.populations[name] = self._population(
                self._table(raw, label, "settings", here), label, here
            )

    def _population(self, raw: Mapping[Any, Any], label: str, place: Place) -> PopulationLayer:
        result = PopulationLayer()
        for key, value in raw.items():
            if value is None:
                continue
            here = place.at(key)
            if key == "config":
                inner = here.called(label.replace(" in ", ".config in ", 1))
                result.config = self.read(value, inner, "population")
            elif key in POPULATION_FIELDS:
                self._read_field(result.fields, key, value, label, here)
            else:
                hint = did_you_mean(str(key), [*POPULATION_FIELDS, "config"])
                self._problems.add(f"unknown setting '{visible(key, 80)}' of {label}{hint}", here)
        return result

    def population_fields(self, given: Mapping[str, Any], label: str, place: Place) -> Settings:
        """Check and type the load profile of one population: some of POPULATION_FIELDS."""
        fields = Settings()
        for key, value in given.items():
            self._read_field(fields, key, value, label, place.at(key))
        return fields

    def _read_field(
        self, into: Settings, key: str, value: object, label: str, place: Place
    ) -> None:
        typed = self._problems.typed(place, POPULATION_FIELDS[key], value, f"{key} of {label}")
        if typed is not None:
            into.put(key, typed, place)

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

"""What one place of config says, checked and typed, and how places are merged; last wins.

built-in < `default_config` < `Service` < population's config < `--config FILE` < `--set`. The
keyword of a call, which wins over all, is the session's business. Must not know how a place is
read: that is `config`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chaperon_engine.definition.problems import Place
from chaperon_engine.definition.settings import Setting

Level = Literal["test", "population", "launch"]
"""Where a layer stands: `default_config`, a population's config, or given at launch."""

DEFAULT_SERVICE = "default"
"""Name of the service that a bare `base_url` makes in a file without services."""

_CREDENTIALS = ("basic_auth", "bearer")


class Settings(dict[str, Any]):
    """Typed settings by name, and where each was written."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(values or {})
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Add what one table says; both kinds of credentials stay, for that is a mistake."""
        if key in self and key not in _CREDENTIALS:
            value = merge_settings({key: self[key]}, {key: value})[key]
        self[key] = value
        self.places[key] = place

    def merged(self, over: Settings) -> Settings:
        """New settings: `over` wins, as `merge_settings` says."""
        result = Settings(merge_settings(self, over))
        result.places = {**self.places, **over.places}
        return result

    def only(self, known: Mapping[str, Setting]) -> Settings:
        """Those that are in a table of settings."""
        result = Settings({key: value for key, value in self.items() if key in known})
        result.places = self.places
        return result


@dataclass
class Layer:
    """What one place says."""

    general: Settings = field(default_factory=Settings)
    """Our settings. Those of services hold for all of them."""
    services: dict[str, Settings] = field(default_factory=dict)
    """Settings of single services."""
    populations: dict[str, PopulationLayer] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    """The user's own keys."""


@dataclass
class PopulationLayer:
    """What a launch layer says about one population."""

    fields: Settings = field(default_factory=Settings)
    config: Layer = field(default_factory=Layer)


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
            if name in _CREDENTIALS:
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

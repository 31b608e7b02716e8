"""A service from its layers of settings, and as it is shown in a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from chaperon_engine.definition.layers import Settings, merge_settings
from chaperon_engine.definition.model import Tls
from chaperon_engine.definition.plan import ServicePlan
from chaperon_engine.definition.problems import Place, Problems
from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.definition.secrets import plain
from chaperon_engine.definition.settings import SERVICE_SETTINGS, SETTINGS, TLS_FILES
from chaperon_engine.text import visible


def resolve_service(
    name: str,
    steps: Sequence[Settings],
    folder: Path,
    problems: Problems,
) -> ResolvedService:
    """The service that `steps` of typed settings give, the last one wins.

    Files of TLS settings are relative to `folder` and must exist.
    """
    settings: dict[str, Any] = {}
    for step in steps:
        settings = merge_settings(settings, step)
    tls = _tls(settings.pop("tls", {}), name, steps, folder, problems)
    values = {SETTINGS[key].resolved or key: value for key, value in settings.items()}
    values.setdefault("base_url", "")
    values.setdefault("timeout_s", SETTINGS["timeout"].default)
    values.setdefault("first_byte_timeout_s", values["timeout_s"])
    return ResolvedService(name=name, tls=tls, **values)


def service_plan(service: ResolvedService) -> ServicePlan:
    """What may be shown of a service: settings that differ from the built-in ones, no secrets."""
    settings: dict[str, Any] = {}
    for key, setting in SERVICE_SETTINGS.items():
        if key in ("base_url", "headers", "tls"):
            continue
        value = getattr(service, setting.resolved or key)
        default = service.timeout_s if key == "first_byte_timeout" else setting.default
        if value != default:
            settings[key] = value
    tls = {field.name: getattr(service.tls, field.name) for field in fields(Tls)}
    given = {key: value for key, value in tls.items() if value}
    if given:
        settings["tls"] = given
    return ServicePlan(
        name=service.name,
        base_url=service.base_url,
        headers=plain(service.headers),
        settings=plain(settings),
    )


def _tls(
    given: Mapping[str, Any],
    service: str,
    steps: Sequence[Settings],
    folder: Path,
    problems: Problems,
) -> Tls:
    values = dict(given)
    for key in TLS_FILES:
        if values.get(key) is None:
            continue
        path = (folder / os.path.expanduser(values[key])).absolute()
        values[key] = path
        if not path.is_file():
            problems.add(
                f"{key} of service '{visible(service, 80)}' does not exist: {visible(path)}",
                _place_of(key, steps),
            )
    if values.get("key_file") and not values.get("cert_file"):
        problems.add(
            f"service '{visible(service, 80)}' has a key_file but no cert_file",
            _place_of("key_file", steps),
        )
    return Tls(**values)


def _place_of(key: str, steps: Sequence[Settings]) -> Place | None:
    """Where the last word on a TLS setting stands."""
    said = [step for step in steps if step.get("tls", {}).get(key) is not None]
    place = said[-1].places.get("tls") if said else None
    return place.at(key) if place is not None else None

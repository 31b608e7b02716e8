"""The load profile of each population: its name, how many sessions, how they start and end.

Class or data < `--config` < options of the launch < `--set`. Must not know services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaperon_engine.definition.declared import Declared, DeclaredPopulation
from chaperon_engine.definition.layers import Layer, Settings
from chaperon_engine.definition.plan import LaunchRequest, LoadProfile
from chaperon_engine.definition.problems import Place, Problems, did_you_mean, listed
from chaperon_engine.text import visible

_WAYS_TO_END = ("duration", "iterations", "shared_iterations")


def population_names(declared: Declared, problems: Problems) -> list[str]:
    """Unique names: the given ones, else the scenario's, with `-2` when it is taken."""
    given = [population.name for population in declared.populations]
    taken = {name for name in given if name is not None}
    for name in sorted(taken):
        if given.count(name) > 1:
            last = len(given) - 1 - given[::-1].index(name)
            problems.add(
                f"{given.count(name)} populations of {declared.place.label} are called "
                f"'{visible(name)}'; give each a name of its own",
                declared.populations[last].place.at("name"),
            )
    names = []
    for population in declared.populations:
        name = population.name or population.scenario.__name__
        if population.name is None:
            base, number = name, 2
            while name in taken:
                name, number = f"{base}-{number}", number + 1
            taken.add(name)
        names.append(name)
    return names


def check_session_counts(
    sessions: Mapping[str, int], names: Sequence[str], problems: Problems
) -> None:
    """Note what `--sessions` says about populations that there are not."""
    for name in sessions:
        if name == "*":
            if len(names) > 1:
                problems.add(
                    f"there are several populations, so sessions need a name: {listed(names)}"
                    f"; write --sessions {visible(names[0], 80)}=N"
                )
        elif name not in names:
            hint = did_you_mean(name, names)
            problems.add(f"unknown population '{visible(name, 80)}' in --sessions{hint}")


def resolve_fields(
    declared: DeclaredPopulation,
    name: str,
    request: LaunchRequest,
    file: Layer,
    override: Layer,
    problems: Problems,
) -> Settings:
    """All fields that are said of a population, the last word of each. A way of ending that is
    said at launch replaces those below it."""
    fields = Settings().merged(declared.fields)
    for over in (_said(file, name), _options(request, name, problems), _said(override, name)):
        if any(way in over for way in _WAYS_TO_END):
            for way in _WAYS_TO_END:
                fields.pop(way, None)
        fields = fields.merged(over)
    return fields


def _said(layer: Layer, population: str) -> Settings:
    found = layer.populations.get(population)
    return found.fields if found is not None else Settings()


def _options(request: LaunchRequest, name: str, problems: Problems) -> Settings:
    given: dict[str, Any] = {
        "sessions": request.sessions.get(name, request.sessions.get("*")),
        "duration": request.duration_s,
        "iterations": request.iterations,
        "shared_iterations": request.shared_iterations,
    }
    options = Settings()
    for key, value in given.items():
        if value is not None and value <= 0:
            problems.add(f"{key} must be more than zero, not {value}")
        elif value is not None:
            options.put(key, value, Place("the options of the launch"))
    return options


def load_profile(fields: Settings, name: str, problems: Problems) -> LoadProfile:
    """How sessions start and end, checked to make sense together."""
    profile = LoadProfile(
        duration_s=fields.get("duration"),
        iterations=fields.get("iterations"),
        shared_iterations=fields.get("shared_iterations"),
        ramp_up_s=fields.get("ramp_up", 0.0),
    )
    shown = f"population '{visible(name, 100)}'"
    if profile.iterations is not None and profile.shared_iterations is not None:
        problems.add(
            f"{shown} has both iterations and shared_iterations; keep one of them",
            fields.places["shared_iterations"],
        )
    if profile.duration_s is not None and profile.ramp_up_s >= profile.duration_s:
        problems.add(
            f"ramp_up of {shown} takes {profile.ramp_up_s:g} s, but its duration is only "
            f"{profile.duration_s:g} s: some sessions would never start",
            fields.places["ramp_up"],
        )
    return profile

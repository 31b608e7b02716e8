"""The launch form: its fields from a plan, checks while typing, and the request it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import msgspec

from chaperon_engine import (
    MAX_WORKERS,
    ExportFormat,
    LaunchRequest,
    Plan,
    UserError,
    count,
    seconds,
    show_duration,
    visible,
)
from chaperon_tui.state import agents
from chaperon_tui.state.exports import launch_hint
from chaperon_tui.state.menu import led_to

OVERRIDE_ROWS = 3
"""Lines for config values that a form begins with."""


@dataclass(frozen=True)
class Field:
    """One line of the form. The key is unique in it; see `fields` for the kinds of keys."""

    key: str
    label: str
    value: str = ""
    placeholder: str = ""
    section: str = ""
    choices: tuple[str, ...] = ()
    """Its value is one of these; empty: any text."""
    needs: str = ""
    """Key of the field that must be filled in for this one to be asked for."""


def planned(plan: Plan, values: Mapping[str, str]) -> Plan:
    """The plan as the form has it now; a value with something wrong leaves the plan's own."""
    text = {key: value.strip() for key, value in values.items() if not problem(key, value)}
    services = [
        msgspec.structs.replace(service, base_url=text.get(f"url.{service.name}", ""))
        for service in plan.services
    ]
    duration = text.get("duration", "")
    populations = []
    for population in plan.populations:
        profile = population.profile
        if duration:
            profile = msgspec.structs.replace(
                profile, duration_s=seconds(duration), iterations=None, shared_iterations=None
            )
        sessions = text.get(f"sessions.{population.name}", "")
        populations.append(
            msgspec.structs.replace(
                population,
                sessions=count(sessions) if sessions else population.sessions,
                profile=profile,
            )
        )
    warmup = text.get("warmup", "")
    return msgspec.structs.replace(
        plan,
        services=services,
        populations=populations,
        warmup_s=seconds(warmup) if warmup else plan.warmup_s,
    )


def fields(
    plan: Plan,
    remembered: Mapping[str, str],
    formats: Sequence[ExportFormat],
    target: str = "",
) -> list[Field]:
    """The fields for a plan, with remembered values in them.

    Keys: `url.SERVICE`, `sessions.POPULATION`, `duration`, `warmup`, `workers`, `tag`, `set.N` for
    config values, `out.FORMAT` for exports, those of `state.agents`. `target` is where the bundled
    target of a demo listens: services at its usual address are led there.
    """
    urls = {service.name: service.base_url for service in led_to(plan, target).services}
    led = {f"url.{name}" for name, url in urls.items() if target and url == target}
    result = [
        Field(f"url.{name}", name or "base URL", url, "http://127.0.0.1:8080", "Services")
        for name, url in urls.items()
    ]
    result.extend(
        Field(f"sessions.{population.name}", f"{population.name}", str(population.sessions),
              "50 or 10k", "Sessions")
        for population in plan.populations
    )  # fmt: skip
    durations = {population.profile.duration_s for population in plan.populations}
    shared = durations.pop() if len(durations) == 1 else None
    hint = "as the plan says" if shared is None else ""
    result += [
        Field("duration", "Duration", "" if shared is None else _plain(shared),
              hint or "30s or 1m30s", "Run"),
        Field("warmup", "Warm-up", _plain(plan.warmup_s) if plan.warmup_s else "", "none", "Run"),
        Field("workers", "Workers", "", "one a core; 0 when agents make the load", "Run"),
        Field("tag", "Tag", "", "a word in the names of exports", "Run"),
    ]  # fmt: skip
    rows = max(OVERRIDE_ROWS, 1 + sum(key.startswith("set.") for key in remembered))
    result.extend(
        Field(f"set.{number}", "Set", "", "services.shop.timeout=5s", "Config values")
        for number in range(rows)
    )
    result.extend(
        Field(f"out.{each.name}", _title(each.name), "", launch_hint(each), "Exports")
        for each in formats
    )  # fmt: skip
    section = "Other machines"
    result += [
        Field(agents.LISTEN, "Listen", "", "HOST:PORT; empty: none", section),
        Field(agents.EXPECT, "Agents", "", "empty: only watched", section),
        Field("start_timeout", "Start within", "", _plain(agents.DEFAULT_TIMEOUT_S),
              section),
        Field("fewer_ok", "Also with fewer", agents.NO, section=section,
              choices=(agents.NO, agents.YES)),
        Field("on_loss", "If one is lost", agents.ON_LOSS[0], section=section,
              choices=agents.ON_LOSS),
    ]  # fmt: skip
    return [_as_shown(each, {} if each.key in led else remembered) for each in result]


def _as_shown(field: Field, remembered: Mapping[str, str]) -> Field:
    """The field with its remembered value, if there is one that it can have."""
    value = remembered.get(field.key, field.value)
    if field.choices and value not in field.choices:
        value = field.value
    needs = agents.LISTEN if field.key == agents.EXPECT else ""
    if field.key in agents.TERMS:
        needs = agents.EXPECT
    return replace(field, label=visible(field.label, 40), value=value, needs=needs)


def _title(name: str) -> str:
    return name.upper() if len(name) < 5 else name.capitalize()


def _plain(value_s: float) -> str:
    """A duration as it is typed."""
    shown = show_duration(value_s).replace(" ", "").replace("µs", "us").replace("m00s", "m")
    return shown if seconds(shown) == value_s else f"{value_s:g}s"


def problem(key: str, value: str) -> str:
    """What is wrong with a value, one sentence; empty if nothing is."""
    text = value.strip()
    kind = key.split(".", 1)[0]
    try:
        if kind == "url":
            return _url_problem(text)
        if kind in agents.KEYS:
            return agents.agent_problem(kind, text)
        if not text:
            return "Say how many sessions, such as 50." if kind == "sessions" else ""
        if kind == "sessions" and count(text, "sessions") < 1:
            return "At least one session is needed."
        if kind == "workers" and count(text, "workers") > MAX_WORKERS:
            return f"At most {MAX_WORKERS} workers; leave it empty for one a core."
        if kind == "duration" and seconds(text) <= 0:
            return "The duration must be above zero."
        if kind == "warmup":
            seconds(text, "warm-up")
        if kind == "tag" and not all(char.isalnum() or char in "-_." for char in text):
            return "A tag may hold letters, digits, dot, dash and underscore."
        if kind == "set":
            name, sign, _ = text.partition("=")
            if not sign or not name.strip():
                return "Write a setting and its value, such as services.shop.timeout=5s."
    except (ValueError, UserError) as error:
        shown = visible(error)
        return f"{shown[0].upper()}{shown[1:]}."
    return ""


def _is_zero(text: str) -> bool:
    try:
        return bool(text.strip()) and count(text.strip()) == 0
    except ValueError:
        return False


def _url_problem(text: str) -> str:
    if not text:
        return "Say where the service is, such as http://127.0.0.1:8080."
    if text != visible(text, 2000) or " " in text:
        return "A URL holds no blanks and no control characters."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "The port must be a number from 1 to 65535, and an IPv6 address stands in brackets."
    if parts.scheme not in ("http", "https", "ws", "wss"):
        return "A base URL begins with http:// or https://."
    if not parts.hostname:
        return "The URL names no host."
    if port == 0:
        return "The port must be a number from 1 to 65535."
    if parts.query or parts.fragment:
        return "A base URL has no ? and no #; they belong to the paths of the scenario."
    return ""


def problems(values: Mapping[str, str]) -> dict[str, str]:
    """All fields with something wrong, of those that are asked for."""
    skipped = agents.unasked(values)
    found = {key: problem(key, value) for key, value in values.items() if key not in skipped}
    expects = not agents.unasked(values) and not _is_zero(values.get(agents.EXPECT, ""))
    if not expects and not found.get("workers") and _is_zero(values.get("workers", "")):
        found["workers"] = (
            "At least one worker is needed; 0 is for runs that agents load: fill in Listen, Agents."
        )
    if not any(found.get(key) for key in ("duration", "warmup")):
        duration, warmup = values.get("duration", "").strip(), values.get("warmup", "").strip()
        if duration and warmup and seconds(warmup) >= seconds(duration):
            found["warmup"] = "The warm-up must be shorter than the duration."
    return {key: text for key, text in found.items() if text}


def request(plan: Plan, base: LaunchRequest, values: Mapping[str, str]) -> LaunchRequest:
    """What to launch, detached so that it outlives the UI; `values` have no problems."""
    text = {key: value.strip() for key, value in values.items()}
    overrides = [value for key, value in text.items() if key.startswith("set.") and value]
    for service in plan.services:
        url = text.get(f"url.{service.name}", "")
        if url and url != service.base_url:
            name = f"services.{service.name}.base_url" if service.name else "base_url"
            overrides.append(f"{name}={url}")
    sessions = {}
    for population in plan.populations:
        wanted = text.get(f"sessions.{population.name}", "")
        if wanted and count(wanted) != population.sessions:
            sessions[population.name] = count(wanted)
    exports = {
        key[4:]: "" if value == "-" else value
        for key, value in text.items()
        if key.startswith("out.") and value
    }
    return LaunchRequest(
        file=base.file,
        name=base.name,
        overrides=[*base.overrides, *overrides],
        config_file=base.config_file,
        sessions={**base.sessions, **sessions},
        duration_s=_duration(plan, text.get("duration", ""), base.duration_s),
        iterations=base.iterations,
        shared_iterations=base.shared_iterations,
        warmup_s=seconds(text["warmup"]) if text.get("warmup") else base.warmup_s,
        workers=count(text["workers"]) if text.get("workers") else base.workers,
        tag=text.get("tag", "") or base.tag,
        exports={**base.exports, **exports},
        seed=base.seed,
        detach=True,
        **agents.agent_settings(base, text),
    )


def _duration(plan: Plan, text: str, base_s: float | None) -> float | None:
    """The typed duration if it differs from the plan's; a plan that ends by itself stays so."""
    if not text:
        return base_s
    wanted = seconds(text)
    known = {population.profile.duration_s for population in plan.populations}
    return base_s if known == {wanted} else wanted

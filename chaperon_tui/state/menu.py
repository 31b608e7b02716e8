"""The menu: finding an entry by typing, and the preview of what an entry would do."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chaperon_engine import (
    Entry,
    LoadProfile,
    Plan,
    PopulationPlan,
    show_count,
    show_duration,
    visible,
)
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.table import Cell, Column, Table, short_path

TARGET_URL = "http://127.0.0.1:7070"
"""Where the bundled target listens when nobody says otherwise; the bundled scenarios aim there."""

COLUMNS = (
    Column("name", "Load test", 0, "left"),
    Column("origin", "From", 8, "left"),
)


def search(entries: Sequence[Entry], text: str) -> list[Entry]:
    """Entries in which every word of `text` occurs; those whose name begins with it come first."""
    words = text.casefold().split()
    if not words:
        return list(entries)
    found: list[tuple[int, Entry]] = []
    for entry in entries:
        name = entry.name.casefold()
        hay = " ".join((name, entry.doc, entry.file, entry.origin, *entry.scenarios)).casefold()
        if all(word in hay for word in words):
            rank = 0 if name.startswith(words[0]) else 1 if words[0] in name else 2
            found.append((rank, entry))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def menu_table(entries: Sequence[Entry] | None, searched: str = "") -> Table:
    """The list of the menu; None: they are still looked for."""
    if entries is None:
        return Table.of(COLUMNS, [], empty="Looking for load tests …")
    rows: list[tuple[Cell, ...]] = []
    for entry in entries:
        sign = "!" if entry.problem else "◆" if entry.is_load_test else "◇"
        role = "bad" if entry.problem else ""
        rows.append(((f"{sign} {visible(entry.name or short_path(entry.file), 60)}", role),
                     (visible(entry.origin, 10), "dim")))  # fmt: skip
    if searched:
        empty = "Nothing matches; press Esc to clear."
    else:
        empty = "No scenarios found. Put one into ./scenarios."
    return Table.of(COLUMNS, rows, empty=empty)


def entry_rows(entry: Entry) -> list[Row]:
    """What is known of an entry without running its code."""
    kind = "load test" if entry.is_load_test else "scenario without a load test"
    rows: list[Row] = [
        ((visible(entry.name or short_path(entry.file), 80), "title"),),
        ((f"{kind} · {visible(short_path(entry.file), 100)}:{entry.line}", "dim"),),
        (),
    ]
    if entry.problem:
        rows.append(((visible(entry.problem), "bad"),))
        return rows
    if entry.doc:
        rows.extend(((visible(line), ""),) for line in entry.doc.strip().split("\n")[:12])
        rows.append(())
    return rows


def led_to(plan: Plan, target: str) -> Plan:
    """The plan in a demo: services at the bundled target's usual address are led to `target`."""
    services = [
        msgspec.structs.replace(service, base_url=target)
        if target and service.base_url.rstrip("/") == TARGET_URL
        else service
        for service in plan.services
    ]
    return msgspec.structs.replace(plan, services=services)


def plan_rows(plan: Plan) -> list[Row]:
    """Services and populations of a resolved plan."""
    rows: list[Row] = [(("Services", "heading"),)]
    for service in plan.services:
        url = visible(service.base_url, 120) or "asked for at launch"
        rows.append(((f"  {visible(service.name, 24)}  ", ""), (url, "value")))
    rows += [(), (("Plan", "heading"),)]
    for population in plan.populations:
        rows.append(
            (
                (f"  {visible(population.name, 24)}  ", ""),
                (population_words(population), "value"),
            )
        )
        if population.doc:
            rows.append(((f"    {visible(population.doc, 160)}", "dim"),))
    extra = []
    if plan.warmup_s:
        extra.append(f"first {show_duration(plan.warmup_s)} warm-up, measured apart")
    if plan.timeout_s:
        extra.append(f"ends after {show_duration(plan.timeout_s)} at the latest")
    rows.extend(((f"  {text}", "dim"),) for text in extra)
    return rows


def population_words(population: PopulationPlan) -> str:
    """`50 sessions for 10 s, started over 2 s`."""
    count = population.sessions
    noun = "session" if count == 1 else "sessions"
    words = f"{show_count(count)} {noun} {profile_words(population.profile)}"
    return f"{words}, fresh each iteration" if population.fresh else words


def profile_words(profile: LoadProfile) -> str:
    """How sessions end and start, in words."""
    if profile.duration_s is not None:
        words = f"for {show_duration(profile.duration_s).replace('m00s', 'm')}"
    elif profile.iterations is not None:
        words = f"for {show_count(profile.iterations)} iterations each"
    elif profile.shared_iterations is not None:
        words = f"for {show_count(profile.shared_iterations)} iterations together"
    else:
        words = "once"
    if profile.ramp_up_s:
        words += f", started over {show_duration(profile.ramp_up_s)}"
    return words

"""Figures as people read them: the tiles, the state line and the generator's health.

A percentile with fewer than ten samples above it is marked with `*`.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaperon_engine import (
    HealthView,
    Percentiles,
    Snapshot,
    Totals,
    show_bytes,
    show_count,
    show_duration,
    show_us,
    visible,
)
from chaperon_tui.state.store import RunStore, shows_messages

_SHARES = {"p50": 0.5, "p75": 0.25, "p90": 0.1, "p95": 0.05, "p99": 0.01, "p99_9": 0.001}
_MIN_ABOVE = 10

SIGNS = {"good": "●", "degraded": "▲", "saturated": "■"}
"""A sign for each verdict, so that it reads without colour."""


@dataclass(frozen=True)
class Tile:
    """One big figure."""

    title: str
    value: str
    note: str = ""
    short_note: str = ""
    """Instead of the note where that has no room."""
    extra: str = ""
    """Beside the value where there is room."""
    role: str = ""
    """`bad` when it speaks of failures, else empty."""


EMPTY_TILES = tuple(
    Tile(title, "–") for title in ("Requests/s", "p50", "p95", "p99", "Failed", "In flight")
)
"""Before the first snapshot."""


def show_value(value: float, unit: str) -> str:
    """A figure of a series in at most eight cells: a time, a size, or a number of the series' own
    unit, which is then named beside it (`unit_words`)."""
    if unit == "us":
        return show_us(value)
    if unit == "B":
        return show_bytes(value)
    return show_count(value) if abs(value) >= 9999.5 else f"{value:.4g}"


def unit_words(unit: str) -> str:
    """` [points]` behind the name of a series whose figures do not say their unit."""
    return "" if unit in ("", "us", "B") else f" [{visible(unit, 12)}]"


def percentile(latency: Percentiles, name: str, unit: str = "us") -> str:
    """`12.3 ms`, `12.3 ms*` with too few samples above it, `–` without any."""
    if not latency.count:
        return "–"
    value = show_value(getattr(latency, name), unit)
    share = _SHARES.get(name)
    is_thin = share is not None and latency.count * share < _MIN_ABOVE
    return f"{value}*" if is_thin else value


def column_percentile(latency: Percentiles, name: str, unit: str = "us") -> str:
    """As `percentile`, with room for the mark, so that units stand below each other."""
    text = percentile(latency, name, unit)
    return text if text.endswith("*") else f"{text} "


def share(part: float, whole: float) -> str:
    """`0 %`, `0.02 %`, `12 %`; never rounded down to 0 or up to 100."""
    if not whole or not part:
        return "0 %"
    value = 100.0 * part / whole
    if value < 0.01:
        return "<0.01 %"
    if value < 1:
        return f"{value:.2g} %"
    if 99.5 <= value < 100:
        return ">99 %"
    return f"{value:.0f} %"


def tiles(snapshot: Snapshot, *, interval: bool) -> tuple[Tile, ...]:
    """The six tiles, of the last second or of the whole run."""
    if shows_messages(snapshot):
        return _message_tiles(snapshot, interval=interval)
    totals = snapshot.totals
    latency = snapshot.latency_now if interval else snapshot.latency
    if interval:
        rate = snapshot.requests_per_s
        failed = f"{show_count(snapshot.failed_per_s)}/s"
        is_failing = snapshot.failed_per_s > 0
    else:
        rate = (totals.ok + totals.failed) / snapshot.measured_s if snapshot.measured_s else 0.0
        failed = show_count(totals.failed)
        is_failing = totals.failed > 0
    done = totals.ok + totals.failed
    active = show_count(snapshot.sessions.active)
    part = share(totals.failed, done) if totals.failed else ""
    errors = f"+{show_count(totals.http_errors)} HTTP" if totals.http_errors else "no HTTP err"
    return (
        Tile("Requests/s", show_count(rate), f"{show_count(totals.requests)} sent",
             extra=_beside(snapshot, interval=interval)),
        *_percentile_tiles(latency),
        Tile("Failed", failed, errors, extra=part,
             role="bad" if is_failing or totals.http_errors else ""),
        Tile("In flight", show_count(totals.in_flight), f"{active} sessions", f"{active} sess."),
    )  # fmt: skip


def _message_tiles(snapshot: Snapshot, *, interval: bool) -> tuple[Tile, ...]:
    """The same of messages; times are those of round trips."""
    totals = snapshot.messages
    failed = snapshot.messages_now.failed if interval else totals.failed
    trip = snapshot.round_trip_now if interval else snapshot.round_trip
    active = show_count(snapshot.sessions.active)
    sent, received = show_count(totals.sent), show_count(totals.received)
    return (
        Tile("Messages/s", show_count(_messages_per_s(snapshot, interval=interval)),
             f"{sent} sent, {received} received",
             f"{show_count(totals.messages)} in all"),
        *_percentile_tiles(trip, "RTT "),
        Tile("Failed", show_count(failed) + ("/s" if interval else ""),
             f"{show_bytes(totals.bytes_in)} in", role="bad" if failed else ""),
        Tile("Sockets", show_count(totals.open), f"{active} sessions", f"{active} sess."),
    )  # fmt: skip


def _percentile_tiles(latency: Percentiles, what: str = "") -> tuple[Tile, ...]:
    return (
        Tile(f"{what}p50", percentile(latency, "p50"), f"p75 {percentile(latency, 'p75')}"),
        Tile(f"{what}p95", percentile(latency, "p95"), f"p90 {percentile(latency, 'p90')}"),
        Tile(f"{what}p99", percentile(latency, "p99"), f"max {percentile(latency, 'max')}"),
    )


def _messages_per_s(snapshot: Snapshot, *, interval: bool) -> float:
    """Sent and received, in the last second or over the measured window."""
    if interval:
        return snapshot.messages_now.messages
    return snapshot.messages.messages / snapshot.measured_s if snapshot.measured_s else 0.0


def _beside(snapshot: Snapshot, *, interval: bool) -> str:
    """What goes over WebSockets, beside the requests of a run that has both."""
    if not snapshot.messages.are_there:
        return ""
    return f"+{show_count(_messages_per_s(snapshot, interval=interval))} msg/s"


@dataclass(frozen=True)
class Progress:
    """State and progress of a run."""

    title: str
    state: str
    """One or two words: `running`, `stopping` ..."""
    text: str
    """`6 s of 10 s`."""
    share: float | None
    """0 to 1; None if the end is not known."""
    is_over: bool = False
    is_partial: bool = False
    """Something is missing in what was measured; the log says what."""


_STATES = {
    "starting": "starting",
    "warmup": "warming up",
    "running": "running",
    "draining": "draining",
    "finished": "finished",
}


def progress(store: RunStore) -> Progress:
    """Where the run stands."""
    title = visible(store.plan.load_test, 40)
    snapshot = store.snapshot
    if store.lost:
        lost = "connection lost" if store.where else "engine lost"
        return Progress(title, lost, "", None, is_over=True)
    if snapshot is None:
        return Progress(title, "connecting", "", None)
    state = _STATES.get(snapshot.state, visible(snapshot.state, 16))
    if snapshot.state == "finished":
        state = visible(snapshot.status or "finished", 16)
    elif store.is_stopping:
        state = "stopping"
    elapsed = show_time(snapshot.elapsed_s)
    is_over, is_partial = snapshot.state == "finished", snapshot.partial
    if snapshot.planned_s:
        part = snapshot.elapsed_s / snapshot.planned_s
        text = f"{elapsed} of {show_time(snapshot.planned_s)}"
        return Progress(title, state, text, min(part, 1.0), is_over, is_partial)
    done = snapshot.sessions.started - snapshot.sessions.active
    if snapshot.sessions.planned:
        part = done / snapshot.sessions.planned
        text = f"{elapsed} · {show_count(done)} of {show_count(snapshot.sessions.planned)} sessions"
        return Progress(title, state, text, part, is_over, is_partial)
    return Progress(title, state, elapsed, None, is_over, is_partial)


def show_time(value_s: float) -> str:
    """Time since the start, whole seconds: `6 s`, `2m`, `1m30s`."""
    if value_s < 60:
        return f"{int(value_s)} s"
    if value_s < 3600 and int(value_s) % 60 == 0:
        return f"{int(value_s) // 60}m"
    return show_duration(value_s)


@dataclass(frozen=True)
class HealthLine:
    """The generator's verdict on itself."""

    verdict: str
    """`good`, `degraded` or `saturated`: what role it is drawn in."""
    text: str
    """The verdict in plain words."""
    note: str
    """Figures, for the right side."""
    partial: str = ""
    """The newest reason why something is missing in what was measured; empty: nothing is."""


_ADVICE = {
    "degraded": "latencies may include delays of this machine",
    "saturated": "this machine is the bottleneck, not the target: add workers or lower the load",
}


def health_line(store: RunStore) -> HealthLine:
    """Health now; after trouble, also the worst so far."""
    snapshot = store.snapshot
    if store.lost:
        return HealthLine("saturated", f"■ {visible(store.lost)}", "")
    if store.outage:
        # The figures below are those of the last snapshot.
        partial = "" if snapshot is None else partial_words(snapshot)
        return HealthLine("degraded", f"▲ No connection: {visible(store.outage)}", "", partial)
    if snapshot is None:
        return HealthLine("good", "○ Waiting for the engine", "")
    health = snapshot.health
    sign = SIGNS.get(health.verdict, "●")
    if health.verdict in _ADVICE:
        reason = f": {visible(health.reason, 100)}" if health.reason else ""
        text = f"{sign} Generator {health.verdict}{reason}; {_ADVICE[health.verdict]}"
    elif health.worst in _ADVICE:
        text = f"{sign} Generator good now, {worst_words(health)}"
    else:
        text = f"{sign} Generator good"
    verdict = health.verdict if health.verdict in SIGNS else "good"
    return HealthLine(verdict, text, load_words(snapshot), partial_words(snapshot))


def partial_words(snapshot: Snapshot) -> str:
    """`Partial: agent west is lost`; of several reasons the newest, which is numbered."""
    reasons = snapshot.reasons
    if not snapshot.partial or not reasons:
        return ""
    number = f" ({len(reasons)} reasons)" if len(reasons) > 1 else ""
    return f"Partial{number}: {visible(reasons[-1], 400)}"


def worst_words(health: HealthView) -> str:
    """`was saturated in 12 % of the time, first after 4 s`."""
    first, part = health.first_degraded_s, health.degraded_share
    if health.worst == "saturated":
        first, part = health.first_saturated_s, health.saturated_share
    since = "" if first is None else f", first after {show_time(first)}"
    return f"was {visible(health.worst, 16)} in {share(part, 1.0)} of the time{since}"


def load_words(snapshot: Snapshot) -> str:
    """`CPU 62 % · lag 0.3 ms · 4 workers` of the worst worker."""
    members = snapshot.members
    if not members.count:
        return ""
    count = members.cores
    text = (
        f"CPU {members.cpu * 100:.0f} % · lag {show_us(members.lag_p99_us)} · "
        f"{show_count(count)} worker{'s' if count > 1 else ''}"
    )
    for word, gone in (("lost", members.lost), ("away", members.away)):
        text += f", {show_count(gone)} {word}" if gone else ""
    return text


def traffic_words(totals: Totals) -> str:
    """`12.3k requests, 4.2 MiB in, 1.1 MiB out`."""
    return (
        f"{show_count(totals.requests)} requests, {show_bytes(totals.bytes_in)} in, "
        f"{show_bytes(totals.bytes_out)} out"
    )

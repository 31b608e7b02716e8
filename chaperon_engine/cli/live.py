"""The line that tells how a run is doing, from a snapshot. Pure."""

from __future__ import annotations

from chaperon_engine.metrics.snapshot import Percentiles, Snapshot
from chaperon_engine.text import visible
from chaperon_engine.units import show_count, show_duration, show_us

_FIRST_SECOND_KNOWN_S = 2.0
"""By then the first second's figures have come; until then there is no rate, not one of 0."""


def live_line(snapshot: Snapshot) -> str:
    """One line, the most important first: it is cut at its end when the terminal is narrow."""
    totals = snapshot.totals
    parts = [f"{snapshot.state} {_progress(snapshot)}"]
    if totals.requests or totals.failed:
        parts += _requests(snapshot)
    if snapshot.messages.are_there:
        parts += _messages(snapshot)
    elif not (totals.requests or totals.failed):
        parts.append("no requests or messages yet")
    if snapshot.sessions.started:
        parts.append(f"{show_count(snapshot.sessions.active)} sessions")
    health = snapshot.health
    if health.verdict != "good":
        reason = f" ({visible(health.reason)})" if health.reason else ""
        parts.insert(1, f"GENERATOR {health.verdict.upper()}{reason}")
    if snapshot.partial:
        parts.insert(1, "PARTIAL")
    return "  ".join(parts)


def _requests(snapshot: Snapshot) -> list[str]:
    totals = snapshot.totals
    parts = [f"{show_count(totals.requests)} requests"]
    parts += _rate(snapshot, snapshot.requests_per_s)
    parts += _percentiles(snapshot.latency_now)
    parts.append(f"{show_count(totals.failed)} failed")
    if totals.http_errors:
        parts.append(f"{show_count(totals.http_errors)} HTTP errors")
    return parts


def _messages(snapshot: Snapshot) -> list[str]:
    """Messages of WebSockets; times are those of round trips."""
    totals, now = snapshot.messages, snapshot.messages_now
    parts = [f"{show_count(totals.messages)} messages"]
    parts += _rate(snapshot, now.messages)
    parts += _percentiles(snapshot.round_trip_now)
    if totals.failed or not snapshot.totals.requests:
        parts.append(f"{show_count(totals.failed)} failed")
    parts.append(f"{show_count(totals.open)} sockets")
    return parts


def _rate(snapshot: Snapshot, per_s: float) -> list[str]:
    is_known = per_s or snapshot.elapsed_s >= _FIRST_SECOND_KNOWN_S
    return [f"{show_count(per_s)}/s"] if is_known else []


def _percentiles(latency: Percentiles) -> list[str]:
    if not latency.count:
        return []
    return [f"p50 {show_us(latency.p50)}", f"p99 {show_us(latency.p99)}"]


def _progress(snapshot: Snapshot) -> str:
    elapsed = _clock(snapshot.elapsed_s)
    if snapshot.planned_s is None:
        return elapsed
    return f"{elapsed}/{show_duration(snapshot.planned_s)}"


def _clock(elapsed_s: float) -> str:
    """Whole seconds below a minute: the line must not dance."""
    return f"{round(elapsed_s)} s" if elapsed_s < 59.5 else show_duration(elapsed_s)

"""`chaperon try`: one session once, every exchange shown as it happens.

Owns: how the events of a trial look. Must not know how a trial is run. All text of an event is
visible already.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from contextlib import aclosing

from chaperon_engine.cli.requesting import existing_file, scenario_file
from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client.trial import trial
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import EXIT_EXPORT_FAILED, EXIT_OK
from chaperon_engine.export.layout import Style, cut, paint, plural
from chaperon_engine.units import show_bytes, show_us
from chaperon_engine.worker.trial_events import (
    TrialCheck,
    TrialEvent,
    TrialException,
    TrialFailure,
    TrialFinished,
    TrialLog,
    TrialRequest,
    TrialResponse,
    TrialSocket,
    TrialStarted,
)

EXIT_TRIAL_FAILED = EXIT_EXPORT_FAILED
"""Something in the trial failed: a request, a check, the scenario itself."""

_INDENT = " " * 10
_NOT_CLOSED = 1006


def try_once(arguments: Namespace) -> int:
    """Print one session with every exchange; answers 0 when nothing in it failed."""
    file, name = scenario_file(arguments.file)
    request = LaunchRequest(
        file=file,
        name=name,
        overrides=arguments.set,
        config_file=existing_file(arguments.config, "the config file"),
        seed=arguments.seed,
        preflight=not arguments.no_preflight,
    )
    return asyncio.run(_try(request, Terminal(), full=arguments.full))


async def _try(request: LaunchRequest, terminal: Terminal, *, full: bool) -> int:
    code = EXIT_TRIAL_FAILED
    async with aclosing(trial(request)) as events:
        async for event in events:
            shown = show_event(event, width=terminal.width, color=terminal.color, full=full)
            terminal.write(shown)
            if isinstance(event, TrialFinished) and event.ok:
                code = EXIT_OK
    return code


def show_event(event: TrialEvent, *, width: int, color: bool, full: bool = False) -> str:
    """One event in one or more lines. Pure."""
    lines: list[tuple[str, Style]] = list(_lines(event, width, full))
    return "\n".join(paint(line, style, color) for line, style in lines)


def _lines(event: TrialEvent, width: int, full: bool) -> Iterator[tuple[str, Style]]:
    at = f"{event.at_s:7.3f}  {_child(event)}"
    match event:
        case TrialStarted():
            urls = "  ".join(f"{name}={url}" for name, url in event.services.items())
            yield f"{event.load_test}  one session of {', '.join(event.populations)}", "bold"
            yield f"  {urls}", "dim"
        case TrialRequest():
            yield f"{at}→ {event.number}  {event.method} {event.url}", "bold"
            yield from _message(event, width, full)
        case TrialResponse():
            style: Style = "green" if event.expected else "red"
            word = "" if event.expected else "  UNEXPECTED"
            status = f"{event.status} {event.reason}".rstrip()
            yield f"{at}← {event.number}  {status}{word}  {_timings(event.timings_us)}", style
            for hop in event.redirects:
                yield f"{_INDENT}redirect {hop}", "dim"
            yield from _message(event, width, full)
        case TrialSocket():
            sign = {"sent": "→", "received": "←"}.get(event.what, "×")
            words = f"closed {event.close_code}" if event.what == "ended" else event.kind
            size = f"  {show_bytes(event.body_bytes)}" if event.what != "ended" else ""
            style = "yellow" if event.close_code == _NOT_CLOSED else ""
            yield f"{at}{sign} {event.number}  {words}{size}", style
            rows = [row for row in event.body.split("\n") if row.strip()]
            for row in rows if full else rows[:1]:
                yield (f"{_INDENT}{row}" if full else cut(f"{_INDENT}{row}", width)), ""
        case TrialFailure():
            yield f"{at}✗ {event.number}  {event.code} ({event.origin}): {event.message}", "red"
        case TrialCheck():
            word = "passed" if event.passed else "FAILED"
            reason = f": {event.reason}" if event.reason else ""
            yield f"{at}check {word}  {event.name}{reason}", "green" if event.passed else "red"
        case TrialException():
            place = f" at {event.file}:{event.line}" if event.file else ""
            yield f"{at}! {event.type}{place} in {event.where}: {event.message}", "red"
            for line in event.traceback.rstrip("\n").split("\n"):
                if line:
                    yield f"{_INDENT}{line}", ""
        case TrialLog():
            yield f"{at}{event.level}: {event.text}", "yellow" if event.level == "warning" else ""
        case TrialFinished():
            yield "", ""
            yield event.verdict, "green" if event.ok else "red"
            yield _counts(event), ""


def _child(event: TrialEvent) -> str:
    """`[search-0] ` for what a child session did; its id begins with its parent's."""
    who = getattr(event, "session", "") or getattr(event, "source", "")
    child = who.partition("/")[2]
    return f"[{child}] " if child else ""


def _message(
    event: TrialRequest | TrialResponse, width: int, full: bool
) -> Iterator[tuple[str, Style]]:
    """Head and body; without `full` only what kind of body it is and how it begins."""
    if full:
        for name, value in event.headers:
            yield f"{_INDENT}{name}: {value}", "dim"
    if not event.body_bytes:
        return
    kinds = [value for name, value in event.headers if name.lower() == "content-type"]
    size = show_bytes(event.body_bytes)
    yield f"{_INDENT}{size}{f' {kinds[0]}' if kinds and not full else ''}", "dim"
    rows = [row for row in event.body.split("\n") if row.strip()]
    if full:
        yield from ((f"{_INDENT}{row}", "") for row in rows)
    elif rows:
        yield cut(f"{_INDENT}{rows[0]}", width), ""
        if len(rows) > 1:
            yield f"{_INDENT}… {plural(len(rows) - 1, 'more line')} (--full shows all)", "dim"


def _timings(timings_us: dict[str, float]) -> str:
    """`12.3 ms (connect 0.2 ms, first byte 12.1 ms)`: the whole, and the parts that took time."""
    parts = [
        f"{name.replace('_', ' ')} {show_us(value)}"
        for name, value in timings_us.items()
        if name not in ("total", "service") and value
    ]
    whole = timings_us.get("service") or timings_us.get("total") or 0.0
    return show_us(whole) + (f" ({', '.join(parts)})" if parts else "")


def _counts(event: TrialFinished) -> str:
    sockets = (
        f"{plural(event.sockets, 'WebSocket')}, {event.sockets_failed:,} failed, "
        f"{plural(event.messages_sent, 'message')} sent, {event.messages_received:,} received; "
    )
    return (
        f"{plural(event.requests, 'request')}, {event.failed:,} failed, "
        f"{plural(event.http_errors, 'HTTP error')}; "
        f"{sockets if event.sockets else ''}"
        f"{plural(event.checks_passed, 'check')} passed, {event.checks_failed:,} failed; "
        f"{plural(event.iterations, 'iteration')}, {event.iterations_failed:,} failed"
    )

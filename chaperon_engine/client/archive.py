"""Runs that are there already: find them, attach to them, read, export, recover, remove.

Must not know: how a run is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from chaperon_engine.client.connection import RunClient, socket_of
from chaperon_engine.errors import (
    EXIT_EXPORT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO_SESSION,
    EXIT_OK,
    EngineError,
    UserError,
)
from chaperon_engine.metrics.snapshot import Snapshot, WindowSummary
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.runs.directory import RunDirectory, all_runs
from chaperon_engine.runs.listing import delete_run, list_runs, load_report, prune_runs
from chaperon_engine.runs.record import read_record
from chaperon_engine.runs.report import Report

if TYPE_CHECKING:
    from chaperon_engine.export import ExportFormat

__all__ = [
    "attach",
    "check_exports",
    "delete_run",
    "exit_code",
    "export_format",
    "export_formats",
    "export_report",
    "final_report",
    "list_runs",
    "load_report",
    "load_window",
    "prune_runs",
    "recover",
]

ATTACH_TIMEOUT_S = 10.0


async def attach(
    run: str | None = None, *, on_gathering: Callable[[Gathering], None] | None = None
) -> RunClient:
    """Connect to a running run: its id, a unique prefix, or None for the newest that runs.

    Answers when its load has begun; with `on_gathering`, which hears how far its agents are, it
    waits for them as long as the run does. Never takes a lease.

    Raises UserError, which says so when the run was killed or is finished.
    """
    directory = _newest_running() if run is None else RunDirectory.find(run)
    state = directory.state()
    if state == "finished":
        raise UserError(
            f"{directory.id} is finished: `chaperon report {directory.id}` shows its report"
        )
    if state == "killed":
        raise UserError(
            f"the engine of {directory.id} was killed: `chaperon recover {directory.id}` makes "
            "its report"
        )
    socket = socket_of(directory, read_record(directory).socket)
    try:
        async with asyncio.timeout(ATTACH_TIMEOUT_S) as limit:

            def gathered(gathering: Gathering) -> None:
                if on_gathering is not None:
                    limit.reschedule(None)  # it lives; its own time-out ends the wait
                    on_gathering(gathering)

            return await RunClient.open(
                directory, socket, lease=False, timeout_s=None, on_gathering=gathered
            )
    except (OSError, TimeoutError):
        raise UserError(f"the engine of {directory.id} does not answer at {socket}") from None


def _newest_running() -> RunDirectory:
    unfinished = [(run, run.state()) for run in reversed(all_runs())]
    for directory, state in unfinished:
        if state == "running":
            return directory
    killed = [directory.id for directory, state in unfinished if state == "killed"]
    if killed:
        raise UserError(
            f"no run is running, but {killed[0]} was killed: `chaperon recover {killed[0]}` makes "
            "its report"
        )
    raise UserError("no run is running: `chaperon runs` lists the former ones")


def recover(run: str) -> Report:
    """Make and keep the report of a run whose engine was killed, from its journal.

    `report.run.reasons` says what it lacks. Raises UserError.
    """
    # Whoever only lists runs should not wait for the whole of metrics to be loaded.
    from chaperon_engine.runs import recovery

    return recovery.recover(run)


def load_window(run: str, start_s: int, end_s: int) -> WindowSummary | None:
    """Totals and percentiles of the whole seconds [start_s, end_s) of a run that has ended, exact,
    from its journal; None when nothing lies in them. Raises UserError."""
    from chaperon_engine.runs.window import read_window

    directory = RunDirectory.find(run)
    return read_window(directory.journal, read_record(directory).plan, start_s, end_s)


def export_formats() -> list[str]:
    """Names of all export formats, sorted."""
    from chaperon_engine import export

    return export.formats()


def export_format(format: str) -> ExportFormat:
    """What a person must know of a format: destination, options, or why it cannot be used."""
    from chaperon_engine import export

    return export.describe(format)


def check_exports(
    exports: Mapping[str, str], options: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Refuse destinations by format, and their options, that could not work after a run.

    Without network. Raises UserError with one sentence, the nearest name included.
    """
    from chaperon_engine import export

    export.check(exports, options)


def export_report(
    report: Report, format: str, destination: str | Path | None = None, **options: object
) -> str:
    """Export `report` in `format` and answer where it is now: a path, or a URL.

    Without a destination: the default path, or the one in the settings file. Options are those of
    `export_format(format).options`, with `_` for `-`: `separator=";"`, `token_env="MY_TOKEN"`.
    Raises ExportError, which is a UserError.
    """
    from chaperon_engine import export

    return export.write(report, format, destination, options=option_texts(options))


def option_texts(options: Mapping[str, object]) -> dict[str, str]:
    """Options of a call as an exporter is told them."""
    return {
        name.replace("_", "-"): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
    }


def final_report(snapshot: Snapshot) -> Report:
    """The report of a run by its last snapshot, also when it could not be written to its directory.

    Raises EngineError with the reasons when there is none, and UserError.
    """
    if snapshot.report_path:
        return load_report(snapshot.run_id)
    if snapshot.unkept_report:
        return msgspec.json.decode(snapshot.unkept_report, type=Report)
    raise EngineError("; ".join(snapshot.reasons) or f"the run {snapshot.run_id} left no report")


def exit_code(report: Report, *, export_failed: bool = False) -> int:
    """The exit code that a front door ends with after this run."""
    if report.run.status == "failed":
        if report.sessions.started > 0 and report.iterations.started == 0:
            return EXIT_NO_SESSION
        return EXIT_EXPORT_FAILED
    if report.run.status in ("stopped", "aborted"):
        return EXIT_INTERRUPTED
    return EXIT_EXPORT_FAILED if export_failed else EXIT_OK

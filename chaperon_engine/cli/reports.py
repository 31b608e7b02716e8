"""`chaperon report`, `runs` and `recover`: what is left of former runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import timedelta

from chaperon_engine import export
from chaperon_engine.cli.requesting import export_options, exports
from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client.archive import recover as recover_run
from chaperon_engine.errors import EXIT_EXPORT_FAILED, EXIT_OK, UserError
from chaperon_engine.export.json import encode_report
from chaperon_engine.export.layout import Style, plural, table
from chaperon_engine.export.summary import render
from chaperon_engine.runs.listing import (
    RunSummary,
    delete_run,
    list_runs,
    load_report,
    prune_runs,
)
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible
from chaperon_engine.units import show_bytes

_STATE_STYLES: dict[str, Style] = {"running": "cyan", "killed": "red"}


def report(arguments: Namespace) -> int:
    """Print or export the report of a run."""
    destinations, options = exports(arguments.out), export_options(arguments.out_option)
    export.check(destinations, options)
    found = load_report(arguments.run or _newest_finished())
    if arguments.json:
        sys.stdout.buffer.write(encode_report(found))
        sys.stdout.buffer.flush()
    written = export.write_all(found, destinations, options)
    if not arguments.json:
        _print_report(found, written.places)
    for format, problem in written.errors.items():
        print(f"chaperon: {visible(format, 60)}: {visible(problem, 2000)}", file=sys.stderr)
    return EXIT_EXPORT_FAILED if written.errors else EXIT_OK


def recover(arguments: Namespace) -> int:
    """Make the report of a killed run and print it."""
    _print_report(recover_run(arguments.run, arguments.agent_journal), {})
    return EXIT_OK


def runs(arguments: Namespace) -> int:
    """List, remove or prune runs."""
    terminal = Terminal()
    if arguments.action == "rm":
        for run in arguments.run:
            delete_run(run)
            terminal.write(f"removed {visible(run, 100)}")
    elif arguments.action == "prune":
        _prune(arguments, terminal)
    else:
        terminal.write(show_runs(list_runs(), terminal.width, terminal.color))
    return EXIT_OK


def show_runs(summaries: Sequence[RunSummary], width: int, color: bool) -> str:
    """The table of runs with their sizes. Pure."""
    if not summaries:
        return "No runs yet.\n"
    rows = [
        [
            visible(run.id, 60),
            visible(run.load_test, 30),
            run.status or run.state,
            visible(run.started_at[:19].replace("T", " "), 19),
            visible(run.tag, 20) or "-",
            show_bytes(run.size_bytes),
        ]
        for run in summaries
    ]
    header = ["run", "load test", "state", "started (UTC)", "tag", "size"]
    styles = [_STATE_STYLES.get(run.state, "") for run in summaries]
    lines = table(
        header, rows, width=width, color=color, left=5, flexible=1, styles=styles, indent=0
    )
    total = show_bytes(sum(run.size_bytes for run in summaries))
    killed = sum(run.state == "killed" for run in summaries)
    more = f", {killed} killed: `chaperon recover RUN` makes their reports" if killed else ""
    count = plural(len(summaries), "run")
    return "\n".join([*lines, "", f"{count}, {total}{more}"]) + "\n"


def _prune(arguments: Namespace, terminal: Terminal) -> None:
    keep, older_than = arguments.keep, arguments.older_than
    if keep is None and older_than is None:
        raise UserError("prune needs --keep N, --older-than D or both")
    limit = None if older_than is None else timedelta(seconds=older_than)
    removed = prune_runs(keep=keep or 0, older_than=limit)
    for run in removed:
        terminal.write(f"removed {run}")
    if not removed:
        terminal.write("nothing to remove")


def _newest_finished() -> str:
    for run in list_runs():
        if run.state == "finished":
            return run.id
    raise UserError("there is no finished run yet; `chaperon runs` lists all runs")


def _print_report(found: Report, files: dict[str, str]) -> None:
    terminal = Terminal()
    terminal.write(render(found, width=terminal.width, color=terminal.color, files=files))

"""`chaperon list`: the entries of the menu as a table."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client import discover
from chaperon_engine.definition.plan import Entry
from chaperon_engine.errors import EXIT_OK, UserError
from chaperon_engine.export.layout import Style, table, wrap
from chaperon_engine.text import visible

_ORIGINS = {"project": "In this project", "user": "Your own", "bundled": "Bundled"}


def list_entries(arguments: Namespace) -> int:
    """Print the load tests and scenarios that there are."""
    terminal = Terminal()
    if arguments.path is None:
        entries = discover()
    else:
        path = Path(arguments.path).expanduser()
        if not path.exists():
            raise UserError(f"there is no file or folder {visible(path)}")
        entries = discover([path])
    terminal.write(show_entries(entries, Path.cwd(), terminal.width, terminal.color))
    return EXIT_OK


def show_entries(entries: Sequence[Entry], here: Path, width: int, color: bool) -> str:
    """The table of entries, and below it the files that cannot be used. Pure."""
    usable = [entry for entry in entries if not entry.problem]
    lines: list[str] = []
    for origin, title in _ORIGINS.items():
        group = [entry for entry in usable if entry.origin == origin]
        if group:
            rows = [_row(entry, here) for entry in group]
            header = [title, "kind", "services", "file", "description"]
            styles: list[Style] = []
            lines += table(
                header, rows, width=width, color=color, left=5, flexible=4, styles=styles, indent=0
            )
            lines.append("")
    if not usable:
        lines += ["No load test or scenario found; the README shows how to write one.", ""]
    for entry in entries:
        if entry.problem:
            text = f"! {visible(_short(entry.file, here))}: {visible(entry.problem)}"
            lines += wrap(text, width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(entry: Entry, here: Path) -> list[str]:
    services = " ".join(f"{name}={url}" for name, url in entry.services.items())
    # A run takes a whole path, so it is shown as far as it goes.
    return [
        visible(entry.name, 40),
        "load test" if entry.is_load_test else "scenario",
        visible(services, 40) or "-",
        f"{visible(_short(entry.file, here), 80)}:{entry.line}",
        visible(entry.doc.partition("\n")[0], 100),
    ]


def _short(file: str, here: Path) -> str:
    path = Path(file)
    return str(path.relative_to(here)) if path.is_relative_to(here) else file

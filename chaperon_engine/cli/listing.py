"""`chaperon list`: the entries of the menu as a table."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client.describing import discover
from chaperon_engine.definition.plan import Entry
from chaperon_engine.errors import EXIT_OK, UserError
from chaperon_engine.export.layout import paint, table, wrap
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
    """The table of entries by file, and below it the files that cannot be used. Pure."""
    usable = [entry for entry in entries if not entry.problem]
    lines: list[str] = []
    for origin, title in _ORIGINS.items():
        group = [entry for entry in usable if entry.origin == origin]
        if group:
            lines += [*_group(title, group, here, width, color), ""]
    if not usable:
        lines += ["No load test or scenario found; the README shows how to write one.", ""]
    for entry in entries:
        if entry.problem:
            text = f"! {visible(_short(entry.file, here), 1000)}: {visible(entry.problem)}"
            lines += wrap(text, width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _group(
    title: str, group: Sequence[Entry], here: Path, width: int, color: bool
) -> Iterator[str]:
    header = ["", "kind", "services", "description"]
    rows = [_row(entry) for entry in group]
    head, *body = table(header, rows, width=width, color=color, left=4, flexible=3)
    yield paint(title, "bold", color)
    yield head
    file = ""
    for entry, line in zip(group, body, strict=True):
        if entry.file != file:
            file = entry.file
            # Whole: it is what `chaperon run` wants.
            yield visible(_short(file, here), 1000)
        yield line


def _row(entry: Entry) -> list[str]:
    services = " ".join(f"{name}={url}" for name, url in entry.services.items())
    return [
        visible(entry.name, 40),
        "load test" if entry.is_load_test else "scenario",
        visible(services, 40) or "-",
        visible(entry.doc.partition("\n")[0], 100),
    ]


def _short(file: str, here: Path) -> str:
    path = Path(file)
    return str(path.relative_to(here)) if path.is_relative_to(here) else file

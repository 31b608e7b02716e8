"""The queue of load tests as a table, one entry in full, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import msgspec

from chaperon_engine import visible, visible_block
from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.state.hosts import host_of
from chaperon_tui.state.table import Cell, Column, Table

if TYPE_CHECKING:
    from chaperon_engine import LaunchRequest, QueueEntry

COLUMNS = (
    Column("position", "#", 3),
    Column("state", "State", 11, "left"),
    Column("name", "Load test", 0, "left", cut_middle=True),
    Column("tag", "Tag", 10, "left", cut_middle=True),
    Column("submitted", "Submitted", 11, "left"),
    Column("started", "Started", 11, "left", from_width=100),
    Column("ended", "Ended", 11, "left", from_width=130),
    Column("reason", "Reason", 0, "left"),
)

_SIGNS = {
    "queued": ("·", ""), "starting": ("▷", "key"), "running": ("▶", "key"),
    "finished": ("✓", "good"), "failed": ("✗", "bad"), "cancelled": ("■", "warn"),
}  # fmt: skip

_NAMES = 12
"""Cells of the names of what is said of one entry."""


def state_words(entry: QueueEntry) -> Cell:
    """Sign and word of what has become of an entry, and their role."""
    word = entry.state
    sign, role = _SIGNS["starting" if is_starting(entry) else word]
    return f"{sign} {'starting' if is_starting(entry) else word}", role


def is_starting(entry: QueueEntry) -> bool:
    """Its turn has come, but there is no run to look at yet."""
    return entry.state == "running" and not entry.run_id


def queue_table(entries: Sequence[QueueEntry], *, is_known: bool = True) -> Table:
    """One row an entry: what runs, what waits in its order, what has ended, the newest first.

    Without entries it says whether there are none or, unless `is_known`, nobody has told yet.
    """
    rows = [
        (
            (str(entry.position) if entry.position else "", "value"),
            state_words(entry),
            (visible(entry.name, 80), ""),
            (visible(entry.tag, 64), "dim"),
            (_minute(entry.submitted_at), "dim"),
            (_minute(entry.started_at), "dim"),
            (_minute(entry.ended_at), "dim"),
            (_first_line(entry.reason), "bad" if entry.state == "failed" else "dim"),
        )
        for entry in entries
    ]
    empty = "The queue is empty." if is_known else "What is in the queue is not known."
    return Table.of(COLUMNS, rows, empty=empty)


def count_words(entries: Sequence[QueueEntry]) -> str:
    """`1 running · 3 waiting · 12 ended · times in UTC`."""
    waiting = sum(entry.state == "queued" for entry in entries)
    running = sum(entry.state == "running" for entry in entries)
    ended = len(entries) - waiting - running
    return f"{running} running · {waiting} waiting · {ended} ended · times in UTC"


def entry_rows(entry: QueueEntry) -> list[Row]:
    """One entry in full."""
    words, role = state_words(entry)
    place = f", place {entry.position}" if entry.position else ""
    rows: list[Row] = [((visible(entry.name, 200), "title"), (f"  {words}{place}", role))]
    if entry.reason:
        lines = visible_block(entry.reason).split("\n")
        rows += [((line, "bad" if entry.state == "failed" else ""),) for line in lines]
    facts = (
        ("Tag", visible(entry.tag, 64)),
        ("Submitted", _second(entry.submitted_at)),
        ("Started", _second(entry.started_at)),
        ("Ended", _second(entry.ended_at)),
        ("Run", visible(entry.run_id, 100)),
    )
    return rows + [((pad(name, _NAMES), "dim"), (text, "")) for name, text in facts if text]


def attach_there_row(url: str, run_id: str) -> Row:
    """How to look at a run of a server on another machine."""
    return (
        ("It runs on ", "dim"), (visible(host_of(url), 80), "value"), (", where ", "dim"),
        (f"chaperon-tui attach {visible(run_id, 80)}", "value"), (" shows it.", "dim"),
    )  # fmt: skip


def place_of(entries: Sequence[QueueEntry], id: str) -> int | None:
    """Row of an entry; None when it is no longer listed."""
    return next((row for row, entry in enumerate(entries) if entry.id == id), None)


def with_moved(entries: Sequence[QueueEntry], moved: QueueEntry) -> list[QueueEntry]:
    """The entries as they stand after the server has put `moved` at its new position."""
    waiting = [entry for entry in entries if entry.state == "queued" and entry.id != moved.id]
    waiting.insert(moved.position - 1, moved)
    placed = [
        msgspec.structs.replace(entry, position=position)
        for position, entry in enumerate(waiting, 1)
    ]
    return [
        *(entry for entry in entries if entry.state == "running"),
        *placed,
        *(entry for entry in entries if entry.has_ended),
    ]


def for_queue(request: LaunchRequest, file_formats: Container[str], folder: str) -> LaunchRequest:
    """A launch as another process can make it: paths of exports begin in `folder`, not where the
    queue's server was started. The default paths stay the server's."""
    exports = {
        name: os.path.join(folder, where)
        if where and name in file_formats and not where.startswith("~")
        else where
        for name, where in request.exports.items()
    }
    return msgspec.structs.replace(request, exports=exports)


def _first_line(reason: str) -> str:
    first, _, rest = reason.strip().partition("\n")
    return visible(first) + (" …" if rest else "")


def _minute(at: str) -> str:
    """`11-21 20:04` of a time in ISO 8601."""
    return visible(at[5:16].replace("T", " "), 11)


def _second(at: str) -> str:
    """`2026-11-21 20:04:31 UTC`."""
    return visible(at[:19].replace("T", " "), 20) + " UTC" if at else ""

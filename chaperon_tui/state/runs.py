"""The list of former runs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaperon_engine import show_bytes, visible
from chaperon_tui.state.table import Cell, Column, Table

if TYPE_CHECKING:
    from chaperon_engine import RunSummary

COLUMNS = (
    Column("started", "Started (UTC)", 19, "left"),
    Column("load_test", "Load test", 0, "left"),
    Column("state", "State", 12, "left"),
    Column("tag", "Tag", 14, "left", from_width=100),
    Column("size", "Size", 9),
    Column("id", "Run", 34, "left", from_width=110),
)

_SIGNS = {
    "running": ("▶", "key"), "killed": ("✗", "bad"), "complete": ("✓", "good"),
    "stopped": ("■", "warn"), "aborted": ("■", "warn"), "failed": ("✗", "bad"),
}  # fmt: skip


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """One row a run, the newest first."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        state = run.status if run.state == "finished" and run.status else run.state
        sign, role = _SIGNS.get(state, ("·", ""))
        rows.append((
            (visible(run.started_at[:19].replace("T", " "), 20), ""),
            (visible(run.load_test, 80), ""),
            (f"{sign} {visible(state, 12)}", role),
            (visible(run.tag, 40), "dim"),
            (show_bytes(run.size_bytes), ""),
            (visible(run.id, 80), "dim"),
        ))  # fmt: skip
    return Table.of(COLUMNS, rows, empty="No runs yet.")

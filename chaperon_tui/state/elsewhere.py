"""What is said of a run that is watched from another machine."""

from __future__ import annotations

from chaperon_engine import visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.store import OWNER, RunStore


def role_words(store: RunStore) -> str:
    """`observer`, `operator · reconnecting`; empty on the run's own host."""
    words = [] if store.role == OWNER else [visible(store.role, 12)]
    if store.outage:
        words.append("RECONNECTING")
    return " · ".join(words)


def elsewhere_row(run_id: str, where: str) -> Row:
    """Where the files of a report are that came over the network."""
    return (
        ("Its file and journal lie on ", "dim"), (visible(where, 80), "value"),
        (": there, ", "dim"), (f"chaperon report {visible(run_id, 80)}", "value"),
    )  # fmt: skip

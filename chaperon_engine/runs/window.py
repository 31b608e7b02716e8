"""A marked time window of a run, summed up from its journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chaperon_engine.definition.plan import Plan
from chaperon_engine.metrics.model import Frame
from chaperon_engine.metrics.snapshot import WindowSummary
from chaperon_engine.metrics.window import window_summary
from chaperon_engine.runs.journal import FrameRecord, Header, JournalReader


def read_window(journal: Path, plan: Plan, start_s: int, end_s: int) -> WindowSummary | None:
    """Totals, percentiles and rows of the whole seconds [start_s, end_s); None when nothing lies
    in them. Raises UserError when there is no journal."""
    records = iter(JournalReader(journal))
    header = next(records, None)
    if not isinstance(header, Header):
        return None

    def frames() -> Iterator[Frame]:
        return (record.frame for record in records if isinstance(record, FrameRecord))

    try:
        return window_summary(frames(), header.start_ns, start_s, end_s, max_series=plan.max_series)
    except ValueError:
        return None

"""Horizontal bars: histograms and progress, with eighths of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaperon_tui.raster.cells import Row, pad, text_width

_EIGHTHS = "▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Bar:
    """One bar: text at the left, its size, text at the right."""

    label: str
    value: float
    note: str = ""
    role: str = "bar"


def bar_rows(bars: Sequence[Bar], width: int) -> list[Row]:
    """One row of exactly `width` cells for each bar; the longest fills the room."""
    left = max((text_width(bar.label) for bar in bars), default=0)
    right = max((text_width(bar.note) for bar in bars), default=0)
    room = width - left - right - 3
    peak = max((bar.value for bar in bars), default=0.0)
    if room < 1:
        return [((pad(f"{bar.label} {bar.note}", width), "label"),) for bar in bars]
    return [
        (
            (pad(bar.label, left, "right") + " ", "label"),
            ("│", "axis"),
            (pad(_bar(bar.value / peak if peak else 0.0, room), room), bar.role),
            (" " + pad(bar.note, right, "right"), "note"),
        )
        for bar in bars
    ]


def progress_bar(share: float, width: int) -> tuple[str, str]:
    """The done and the open part of a progress bar; together `width` cells."""
    done = round(min(max(share, 0.0), 1.0) * width)
    return "━" * done, "─" * (width - done)


def _bar(share: float, room: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * room * 8)
    if share > 0 and eighths == 0:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest - 1] if rest else "")

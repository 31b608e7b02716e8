"""Chart data of a run: what the raster draws, from its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaperon_engine import HEATMAP_EDGES_US, SeriesDetail, show_count, show_us
from chaperon_tui.raster.axis import (
    Axis,
    decades,
    durations,
    linear_axis,
    log_axis,
    nines,
    percentile_axis,
    time_axis,
)
from chaperon_tui.raster.bars import Bar, bar_rows
from chaperon_tui.raster.cells import Row
from chaperon_tui.raster.chart import Line, line_chart
from chaperon_tui.raster.heatmap import heatmap
from chaperon_tui.state.figures import share, show_value
from chaperon_tui.state.history import History, Step
from chaperon_tui.state.store import RunStore
from chaperon_tui.state.tables import VALUE_KINDS

SPANS: tuple[int | None, ...] = (None, 60, 300)
"""Time spans of the charts: the whole run, the last minute, the last five minutes."""
MARGINS = (7, 6)
"""Cells for the labels beside all charts over time, so that their plots stand below each other."""
LEAST_RATE_S = 0.5
"""A shorter part of a second says nothing about a rate."""


@dataclass(frozen=True)
class Subject:
    """What charts over time are about, in words."""

    short_rate: str
    rate: str
    time: str
    """What is timed."""
    heat: str
    """What the heatmap counts."""


REQUESTS = Subject("req/s", "requests/s", "service time", "responses by service time")
MESSAGES = Subject("msg/s", "messages/s", "round trip", "round trips by time")


def span_words(span: int | None) -> str:
    """`whole run`, `last 60 s`, `last 5 min`."""
    if span is None:
        return "whole run"
    return f"last {span} s" if span < 120 else f"last {span // 60} min"


def warmup_words(warmup_s: float) -> str:
    """What follows in the note of a chart: the sign of the warm-up, if there is one."""
    return " · ┅ warm-up" if warmup_s else ""


def time_range(history: History, planned_s: float | None, span: int | None, width: int) -> Axis:
    """The x axis: the plan's length while the run is shorter, the span when one is chosen."""
    ticks = max(2, width // 12)
    end = float(history.last_s + 1)
    if span is not None and end > span:
        return time_axis(end - span, end, ticks)
    return time_axis(0.0, max(end, planned_s or 10.0, 1.0), ticks)


def _middle(step: Step) -> float:
    return step.start_s + max(step.seconds, 1) / 2


@dataclass(frozen=True)
class Phases:
    """What of a run is not its measured window, for charts over time."""

    warmup_s: float = 0.0
    """Length of the warm-up; marked on the axis."""
    load_end_s: float | None = None
    """When the load ended, if it has: its last second may be a part of one."""

    def rate(self, step: Step) -> float | None:
        """Requests a second; None in the drain and where there was too little of a second."""
        length_s = float(step.load_s)
        if self.load_end_s is not None and step.start_s + length_s > self.load_end_s:
            length_s = self.load_end_s - step.start_s
        return step.load_requests / length_s if length_s >= LEAST_RATE_S else None


WHOLE = Phases()


def latency_chart(
    steps: Sequence[Step],
    x: Axis,
    width: int,
    height: int,
    marks: tuple[float, float] | None = None,
    phases: Phases = WHOLE,
) -> list[Row]:
    """p50, p95 and p99 of each second, logarithmic."""
    known = [step for step in steps if step.count]
    low = min((step.p50 for step in known), default=1000)
    high = max((step.p99 for step in known), default=10_000)
    y = log_axis(max(low, 1), max(high, 1), show_us, max(2, (height - 2) * 2 // 3), durations)
    lines = [
        Line(name, name, [
            (_middle(step), float(getattr(step, name)) if step.count else None) for step in steps
        ])
        for name in ("p99", "p95", "p50")
    ]  # fmt: skip
    return line_chart(lines, x, y, width, height, marks=marks, margins=MARGINS,
                      dotted_to=phases.warmup_s)  # fmt: skip


def rate_chart(
    steps: Sequence[Step],
    x: Axis,
    width: int,
    height: int,
    marks: tuple[float, float] | None = None,
    phases: Phases = WHOLE,
    subject: Subject = REQUESTS,
) -> list[Row]:
    """Requests, or messages, and failures a second."""
    sent = [(_middle(step), phases.rate(step)) for step in steps]
    bad = [
        (_middle(step), (step.failed + step.http_errors) / max(step.seconds, 1)) for step in steps
    ]
    top = max((value for _, value in sent if value is not None), default=0.0)
    y = linear_axis(max(top * 1.05, 10.0), max(1, min(4, (height - 2) // 2)), show_count)
    lines = [Line("rate", subject.short_rate, sent)]
    if any(value for _, value in bad):
        lines.append(Line("failed", "failed", bad))
    return line_chart(lines, x, y, width, height, marks=marks, margins=MARGINS,
                      dotted_to=phases.warmup_s)  # fmt: skip


def latency_heatmap(
    steps: Sequence[Step], x: Axis, width: int, height: int, phases: Phases = WHOLE
) -> list[Row]:
    """Responses by latency and second."""
    columns = [(float(step.start_s), step.heat) for step in steps if step.heat]
    return heatmap(columns, HEATMAP_EDGES_US, x, width, height, show_us,
                   dotted_to=phases.warmup_s)  # fmt: skip


class RunCharts:
    """The charts of a run that is going, over the time span that was chosen."""

    def __init__(self, store: RunStore):
        self._store = store
        self.span: int | None = None
        """The latest seconds to show; None for the whole run."""

    def next_span(self) -> None:
        """Whole run, last minute, last five minutes, and round again."""
        self.span = SPANS[(SPANS.index(self.span) + 1) % len(SPANS)]

    def latency(self, width: int, height: int) -> list[Row]:
        """Percentiles of the service time, or of round trips."""
        return latency_chart(self._steps, self._time(width), width, height, phases=self._phases)

    def rate(self, width: int, height: int) -> list[Row]:
        """Requests, or messages, and failures a second."""
        return rate_chart(self._steps, self._time(width), width, height, phases=self._phases,
                          subject=self.subject)  # fmt: skip

    def heat(self, width: int, height: int) -> list[Row]:
        """Responses by service time and second."""
        return latency_heatmap(self._steps, self._time(width), width, height, self._phases)

    @property
    def subject(self) -> Subject:
        """What the charts are about."""
        return MESSAGES if self._store.shows_messages else REQUESTS

    @property
    def _steps(self) -> Sequence[Step]:
        store = self._store
        history = store.message_history if store.shows_messages else store.history
        return history.span(self.span)

    @property
    def _phases(self) -> Phases:
        snapshot, warmup_s = self._store.snapshot, self._store.plan.warmup_s
        if snapshot is None or snapshot.state not in ("draining", "finished"):
            return Phases(warmup_s)
        return Phases(warmup_s, warmup_s + snapshot.measured_s)

    def _time(self, width: int) -> Axis:
        snapshot = self._store.snapshot
        planned_s = snapshot.planned_s if snapshot else self._store.plan.planned_s
        return time_range(self._store.history, planned_s, self.span, width)


_LEAST = 0.001
"""The least value above zero that a metric keeps."""


def spectrum_chart(detail: SeriesDetail, width: int, height: int) -> list[Row]:
    """Values by percentile, spread by the nines of the percentile."""
    points = [(p, v) for p, v in detail.spectrum if p < 100] or detail.spectrum
    if not points:
        return _nothing(detail)
    x, unit = percentile_axis(points[-1][0]), detail.row.key.unit
    high = max(value for _, value in points)
    low = min((value for _, value in points if value > 0), default=high)
    y = log_axis(
        max(low, _LEAST), max(high, _LEAST), lambda value: show_value(value, unit),
        max(2, (height - 2) * 2 // 3), durations if unit == "us" else decades,
    )  # fmt: skip
    line = Line("p99", "", [(nines(p), float(v)) for p, v in points])
    return line_chart([line], x, y, width, height)


def _nothing(detail: SeriesDetail) -> list[Row]:
    if detail.row.key.kind in VALUE_KINDS:
        text = "One number has no distribution."
    elif detail.row.latency.count:
        text = "The report keeps no histogram."
    else:
        text = "No values yet."
    return [((text, "dim"),)]


def histogram_words(detail: SeriesDetail, what: str) -> str:
    """The note of the histogram of `what`: whether it lacks the last values of the run."""
    missing = detail.row.latency.count - sum(count for _, count in detail.histogram)
    if detail.histogram and missing > 0:
        return f"{what} · last {show_count(missing)} missing"
    return f"how many by {what}"


def histogram_bars(detail: SeriesDetail, width: int) -> list[Row]:
    """Bars over the rows of the heatmap that hold something."""
    used = [index for index, (_, count) in enumerate(detail.histogram) if count]
    if not used:
        return _nothing(detail)
    unit = detail.row.key.unit
    shown = detail.histogram[used[0] : used[-1] + 1]
    total = sum(count for _, count in shown)
    bars = [
        Bar(f"≥ {show_value(edge, unit)}", count, f"{show_count(count)} {share(count, total):>7}")
        for edge, count in shown
    ]
    return bar_rows(bars, width)

"""The names and figures of a report as its text summary writes them. Pure.

Must not know tables or terminals. Foreign text passes `text.visible` here.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine.errors import ActionError
from chaperon_engine.export.layout import Style
from chaperon_engine.metrics.distinction import distinctions, kind_word
from chaperon_engine.metrics.summary import Distribution, ReportMetric
from chaperon_engine.text import visible
from chaperon_engine.units import show_bytes, show_count, show_duration, show_us

MAX_ROWS = 40
"""Rows of one table; the rest is in the report."""
THIN = "*"
"""Marks a percentile with fewer than 10 samples above it."""


def labels_of(metrics: Sequence[ReportMetric], kind: bool, session: bool) -> list[str]:
    """What the series of one table are called: with their kind and session where asked for, and
    with whatever else tells two of them apart."""
    labels = [_label_of(metric, kind) for metric in metrics]
    sessions = [metric.session if session else "" for metric in metrics]
    told = [f"{label} ({name})" for label, name in zip(labels, sessions, strict=True)]
    found = []
    for label, name, more in zip(labels, sessions, distinctions(told, metrics), strict=True):
        words = ", ".join(word for word in (name, more) if word)
        found.append(visible(f"{label} ({words})" if words else label, 120))
    return found


def _label_of(metric: ReportMetric, kind: bool) -> str:
    what = metric.name or metric.url or metric.service
    label = f"{metric.method} {what}" if metric.method else what
    if kind:
        label = f"{kind_word(metric.kind, metric.action)} {label}"
    tags = " ".join(f"{key}={value}" for key, value in sorted(metric.tags.items()))
    label += f" {{{tags}}}" if tags else ""
    label += f" [{metric.unit}]" if metric.unit not in ("", "us", "B") else ""
    return label


def most(metrics: list[ReportMetric]) -> list[ReportMetric]:
    """Those that a table has room for, the most frequent first."""
    return sorted(metrics, key=lambda metric: -metric.count)[:MAX_ROWS]


def header_of(names: tuple[str, ...]) -> list[str]:
    return [name.replace("_", ".") for name in names] + ["max"]


def row_of(times: Distribution, unit: str, names: tuple[str, ...]) -> list[str]:
    cells = [percentile(times, name, unit) for name in names]
    return [*cells, value_of(times.max, unit) if times.count else "-"]


def percentile(times: Distribution, name: str, unit: str) -> str:
    if not times.count:
        return "-"
    mark = THIN if name in times.thin else ""
    return value_of(getattr(times, name), unit) + mark


def value_of(value: float, unit: str) -> str:
    """A time, a size, or a number of the metric's own unit in full up to ten million."""
    if unit == "us":
        return show_us(value)
    if unit == "B":
        return show_bytes(value)
    return f"{value:,.10g}" if abs(value) < 10_000_000 else show_count(value)


def custom_value(metric: ReportMetric) -> str:
    if metric.value is None:
        return "-"
    if metric.kind == "rate":
        return percent(metric.value)
    unit = "" if metric.unit in ("us", "B") else visible(metric.unit, 12)
    return f"{value_of(metric.value, metric.unit)} {unit}".rstrip()


def row_style(broken: int) -> Style:
    return "red" if broken else ""


def count(number: int) -> str:
    return f"{number:,}" if number < 10_000_000 else show_count(number)


def percent(share: float) -> str:
    percent = share * 100
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.3g} %" if percent < 99.95 else f"{percent:.4g} %"


def since(first_s: float | None) -> str:
    if first_s is None:
        return ""
    return f", first after {show_duration(first_s)}" if first_s else ", first at the start"


def share_words(part: int, whole: int) -> str:
    return f" ({percent(part / whole)})" if part and whole else ""


def origins() -> dict[str, str]:
    """Whose fault an error class is, by its code, from the error tree."""
    origins: dict[str, str] = {
        f"generator_{what}": "generator" for what in ("ports", "descriptors", "memory")
    }
    pending = [ActionError]
    while pending:
        kind = pending.pop()
        origins.setdefault(kind.code, kind.origin)
        pending.extend(kind.__subclasses__())
    return origins

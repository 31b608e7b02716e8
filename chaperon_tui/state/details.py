"""One series in full, as rows: its key, its figures, its statuses and errors."""

from __future__ import annotations

import re

from chaperon_engine import (
    Distribution,
    Percentiles,
    Report,
    ReportMetric,
    SeriesDetail,
    SeriesKey,
    SeriesRow,
    show_bytes,
    show_count,
    visible,
)
from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.state.errors import error_words
from chaperon_tui.state.figures import share, unit_words
from chaperon_tui.state.reports import percentile_pairs
from chaperon_tui.state.table import Cell
from chaperon_tui.state.tables import VALUE_KINDS, value_words

HTTP = "http"
_PERCENTILE = re.compile(r"p\d+(_\d+)?")


def detail_rows(detail: SeriesDetail) -> list[Row]:
    """The head of the series screen."""
    row, key = detail.row, detail.row.key
    facts = [
        f"{name} {visible(value, 60)}"
        for name, value in (
            ("scenario", key.scenario),
            ("session", key.session),
            ("service", key.service),
            ("action", key.action),
            ("kind", "" if key.kind == HTTP else key.kind),
            ("phase", key.phase),
        )
        if value
    ]
    facts += [f"{visible(name, 40)}={visible(value, 60)}" for name, value in key.tags]
    return [
        ((visible(key.label, 200) + unit_words(key.unit), "title"),),
        ((" · ".join(facts), "dim"),),
        _counts(row),
        _figures(row),
    ]


def distribution_words(key: SeriesKey) -> str:
    """What the values of a series are, for the titles of its charts."""
    if key.kind != "trend":
        return "service time" if key.kind in ("http", "call") else "time"
    return f"value in {visible(key.unit, 20)}" if key.unit not in ("", "us", "B") else "value"


def _counts(row: SeriesRow) -> Row:
    """How many, and what of them failed; only requests have statuses and bytes."""
    kind = row.key.kind
    if kind in VALUE_KINDS:
        what = {"counter": "sum", "gauge": "last value", "rate": "share of true values"}[kind]
        return ((f"{what} ", "dim"), (value_words(kind, row.value, row.key.unit), "value"))
    number = show_count(row.requests or row.latency.count)
    words = {"http": "requests", "call": "calls", "trend": "values"}.get(kind, "times")
    counts: list[Cell] = [(f"{number} {words}", "value"), (f", {show_count(row.per_s)}/s", "")]
    if kind == HTTP:
        counts.append((f" · {show_bytes(row.bytes_in)} in", ""))
    if kind != "trend":
        counts += [(" · failed ", ""), (show_count(row.failed), "bad" if row.failed else "value")]
    if kind == HTTP:
        role = "bad" if row.http_errors else "value"
        counts += [(" · HTTP errors ", ""), (show_count(row.http_errors), role)]
    return tuple(counts)


def _figures(row: SeriesRow) -> Row:
    if row.key.kind in VALUE_KINDS:
        return ()
    figures: list[Cell] = []
    for label, value in percentile_pairs(row.latency, row.key.unit):
        figures += [(f"{label} ", "dim"), (value, "value"), (" ", "")]
    return tuple(figures)


def detail_of_row(report: Report, row: SeriesRow) -> SeriesDetail | None:
    """What the report says of the series of `row`; None if it has no such series."""
    for metric in report.metrics:
        if key_of(metric) == row.key:
            return detail_of(report, metric, row.id)
    return None


def key_of(metric: ReportMetric) -> SeriesKey:
    """The key under which the run had recorded it."""
    return SeriesKey(
        kind=metric.kind, unit=metric.unit, scenario=metric.scenario, session=metric.session,
        service=metric.service, action=metric.action, method=metric.method, url=metric.url,
        name=metric.name, tags=tuple(sorted(metric.tags.items())), phase=metric.phase,
    )  # fmt: skip


def detail_of(report: Report, metric: ReportMetric, number: int = 0) -> SeriesDetail:
    """A series of a report in full. A report keeps percentiles and no histogram."""
    times = metric.service_time_us
    names = [name for name in times.__struct_fields__ if _PERCENTILE.fullmatch(name)]
    spectrum = [(float(name[1:].replace("_", ".")), getattr(times, name)) for name in names]
    measured_s = report.run.measured_s
    row = SeriesRow(
        id=number, key=key_of(metric), requests=metric.count if metric.kind == HTTP else 0,
        failed=metric.failed, http_errors=sum(metric.http_errors.values()),
        per_s=metric.count / measured_s if measured_s else 0.0, latency=_percentiles(times),
        value=metric.value or 0.0, bytes_in=metric.bytes_in,
    )  # fmt: skip
    return SeriesDetail(
        row=row, spectrum=spectrum if times.count else [], histogram=[],
        statuses={int(status): number for status, number in metric.statuses.items()},
        errors=metric.errors, unexpected=_percentiles(metric.unexpected_service_time_us),
        failures=_percentiles(metric.failure_time_us),
    )  # fmt: skip


def _percentiles(times: Distribution) -> Percentiles:
    return Percentiles(**{name: getattr(times, name) for name in Percentiles.__struct_fields__})


def _outcome(what: str, number: int, total: int, role: str) -> Row:
    return (
        (pad(what, 32), ""),
        (pad(show_count(number), 8, "right"), role),
        (pad(share(number, total), 10, "right"), "dim"),
    )


def outcome_rows(detail: SeriesDetail) -> list[Row]:
    """Statuses, errors, and the latencies of what did not go as expected."""
    rows: list[Row] = []
    total = sum(detail.statuses.values()) + sum(detail.errors.values())
    for status, number in sorted(detail.statuses.items()):
        role = "value" if status < 400 else "bad"
        rows.append(_outcome(f"HTTP {status}", number, total, role))
    for code, number in sorted(detail.errors.items(), key=lambda pair: -pair[1]):
        rows.append(_outcome(error_words(code), number, total, "bad"))
    for title, latency in (
        ("Unexpected statuses", detail.unexpected),
        ("Until failure", detail.failures),
    ):
        if latency.count:
            text = "  ".join(
                f"{label} {value}" for label, value in percentile_pairs(latency)
                if label in ("p50", "p99", "max")
            )  # fmt: skip
            rows.append(((pad(title, 32), "dim"), (text, "")))
    if not rows and detail.row.key.kind != HTTP:
        return [(("Only requests have replies.", "dim"),)]
    return rows or [(("No replies yet.", "dim"),)]

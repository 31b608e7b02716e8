"""One series in full, as rows: its key, its figures, its statuses and errors."""

from __future__ import annotations

from chaperon_engine import SeriesDetail, show_bytes, show_count, visible
from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.state.figures import share
from chaperon_tui.state.reports import percentile_pairs
from chaperon_tui.state.tables import error_words


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
            ("kind", "" if key.kind == "http" else key.kind),
            ("phase", key.phase),
        )
        if value
    ]
    facts += [f"{visible(name, 40)}={visible(value, 60)}" for name, value in key.tags]
    figures: list[tuple[str, str]] = []
    for label, value in percentile_pairs(row.latency):
        figures += [(f"{label} ", "dim"), (value, "value"), ("  ", "")]
    return [
        ((visible(key.label, 200), "title"),),
        ((" · ".join(facts), "dim"),),
        (
            (f"{show_count(row.requests or row.latency.count)} requests", "value"),
            (f", {show_count(row.per_s)}/s · {show_bytes(row.bytes_in)} in · failed ", ""),
            (show_count(row.failed), "bad" if row.failed else "value"),
            (" · HTTP errors ", ""),
            (show_count(row.http_errors), "bad" if row.http_errors else "value"),
        ),
        tuple(figures),
    ]


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
    if not rows and detail.row.key.kind != "http":
        return [(("Replies are counted with the series of their requests.", "dim"),)]
    return rows or [(("No replies yet.", "dim"),)]

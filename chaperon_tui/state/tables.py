"""The tables of a run: series, workers, errors and checks, log."""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine import (
    LogLine,
    ReportMetric,
    SeriesKey,
    SeriesRow,
    Snapshot,
    View,
    WorkerRow,
    distinctions,
    kind_word,
    show_bytes,
    show_count,
    show_us,
    visible,
)
from chaperon_tui.state.errors import error_words
from chaperon_tui.state.figures import (
    SIGNS,
    column_percentile,
    percentile,
    share,
    show_value,
    unit_words,
)
from chaperon_tui.state.table import Cell, Cells, Column, MadeRows, Table, short_path

SERIES = (
    Column("label", "Series", 0, "left", sort="label", cut_middle=True),
    Column("session", "Session", 12, "left", from_width=118, cut_middle=True),
    Column("requests", "Count", 9, sort="requests"),
    Column("per_s", "/s", 6, sort="per_s"),
    Column("failed", "Failed", 7, sort="failed"),
    Column("http_errors", "HTTP err", 9, from_width=100, sort="http_errors"),
    Column("p50", "p50 ", 8, sort="p50"),
    Column("p95", "p95 ", 8, sort="p95"),
    Column("p99", "p99 ", 8, sort="p99"),
    Column("max", "max", 8, from_width=90, sort="max"),
    Column("bytes_in", "Bytes in", 9, from_width=130),
)
MAIN_KINDS = (
    "http", "ws_round_trip", "ws_recv", "ws_send", "ws_message", "ws_connect", "ws_close",
    "ws_ping", "call", "counter", "gauge", "rate", "trend",
)  # fmt: skip
"""What the table of series begins with, in this order: requests, WebSockets, calls, custom
metrics."""
VALUE_KINDS = ("counter", "gauge", "rate")
"""Custom metrics that are one number, without a distribution."""
SORTS = tuple(column.sort for column in SERIES if column.sort)

WORKERS = (
    Column("worker", "#", 3),
    Column("state", "State", 8, "left"),
    Column("cpu", "CPU", 5),
    Column("lag", "Lag p99", 8),
    Column("per_s", "/s", 6),
    Column("rss", "Memory", 8, from_width=44),
    Column("core", "Core", 4, from_width=56),
    Column("pid", "PID", 8, from_width=64),
    Column("sessions", "Sessions", 8, from_width=82),
    Column("steal", "Steal", 6, from_width=88),
    Column("verdict", "Verdict", 12, "left", from_width=60),
    Column("note", "", 0, "left", from_width=100),
)

ERRORS = (
    Column("count", "Count", 6),
    Column("code", "Error or check", 0, "left"),
    Column("origin", "Origin", 9, "left", from_width=60),
    Column("label", "Where", 0, "left", from_width=60, cut_middle=True),
)

LOG = (
    Column("at", "Time", 8),
    Column("level", "Level", 7, "left"),
    Column("source", "Source", 14, "left", from_width=70),
    Column("text", "Message", 0, "left"),
)


def _row_label(row: SeriesRow) -> str:
    key = row.key
    label = series_label(key.kind, key.label.strip() or key.service, key.phase, key.action)
    if key.tags:
        label += " " + visible(" ".join(f"{k}={v}" for k, v in key.tags), 60)
    return label + unit_words(key.unit)


def told_apart(labels: Sequence[str], keys: Sequence[SeriesKey | ReportMetric]) -> list[str]:
    """The labels of one table, the same ones with what tells their series apart."""
    return [
        f"{label} ({visible(words, 40)})" if words else label
        for label, words in zip(labels, distinctions(labels, keys), strict=True)
    ]


def series_cells(row: SeriesRow, label: str) -> tuple[Cell, ...]:
    """One series under its label."""
    latency, unit, kind = row.latency, row.key.unit, row.key.kind
    if kind in VALUE_KINDS:
        shown: tuple[str, ...] = (f"{value_words(kind, row.value, unit)} ", "– ", "– ", "–")
    else:
        shown = (
            *(column_percentile(latency, name, unit) for name in ("p50", "p95", "p99")),
            percentile(latency, "max", unit),
        )  # fmt: skip
    return (
        (label, ""),
        (visible(row.key.session, 40), "dim"),
        (show_count(row.requests or latency.count), ""),
        (show_count(row.per_s), ""),
        (show_count(row.failed), "bad" if row.failed else "dim"),
        (show_count(row.http_errors), "bad" if row.http_errors else "dim"),
        (shown[0], ""),
        (shown[1], ""),
        (shown[2], ""),
        (shown[3], "dim"),
        (show_bytes(row.bytes_in), "dim"),
    )


def value_words(kind: str, value: float, unit: str) -> str:
    """The figure of a counter, a gauge or a rate."""
    return share(value, 1.0) if kind == "rate" else show_value(value, unit)


def series_label(kind: str, label: str, phase: str, action: str) -> str:
    """`GET /`, `first byte GET /`, `warm-up GET /`: what it is stands first, where nothing cuts."""
    words = [] if kind == "http" else [visible(kind_word(kind, action).replace("_", " "), 20)]
    if phase:
        words.insert(0, "warm-up" if phase == "warmup" else visible(phase, 12))
    return " ".join([*words, visible(label, 200)])


def series_table(snapshot: Snapshot, rows: Sequence[SeriesRow], view: View) -> Table:
    """The rows that the engine sent for `view`, in the order of `rows`."""
    labels = told_apart([_row_label(row) for row in rows], [row.key for row in rows])
    return Table(
        SERIES,
        tuple(series_cells(row, label) for row, label in zip(rows, labels, strict=True)),
        offset=view.offset,
        total=max(snapshot.series_total, view.offset + len(rows)),
        sort=view.sort,
        descending=view.descending,
        empty=f"No series contains {visible(view.contains, 30)!r}." if view.contains
        else "No series yet.",
    )  # fmt: skip


def workers_table(snapshot: Snapshot) -> Table:
    """Workers now: the page of them that was asked for."""
    rows, count = snapshot.workers, snapshot.members.count
    columns = WORKERS if count <= 1000 else (Column("worker", "#", 4), *WORKERS[1:])
    return Table(
        columns, MadeRows(len(rows), lambda place: _worker_cells(rows[place])),
        offset=snapshot.worker_offset, total=count,
        empty="No worker has reported yet.",
    )  # fmt: skip


def _worker_cells(worker: WorkerRow) -> Cells:
    role = "bad" if worker.state in ("lost", "hung") else ""
    return (
        (str(worker.worker), "dim"),
        (visible(worker.state, 12), role),
        (f"{worker.cpu * 100:.0f} %", "warn" if worker.cpu > 0.85 else ""),
        (show_us(worker.lag_p99_us), "warn" if worker.lag_p99_us > 10_000 else ""),
        (show_count(worker.requests_per_s + worker.messages_per_s), ""),
        (show_bytes(worker.rss_bytes), ""),
        ("–" if worker.core is None else str(worker.core), "dim"),
        (str(worker.pid), "dim"),
        (show_count(worker.active_sessions), ""),
        (f"{worker.steal * 100:.0f} %", "warn" if worker.steal > 0.05 else "dim"),
        (f"{SIGNS.get(worker.verdict, '●')} {visible(worker.verdict, 12)}", worker.verdict),
        (visible(worker.note), role),
    )


def errors_table(snapshot: Snapshot) -> Table:
    """Errors, then exceptions of scenario code, then checks; failures before what is well."""
    rows: list[tuple[Cell, ...]] = [
        ((show_count(error.count), "bad"), (error_words(error.code), ""),
         (visible(error.origin, 12), "dim"), (visible(error.label, 120), "dim"))
        for error in snapshot.errors
    ]  # fmt: skip
    rows.extend(
        ((show_count(group.count), "bad"), (visible(f"{group.type}: {group.message}", 120), ""),
         ("scenario", "dim"), (visible(f"{short_path(group.file)}:{group.line}", 120), "dim"))
        for group in snapshot.exceptions
    )  # fmt: skip
    for check in sorted(snapshot.checks, key=lambda check: -check.failed):
        done = check.passed + check.failed
        where = visible(check.reason or check.session, 120)
        if check.failed:
            text = f"✗ {visible(check.name, 80)}: {share(check.failed, done)} failed"
            rows.append(((show_count(check.failed), "bad"), (text, ""), ("check", "dim"),
                         (where, "dim")))  # fmt: skip
        else:
            text = f"✓ {visible(check.name, 80)}: all passed"
            rows.append(((show_count(check.passed), "good"), (text, ""), ("check", "dim"),
                         (where, "dim")))  # fmt: skip
    return Table.of(ERRORS, rows, empty="No errors.")


def log_rows(lines: Sequence[LogLine]) -> list[tuple[Cell, ...]]:
    """Log lines; their texts have passed `visible` in the store."""
    roles = {"error": "bad", "warning": "warn", "debug": "dim", "output": "dim"}
    return [
        ((log_time(line.at_s), "dim"), (line.level, roles.get(line.level, "")),
         (line.source, "dim"), (line.text, roles.get(line.level, "") if line.level != "output"
                                else ""))
        for line in lines
    ]  # fmt: skip


def log_time(at_s: float) -> str:
    """`12.3s`, from a quarter of an hour on `1:02:03`: second by second in every run."""
    if at_s < 900:
        return f"{at_s:.1f}s"
    minutes, second = divmod(int(at_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def log_table(lines: Sequence[LogLine]) -> Table:
    """The kept log lines."""
    return Table.of(LOG, log_rows(lines), empty="The log is empty.")

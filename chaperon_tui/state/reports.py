"""A report as rows and tables: summary, series, sessions, checks, exceptions, time window."""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine import (
    Distribution,
    Percentiles,
    Report,
    ReportMetric,
    WindowSummary,
    show_bytes,
    show_count,
    show_duration,
    show_us,
    visible,
)
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.errors import error_words, origin_of
from chaperon_tui.state.figures import (
    SIGNS,
    HealthLine,
    percentile,
    share,
    show_time,
    show_value,
    unit_words,
)
from chaperon_tui.state.table import Cell, Column, Table, short_path
from chaperon_tui.state.tables import (
    ERRORS,
    MAIN_KINDS,
    VALUE_KINDS,
    series_label,
    told_apart,
    value_words,
)

METRICS = (
    Column("label", "Series", 0, "left", cut_middle=True),
    Column("session", "Session", 12, "left", from_width=118, cut_middle=True),
    Column("count", "Count", 8),
    Column("failed", "Failed", 7),
    Column("http", "HTTP err", 8, from_width=96),
    Column("p50", "p50 ", 8),
    Column("p95", "p95 ", 8),
    Column("p99", "p99 ", 8),
    Column("p99_9", "p99.9 ", 8, from_width=110),
    Column("max", "max", 8, from_width=90),
)


def exact(distribution: Distribution, name: str, unit: str = "us") -> str:
    """A percentile of a report, marked with `*` where the report says that samples are few."""
    if not distribution.count:
        return "–"
    value = show_value(getattr(distribution, name), unit)
    return f"{value}*" if name in distribution.thin else value


def _column(distribution: Distribution, name: str, unit: str) -> str:
    text = exact(distribution, name, unit)
    return text if text.endswith("*") else f"{text} "


def status_words(report: Report) -> tuple[str, str]:
    """How the run ended and the role of that: `✓ complete`, `■ stopped, partial`."""
    run = report.run
    sign, role = {
        "complete": ("✓", "good"), "stopped": ("■", "warn"), "aborted": ("■", "warn"),
    }.get(run.status, ("✗", "bad"))  # fmt: skip
    words = [visible(run.status, 16)]
    if run.partial:
        words.append("partial")
        role = "warn" if role == "good" else role
    if run.recovered:
        words.append("recovered")
    return f"{sign} {', '.join(words)}", role


def summary_rows(report: Report) -> list[Row]:
    """The head of the report screen."""
    run, totals = report.run, report.totals
    words, role = status_words(report)
    started = visible(run.started_at[:19].replace("T", " "), 20)
    rows: list[Row] = [
        (
            (f"{visible(run.load_test, 50)}  ", "title"),
            (words, role),
            (f"  {started} UTC", "dim"),
        ),
        *(_request_rows(report) if totals.requests or not has_sockets(report) else []),
        *(_message_rows(report) if has_sockets(report) else []),
        _sessions_row(report),
        (
            (f"{visible(run.id, 60)} · {len(run.workers)} worker", "dim"),
            ("" if len(run.workers) == 1 else "s", "dim"),
            (f" · warm-up {show_time(run.warmup_s)} apart" if run.warmup_s else "", "dim"),
            (f" · tag {visible(run.tag, 30)}" if run.tag else "", "dim"),
        ),
        health_row(report),
    ]  # fmt: skip
    if run.metrics:
        kept = visible(", ".join(run.metrics))
        rows.append(((f"! only these metrics were kept: {kept}", "warn"),))
    rows.extend(
        ((f"! {visible(reason)}", "warn"),)
        for reason in run.reasons[:4]
        if reason != report.health.reason
    )
    if report.folded_series:
        text = f"! {show_count(report.folded_series)} series beyond the limit are in (other)"
        rows.append(((text, "warn"),))
    missing = sum(worker.missing_latencies for worker in run.workers)
    if missing:
        text = f"! {show_count(missing)} latencies died with their worker; counts are complete"
        rows.append(((text, "warn"),))
    return rows


def has_sockets(report: Report) -> bool:
    """Whether a WebSocket was opened, or somebody tried."""
    messages = report.messages
    return bool(messages.opened or messages.failed or messages.sent or messages.received)


def shows_messages(report: Report) -> bool:
    """A run with WebSockets and without HTTP requests: charts are about messages."""
    return report.totals.requests == 0 and has_sockets(report)


def _request_rows(report: Report) -> list[Row]:
    run, totals = report.run, report.totals
    return [
        (
            (f"{show_count(totals.requests)} requests", "value"),
            (f" in {_length(run.measured_s or run.duration_s)}, ", ""),
            (f"{show_count(totals.requests_per_s)}/s", "value"),
            (f" · {show_bytes(totals.bytes_in)} in, {show_bytes(totals.bytes_out)} out", ""),
        ),
        (
            ("Failed ", ""),
            (show_count(totals.failed), "bad" if totals.failed else "value"),
            (f" ({share(totals.failed, totals.requests)}) · HTTP errors ", ""),
            (show_count(totals.http_errors), "bad" if totals.http_errors else "value"),
            (f" · in flight at the end {show_count(totals.in_flight)}", ""),
            (f" · resent {show_count(totals.retries)}" if totals.retries else "", ""),
        ),
        (("Service time ", ""), *_spread(totals.service_time_us)),
    ]


def _message_rows(report: Report) -> list[Row]:
    run, totals = report.run, report.messages
    rows: list[Row] = [
        (
            (f"{show_count(totals.sent)} messages sent", "value"),
            (", ", ""),
            (f"{show_count(totals.received)} received", "value"),
            (f" in {_length(run.measured_s or run.duration_s)}, ", ""),
            (f"{show_count(totals.messages_per_s)}/s", "value"),
            (f" · {show_bytes(totals.bytes_in)} in, {show_bytes(totals.bytes_out)} out", ""),
        ),
        (
            (f"{show_count(totals.opened)} WebSockets opened, {show_count(totals.open)} open "
             "at the end · failed ", ""),
            (show_count(totals.failed), "bad" if totals.failed else "value"),
        ),
    ]  # fmt: skip
    if totals.round_trip_us.count:
        rows.append((("Round trip ", ""), *_spread(totals.round_trip_us)))
    if totals.receive_us.count:
        rows.append((("Wait for a message ", ""), *_spread(totals.receive_us)))
    return rows


def _spread(times: Distribution) -> list[Cell]:
    names = (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p99_9"), ("max", "max"))
    return _percentile_runs([(label, exact(times, name)) for label, name in names])


def _length(value_s: float) -> str:
    """A measured time, exact below a minute: `20.3 s`, `2m`, `1m30s`."""
    return show_duration(value_s) if value_s < 60 else show_time(value_s)


def _percentile_runs(pairs: Sequence[tuple[str, str]]) -> list[Cell]:
    runs: list[Cell] = []
    for label, value in pairs:
        runs += [(f" {label} ", "dim"), (value, "value")]
    return runs


def _sessions_row(report: Report) -> Row:
    sessions, iterations = report.sessions, report.iterations
    words = [f"{show_count(sessions.finished)} of {show_count(sessions.planned)} sessions finished"]
    words += [
        f"{show_count(number)} {name}"
        for number, name in (
            (sessions.failed, "failed"),
            (sessions.timed_out, "timed out"),
            (sessions.interrupted, "interrupted"),
        )
        if number
    ]
    done = f"{show_count(iterations.completed)} iterations"
    if iterations.failed:
        done += f", {show_count(iterations.failed)} failed"
    if iterations.interrupted:
        done += f", {show_count(iterations.interrupted)} interrupted"
    return ((f"{', '.join(words)} · {done}", ""),)


def health_row(report: Report) -> Row:
    """The generator's verdict on the run, for the head of the report."""
    line = report_health(report)
    return ((line.text, line.verdict), (f" · {line.note}" if line.note else "", "dim"))


def report_health(report: Report) -> HealthLine:
    """The generator's verdict on the whole run."""
    health = report.health
    sign = SIGNS.get(health.verdict, "●")
    if health.verdict not in ("degraded", "saturated"):
        note = f"worst second: lag {show_us(health.lag_p99_us)}, CPU {health.cpu * 100:.0f} %"
        return HealthLine("good", f"{sign} Generator good", note)
    part, first = health.degraded_share, health.first_degraded_s
    if health.verdict == "saturated":
        part, first = health.saturated_share, health.first_saturated_s
    since = "" if first is None else f", first after {show_time(first)}"
    text = f"{sign} Generator {health.verdict} in {share(part, 1.0)} of the time{since}"
    return HealthLine(health.verdict, text, visible(health.reason, 200))


def shown_metrics(report: Report, *, all_kinds: bool = False) -> list[ReportMetric]:
    """Requests, calls and custom metrics, each the most used first; on demand all series."""
    rank = {kind: number for number, kind in enumerate(MAIN_KINDS)}
    shown = [
        metric
        for metric in report.metrics
        if all_kinds or (metric.kind in rank and not metric.phase)
    ]
    return sorted(shown, key=lambda m: (bool(m.phase), rank.get(m.kind, len(rank)), -m.count))


def metrics_table(report: Report, *, all_kinds: bool = False) -> Table:
    """The rows of `shown_metrics`."""
    shown = shown_metrics(report, all_kinds=all_kinds)
    empty = "Nothing was measured."
    if report.metrics and not shown:
        empty = "No request was measured; f shows all series."
    labels = told_apart([_label(metric) + unit_words(metric.unit) for metric in shown], shown)
    cells = [_metric_cells(metric, label) for metric, label in zip(shown, labels, strict=True)]
    return Table.of(METRICS, cells, empty=empty)


def _label(metric: ReportMetric) -> str:
    what = metric.name or metric.url or metric.service
    label = series_label(
        metric.kind, f"{metric.method} {what}".strip(), metric.phase, metric.action
    )
    if metric.tags:
        label += " " + visible(" ".join(f"{k}={v}" for k, v in sorted(metric.tags.items())), 60)
    return label


def _metric_cells(metric: ReportMetric, label: str) -> tuple[Cell, ...]:
    times, unit = metric.service_time_us, metric.unit
    http = sum(metric.http_errors.values())
    if metric.kind in VALUE_KINDS:
        value = "–" if metric.value is None else value_words(metric.kind, metric.value, unit)
        shown = (f"{value} ", "– ", "– ", "– ", "–")
    else:
        shown = (_column(times, "p50", unit), _column(times, "p95", unit),
                 _column(times, "p99", unit), _column(times, "p99_9", unit),
                 exact(times, "max", unit))  # fmt: skip
    return (
        (label, ""),
        (visible(metric.session, 40), "dim"),
        (show_count(metric.count), ""),
        (show_count(metric.failed), "bad" if metric.failed else "dim"),
        (show_count(http), "bad" if http else "dim"),
        (shown[0], ""),
        (shown[1], ""),
        (shown[2], ""),
        (shown[3], ""),
        (shown[4], "dim"),
    )


def problems_table(report: Report) -> Table:
    """Errors by series, exceptions and checks of a report."""
    rows: list[tuple[int, tuple[Cell, ...]]] = []
    failing = [metric for metric in report.metrics if metric.errors or metric.http_errors]
    labels = told_apart([_label(metric) for metric in failing], failing)
    for metric, label in zip(failing, labels, strict=True):
        for code, number in [
            *metric.errors.items(), *((f"http_{s}", n) for s, n in metric.http_errors.items()),
        ]:  # fmt: skip
            rows.append((number, ((show_count(number), "bad"), (error_words(code), ""),
                                  (origin_of(code), "dim"), (label, "dim"))))  # fmt: skip
    for group in report.exceptions:
        text = visible(f"{group.type}: {group.message}", 120)
        where = visible(f"{short_path(group.file)}:{group.line}", 120)
        rows.append((group.count, ((show_count(group.count), "bad"), (text, ""),
                                   ("scenario", "dim"), (where, "dim"))))  # fmt: skip
    rows.sort(key=lambda pair: -pair[0])
    cells = [row for _, row in rows]
    for check in sorted(report.checks, key=lambda check: -check.failed):
        is_bad = check.failed > 0
        done = check.passed + check.failed
        words = f"{share(check.failed, done)} failed" if is_bad else "all passed"
        sign = "✗" if is_bad else "✓"
        cells.append((
            (show_count(check.failed if is_bad else check.passed), "bad" if is_bad else "good"),
            (f"{sign} {visible(check.name, 80)}: {words}", ""), ("check", "dim"),
            (visible(check.reason or check.session, 120), "dim"),
        ))  # fmt: skip
    return Table.of(ERRORS, cells, empty="No errors, no checks.")


def window_rows(summary: WindowSummary) -> list[Row]:
    """Percentiles of a marked time window."""
    totals, messages = summary.totals, summary.messages
    length = max(summary.end_s - summary.start_s, 1)
    head = f"Window {show_time(summary.start_s)} to {show_time(summary.end_s)}: "
    if messages is not None and messages.are_there and not totals.requests:
        return [
            (
                (head, "heading"),
                (f"{show_count(messages.messages)} messages", "value"),
                (f", {show_count(messages.messages / length)}/s · failed ", ""),
                (show_count(messages.failed), "bad" if messages.failed else "value"),
            ),
            (("  round trip", ""), *_percentile_runs(percentile_pairs(summary.round_trip))),
        ]
    return [
        (
            (head, "heading"),
            (f"{show_count(totals.requests)} requests", "value"),
            (f", {show_count(totals.requests / length)}/s · failed ", ""),
            (show_count(totals.failed), "bad" if totals.failed else "value"),
            (" · HTTP errors ", ""),
            (show_count(totals.http_errors), "bad" if totals.http_errors else "value"),
        ),
        (("  ", ""), *_percentile_runs(percentile_pairs(summary.latency))),
    ]


def percentile_pairs(latency: Percentiles, unit: str = "us") -> list[tuple[str, str]]:
    """Label and value of what a window and a series show."""
    names = (("p50", "p50"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p99_9"),
             ("max", "max"))  # fmt: skip
    return [(label, percentile(latency, name, unit)) for label, name in names]

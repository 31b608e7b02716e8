"""The summary of a report as text for a terminal: what is printed when a run ends. Pure.

Owns: what stands in it and in which order. Must not know terminals; colour and width are given.
Foreign text passes `text.visible` here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaperon_engine.errors import ActionError
from chaperon_engine.export.layout import Style, paint, plural, table, wrap
from chaperon_engine.metrics.model import HTTP, WARMUP
from chaperon_engine.metrics.summary import Distribution, ReportMetric
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible, visible_block
from chaperon_engine.units import show_bytes, show_count, show_duration, show_us

MAX_ROWS = 40
"""Rows of one table; the rest is in the report."""
MAX_TRACEBACKS = 10

_THIN = "*"
_CUSTOM_KINDS = ("counter", "gauge", "rate")
_LEFT_OUT_KINDS = ("first_byte",)
"""One line for each of the requests: too much for a summary, the report has them."""
_VERDICT_STYLES: dict[str, Style] = {"good": "green", "degraded": "yellow", "saturated": "red"}


def render(
    report: Report,
    *,
    width: int = 80,
    color: bool = False,
    files: Mapping[str, str] | None = None,
) -> str:
    """The summary, with a newline at its end; lines fit into `width` columns (at least 60).

    `files` are paths to name at the end, by what they are (`report`, `csv`).
    """
    page = _Page(report, max(60, width), color)
    sections = (
        page.headline(),
        page.totals(),
        page.series(),
        page.other_outcomes(),
        page.other_timed(),
        page.custom(),
        page.errors(),
        page.checks(),
        page.exceptions(),
        page.health(),
        page.warmup(),
        page.files(files or {}),
    )
    blocks = ["\n".join(lines) for lines in sections]
    return "\n\n".join(block for block in blocks if block) + "\n"


class _Page:
    """The sections, each a generator of lines; an empty one is left out."""

    def __init__(self, report: Report, width: int, color: bool):
        self.report = report
        self.width = width
        self.color = color
        self.wide = width >= 100

    def paint(self, text: str, style: Style) -> str:
        return paint(text, style, self.color)

    def wrapped(self, text: str, style: Style = "") -> Iterator[str]:
        for line in wrap(text, self.width, "  "):
            yield self.paint(line, style)

    def headline(self) -> Iterator[str]:
        run = self.report.run
        marks = [run.status or "unfinished"]
        marks += ["partial"] if run.partial else []
        marks += ["recovered"] if run.recovered else []
        plain = marks == ["complete"]
        title = self.paint(visible(run.load_test, 60), "bold")
        yield f"{title}  {self.paint(', '.join(marks), 'green' if plain else 'yellow')}"
        parts = [f"measured {show_duration(run.measured_s)}"]
        parts += [f"warm-up {show_duration(run.warmup_s)}"] if run.warmup_s else []
        parts += [f"drain {show_duration(run.drain_s)}"] if run.drain_s >= 0.1 else []
        parts.append(plural(len(run.workers), "worker"))
        parts.append(f"seed {run.seed}")
        parts += [f"tag {visible(run.tag, 40)}"] if run.tag else []
        parts.append(f"run {visible(run.id, 60)}")
        # A part such as `run ID` stays on one line.
        whole = " · ".join(part.replace(" ", "\u00a0") for part in parts)
        for line in wrap(whole, self.width, "  "):
            yield self.paint(line.replace("\u00a0", " "), "dim")
        for reason in run.reasons:
            yield from self.wrapped(f"! {visible(reason, 500)}", "yellow")
        missing = sum(worker.missing_latencies for worker in run.workers)
        if missing:
            yield from self.wrapped(
                f"! {plural(missing, 'request')} counted whose latency was lost with its worker",
                "yellow",
            )

    def totals(self) -> Iterator[str]:
        totals, sessions = self.report.totals, self.report.sessions
        iterations = self.report.iterations
        rate = self.paint(f"{totals.requests_per_s:,.1f}/s", "bold")
        yield f"Requests    {totals.requests:,}   {rate}"
        bad = f"{totals.failed:,} failed{_share(totals.failed, totals.requests)}"
        http = plural(totals.http_errors, "HTTP error")
        http += _share(totals.http_errors, totals.requests)
        broken = totals.failed or totals.http_errors
        line = f"            {bad}   {http}"
        yield self.paint(line, "red") if broken else line
        rest = f"            {totals.in_flight:,} in flight at the end"
        yield rest + (f"   {totals.retries:,} stale retries" if totals.retries else "")
        yield (f"Bytes       {show_bytes(totals.bytes_in)} in   {show_bytes(totals.bytes_out)} out")
        ended = [f"{sessions.planned:,} planned", f"{sessions.finished:,} finished"]
        for name in ("failed", "timed_out", "interrupted"):
            number = getattr(sessions, name)
            ended += [f"{number:,} {name.replace('_', ' ')}"] if number else []
        yield f"Sessions    {'   '.join(ended)}"
        done = [f"{iterations.completed:,} completed"]
        for name in ("failed", "interrupted"):
            number = getattr(iterations, name)
            done += [f"{number:,} {name}"] if number else []
        yield f"Iterations  {'   '.join(done)}"

    def series(self) -> Iterator[str]:
        rows = [metric for metric in self.report.metrics if metric.kind == HTTP]
        rows = [metric for metric in rows if metric.phase != WARMUP]
        totals = self.report.totals
        if not rows and not totals.requests:
            return
        total = ReportMetric(
            kind=HTTP,
            name="all requests",
            count=totals.requests,
            failed=totals.failed,
            http_errors={"": totals.http_errors},
            service_time_us=totals.service_time_us,
        )
        yield self.paint("Service time of complete responses with an expected status", "bold")
        yield from self.latency_table([total, *_most(rows)], "requests")
        yield from self.left_out(len(rows))
        if self.report.folded_series:
            folded = plural(self.report.folded_series, "series", "series")
            yield from self.wrapped(f"{folded} beyond the limit of this run are in (other)", "dim")

    def other_outcomes(self) -> Iterator[str]:
        totals, names = self.report.totals, self.percentiles()
        rows = [
            [what, _count(times.count), *_row_of(times, "us", names)]
            for what, times in (
                ("unexpected status", totals.unexpected_service_time_us),
                ("failed, until it failed", totals.failure_time_us),
            )
            if times.count
        ]
        if not rows:
            return
        yield self.paint("Time of the other requests, all together", "bold")
        header = ["", "requests", *_header_of(names)]
        yield from table(header, rows, width=self.width, color=self.color)

    def percentiles(self) -> tuple[str, ...]:
        """Those that there is room for."""
        return ("p50", "p95", "p99", "p99_9") if self.wide else ("p50", "p95", "p99")

    def other_timed(self) -> Iterator[str]:
        rows = [
            metric
            for metric in self.report.metrics
            if metric.kind not in (HTTP, *_CUSTOM_KINDS, *_LEFT_OUT_KINDS)
            and metric.phase != WARMUP
        ]
        if not rows:
            return
        yield self.paint("Also timed", "bold")
        yield from self.latency_table(_most(rows), "count", kinds=True)
        yield from self.left_out(len(rows))

    def latency_table(
        self, metrics: list[ReportMetric], what: str, *, kinds: bool = False
    ) -> Iterator[str]:
        names = self.percentiles()
        http = any(metric.http_errors for metric in metrics)
        header = ["", what, "failed", *(["http err"] if http else [])]
        header += _header_of(names)
        rows, styles, thin = [], [], False
        # Sessions and services are named only where they tell two lines apart.
        several = len({metric.session for metric in metrics if metric.session}) > 1
        for metric in metrics:
            times = metric.service_time_us
            thin = thin or (times.count > 0 and any(name in times.thin for name in names))
            unexpected = sum(metric.http_errors.values())
            rows.append(
                [
                    _label(metric, kinds, several),
                    _count(metric.count),
                    _count(metric.failed),
                    *([_count(unexpected)] if http else []),
                    *_row_of(times, metric.unit, names),
                ]
            )
            styles.append(_row_style(metric.failed or unexpected))
        yield from table(header, rows, width=self.width, color=self.color, styles=styles)
        if thin:
            yield from self.wrapped(f"{_THIN} fewer than 10 samples above this percentile", "dim")

    def left_out(self, number: int) -> Iterator[str]:
        if number > MAX_ROWS:
            yield from self.wrapped(f"… {number - MAX_ROWS:,} more in the report", "dim")

    def custom(self) -> Iterator[str]:
        rows = [
            metric
            for metric in self.report.metrics
            if metric.kind in _CUSTOM_KINDS and metric.phase != WARMUP
        ]
        if not rows:
            return
        yield self.paint("Own metrics", "bold")
        cells = [
            [visible(metric.name, 100), metric.kind, _custom_value(metric), _count(metric.count)]
            for metric in rows[:MAX_ROWS]
        ]
        header = ["", "kind", "value", "count"]
        yield from table(header, cells, width=self.width, color=self.color, left=2)
        yield from self.left_out(len(rows))

    def errors(self) -> Iterator[str]:
        origins = _origins()
        rows: list[tuple[int, str, str, str]] = []
        for metric in self.report.metrics:
            if metric.phase == WARMUP or metric.kind in _CUSTOM_KINDS:
                continue
            label = _label(metric, metric.kind != HTTP, bool(metric.session))
            for code, number in metric.errors.items():
                rows.append((number, code, origins.get(code, "target"), label))
            for status, number in metric.http_errors.items():
                rows.append((number, f"http_{status}", "target", label))
        if not rows:
            return
        yield self.paint("Errors", "bold")
        rows.sort(key=lambda row: (-row[0], row[1], row[3]))
        cells = [
            [label, visible(code, 24), origin, f"{number:,}"]
            for number, code, origin, label in rows[:MAX_ROWS]
        ]
        header = ["", "error", "origin", "count"]
        yield from table(header, cells, width=self.width, color=self.color, left=3)
        yield from self.left_out(len(rows))

    def checks(self) -> Iterator[str]:
        checks = self.report.checks
        if not checks:
            return
        yield self.paint("Checks", "bold")
        several = len({check.session for check in checks}) > 1
        for check in checks[:MAX_ROWS]:
            word = "FAILED" if check.failed else "passed"
            total = check.passed + check.failed
            where = f" ({visible(check.session, 40)})" if several else ""
            line = f"{word}  {visible(check.name, 100)}{where}  {check.passed:,} of {total:,}"
            line += f"  {visible(check.reason, 200)}" if check.reason else ""
            yield from self.wrapped(line, "red" if check.failed else "green")
        yield from self.left_out(len(checks))

    def exceptions(self) -> Iterator[str]:
        groups = self.report.exceptions
        if not groups:
            return
        yield self.paint("Exceptions in scenario code", "bold")
        for number, group in enumerate(sorted(groups, key=lambda group: -group.count)):
            if number >= MAX_TRACEBACKS:
                yield from self.wrapped(f"… {len(groups) - number} more in the report", "dim")
                return
            place = f"{visible(group.file)}:{group.line}"
            head = f"{group.count:,} × {visible(group.type, 80)} at {place} in {group.where}"
            head += f" ({visible(group.session, 40)})" if group.session else ""
            head += f": {visible(group.message)}" if group.message else ""
            yield from self.wrapped(head, "red")
            if group.traceback:
                shown = visible_block(group.traceback.rstrip("\n"))
                yield from (f"      {line}".rstrip() for line in shown.split("\n"))

    def health(self) -> Iterator[str]:
        health = self.report.health
        verdict = health.verdict
        style = _VERDICT_STYLES.get(verdict, "yellow")
        yield f"Load generator: {self.paint(verdict, style)}"
        if verdict == "good":
            yield from self.wrapped("This machine kept up: the latencies are the target's.", "dim")
            return
        for share, first, word in (
            (health.degraded_share, health.first_degraded_s, "degraded or worse"),
            (health.saturated_share, health.first_saturated_s, "saturated"),
        ):
            if first is not None or share:
                since = _since(first)
                yield from self.wrapped(f"{word} for {_percent(share)} of the time{since}", style)
        if health.reason:
            yield from self.wrapped(visible(health.reason, 500), style)
        yield from self.wrapped(
            "This machine was too busy at times: part of the latencies measured then are its "
            "own. Use fewer sessions, or more workers or machines.",
            style,
        )

    def warmup(self) -> Iterator[str]:
        rows = [
            metric
            for metric in self.report.metrics
            if metric.kind == HTTP and metric.phase == WARMUP
        ]
        if not rows:
            return
        requests = sum(metric.count for metric in rows)
        yield self.paint("Warm-up, not part of the figures above", "bold")
        duration = show_duration(self.report.run.warmup_s)
        yield from self.wrapped(f"{plural(requests, 'request')} in {duration}", "dim")
        yield from self.latency_table(_most(rows)[:10], "requests")

    def files(self, files: Mapping[str, str]) -> Iterator[str]:
        for what, path in files.items():
            # A path is for copying: it is never cut or broken.
            yield f"{visible(what, 20):<10}  {visible(path, 5000)}"


def _label(metric: ReportMetric, kind: bool, session: bool) -> str:
    what = metric.name or metric.url or metric.service
    label = f"{metric.method} {what}" if metric.method else what
    if kind:
        label = f"{metric.kind} {label}"
    tags = " ".join(f"{key}={value}" for key, value in sorted(metric.tags.items()))
    label += f" {{{tags}}}" if tags else ""
    label += f" [{metric.unit}]" if metric.unit not in ("", "us") else ""
    label += f" ({metric.session})" if session and metric.session else ""
    return visible(label, 120)


def _most(metrics: list[ReportMetric]) -> list[ReportMetric]:
    """Those that a table has room for, the most frequent first."""
    return sorted(metrics, key=lambda metric: -metric.count)[:MAX_ROWS]


def _header_of(names: tuple[str, ...]) -> list[str]:
    return [name.replace("_", ".") for name in names] + ["max"]


def _row_of(times: Distribution, unit: str, names: tuple[str, ...]) -> list[str]:
    cells = [_percentile(times, name, unit) for name in names]
    return [*cells, _value(times.max, unit) if times.count else "-"]


def _percentile(times: Distribution, name: str, unit: str) -> str:
    if not times.count:
        return "-"
    mark = _THIN if name in times.thin else ""
    return _value(getattr(times, name), unit) + mark


def _value(value: float, unit: str) -> str:
    return show_us(value) if unit == "us" else f"{value:,g}"


def _custom_value(metric: ReportMetric) -> str:
    if metric.value is None:
        return "-"
    if metric.kind == "rate":
        return _percent(metric.value)
    unit = "" if metric.unit == "us" else visible(metric.unit, 12)
    return f"{metric.value:,g} {unit}".rstrip()


def _row_style(broken: int) -> Style:
    return "red" if broken else ""


def _count(number: int) -> str:
    return f"{number:,}" if number < 10_000_000 else show_count(number)


def _percent(share: float) -> str:
    percent = share * 100
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.3g} %" if percent < 99.95 else f"{percent:.4g} %"


def _since(first_s: float | None) -> str:
    if first_s is None:
        return ""
    return f", first after {show_duration(first_s)}" if first_s else ", first at the start"


def _share(part: int, whole: int) -> str:
    return f" ({_percent(part / whole)})" if part and whole else ""


def _origins() -> dict[str, str]:
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

"""The summary of a report as text for a terminal: what is printed when a run ends. Pure.

Owns: what stands in it and in which order. Must not know terminals; colour and width are given.
Foreign text passes `text.visible` here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaperon_engine.export.layout import (
    Style,
    cell_width,
    cut,
    paint,
    plural,
    stacked,
    table,
    wrap,
)
from chaperon_engine.export.summary_figures import (
    MAX_ROWS,
    THIN,
    count,
    custom_value,
    header_of,
    labels_of,
    most,
    origins,
    percent,
    percentile,
    row_of,
    row_style,
    share_words,
    since,
)
from chaperon_engine.metrics.model import HTTP, WARMUP
from chaperon_engine.metrics.summary import (
    Distribution,
    ReportMessages,
    ReportMetric,
    ReportTotals,
)
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible, visible_block
from chaperon_engine.units import show_bytes, show_duration, show_us

MAX_TRACEBACKS = 10
LEAST_WIDTH = 40
"""Lines are made for terminals at least this wide."""
TABLE_WIDTH = 60
"""In narrower ones a row of a table takes several lines."""

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
    """The summary, with a newline at its end; lines fit into `width` columns (at least 40).

    `files` are paths to name at the end, by what they are (`report`, `csv`).
    """
    page = _Page(report, max(LEAST_WIDTH, width), color)
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

    def heading(self, text: str) -> Iterator[str]:
        for line in wrap(text, self.width):
            yield self.paint(line, "bold")

    def facts(self, title: str, parts: Sequence[str], style: Style = "") -> Iterator[str]:
        """`Title       one   two   three`, broken only between the parts."""
        line, has_part = f"{title:<12}", False
        for part in parts:
            gap = "   " if has_part else ""
            if has_part and cell_width(line + gap + part) > self.width:
                yield self.paint(line, style)
                line, gap = " " * 12, ""
            line, has_part = f"{line}{gap}{part}", True
        yield self.paint(line, style)

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        left: int = 1,
        styles: Sequence[Style] = (),
    ) -> list[str]:
        make = table if self.width >= TABLE_WIDTH else stacked
        return make(header, rows, width=self.width, color=self.color, left=left, styles=styles)

    def headline(self) -> Iterator[str]:
        run = self.report.run
        marks = [run.status or "unfinished"]
        marks += ["partial"] if run.partial else []
        marks += ["recovered"] if run.recovered else []
        plain = marks == ["complete"]
        name, status = visible(run.load_test, 60), ", ".join(marks)
        has_room = cell_width(f"{name}  {status}") <= self.width
        title = self.paint(cut(name, self.width), "bold")
        shown = self.paint(status, "green" if plain else "yellow")
        yield from [f"{title}  {shown}"] if has_room else [title, f"  {shown}"]
        parts = [f"measured {show_duration(run.measured_s)}"]
        parts += [f"warm-up {show_duration(run.warmup_s)}"] if run.warmup_s else []
        parts += [f"drain {show_duration(run.drain_s)}"] if run.drain_s >= 0.1 else []
        agents = [worker for worker in run.workers if worker.agent]
        own = len(run.workers) - len(agents)
        if own or not agents:
            parts.append(plural(own, "worker"))
        if agents:
            hosts = list(dict.fromkeys(visible(worker.host, 40) for worker in agents))
            more = f" and {len(hosts) - 4} more" if len(hosts) > 4 else ""
            parts.append(f"{plural(len(agents), 'agent')} on {', '.join(hosts[:4])}{more}")
            if run.start_skew_us is not None:
                parts.append(f"started within {show_us(run.start_skew_us)}")
        parts.append(f"seed {run.seed}")
        parts += [f"tag {visible(run.tag, 40)}"] if run.tag else []
        parts.append(f"run {visible(run.id, 60)}")
        # A part such as `run ID` stays on one line.
        whole = " · ".join(part.replace(" ", "\u00a0") for part in parts)
        for line in wrap(whole, self.width, "  "):
            yield self.paint(line.replace("\u00a0", " "), "dim")
        for reason in run.reasons:
            yield from self.wrapped(f"! {visible(reason, 500)}", "yellow")
        if run.metrics:
            kept = visible(", ".join(run.metrics), 500)
            yield from self.wrapped(f"! only these metrics were kept: {kept}", "yellow")
        missing = sum(worker.missing_latencies for worker in run.workers)
        if missing:
            yield from self.wrapped(
                f"! {plural(missing, 'request')} counted whose latency was lost with its worker",
                "yellow",
            )

    def totals(self) -> Iterator[str]:
        totals, sessions = self.report.totals, self.report.sessions
        iterations = self.report.iterations
        if totals.requests or not self.has_sockets:
            yield from self.requests()
        if self.has_sockets:
            yield from self.messages()
        ended = [f"{sessions.planned:,} planned", f"{sessions.finished:,} finished"]
        for name in ("failed", "timed_out", "interrupted"):
            number = getattr(sessions, name)
            ended += [f"{number:,} {name.replace('_', ' ')}"] if number else []
        yield from self.facts("Sessions", ended)
        done = [f"{iterations.completed:,} completed"]
        for name in ("failed", "interrupted"):
            number = getattr(iterations, name)
            done += [f"{number:,} {name}"] if number else []
        yield from self.facts("Iterations", done)

    @property
    def has_sockets(self) -> bool:
        """Whether a WebSocket was opened, or somebody tried."""
        messages = self.report.messages
        return bool(messages.opened or messages.failed or messages.sent or messages.received)

    def requests(self) -> Iterator[str]:
        totals = self.report.totals
        rate = self.paint(f"{totals.requests_per_s:,.1f}/s", "bold")
        yield f"Requests    {totals.requests:,}   {rate}"
        bad = f"{totals.failed:,} failed{share_words(totals.failed, totals.requests)}"
        http = plural(totals.http_errors, "HTTP error")
        http += share_words(totals.http_errors, totals.requests)
        yield from self.facts("", [bad, http], "red" if totals.failed or totals.http_errors else "")
        rest = [f"{totals.in_flight:,} in flight at the end"]
        rest += [f"{totals.retries:,} stale retries"] if totals.retries else []
        yield from self.facts("", rest)
        yield from self.facts("Bytes", _moved(totals))

    def messages(self) -> Iterator[str]:
        totals = self.report.messages
        rate = self.paint(f"{totals.messages_per_s:,.1f}/s", "bold")
        moved = [f"{totals.sent:,} sent", f"{totals.received:,} received", rate]
        yield from self.facts("Messages", moved)
        trips = _middle_and_tail("round trip", totals.round_trip_us)
        yield from self.facts("", [*_moved(totals), *trips])
        waits = _middle_and_tail("waited for each message", totals.receive_us)
        if waits:
            yield from self.facts("", waits)
        sockets = [f"{totals.opened:,} opened", f"{totals.open:,} open at the end"]
        bad = [f"{totals.failed:,} failed connects, sends, receives, pings and closes"]
        yield from self.facts("WebSockets", [*sockets, *(bad if totals.failed else [])],
                              "red" if totals.failed else "")  # fmt: skip

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
        yield from self.heading("Service time of complete responses with an expected status")
        yield from self.latency_table([total, *most(rows)], "requests")
        yield from self.left_out(len(rows))
        if self.report.folded_series:
            folded = plural(self.report.folded_series, "series", "series")
            yield from self.wrapped(f"{folded} beyond the limit of this run are in (other)", "dim")

    def other_outcomes(self) -> Iterator[str]:
        totals, names = self.report.totals, self.percentiles()
        rows = [
            [what, count(times.count), *row_of(times, "us", names)]
            for what, times in (
                ("unexpected status", totals.unexpected_service_time_us),
                ("failed, until it failed", totals.failure_time_us),
            )
            if times.count
        ]
        if not rows:
            return
        yield from self.heading("Time of the other requests, all together")
        header = ["", "requests", *header_of(names)]
        yield from self.table(header, rows)

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
        yield from self.latency_table(most(rows), "count", kinds=True)
        yield from self.left_out(len(rows))

    def latency_table(
        self, metrics: list[ReportMetric], what: str, *, kinds: bool = False
    ) -> Iterator[str]:
        names = self.percentiles()
        http = any(metric.http_errors for metric in metrics)
        header = ["", what, "failed", *(["http err"] if http else [])]
        header += header_of(names)
        rows, styles, thin = [], [], False
        # Sessions and services are named only where they tell two lines apart.
        several = len({metric.session for metric in metrics if metric.session}) > 1
        for metric, label in zip(metrics, labels_of(metrics, kinds, several), strict=True):
            times = metric.service_time_us
            thin = thin or (times.count > 0 and any(name in times.thin for name in names))
            unexpected = sum(metric.http_errors.values())
            rows.append(
                [
                    label,
                    count(metric.count),
                    count(metric.failed),
                    *([count(unexpected)] if http else []),
                    *row_of(times, metric.unit, names),
                ]
            )
            styles.append(row_style(metric.failed or unexpected))
        yield from self.table(header, rows, styles=styles)
        if thin:
            yield from self.wrapped(f"{THIN} fewer than 10 samples above this percentile", "dim")

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
            [visible(metric.name, 100), metric.kind, custom_value(metric), count(metric.count)]
            for metric in rows[:MAX_ROWS]
        ]
        header = ["", "kind", "value", "count"]
        yield from self.table(header, cells, left=2)
        yield from self.left_out(len(rows))

    def errors(self) -> Iterator[str]:
        origin_of = origins()
        rows: list[tuple[int, str, str, str]] = []
        failing = [
            metric
            for metric in self.report.metrics
            if (metric.errors or metric.http_errors)
            and metric.phase != WARMUP
            and metric.kind not in _CUSTOM_KINDS
        ]
        requests = [metric for metric in failing if metric.kind == HTTP]
        others = [metric for metric in failing if metric.kind != HTTP]
        labels = labels_of(requests, False, True) + labels_of(others, True, True)
        for metric, label in zip(requests + others, labels, strict=True):
            for code, number in metric.errors.items():
                rows.append((number, code, origin_of.get(code, "target"), label))
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
        yield from self.table(header, cells, left=3)
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
                text = f"{word} for {percent(share)} of the time{since(first)}"
                yield from self.wrapped(text, style)
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
        yield from self.heading("Warm-up, not part of the figures above")
        duration = show_duration(self.report.run.warmup_s)
        yield from self.wrapped(f"{plural(requests, 'request')} in {duration}", "dim")
        yield from self.latency_table(most(rows)[:10], "requests")

    def files(self, files: Mapping[str, str]) -> Iterator[str]:
        for what, path in files.items():
            # A path is for copying: it is never cut or broken.
            yield f"{visible(what, 20):<10}  {visible(path, 5000)}"


def _middle_and_tail(what: str, times: Distribution) -> list[str]:
    """`what p50 TIME` and `p99 TIME`; empty for no values."""
    if not times.count:
        return []
    middle, tail = (percentile(times, name, "us") for name in ("p50", "p99"))
    return [f"{what} p50 {middle}", f"p99 {tail}"]


def _moved(totals: ReportTotals | ReportMessages) -> list[str]:
    return [f"{show_bytes(totals.bytes_in)} in", f"{show_bytes(totals.bytes_out)} out"]

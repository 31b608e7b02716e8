"""Canned runs: plausible snapshots, reports and plans, the same on every run."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from chaperon_engine import (
    CheckCount,
    Distribution,
    Entry,
    ErrorRow,
    ExceptionGroup,
    HealthView,
    Interval,
    IterationCounts,
    LoadProfile,
    LogLine,
    MembersView,
    Percentiles,
    Plan,
    PopulationPlan,
    Report,
    ReportCheck,
    ReportException,
    ReportHealth,
    ReportInterval,
    ReportMetric,
    ReportRun,
    ReportTotals,
    ReportWorker,
    SeriesDetail,
    SeriesKey,
    SeriesRow,
    ServicePlan,
    SessionCounts,
    Snapshot,
    Totals,
    View,
    WorkerRow,
)

TRACEBACK = 'File "checkout.py", line 12, in pay\n    raise ValueError("no card")'


@dataclass(frozen=True)
class Words:
    """The foreign texts of a run."""

    load_test: str = "CheckoutTest"
    url: str = "/json?page"
    name: str = "buyers"
    reason: str = "worker 1: loop lag 14 ms"
    log: str = "cart is empty"
    error: str = "ValueError"
    message: str = "no card"
    doc: str = "One customer who signs in and buys."
    run_id: str = "20261121-210000-CheckoutTest-a1b2"
    path: str = "results/2026-11-21/CheckoutTest/demo.json"
    host: str = "worker-7.a-very-long-name.of-a-region.internal.example.com"


PLAIN = Words()
WHOLE = View()


def latency(scale: float, count: int) -> Percentiles:
    """A distribution around `scale` milliseconds."""
    us = scale * 1000
    return Percentiles(
        count=count, min=int(us * 0.4), mean=us * 1.1, p50=int(us), p75=int(us * 1.5),
        p90=int(us * 2.2), p95=int(us * 3.1), p99=int(us * 7.4), p99_9=int(us * 14),
        max=int(us * 22),
    )  # fmt: skip


def heat(scale: float, count: int) -> list[int]:
    """Counts by latency band."""
    center = 4 * math.log10(scale * 100) + 0.5
    return [int(count * 0.4 * math.exp(-((i - center) ** 2) / 3)) for i in range(29)]


def intervals(seconds: int) -> list[Interval]:
    """A run with a slow patch in its middle."""
    chance = random.Random(7)
    found = []
    for second in range(seconds):
        slow = 1 + 2.5 * math.exp(-((second - seconds * 0.6) ** 2) / 18)
        scale = (1.2 + 0.3 * math.sin(second / 4) + 0.1 * chance.random()) * slow
        rate = int(24_000 / slow + 900 * chance.random())
        failed = int(40 * (slow - 1))
        found.append(Interval(
            second=second, requests=rate, ok=rate - failed, failed=failed, http_errors=failed // 3,
            in_flight=48, latency=latency(scale, rate), heat=heat(scale, rate),
            active_sessions=50, cpu=0.62,
        ))  # fmt: skip
    return found


def plan(words: Words = PLAIN, *, sessions: int = 50) -> Plan:
    """The plan of the bundled checkout."""
    return Plan(
        load_test=words.load_test, file="/home/ann/scenarios/checkout.py", doc=words.doc,
        services=[ServicePlan(name="shop", base_url="http://127.0.0.1:7070")],
        populations=[PopulationPlan(
            name=words.name, scenario="Checkout", doc=words.doc, sessions=sessions,
            profile=LoadProfile(duration_s=60.0, ramp_up_s=2.0),
        )],
    )  # fmt: skip


def series(words: Words = PLAIN, count: int = 9) -> list[SeriesRow]:
    """Requests, a call, and connects."""
    keys = [("http", "POST", "/login"), ("http", "GET", words.url), ("http", "GET", "/"),
            ("http", "POST", "/echo"), ("call", "", "pay"), ("connect", "", "shop"),
            ("http", "GET", "/flaky"), ("http", "GET", "/slow?ms=20"),
            ("http", "GET", "/商品/検索?q=茶")]  # fmt: skip
    keys += [("http", "GET", f"/item/{number}") for number in range(count - len(keys))]
    rows = []
    for number, (kind, method, url) in enumerate(keys[:count]):
        requests = 412_000 // (number + 1)
        bad = 311 if url == "/flaky" else 0
        rows.append(SeriesRow(
            id=number, requests=requests, failed=bad, http_errors=bad * 4,
            per_s=requests / 42, latency=latency(0.8 + number * 0.7, requests),
            bytes_in=requests * 411,
            key=SeriesKey(kind=kind, method=method, url=url, session=words.name,
                          scenario="Checkout", service="shop", action=method.lower() or "call"),
        ))  # fmt: skip
    return rows


def members_of(rows: list[WorkerRow], view: View) -> dict[str, Any]:
    """What a snapshot says of its members: the page of a view, and all together."""

    def cores(*states: str) -> int:
        return sum(row.cores for row in rows if row.state in states)

    members = MembersView(
        count=len(rows), cores=sum(row.cores for row in rows),
        cpu=max((row.cpu for row in rows), default=0.0),
        lag_p99_us=max((row.lag_p99_us for row in rows), default=0),
        away=cores("away"), lost=cores("lost", "hung"),
    )  # fmt: skip
    page = rows[view.worker_offset : view.worker_offset + view.worker_limit]
    return {"workers": page, "worker_offset": view.worker_offset, "members": members}


def snapshot(
    words: Words = PLAIN,
    *,
    elapsed_s: float = 42.0,
    state: str = "running",
    verdict: str = "good",
    view: View = WHOLE,
    new_from: int = 0,
    rows: int = 9,
) -> Snapshot:
    """A run of 60 s at `elapsed_s`, with the seconds from `new_from` on."""
    seconds = int(elapsed_s)
    history = intervals(seconds)
    total = sum(each.requests for each in history)
    failed = sum(each.failed for each in history)
    lines = [
        LogLine(0.0, "info", "engine", "2 workers are ready"),
        LogLine(3.2, "warning", "worker 1 · buyers 7", words.log),
        LogLine(9.9, "output", "worker 0 · buyers 3", "hello from print()"),
    ]
    all_rows = [row for row in series(words, rows)
                if not view.kinds or row.key.kind in view.kinds]  # fmt: skip
    reason = words.reason if verdict != "good" else ""
    return Snapshot(
        run_id=words.run_id, load_test=words.load_test, state=state,
        status="complete" if state == "finished" else "", elapsed_s=elapsed_s, planned_s=60.0,
        measured_s=elapsed_s,
        totals=Totals(requests=total + 48, ok=total - failed, failed=failed,
                      http_errors=failed // 3, bytes_in=total * 411, bytes_out=total * 120),
        requests_per_s=float(history[-1].requests if history else 0),
        failed_per_s=float(history[-1].failed if history else 0),
        latency=latency(1.31, total), latency_now=latency(1.22, 24_000),
        sessions=SessionCounts(planned=50, started=50),
        iterations=IterationCounts(started=total // 6, completed=total // 6 - 50),
        health=HealthView(verdict=verdict, reason=reason, worst=verdict,
                          degraded_share=0.0 if verdict == "good" else 0.12,
                          first_degraded_s=None if verdict == "good" else 4.0),
        **members_of([
            WorkerRow(worker=0, pid=4711, state="running", core=0, requests_per_s=12_400.0,
                      active_sessions=25, cpu=0.62, lag_p99_us=310, rss_bytes=48_000_000),
            WorkerRow(worker=1, pid=4712, state="running", core=1, requests_per_s=11_900.0,
                      active_sessions=25, cpu=0.93 if verdict != "good" else 0.6,
                      lag_p99_us=14_000 if verdict != "good" else 290, rss_bytes=47_100_000,
                      verdict=verdict),
        ], view),
        series=all_rows[view.offset : view.offset + view.limit], series_total=len(all_rows),
        errors=[ErrorRow("GET /flaky", words.name, "reset", "target", 311),
                ErrorRow(words.url, words.name, "http_503", "target", 112),
                ErrorRow("GET /slow?ms=20", words.name, "timeout_total", "target", 4)],
        checks=[CheckCount("Checkout", words.name, "page is json", 61_000, 0),
                CheckCount("Checkout", words.name, words.log, 60_000, 1_000, words.message)],
        exceptions=[ExceptionGroup(words.error, "/home/ann/scenarios/checkout.py", 12, 3,
                                   words.message, TRACEBACK, "run", words.name)],
        intervals=history[new_from:], logs=lines if new_from == 0 else [],
        report_path="/runs/report.json" if state == "finished" else "",
    )  # fmt: skip


def detail(words: Words = PLAIN) -> SeriesDetail:
    """One series in full."""
    row = series(words)[1]
    points = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)
    edges = [round(10 * 10 ** (step / 4)) for step in range(29)]
    return SeriesDetail(
        row=row,
        spectrum=[(p, int(900 * (1 + 9 * (i / 10) ** 3))) for i, p in enumerate(points)],
        histogram=list(zip(edges, heat(1.3, 206_000), strict=True)),
        statuses={200: 205_000, 503: 112}, errors={"reset": 311, "timeout_total": 4},
        unexpected=latency(3.0, 112), failures=latency(8.0, 315),
    )  # fmt: skip


def distribution(scale: float, count: int) -> Distribution:
    """As `latency` with all percentiles of a report."""
    us = scale * 1000
    return Distribution(
        count=count, min=int(us * 0.4), mean=us * 1.1, max=int(us * 22), p10=int(us * 0.6),
        p50=int(us), p75=int(us * 1.5), p90=int(us * 2.2), p95=int(us * 3.1), p99=int(us * 7.4),
        p99_9=int(us * 14), p99_99=int(us * 19), p99_999=int(us * 21), thin=["p99_999"],
    )  # fmt: skip


def report(words: Words = PLAIN) -> Report:
    """The report of a run of 60 s."""
    history = intervals(60)
    total = sum(each.requests for each in history)
    return Report(
        run=ReportRun(
            id=words.run_id, load_test=words.load_test, status="stopped",
            partial=True, reasons=[words.reason], started_at="2026-11-21T21:00:00Z",
            duration_s=60.2, measured_s=60.0, file="/home/ann/scenarios/checkout.py",
            workers=[ReportWorker(worker=0, pid=4711), ReportWorker(worker=1, pid=4712)],
        ),
        sessions=SessionCounts(planned=50, started=50, finished=49, interrupted=1),
        iterations=IterationCounts(started=240_000, completed=239_900, failed=3),
        totals=ReportTotals(requests=total, ok=total - 427, failed=427, http_errors=1244,
                            requests_per_s=total / 60, bytes_in=total * 411,
                            bytes_out=total * 120, service_time_us=distribution(1.3, total)),
        metrics=[
            ReportMetric(kind=row.key.kind, scenario="Checkout", session=words.name,
                         service=row.key.service, action=row.key.action,
                         method=row.key.method, url=row.key.url, count=row.requests,
                         failed=row.failed, errors={"reset": row.failed} if row.failed else {},
                         http_errors={"503": row.http_errors} if row.http_errors else {},
                         service_time_us=distribution(0.8 + row.id * 0.7, row.requests))
            for row in series(words)
        ],
        checks=[ReportCheck(scenario="Checkout", session=words.name, name=words.log,
                            passed=60_000, failed=1_000, reason=words.message)],
        exceptions=[ReportException(type=words.error, file="/home/ann/scenarios/checkout.py",
                                    line=12, count=3, message=words.message,
                                    traceback=TRACEBACK, where="run", session=words.name)],
        health=ReportHealth(verdict="degraded", degraded_share=0.12, first_degraded_s=4.0,
                            reason=words.reason, lag_p99_us=14_000, cpu=0.93),
        intervals=[ReportInterval.of(second) for second in history],
        plan={"load_test": words.load_test},
    )  # fmt: skip


def entries(words: Words = PLAIN) -> list[Entry]:
    """A menu."""
    return [
        Entry(file="/home/ann/scenarios/checkout.py", name="CheckoutTest", line=12, doc=words.doc,
              is_load_test=True, scenarios=["Checkout"], services={"shop": words.url}),
        Entry(file="/home/ann/scenarios/search.py", name="SearchTest", line=30,
              doc="Looks for products, many at once.", is_load_test=True, scenarios=["Search"]),
        Entry(file="/home/ann/scenarios/broken.py", name="", line=3, is_load_test=False,
              problem="line 3: expected ':'"),
        Entry(file="/lib/chaperon_engine/bundled/firehose.py", name="Firehose", line=8,
              doc="Publishes to channels.", is_load_test=False, origin="bundled"),
    ]  # fmt: skip

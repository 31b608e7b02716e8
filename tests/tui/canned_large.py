"""A canned run of very large numbers: 10^10 requests, 10^13 bytes, hours of latency, 64 workers."""

from __future__ import annotations

import msgspec

from chaperon_engine import (
    CheckCount,
    ErrorRow,
    HealthView,
    Interval,
    IterationCounts,
    LogLine,
    Report,
    ReportInterval,
    ReportMetric,
    SeriesDetail,
    SeriesKey,
    SeriesRow,
    SessionCounts,
    Snapshot,
    Totals,
    View,
    WorkerRow,
)
from tests.tui import canned

SECONDS = 7 * 3600
REQUESTS = 38_765_432_100
BYTES = 98_765_432_109_876
RATE = 6_543_210
HOURS_MS = 2.1 * 3600 * 1000.0


def rows(count: int = 60) -> list[SeriesRow]:
    """Dozens of series of all kinds; the slowest take hours, the first are 10^10 requests."""
    found = []
    for number in range(count):
        kind = ("http", "http", "http", "call", "trend", "counter", "gauge", "rate")[number % 8]
        plain = kind == "http"
        requests = REQUESTS // (number + 1) if kind in ("http", "call", "trend") else 0
        bad = requests // 7 if number % 3 == 0 else 0
        scale = HOURS_MS / 3**number if number < 16 else 999.6
        key = SeriesKey(
            kind=kind, scenario="Checkout", session=f"population-with-a-long-name-{number}",
            service="shop", method=("GET", "DELETE", "OPTIONS")[number % 3] if plain else "",
            url=f"/api/v2/customers/{number}/orders?state=open&page=1" if plain else "",
            name="" if plain else f"{kind}.of.something.{number}",
            unit={"http": "us", "call": "us", "trend": "points", "gauge": "B"}.get(kind, ""),
        )  # fmt: skip
        found.append(SeriesRow(
            id=number, key=key, requests=requests, failed=bad, http_errors=bad,
            per_s=RATE / (number + 1), latency=canned.latency(scale, requests),
            bytes_in=BYTES // (number + 1),
            value=0.99999 if kind == "rate" else 1_234_567_890_123.0,
        ))  # fmt: skip
    return found


def workers(count: int) -> list[WorkerRow]:
    """Busy ones, and each kind of trouble among them."""
    states = {5: ("hung", "hangs in checkout.py:12 for 12.3 s"), 9: ("lost", "killed by signal 9")}
    verdicts = {3: "degraded", 5: "saturated", 9: "saturated"}
    return [
        WorkerRow(
            worker=number, pid=4_194_000 + number, state=states.get(number, ("running", ""))[0],
            core=number * 3, requests_per_s=RATE / count, active_sessions=1_250_000, cpu=0.999,
            lag_p99_us=123_456 if number in verdicts else 970, rss_bytes=1_073_700_000_000 // 1000,
            steal=0.12, verdict=verdicts.get(number, "good"), note=states.get(number, ("", ""))[1],
        )
        for number in range(count)
    ]  # fmt: skip


def intervals(count: int = 400) -> list[Interval]:
    """The last seconds: the latencies climb from microseconds to hours."""
    return [
        Interval(
            second=SECONDS - count + second, requests=RATE, ok=RATE - RATE // 9, failed=RATE // 9,
            http_errors=RATE // 11, in_flight=RATE,
            latency=canned.latency(0.02 * 10 ** (second / count * 8.5), RATE),
            heat=canned.heat(0.02 * 10 ** (second / count * 6.5), RATE),
            active_sessions=80_000_000, cpu=0.999,
        )
        for second in range(count)
    ]  # fmt: skip


def snapshot(
    *, workers_count: int = 64, view: View | None = None, state: str = "running"
) -> Snapshot:
    """The run after seven hours of eight."""
    view = view or View()
    everything = [row for row in rows() if not view.kinds or row.key.kind in view.kinds]
    failed = REQUESTS // 9
    return Snapshot(
        run_id=canned.PLAIN.run_id, load_test="EverythingAtOnceOverAllRegionsTest", state=state,
        status="stopped" if state == "finished" else "", elapsed_s=float(SECONDS),
        planned_s=8 * 3600.0, measured_s=float(SECONDS),
        totals=Totals(requests=REQUESTS, ok=REQUESTS - failed - RATE, failed=failed,
                      http_errors=REQUESTS // 11, bytes_in=BYTES, bytes_out=BYTES // 3),
        requests_per_s=float(RATE), failed_per_s=RATE / 9,
        latency=canned.latency(HOURS_MS / 22, REQUESTS), latency_now=canned.latency(999.6, RATE),
        sessions=SessionCounts(planned=80_000_000, started=80_000_000),
        iterations=IterationCounts(started=REQUESTS, completed=REQUESTS),
        health=HealthView(verdict="saturated", worst="saturated", degraded_share=0.97,
                          saturated_share=0.5, first_degraded_s=1.0, first_saturated_s=12345.0,
                          reason="worker 5: loop lag 123 ms, CPU 99.9 %; worker 9: killed"),
        **canned.members_of(workers(workers_count), view),
        series=everything[view.offset : view.offset + view.limit], series_total=len(everything),
        errors=[ErrorRow(f"GET /api/v2/customers/{n}/orders?state=open&page=1",
                         f"population-with-a-long-name-{n}",
                         ("generator_descriptors", "timeout_first_byte", "http_503")[n % 3],
                         ("generator", "target", "target")[n % 3], REQUESTS // (9 * (n + 1)))
                for n in range(40)],
        checks=[CheckCount("Checkout", f"population-with-a-long-name-{n}", f"check number {n}",
                           REQUESTS // 3, REQUESTS // 100_000 if n < 5 else 0, "it is not so")
                for n in range(30)],
        intervals=intervals(),
        logs=[LogLine(SECONDS - 1.0 + n / 100, "warning", f"worker {n} · population-with-a-long",
                      "the cart is empty and the rest of this line is long " * 3)
              for n in range(80)],
        report_path="/runs/report.json" if state == "finished" else "",
    )  # fmt: skip


def detail() -> SeriesDetail:
    """The slowest series in full."""
    plain = canned.detail()
    return msgspec.structs.replace(
        plain, row=rows()[0],
        spectrum=[(p, value * 10**7) for p, value in plain.spectrum],
        histogram=[(edge, REQUESTS // (index + 1)) for index, (edge, _) in
                   enumerate(plain.histogram)],
        statuses={200: REQUESTS, 503: REQUESTS // 9},
        errors={"generator_descriptors": REQUESTS // 8},
    )  # fmt: skip


def report() -> Report:
    """The report of that run."""
    plain = canned.report()
    run = msgspec.structs.replace(
        plain.run, load_test="EverythingAtOnceOverAllRegionsTest", duration_s=SECONDS + 12.0,
        measured_s=float(SECONDS), workers=plain.run.workers * 32, warmup_s=600.0,
    )  # fmt: skip
    totals = msgspec.structs.replace(
        plain.totals, requests=REQUESTS, ok=REQUESTS - REQUESTS // 9, failed=REQUESTS // 9,
        http_errors=REQUESTS // 11, requests_per_s=float(RATE), bytes_in=BYTES,
        bytes_out=BYTES // 3, service_time_us=canned.distribution(HOURS_MS / 22, REQUESTS),
        failure_time_us=canned.distribution(HOURS_MS / 22, REQUESTS // 9),
        unexpected_service_time_us=canned.distribution(HOURS_MS / 22, REQUESTS // 11),
    )  # fmt: skip
    metrics = [
        ReportMetric(
            kind=row.key.kind, scenario="Checkout", session=row.key.session, unit=row.key.unit,
            method=row.key.method, url=row.key.url, name=row.key.name, count=row.requests,
            failed=row.failed, errors={"generator_descriptors": row.failed} if row.failed else {},
            http_errors={"503": row.http_errors} if row.http_errors else {},
            value=row.value if row.key.kind in ("counter", "gauge", "rate") else None,
            service_time_us=canned.distribution(
                HOURS_MS / 3**row.id if row.id < 16 else 999.6, row.requests),
        )
        for row in rows()
    ]  # fmt: skip
    sessions = SessionCounts(planned=80_000_000, started=80_000_000, finished=79_999_000,
                             failed=400, interrupted=600)  # fmt: skip
    done = IterationCounts(started=REQUESTS, completed=REQUESTS - 8, failed=5_000_000,
                           interrupted=8)  # fmt: skip
    return msgspec.structs.replace(
        plain, run=run, totals=totals, metrics=metrics, sessions=sessions, iterations=done,
        intervals=[ReportInterval.of(second) for second in intervals()],
    )  # fmt: skip

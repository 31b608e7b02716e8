"""Reports made by hand, and a corpus of text that must not do harm anywhere."""

from __future__ import annotations

from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.metrics.summary import Distribution, ReportHealth, ReportMetric, ReportTotals
from chaperon_engine.runs.report import (
    Report,
    ReportCheck,
    ReportException,
    ReportInterval,
    ReportRun,
    ReportWorker,
)

HOSTILE = (
    "/a[/b]",
    "[@click=app.quit]now[/]",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31mC1",
    "line\nbreak\rreturn\ttab",
    "\u202egnp.exe\u2066",
    "z\u0335\u0321\u0337\u0322\u0334" * 40,
    "漢字" * 200,
    "x" * 20_000,
    "\u200b\u200d\ufeff",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    '","";\'',
    "\udc80\udfff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2028\u2029",
    "10\u00a0000\u3000\u20ac",
    "",
)

DANGEROUS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} | set(
    "\u200b\u200d\ufeff\u202e\u2066\u2028\u2029"
)
"""Characters that must not come out of a renderer (a line feed that it wrote itself apart)."""


def distribution(count: int = 1000) -> Distribution:
    """A distribution with a value of its own for every percentile."""
    return Distribution(
        count=count,
        min=101,
        mean=1234.5678901,
        max=999_424,
        p10=110,
        p20=120,
        p30=130,
        p40=140,
        p50=150,
        p60=160,
        p75=175,
        p80=180,
        p85=185,
        p90=190,
        p95=195,
        p99=1099,
        p99_9=10_999,
        p99_99=109_999,
        p99_999=999_424,
        thin=["p99_9", "p99_99", "p99_999"],
    )


def metric(**changes: object) -> ReportMetric:
    """One HTTP series."""
    values: dict[str, object] = {
        "kind": "http",
        "scenario": "Checkout",
        "session": "buyers",
        "service": "shop",
        "action": "get",
        "method": "GET",
        "url": "/json",
        "count": 1003,
        "failed": 2,
        "errors": {"timeout_total": 2},
        "http_errors": {"503": 1},
        "statuses": {"200": 1000, "503": 1},
        "bytes_in": 123_456,
        "bytes_out": 65_432,
        "service_time_us": distribution(),
        "unexpected_service_time_us": Distribution(count=1, min=5, mean=5.0, max=5, p50=5, p99=5),
    }
    return ReportMetric(**{**values, **changes})  # type: ignore[arg-type]


def report(**changes: object) -> Report:
    """A run with something in every part."""
    values: dict[str, object] = {
        "run": ReportRun(
            id="20261121-205716-k3f9",
            load_test="CheckoutTest",
            status="complete",
            started_at="2026-11-21T20:57:16Z",
            duration_s=12.1,
            measured_s=10.0,
            warmup_s=2.0,
            drain_s=0.1,
            seed=42,
            tag="nightly",
            workers=[ReportWorker(worker=0, pid=11, core=0), ReportWorker(worker=1, pid=12)],
            config={"timeout": 30, "config": {"token": "***"}},
        ),
        "sessions": SessionCounts(planned=50, started=50, finished=49, timed_out=1),
        "iterations": IterationCounts(started=334, completed=330, failed=4),
        "totals": ReportTotals(
            requests=1003,
            ok=1001,
            failed=2,
            http_errors=1,
            requests_per_s=100.1,
            bytes_in=123_456,
            bytes_out=65_432,
            service_time_us=distribution(),
        ),
        "metrics": [
            metric(),
            metric(url="/json", phase="warmup", count=77, failed=0, errors={}, http_errors={}),
            metric(
                kind="connect", method="", url="", count=50, failed=0, errors={}, http_errors={}
            ),
            metric(
                kind="counter",
                unit="items",
                method="",
                url="",
                name="sold",
                value=12.5,
                count=3,
                failed=0,
                errors={},
                http_errors={},
                service_time_us=Distribution(),
            ),
        ],
        "checks": [
            ReportCheck(scenario="C", session="buyers", name="page is json", passed=330, failed=0),
            ReportCheck(
                scenario="C", session="buyers", name="cheap", passed=1, failed=2, reason="KeyError"
            ),
        ],
        "exceptions": [
            ReportException(
                type="KeyError",
                file="/home/ann/checkout.py",
                line=12,
                count=4,
                message="'price'",
                traceback=(
                    'Traceback (most recent call last):\n  File "checkout.py", line 12\nKeyError'
                ),
                where="run",
                session="buyers",
            )
        ],
        "health": ReportHealth(),
        "intervals": [
            ReportInterval(
                second=second,
                requests=100,
                ok=99,
                failed=1,
                http_errors=0,
                in_flight=3,
                samples=99,
                min=101,
                mean=150.25,
                p50=150,
                p75=175,
                p90=190,
                p95=195,
                p99=1099,
                p99_9=10_999,
                max=11_000,
            )
            for second in range(3)
        ],
        "plan": {"populations": [{"name": "buyers", "scenario": "Checkout", "sessions": 50}]},
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]


def hostile(text: str) -> Report:
    """A run in which every text that others decide is `text`."""
    calm = report()
    calm.run.load_test = calm.run.tag = calm.run.id = text
    calm.run.reasons = [text]
    calm.run.config = {text: text}
    calm.metrics = [
        metric(
            scenario=text,
            session=text,
            service=text,
            action=text,
            method=text,
            url=text,
            name=name,
            tags={text: text},
            errors={text: 3},
            http_errors={"503": 1},
            kind=kind,
            unit=unit,
        )
        for kind, name, unit in (
            ("http", text, "us"),
            ("http", "", "us"),
            ("call", text, text),
            ("trend", text, text),
            ("gauge", text, text),
        )
    ]
    calm.checks = [
        ReportCheck(scenario=text, session=text, name=text, passed=1, failed=1, reason=text)
    ]
    calm.exceptions = [
        ReportException(
            type=text,
            file=text,
            line=1,
            count=1,
            message=text,
            traceback=f"{text}\n{text}",
            where="run",
            session=text,
        )
    ]
    calm.health = ReportHealth(verdict="saturated", reason=text, saturated_share=0.5)
    return calm

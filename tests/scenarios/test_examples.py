"""Every example runs as it stands, shortened at launch, and counts what the target counts."""

from __future__ import annotations

from pathlib import Path

import pytest

import chaperon_engine
from chaperon_engine import Report, ReportMetric
from tests.scenarios.conftest import Target

SCENARIOS = Path(__file__).parents[2] / "scenarios"
ENTRIES = {Path(entry.file).name: entry for entry in chaperon_engine.discover([SCENARIOS])}

SHORT = {
    "background_noise.py": ["populations.quiet.duration=0.5s", "populations.loud.duration=0.5s"],
    "browse.py": [
        "warmup=0",
        *(f"populations.{name}.duration=0.5s" for name in ("visitors", "searchers", "collectors")),
        *(f"populations.{name}.ramp_up=0" for name in ("visitors", "searchers")),
    ],
    "checkout.py": ["populations.buyers.sessions=5", "populations.buyers.duration=0.5s"],
    "errors.py": [
        'populations."flaky clients".duration=0.5s',
        'populations."impatient clients".duration=0.5s',
    ],
    "fanout.py": [
        "populations.subscribers.sessions=40",
        "populations.subscribers.ramp_up=0",
        "config.subscribers=40",
        "config.messages=25",
        "config.pause=5ms",
    ],
    "firehose.py": [
        *(f"populations.{name}.config.delay=0.5s" for name in ("eager", "lazy")),
        *(f"populations.{name}.config.config.pause=5ms" for name in ("eager", "lazy")),
        "populations.pollers.duration=0.2s",
        "populations.pollers.ramp_up=0",
    ],
    "firehose_roundtrip.py": ["populations.one.iterations=20", "populations.ten.iterations=5"],
    "hello.py": ["populations.Hello.duration=0.3s"],
    "ws_echo.py": ["populations.Echo.sessions=20", "populations.Echo.duration=0.3s"],
}
"""Overrides that make an example short."""


def run(example: str, target: Target) -> Report:
    """Run an example on two workers."""
    urls = [f"services.{name}.base_url={target.url}" for name in ENTRIES[example].services]
    report = chaperon_engine.run(
        SCENARIOS / example, set=SHORT[example] + urls, workers=2, pin=False, seed=7
    )
    assert (report.run.status, report.run.reasons) == ("complete", [])
    assert report.totals.in_flight == 0
    return report


def clean(report: Report) -> None:
    """Nothing has gone wrong."""
    assert report.exceptions == []
    assert {metric.name: metric.errors for metric in report.metrics if metric.failed} == {}
    assert {check.name: check.reason for check in report.checks if check.failed} == {}
    assert report.totals.http_errors == 0
    assert report.sessions.finished == report.sessions.planned
    assert report.iterations.failed == report.iterations.interrupted == 0


def series(report: Report, kind: str, name: str = "", *, session: str = "") -> ReportMetric:
    """The one series of a kind, with a name or URL, and of a session name if given."""
    (found,) = [
        metric
        for metric in report.metrics
        if metric.kind == kind
        and name in (metric.name, metric.url)
        and session in ("", metric.session)
    ]
    return found


def test_each_example_is_made_short_here() -> None:
    assert sorted(SHORT) == sorted(ENTRIES)


@pytest.mark.parametrize("example", ["browse.py", "checkout.py", "hello.py"])
def test_visitors_are_counted_as_the_target_counts_them(example: str, target: Target) -> None:
    report = run(example, target)
    clean(report)
    assert report.totals.requests == target.stats()["requests"] > 0


def test_the_errors_of_the_flaky_service_are_those_that_it_made(target: Target) -> None:
    report = run("errors.py", target)
    stats = target.stats()
    assert report.totals.requests == stats["requests"]
    assert series(report, "http", "order").http_errors == {"503": stats["statuses"]["503"]}
    assert set(series(report, "http", "/slow").errors) <= {"timeout_total"}
    assert series(report, "http", "/status/404").http_errors == {}


def test_noise_has_exactly_its_rate_and_grows(target: Target) -> None:
    report = run("background_noise.py", target)
    clean(report)
    assert report.totals.requests == target.stats()["requests"]
    for name, rate in {"quiet": 25, "loud": 250}.items():
        posts = series(report, "http", "/data", session=name)
        searches = series(report, "http", "search", session=name)
        assert (posts.count, searches.count) == (rate, 2)
        assert series(report, "call", "post", session=name).count == rate
        assert series(report, "trend", "post start delay", session=name).count == rate
    assert target.requests("/data", "POST") == 275


def test_every_echo_is_heard(target: Target) -> None:
    report = run("ws_echo.py", target)
    clean(report)
    sockets = target.stats()["websocket"]
    talks = report.iterations.completed
    assert talks >= 20
    assert series(report, "ws_connect").count == sockets["opened"] == talks
    assert series(report, "ws_send").count == sockets["messages_in"] == 10 * talks
    assert series(report, "ws_round_trip").count == sockets["messages_out"] == 10 * talks
    assert series(report, "call").count == 10 * talks
    assert sockets["open"] == 0


def test_every_reader_of_the_firehose_gets_its_messages(target: Target) -> None:
    report = run("firehose.py", target)
    clean(report)
    assert (
        report.totals.requests
        == sum(target.requests("/channel/{name:.+}", method) for method in ("PUT", "GET"))
        - len(("short", "medium", "long")) * 5
    )
    assert target.requests("/channel/{name:.+}", "PUT") == 250
    for name, messages in {"short": 10, "medium": 50, "long": 200}.items():
        assert series(report, "ws_recv", session=name).count == 5 * messages
    assert {check.name for check in report.checks} == {"it is the message"}
    assert sum(check.passed for check in report.checks) == 5 * (10 + 50 + 200)
    polled = series(report, "http", "long poll").statuses
    assert sum(polled.values()) == report.iterations.completed - 250 - 15
    assert series(report, "counter", "messages polled").value == polled["200"]


def test_each_round_trip_brings_back_what_it_published(target: Target) -> None:
    report = run("firehose_roundtrip.py", target)
    clean(report)
    assert target.requests("/channel/{name:.+}", "PUT") == 5 * 20
    assert target.requests("/channels@firehose", "PUT") == 5 * 5
    assert target.stats()["websocket"]["messages_out"] == 5 * 20 + 5 * 5 * 10
    for name, trips, messages in (("one", 100, 100), ("ten", 25, 250)):
        assert series(report, "call", "RoundTrip.publish_and_receive", session=name).count == trips
        assert series(report, "ws_recv", session=name).count == messages
        (check,) = [check for check in report.checks if check.session == name]
        assert (check.passed, check.failed) == (messages, 0)


def test_the_fan_out_delivers_everything_once_and_in_order(target: Target) -> None:
    report = run("fanout.py", target)
    clean(report)
    values = {metric.name: metric.value for metric in report.metrics if metric.kind == "counter"}
    assert values == {"delivered": 1000, "lost": 0, "duplicated": 0, "out of order": 0}
    assert {check.name: check.passed for check in report.checks} == {
        "nothing is lost": 40,
        "nothing comes twice": 40,
        "everything is in order": 40,
    }
    delivery = series(report, "trend", "delivery")
    assert delivery.count == 1000
    assert 0 < delivery.service_time_us.p50 < 5_000_000

    # Beside the 25 messages there are roll calls, 40 answers and an end for each.
    stats = target.stats()
    received = sum(metric.count for metric in report.metrics if metric.kind == "ws_message")
    assert received == stats["websocket"]["messages_out"]
    answers = series(report, "ws_message", session="publisher")
    assert answers.count == 40
    assert report.totals.requests == target.requests("/channel/{name:.+}", "PUT")


CARELESS = """
from fanout import LoadTest, Population, Publisher, Service, Session, Subscriber


class Careless(Publisher):
    async def publish(self, session: Session, **message: int) -> None:
        number = message.get("number")
        if number == 3:
            return
        if number in (1, 2):
            message["number"] = 3 - number
        await super().publish(session, **message)
        if number == 4:
            await super().publish(session, **message)


class CarelessTest(LoadTest):
    services = {"firehose": Service("http://h")}
    scenarios = [Population(Subscriber, sessions=5), Population(Careless)]
    default_config = {
        "config": {
            "channel": "/channel/careless",
            "present": "/channel/careless-present",
            "subscribers": 5,
            "messages": 10,
            "pause": 0,
        }
    }
"""


def test_the_fan_out_notices_what_is_lost_doubled_and_out_of_order(
    tmp_path: Path, target: Target
) -> None:
    (tmp_path / "fanout.py").write_text((SCENARIOS / "fanout.py").read_text())
    (tmp_path / "careless.py").write_text(CARELESS)
    report = chaperon_engine.run(
        tmp_path / "careless.py", set=[f"base_url={target.url}"], workers=2, pin=False
    )
    values = {metric.name: metric.value for metric in report.metrics if metric.kind == "counter"}
    assert values == {"delivered": 45, "lost": 5, "duplicated": 5, "out of order": 5}
    assert [(check.passed, check.failed) for check in report.checks] == [(0, 5)] * 3

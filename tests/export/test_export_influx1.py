"""Points in a real InfluxDB 1.x with authentication and a small limit on bodies."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaperon_engine import export
from chaperon_engine.metrics.summary import Distribution
from chaperon_engine.runs.report import ReportInterval
from tests.export.canned import HOSTILE, hostile, metric, report
from tests.export.servers import influxd, needs_influxd
from tests.export.test_export_points import points

pytestmark = needs_influxd
PASSWORD = "correct-horse"
MAX_BODY = 16_000


@dataclass(frozen=True)
class Influx:
    address: str

    def query(self, text: str, database: str = "", *, admin: bool = True) -> list[dict[str, Any]]:
        """Rows of all series, each with its tags."""
        data = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"}).encode()
        request = urllib.request.Request(f"{self.address}/query", data)
        pair = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
        if admin:
            request.add_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for series in result.get("series", [])
            for values in series["values"]
        ]


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    settings = {"HTTP_AUTH_ENABLED": "true", "HTTP_MAX_BODY_SIZE": str(MAX_BODY)}
    with influxd(tmp_path_factory.mktemp("influxdb"), **settings) as address:
        server = Influx(address)
        server.query(f"CREATE USER root WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")
        server.query(f"CREATE USER reader WITH PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture
def database(influx: Influx, request: pytest.FixtureRequest) -> str:
    name = f"db {abs(hash(request.node.name))}"
    influx.query(f'CREATE DATABASE "{name}"')
    return name


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUX_USERNAME", "root")
    monkeypatch.setenv("INFLUX_PASSWORD", PASSWORD)


def to(influx: Influx, database: str) -> str:
    return f"{influx.address}/{urllib.parse.quote(database)}"


def test_a_report_arrives_and_its_percentiles_are_those_of_the_report(
    influx: Influx, database: str
) -> None:
    where = export.write(report(), "influxdb", to(influx, database))
    assert where == f"{influx.address}/{database} ({len(points(report()))} points)"
    (row,) = influx.query(
        "SELECT * FROM load_test WHERE action = 'get' AND phase = 'measured' AND kind = 'http'",
        database,
    )
    times = report().metrics[0].service_time_us
    assert row["time"] == points(report())[0].time
    assert (row["session"], row["load_test"], row["tag"]) == ("buyers", "CheckoutTest", "nightly")
    assert row["percentile_99_99"] == times.p99_99
    assert row["mean"] == times.mean
    assert row["total_count"] == times.count
    (total,) = influx.query("SELECT requests, status FROM load_test_run", database)
    assert (total["requests"], total["status"]) == (1003, "complete")
    seconds = influx.query("SELECT sum(requests) AS total FROM load_test_second", database)
    assert seconds[0]["total"] == 300


def test_the_same_report_again_replaces_its_points(influx: Influx, database: str) -> None:
    for _ in range(2):
        export.write(report(), "influxdb", to(influx, database))
    (row,) = influx.query("SELECT count(requests) AS n FROM load_test_second", database)
    assert row["n"] == 3


def test_hostile_labels_arrive_one_point_each(influx: Influx, database: str) -> None:
    for text in HOSTILE:
        of = hostile(text)
        of.run.load_test = f"T{HOSTILE.index(text)}"
        export.write(of, "influxdb", to(influx, database))
        wanted = [p for p in points(of) if p.measurement == "load_test"]
        rows = influx.query(
            f"SELECT * FROM load_test WHERE load_test = '{of.run.load_test}'", database
        )
        read = sorted((row["url"] or "", row["name"] or "", row["session"] or "") for row in rows)
        sent = sorted(
            (p.tags.get("url", ""), p.tags.get("name", ""), p.tags.get("session", ""))
            for p in wanted
        )
        assert read == sent


def test_a_day_arrives_in_batches_that_are_halved_where_the_server_takes_less(
    influx: Influx, database: str
) -> None:
    seconds = [ReportInterval(second=n, requests=n) for n in range(2_000)]
    export.write(report(intervals=seconds), "influxdb", to(influx, database))
    (row,) = influx.query("SELECT count(requests) AS n FROM load_test_second", database)
    assert row["n"] == 2_000


@pytest.mark.parametrize(
    ("user", "password", "part"),
    [
        ("root", "wrong-one", "does not accept the credentials"),
        ("", "", "does not accept the credentials"),
        ("reader", PASSWORD, "does not let this user write to the database"),
    ],
)
def test_refused_credentials_are_told_and_never_shown(
    influx: Influx,
    database: str,
    user: str,
    password: str,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INFLUX_USERNAME", user)
    monkeypatch.setenv("INFLUX_PASSWORD", password)
    with pytest.raises(export.ExportError, match=part) as caught:
        export.write(report(), "influxdb", to(influx, database))
    assert influx.address in str(caught.value)
    assert f"`chaperon report {report().run.id} --out influxdb=…` tries again" in str(caught.value)
    assert not password or password not in str(caught.value)


def test_a_database_that_is_not_there_says_how_to_make_it(influx: Influx) -> None:
    with pytest.raises(export.ExportError, match=r"has no database 'nope'.*CREATE DATABASE"):
        export.write(report(), "influxdb", f"{influx.address}/nope")


def test_a_retention_policy_is_used(influx: Influx, database: str) -> None:
    influx.query(f'CREATE RETENTION POLICY "long one" ON "{database}" DURATION INF REPLICATION 1')
    options = {"retention-policy": "long one"}
    export.write(report(), "influxdb", to(influx, database), options=options)
    assert influx.query('SELECT count(requests) FROM "long one".load_test_run', database)
    with pytest.raises(export.ExportError, match="or no such retention policy"):
        export.write(
            report(), "influxdb", to(influx, database), options={"retention-policy": "none"}
        )


def test_points_that_do_not_fit_what_is_there_are_told_as_a_partial_write(
    influx: Influx, database: str
) -> None:
    pair = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
    urllib.request.urlopen(
        urllib.request.Request(
            f"{influx.address}/write?db={urllib.parse.quote(database)}&precision=ms",
            f'load_test,a=b max="text" {points(report())[0].time}'.encode(),
            {"Authorization": f"Basic {pair}"},
        ),
        timeout=10,
    ).close()
    with pytest.raises(export.ExportError, match=r"took only a part of the points.*conflict"):
        export.write(report(), "influxdb", to(influx, database))
    assert influx.query("SELECT * FROM load_test_run", database), "the rest is there"


def test_custom_trends_with_fractions_and_whole_ones_share_a_field(
    influx: Influx, database: str, tmp_path: Path
) -> None:
    whole = metric(kind="trend", name="a", unit="s", service_time_us=Distribution(count=1, max=3))
    part = metric(kind="trend", name="b", unit="s", service_time_us=Distribution(count=1, max=0.5))
    export.write(report(metrics=[whole, part]), "influxdb", to(influx, database))
    rows = influx.query("SELECT max FROM load_test ORDER BY time", database)
    assert sorted(row["max"] for row in rows) == [0.5, 3]

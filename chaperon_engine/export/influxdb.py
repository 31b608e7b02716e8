"""InfluxDB 1.x and 2.x: a report as points, posted to the write API.

Owns: addresses, databases and buckets, credentials. Must not know points nor retries.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote, urlencode

from chaperon_engine.export import points
from chaperon_engine.export.address import http_address, positive_seconds, whole_number
from chaperon_engine.export.delivery import Api, Limits, deliver
from chaperon_engine.export.exporter import Exporter, Option, Output
from chaperon_engine.export.files import ExportError
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

MAX_BATCH_LINES = 5_000
MAX_BATCH_BYTES = 1024 * 1024
MAX_RETRIES = 20

_FORM_1 = "http://HOST:8086/DATABASE"
_FORM_2 = "http://HOST:8086"


class InfluxExporter(Exporter):
    """A path in the address names a database of InfluxDB 1.x, the option `bucket` one of 2.x."""

    summary = "points over HTTP: with /DATABASE to InfluxDB 1.x, with a bucket to 2.x"
    destination = _FORM_1
    options = (
        Option("user", "name of a user of 1.x", env="INFLUX_USERNAME"),
        Option("password", "its password", secret=True, env="INFLUX_PASSWORD"),
        Option("retention-policy", "of the database of 1.x, when not its default"),
        Option("bucket", "bucket of 2.x, with an address that has no database"),
        Option("org", "organization of 2.x", env="INFLUX_ORG"),
        Option("token", "API token of 2.x", secret=True, env="INFLUX_TOKEN"),
        Option("timeout", "of one request", "10s"),
        Option("retries", "further attempts of one request", "4"),
        Option("max-time", "of the whole export", "1m"),
    )

    def check(self, output: Output) -> None:
        """Address, credentials and limits."""
        api_of(output)
        self._limits(output.options)

    def encode(self, report: Report, options: Mapping[str, str]) -> Iterator[list[str]]:
        """The points in batches of lines."""
        batch: list[str] = []
        size = 0
        for line in points.lines(report):
            if not line:
                continue
            if batch and (len(batch) >= MAX_BATCH_LINES or size + len(line) > MAX_BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        if batch:
            yield batch

    def export(self, report: Report, output: Output) -> str:
        """Posts the points; the same report posted again replaces its points."""
        api = api_of(output)
        batches = self.encode(report, output.options)
        count = deliver(batches, api, self._limits(output.options))
        return f"{api.place} ({count:,} points)"

    def _limits(self, options: Mapping[str, str]) -> Limits:
        return Limits(
            timeout_s=positive_seconds(options["timeout"], "influxdb.timeout"),
            retries=whole_number(options["retries"], "influxdb.retries", MAX_RETRIES),
            total_s=positive_seconds(options["max-time"], "influxdb.max-time"),
        )


def api_of(output: Output) -> Api:
    """The write API that `output` means; raises `ExportError`."""
    options = output.options
    is_2 = bool(options["bucket"])
    parts = http_address(
        output.destination, "the address of InfluxDB", f"{_FORM_1} (1.x) or {_FORM_2} (2.x)"
    )
    base = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    return _version_2(base + path, options) if is_2 else _version_1(base, path, options)


def _version_1(base: str, path: str, options: Mapping[str, str]) -> Api:
    prefix, _, name = path.rpartition("/")
    database = unquote(name)
    address = visible(base + prefix, 200)
    if not database:
        raise ExportError(
            f"{address} names no database: write {address}/DATABASE for InfluxDB 1.x, or say "
            "influxdb.bucket=BUCKET and influxdb.org=ORG for 2.x"
        )
    user, password = options["user"], options["password"]
    if password and not user:
        raise ExportError(
            "there is a password for InfluxDB but no user: set $INFLUX_USERNAME or influxdb.user"
        )
    query = {"db": database, "precision": "ms"}
    if options["retention-policy"]:
        query["rp"] = options["retention-policy"]
    headers, secrets = {}, []
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
        secrets = [text for text in (pair, password) if text]
    store = f"database {visible(database, 100)!r}"
    credentials = "check influxdb.user, or $INFLUX_USERNAME and $INFLUX_PASSWORD"
    return Api(
        address=address,
        place=f"{address}/{visible(database, 100)}",
        url=f"{base}{prefix}/write?{urlencode(query, quote_via=quote)}",
        headers=headers,
        secrets=secrets,
        refusals={
            401: f"does not accept the credentials: {credentials}",
            403: f"does not let this user write to the {store}: grant it, or {credentials}",
            404: f"has no {store}, or no such retention policy: make it with `CREATE DATABASE`, or "
            "name another one",
            413: "does not even take a single point: raise its max-body-size",
        },
    )


def _version_2(base: str, options: Mapping[str, str]) -> Api:
    address, org, bucket, token = (
        visible(base, 200), options["org"], options["bucket"], options["token"],
    )  # fmt: skip
    if not org:
        raise ExportError("the bucket of InfluxDB 2.x needs influxdb.org=ORG, or $INFLUX_ORG")
    if not token:
        raise ExportError(
            "InfluxDB 2.x needs an API token: set $INFLUX_TOKEN, or name another variable that has "
            "it with influxdb.token-env=NAME"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ExportError("the API token for InfluxDB has characters that no token has")
    query = urlencode({"org": org, "bucket": bucket, "precision": "ms"}, quote_via=quote)
    store = f"bucket {visible(bucket, 100)!r} of {visible(org, 100)!r}"
    credentials = "check $INFLUX_TOKEN, or what influxdb.token-env names"
    return Api(
        address=address,
        place=f"{address}, {store}",
        url=f"{base}/api/v2/write?{query}",
        headers={"Authorization": f"Token {token}"},
        secrets=[token],
        refusals={
            401: f"does not accept the token: {credentials}, and that it may write to the {store}",
            403: f"does not let this token write to the {store}: {credentials}",
            404: f"has no {store}: make it, or check influxdb.bucket and influxdb.org",
            413: "does not even take a single point: raise its limit",
            422: "took only a part of the points: a field has another type there, or points are "
            "older than the bucket keeps",
        },
    )

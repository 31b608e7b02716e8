"""A report as points of InfluxDB. Pure.

Owns: measurements, their tags and fields. Times are microseconds. Figures of distributions are
always floats and counts always integers: InfluxDB keeps the type that a field had first.

`load_test`          a point for each series, at the start of the run
`load_test_run`      the totals, at the same time
`load_test_error`    a point for each series and class of error, at the same time
`load_test_check`    a point for each check, at the same time
`load_test_second`   a point for each second, at that second

Must not know how points are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from chaperon_engine.export.files import started
from chaperon_engine.export.lineprotocol import Field, line, series
from chaperon_engine.metrics.model import HTTP, MESSAGE_KINDS
from chaperon_engine.metrics.summary import Distribution, ReportMetric
from chaperon_engine.runs.report import Report, ReportInterval

_PERCENTILE = re.compile(r"p(\d+(?:_\d+)?)")
PERCENTILES = {
    f"percentile_{match[1]}": name
    for name in Distribution.__struct_fields__
    if (match := _PERCENTILE.fullmatch(name))
}
"""Names of fields to those of a distribution."""

_TAGS = frozenset(
    {"load_test", "tag", "host", "kind", "unit", "scenario", "session", "service", "action"}
    | {"method", "url", "name", "phase", "error", "check", "point"}
)
_RESERVED = frozenset({"time", "_time", "_field", "_measurement", "_value"})
_MEASURED = "measured"


def lines(report: Report) -> Iterator[str]:
    """The points, one line each."""
    return _Points(report).lines()


class _Points:
    def __init__(self, report: Report):
        run = report.run
        self._report = report
        self._start_ms = round(started(report).timestamp() * 1000)
        self._of_run = {"load_test": run.load_test, "tag": run.tag, "host": run.host}
        self._duration = {"duration": round(run.duration_s * 1_000_000)}
        self._seen: set[str] = set()

    def lines(self) -> Iterator[str]:
        yield self._at_start("load_test_run", {}, self._totals())
        for metric in self._report.metrics:
            tags = _labels(metric)
            yield self._at_start("load_test", tags, {**self._duration, **_figures(metric)})
            statuses = {f"http_{status}": count for status, count in metric.http_errors.items()}
            for error, count in {**metric.errors, **statuses}.items():
                yield self._at_start("load_test_error", {**tags, "error": error}, {"count": count})
        for check in self._report.checks:
            tags = {"scenario": check.scenario, "session": check.session, "check": check.name}
            counts = {"passed": check.passed, "failed": check.failed}
            yield self._at_start("load_test_check", tags, counts)
        for second in self._report.intervals:
            tags = {**self._of_run, "phase": second.phase or _MEASURED}
            at_ms = self._start_ms + 1000 * second.second
            yield line(series("load_test_second", tags), _of_second(second), at_ms)

    def _at_start(
        self, measurement: str, tags: Mapping[str, str], fields: Mapping[str, Field]
    ) -> str:
        """A point of the whole run. Labels that differ only where they are cut make two points all
        the same, else the second would replace the first."""
        every = {**self._of_run, **tags}
        head, number = series(measurement, every), 1
        while head in self._seen:
            number += 1
            head = series(measurement, {**every, "point": str(number)})
        self._seen.add(head)
        return line(head, fields, self._start_ms)

    def _totals(self) -> dict[str, Field]:
        report, totals = self._report, self._report.totals
        return {
            **self._duration,
            "run": report.run.id,
            "status": report.run.status,
            "partial": report.run.partial,
            "measured": round(report.run.measured_s * 1_000_000),
            "requests": totals.requests,
            "ok": totals.ok,
            "failed": totals.failed,
            "http_errors": totals.http_errors,
            "in_flight": totals.in_flight,
            "retries": totals.retries,
            "requests_per_s": float(totals.requests_per_s),
            "bytes_in": totals.bytes_in,
            "bytes_out": totals.bytes_out,
            **_distribution(totals.service_time_us),
            **_brief("unexpected", totals.unexpected_service_time_us),
            **_brief("failure", totals.failure_time_us),
            **self._messages(),
            **_counts("sessions", report.sessions),
            **_counts("iterations", report.iterations),
            "workers": len(report.run.workers),
            "health": report.health.verdict,
        }

    def _messages(self) -> dict[str, Field]:
        totals = self._report.messages
        return {
            "sockets_opened": totals.opened,
            "sockets_open": totals.open,
            "messages_sent": totals.sent,
            "messages_received": totals.received,
            "messages_failed": totals.failed,
            "messages_per_s": float(totals.messages_per_s),
            "messages_bytes_in": totals.bytes_in,
            "messages_bytes_out": totals.bytes_out,
            **_brief("round_trip", totals.round_trip_us),
            **_brief("receive", totals.receive_us),
        }


def _labels(metric: ReportMetric) -> dict[str, str]:
    return {
        **{_free(name): value for name, value in metric.tags.items()},
        "kind": metric.kind,
        "unit": metric.unit,
        "scenario": metric.scenario,
        "session": metric.session,
        "service": metric.service,
        "action": metric.action or metric.kind,
        "method": metric.method,
        "url": metric.url,
        "name": metric.name,
        "phase": metric.phase or _MEASURED,
    }


def _free(name: str) -> str:
    """The name of a user's tag; InfluxDB takes neither an empty one nor one with `_` in front."""
    return f"tag_{name}" if name in _TAKEN or not name or name.startswith("_") else name


def _figures(metric: ReportMetric) -> dict[str, Field]:
    fields: dict[str, Field] = dict(_distribution(metric.service_time_us))
    fields["count"] = metric.count
    if metric.value is not None:
        fields["value"] = float(metric.value)
    if metric.kind in MESSAGE_KINDS:
        fields |= {
            "failed": metric.failed,
            "bytes_in": metric.bytes_in,
            "bytes_out": metric.bytes_out,
        }
    if metric.kind == HTTP:
        fields |= {
            "failed": metric.failed,
            "http_errors": sum(metric.http_errors.values()),
            "retries": metric.retries,
            "bytes_in": metric.bytes_in,
            "bytes_out": metric.bytes_out,
            **_brief("unexpected", metric.unexpected_service_time_us),
            **_brief("failure", metric.failure_time_us),
        }
    return fields


def _distribution(distribution: Distribution) -> dict[str, Field]:
    """Nothing but the count where nothing was recorded: a zero would be a latency."""
    fields: dict[str, Field] = {"total_count": distribution.count}
    if distribution.count:
        for name in ("min", "mean", "max"):
            fields[name] = float(getattr(distribution, name))
        for name, of_distribution in PERCENTILES.items():
            fields[name] = float(getattr(distribution, of_distribution))
        fields["saturated"] = distribution.saturated
    return fields


def _brief(prefix: str, distribution: Distribution) -> dict[str, Field]:
    fields: dict[str, Field] = {f"{prefix}_count": distribution.count}
    if distribution.count:
        fields[f"{prefix}_percentile_50"] = float(distribution.p50)
        fields[f"{prefix}_percentile_99"] = float(distribution.p99)
        fields[f"{prefix}_max"] = float(distribution.max)
    return fields


def _counts(prefix: str, counts: msgspec.Struct) -> dict[str, Field]:
    return {
        f"{prefix}_{name}": value
        for name, value in msgspec.structs.asdict(counts).items()
        if isinstance(value, int)
    }


def _of_second(second: ReportInterval) -> dict[str, Field]:
    fields: dict[str, Field] = {
        name: getattr(second, name)
        for name in ("requests", "ok", "failed", "http_errors", "in_flight", "active_sessions")
    }
    fields |= {
        "bytes_in": second.bytes_in,
        "lag_p99": float(second.lag_p99_us),
        "cpu": float(second.cpu),
        "health": second.health,
        "total_count": second.samples,
    }
    messages = second.messages
    if messages is not None:
        trip = messages.round_trip
        fields |= {
            "messages_sent": messages.sent,
            "messages_received": messages.received,
            "messages_failed": messages.failed,
            "round_trip_count": trip.count,
        }
        if trip.count:
            fields["round_trip_percentile_50"] = float(trip.p50)
            fields["round_trip_percentile_99"] = float(trip.p99)
            fields["round_trip_max"] = float(trip.max)
    if second.samples:
        for name in ("min", "mean", "max"):
            fields[name] = _float(getattr(second, name))
        for name, of_second in PERCENTILES.items():
            if of_second in ReportInterval.__struct_fields__:
                fields[name] = _float(getattr(second, of_second))
    return fields


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


_OF_ALL = ReportMetric(kind=HTTP, value=0.0, service_time_us=Distribution(count=1))
_TAKEN = _TAGS | _RESERVED | {"duration", *_figures(_OF_ALL)}
"""Names that a user's tag must not have: our own, and those that InfluxDB keeps for itself."""

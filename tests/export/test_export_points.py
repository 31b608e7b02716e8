"""Points of InfluxDB: read back by a strict parser of the format."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chaperon_engine import export
from chaperon_engine.export.influxdb import MAX_BATCH_BYTES, MAX_BATCH_LINES, InfluxExporter
from chaperon_engine.export.lineprotocol import Field, line, series
from chaperon_engine.export.points import PERCENTILES, lines
from chaperon_engine.metrics.summary import Distribution
from chaperon_engine.runs.report import Report, ReportInterval
from chaperon_engine.text import visible
from tests.export.canned import HOSTILE, hostile, metric, report
from tests.export.lineparser import Malformed, Point, parse, parse_line

START_MS = 1_795_294_636_000
"""2026-11-21T20:57:16Z."""

_NASTY = st.one_of(
    st.text(alphabet=st.sampled_from(list("\\\\,, ==\"'a\n\t#ü\u202e")), max_size=12),
    st.text(max_size=20),
)
_KEYS = st.text(alphabet='abc,= \\"', min_size=1, max_size=8)
_VALUES = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), _NASTY)


def points(of: Report) -> list[Point]:
    return [parse_line(text) for text in lines(of)]


def carried(text: str) -> str:
    """What arrives of a label: the same, but for backslashes that no parser reads alike."""
    return visible(text, 1000).replace("\\", "\uff3c")


@example("10\u00a0000\u3000\u2003", {"a": "\u00a0"}, {"a\u202f": "\u00a0", "=": 0})
@given(_NASTY, st.dictionaries(_KEYS, _NASTY, max_size=4), st.dictionaries(_KEYS, _VALUES))
def test_any_text_and_number_comes_back(
    name: str, tags: dict[str, str], fields: dict[str, Field]
) -> None:
    text = line(series(f"m{name}", tags), fields, 12)
    kept = {
        carried(key): value
        for key, value in fields.items()
        if value is not None
        and not (isinstance(value, float) and not math.isfinite(value))
        and not (type(value) is int and not -(2**63) <= value < 2**63)
    }
    if not kept:
        assert text == ""
        return
    point = parse_line(text)
    assert carried(point.measurement) == carried(f"m{name}")
    assert {carried(key): carried(value) for key, value in point.tags.items()} == {
        carried(key): carried(value) for key, value in tags.items() if value
    }
    shown = {
        key: visible(value, 1000) if isinstance(value, str) else value
        for key, value in kept.items()
    }
    assert {carried(key): value for key, value in point.fields.items()} == shown
    assert {key: type(value) for key, value in shown.items()} == {
        carried(key): type(value) for key, value in point.fields.items()
    }
    assert point.time == 12


@pytest.mark.parametrize(
    "text",
    [
        "m f=1",
        "m,t= f=1 1",
        "m,t=a b f=1 1",
        "m,t=a\\ f=1 1",
        "m,t=a\\\\,u=b f=1 1",
        "m,t=a,t=b f=1 1",
        'm f="a 1',
        "m f=1x 1",
        "m f= 1",
        "m 1",
        "m,_t=a f=1 1",
        "m f=99999999999999999999i 1",
        "m f=nan 1",
        "m,t=a\u2028b f=1 1",
        "m,t=a\x1fb f=1 1",
    ],
)
def test_the_parser_of_the_tests_is_strict(text: str) -> None:
    with pytest.raises((Malformed, IndexError)):
        parse_line(text)


def test_a_series_has_chaperons_tags_and_fields_in_microseconds() -> None:
    http = next(point for point in points(report()) if point.measurement == "load_test")
    assert http.time == START_MS
    wanted = {"load_test": "CheckoutTest", "tag": "nightly", "action": "get", "session": "buyers"}
    assert wanted.items() <= http.tags.items()
    assert {"method": "GET", "url": "/json", "phase": "measured"}.items() <= http.tags.items()
    times = report().metrics[0].service_time_us
    assert http.fields["duration"] == 12_100_000
    assert http.fields["total_count"] == times.count
    for name in ("min", "mean", "max"):
        assert http.fields[name] == getattr(times, name)
    assert PERCENTILES["percentile_99_9"] == "p99_9"
    assert len(PERCENTILES) == 15
    for field, name in PERCENTILES.items():
        assert http.fields[field] == getattr(times, name)
    assert (http.fields["count"], http.fields["failed"]) == (1003, 2)


def test_figures_are_always_floats_and_counts_always_integers() -> None:
    """A field that changed its type would be refused by every later write."""
    whole = report()
    odd = report(
        metrics=[metric(kind="trend", unit="eur", service_time_us=Distribution(count=1, p50=0.5))]
    )
    types: dict[tuple[str, str], type] = {}
    for of in (whole, odd):
        for point in points(of):
            for name, value in point.fields.items():
                kind = types.setdefault((point.measurement, name), type(value))
                assert kind is type(value), (point.measurement, name)
    assert types["load_test", "max"] is float
    assert types["load_test", "total_count"] is int


def test_totals_errors_checks_and_seconds_have_measurements_of_their_own() -> None:
    found = points(report())
    by_name: dict[str, list[Point]] = {}
    for point in found:
        by_name.setdefault(point.measurement, []).append(point)
    (total,) = by_name["load_test_run"]
    assert total.fields["requests"] == 1003
    assert total.fields["run"] == "20261121-205716-k3f9"
    assert total.fields["sessions_timed_out"] == 1
    errors = {point.tags["error"]: point.fields["count"] for point in by_name["load_test_error"]}
    assert errors == {"timeout_total": 2, "http_503": 1}
    assert {point.tags["check"] for point in by_name["load_test_check"]} == {
        "page is json",
        "cheap",
    }
    seconds = by_name["load_test_second"]
    assert [point.time - START_MS for point in seconds] == [0, 1000, 2000]
    assert seconds[0].fields["percentile_99"] == 1099.0


def test_warm_up_is_marked() -> None:
    phases = [p.tags["phase"] for p in points(report()) if p.measurement == "load_test"]
    assert phases[:2] == ["measured", "warmup"]


def test_where_nothing_was_recorded_there_is_no_latency() -> None:
    (_, point) = points(
        report(metrics=[metric(service_time_us=Distribution())], checks=[], intervals=[])
    )[:2]
    assert point.fields["total_count"] == 0
    assert "max" not in point.fields
    silent = report(intervals=[ReportInterval(second=0)])
    assert "mean" not in points(silent)[-1].fields


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_valid_points_that_are_all_different(text: str) -> None:
    found = points(hostile(text))
    keys = {(p.measurement, tuple(sorted(p.tags.items())), p.time) for p in found}
    assert len(keys) == len(found)


def test_series_that_differ_only_beyond_the_cut_stay_apart() -> None:
    long = "/" + "x" * 3000
    of = report(metrics=[metric(url=long + "1"), metric(url=long + "2")])
    marks = [p.tags.get("point") for p in points(of) if p.measurement == "load_test"]
    assert marks == [None, "2"]


@pytest.mark.parametrize("name", ["url", "max", "time", "_field", "", "percentile_50", "value"])
def test_tags_of_users_never_take_our_names(name: str) -> None:
    of = report(metrics=[metric(tags={name: "mine", "shop": "eu"})])
    point = next(p for p in points(of) if p.measurement == "load_test")
    assert point.tags[f"tag_{name}"] == "mine"
    assert point.tags["shop"] == "eu"
    assert point.tags["url"] == "/json"


def test_the_same_report_makes_the_same_points() -> None:
    assert list(lines(report())) == list(lines(report()))


def test_batches_have_a_limit_of_lines_and_of_bytes() -> None:
    long = report(intervals=[ReportInterval(second=second) for second in range(6_000)])
    batches = list(InfluxExporter().encode(long, {}))
    assert all(4000 < len(batch) <= MAX_BATCH_LINES for batch in batches[:-1])
    assert sum(map(len, batches)) == len(list(lines(long)))
    wide = report(metrics=[metric(url="/" + "x" * 900 + str(n)) for n in range(1500)])
    sizes = [len("\n".join(batch)) for batch in InfluxExporter().encode(wide, {})]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_BATCH_BYTES
    assert len(parse(("\n".join(batches[0][-9:]) + "\n").encode())) == 9


def test_only_what_is_used_is_imported() -> None:
    """Neither naming formats nor loading the exporters costs their libraries."""
    code = (
        "import sys, chaperon_engine\n"
        "heavy = ('aiohttp', 'botocore', 'asyncio')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        "chaperon_engine.export_formats()\n"
        "from chaperon_engine import export\n"
        "assert 'chaperon_engine.export.influxdb' not in sys.modules\n"
        "[export.find(name) for name in export.formats()]\n"
        "print([name for name in ('aiohttp', 'botocore') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "[]\n"
    assert export.describe("influxdb").destination.startswith("http://")

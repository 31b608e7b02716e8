"""CSV, timeline and JSON documents."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from chaperon_engine import export
from chaperon_engine.export.cells import text_cell
from chaperon_engine.export.csv import COLUMNS, DISTRIBUTION
from chaperon_engine.export.exporter import chunks
from chaperon_engine.export.schema import schema
from chaperon_engine.export.settings import resolve
from chaperon_engine.metrics.snapshot import PERCENTILES
from chaperon_engine.metrics.summary import Distribution
from chaperon_engine.runs.report import Report
from tests.export.canned import DANGEROUS, HOSTILE, hostile, metric, report

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def document(format: str, of: Report, **options: str) -> str:
    exporter = export.find(format)
    assert isinstance(exporter, export.FileExporter)
    output = resolve(format, exporter, "", options)
    exporter.check(output)
    encoded = exporter.encode(of, output.options)
    return b"".join(chunks(encoded)).decode()


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_csv_has_every_percentile_of_the_exports() -> None:
    names = {f"p{percentile:g}".replace(".", "_") for percentile in PERCENTILES}
    assert names | {"count", "min", "mean", "max"} <= set(COLUMNS)


def test_csv_writes_latencies_as_recorded() -> None:
    total, http, *_ = rows(document("csv", report()))
    assert total["kind"] == "total"
    assert (http["method"], http["url"], http["session"]) == ("GET", "/json", "buyers")
    times = report().metrics[0].service_time_us
    for name in DISTRIBUTION:
        assert http[name] == repr(getattr(times, name)), name
    assert (http["count"], http["failed"], http["http_errors"]) == ("1003", "2", "1")
    assert http["errors"] == "timeout_total:2"
    assert http["statuses"] == "200:1000 503:1"
    assert http["thin"] == "p99_9 p99_99 p99_999"


def test_csv_marks_warm_up_rows() -> None:
    assert [row["phase"] for row in rows(document("csv", report()))][:3] == ["", "", "warmup"]


def test_csv_leaves_cells_empty_where_nothing_was_recorded() -> None:
    (_, row) = rows(document("csv", report(metrics=[metric(service_time_us=Distribution())])))
    assert (row["samples"], row["p50"], row["max"]) == ("0", "", "")


def test_csv_takes_a_separator_and_a_delimiter() -> None:
    text = document("csv", report(), separator=";", delimiter="crlf")
    assert text.count("\r\n") == 6
    assert rows(text, delimiter=";")[1]["p99_9"] == "10999"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"separator": ";;"}, "separator must be one character"),
        ({"separator": "\n"}, "separator must be one character"),
        ({"delimiter": ""}, "delimiter must end a row"),
        ({"seperator": ";"}, "no option 'seperator'; did you mean separator"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], part: str) -> None:
    with pytest.raises(export.ExportError, match=part):
        document("csv", report(), **options)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\x09=1"),
        ("\r=1", "'\\x0d=1"),
        ("＝1", "'＝1"),
        ("/a=b", "/a=b"),
        ("", ""),
    ],
)
def test_text_cells_never_become_formulas(text: str, cell: str) -> None:
    assert text_cell(text) == cell


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_cell(text: str) -> None:
    shown = document("csv", hostile(text))
    assert not DANGEROUS & (set(shown) - {"\n"})
    for row in csv.reader(io.StringIO(shown)):
        assert len(row) == len(COLUMNS)
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_the_timeline_has_one_row_a_second() -> None:
    seconds = rows(document("timeline", report()))
    assert [row["second"] for row in seconds] == ["0", "1", "2"]
    assert seconds[0]["p99"] == "1099"
    assert seconds[0]["mean"] == "150.25"
    assert seconds[0]["health"] == "good"


def test_json_is_the_report() -> None:
    text = document("json", report())
    assert msgspec.json.decode(text, type=Report) == report()
    assert json.loads(text)["schema"] == "chaperon.report/1"


def test_json_keeps_the_lines_of_a_traceback() -> None:
    data = json.loads(document("json", report()))
    assert data["exceptions"][0]["traceback"].count("\n") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_visible_in_json_and_the_document_valid(text: str) -> None:
    shown = document("json", hostile(text))
    assert not DANGEROUS & (set(shown) - {"\n"})
    jsonschema.validate(json.loads(shown), json.loads(SCHEMA_FILE.read_text()))


def test_json_answers_to_the_published_schema() -> None:
    published = json.loads(SCHEMA_FILE.read_text())
    jsonschema.validate(json.loads(document("json", report())), published)


def test_the_published_schema_is_made_from_the_types() -> None:
    assert SCHEMA_FILE.read_bytes() == schema(), (
        "run: python -m chaperon_engine.export.schema > docs/report.schema.json"
    )

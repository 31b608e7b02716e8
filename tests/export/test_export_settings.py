"""Options, the settings file and the environment: what beats what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import chaperon_engine
from chaperon_engine import export
from chaperon_engine.cli.requesting import export_options
from chaperon_engine.errors import UserError
from chaperon_engine.export.exporter import Exporter, Option, Output
from chaperon_engine.export.settings import resolve
from chaperon_engine.runs.report import Report
from tests.export.canned import report


class Sender(Exporter):
    """An exporter that sends nothing."""

    options = (
        Option("user", env="SENDER_USER"),
        Option("token", secret=True, env="SENDER_TOKEN"),
        Option("size", default="3"),
    )

    def export(self, report: Report, output: Output) -> str:
        return output.destination


def told(**given: str) -> dict[str, str]:
    options = {name.replace("_", "-"): value for name, value in given.items()}
    return dict(resolve("sender", Sender(), "there", options).options)


def write_settings(home: Path, text: str) -> None:
    (home / "exports.toml").write_text(text)


def test_the_call_beats_the_file_beats_the_environment_beats_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told() == {"user": "", "token": "", "size": "3"}
    monkeypatch.setenv("SENDER_USER", "of-env")
    monkeypatch.setenv("SENDER_TOKEN", "token-of-env")
    assert told() == {"user": "of-env", "token": "token-of-env", "size": "3"}
    write_settings(home, '[sender]\nuser = "of-file"\ntoken = "token-of-file"\nsize = 4\n')
    assert told() == {"user": "of-file", "token": "token-of-file", "size": "4"}
    given = told(user="of-call", token="token-of-call", size="5")
    assert given == {"user": "of-call", "token": "token-of-call", "size": "5"}


def test_a_secret_may_lie_in_a_variable_that_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "s3cr3t")
    assert told(token_env="MINE")["token"] == "s3cr3t"
    write_settings(home, '[sender]\ntoken-env = "MINE"\n')
    assert told()["token"] == "s3cr3t"
    with pytest.raises(export.ExportError, match=r"variable NONE, which sender\.token-env names"):
        told(token_env="NONE")


def test_a_destination_may_stand_in_the_file(home: Path) -> None:
    assert chaperon_engine.export_format("influxdb").needs_destination
    write_settings(home, '[influxdb]\ndestination = "http://h:8086/db"\n')
    assert not chaperon_engine.export_format("influxdb").needs_destination
    export.check({"influxdb": ""})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[csv", "cannot be read: Expected"),
        ("csv = 1", "csv must be a table: [csv]"),
        ("[csv]\nseparater = ';'", "exports.toml: the csv exporter has no option 'separater'; did"),
        ("[csv]\nseparator = [1]", "separator must be a text, a number or true/false"),
    ],
)
def test_a_settings_file_with_a_mistake_is_named(home: Path, text: str, part: str) -> None:
    write_settings(home, text)
    with pytest.raises(UserError) as caught:
        export.check({"csv": ""})
    assert part in str(caught.value)
    assert str(home) in str(caught.value)


def test_settings_of_a_format_count_where_its_documents_are_wrapped(home: Path) -> None:
    write_settings(home, '[csv]\nseparator = "tab"\n[s3]\nformats = ["csv", "json"]\n')
    output = resolve("s3", export.find("s3"), "bucket", {})
    assert output.options["formats"] == "csv,json"


def test_options_of_the_command_line_have_a_format_a_name_and_a_value() -> None:
    values = ["csv.separator=;", "s3.csv.separator==", "s3.formats=a,b"]
    assert export_options(values) == {
        "csv": {"separator": ";"},
        "s3": {"csv.separator": "=", "formats": "a,b"},
    }


@pytest.mark.parametrize("value", ["separator=;", "csv.separator", ".x=1", "csv.=1", "=", ""])
def test_options_of_another_form_are_refused_without_their_value(value: str) -> None:
    with pytest.raises(UserError, match=r"needs the form FORMAT\.NAME=VALUE, such as"):
        export_options([value])
    with pytest.raises(UserError) as caught:
        export_options(["token=s3cr3t"])
    assert "s3cr3t" not in str(caught.value)


def test_options_for_an_export_that_nobody_wants_are_refused() -> None:
    with pytest.raises(UserError, match=r"option cvs\.separator is for .*did you mean csv\?"):
        export.check({"csv": ""}, {"cvs": {"separator": ";"}})
    with pytest.raises(UserError, match="there is no export"):
        export.check({}, {"csv": {"separator": ";"}})


def test_the_library_takes_options_by_keyword(tmp_path: Path) -> None:
    path = chaperon_engine.export_report(
        report(), "csv", tmp_path / "x.csv", separator="tab", delimiter="crlf"
    )
    assert Path(path).read_bytes().startswith(b"kind\tunit\t")
    with pytest.raises(chaperon_engine.ExportError, match="no option 'separater'; did you mean"):
        chaperon_engine.export_report(report(), "csv", tmp_path / "y.csv", separater=";")


def test_front_doors_learn_what_a_format_takes() -> None:
    csv = chaperon_engine.export_format("csv")
    assert (csv.destination, csv.is_file, csv.problem) == ("PATH", True, "")
    assert [(option.name, option.default) for option in csv.options] == [
        ("separator", ","),
        ("delimiter", "lf"),
    ]
    influx = chaperon_engine.export_format("influxdb")
    assert not influx.is_file
    secret = [option.name for option in influx.options if option.secret]
    assert secret == ["password", "token"]
    assert "did you mean csv" in chaperon_engine.export_format("cvs").problem


def test_files_are_written_before_anything_is_sent(tmp_path: Path) -> None:
    written = export.write_all(
        report(),
        {"influxdb": "http://127.0.0.1:1/db", "csv": str(tmp_path / "x.csv")},
        {"influxdb": {"retries": "0"}},
    )
    assert list(written.places) == ["csv"]
    assert "cannot be reached" in written.errors["influxdb"]


def test_what_an_exporter_is_told_is_not_shown_in_tracebacks() -> None:
    assert "s3cr3t" not in repr(Output("there", {"token": "s3cr3t"}))

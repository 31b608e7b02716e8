"""The command line before anything runs: options, sentences for mistakes, launch requests."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from chaperon_engine.cli.arguments import parse
from chaperon_engine.cli.quick import quick_request, split_url
from chaperon_engine.cli.requesting import exports, launch_request, scenario_file, sessions
from chaperon_engine.cli.texts import COMMANDS
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.definition.sources import overrides_as_table
from chaperon_engine.errors import UserError


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rnu x.py", "there is no command 'rnu'; did you mean run?"),
        ("zzz", "there is no command 'zzz'; there are run, quick"),
        ("run x.py --duratoin 5s", "has no option --duratoin; did you mean --duration?"),
        ("run x.py --zzz=5", "chaperon run has no option --zzz (see `chaperon run --help`)"),
        ("run x.py y.py", "'y.py' is one argument too many"),
        ("run", "required: FILE[:NAME] (see `chaperon run --help`)"),
        ("run x.py --duration soon", "--duration is 'soon', expected a duration"),
        ("run x.py --duration 0", "--duration must be more than 0 s"),
        ("quick x --workers 0", "--workers must be 1 or more"),
        ("run x.py --workers many", "expected a whole number such as 50, 10k or 1M"),
        ("quick u -n 5 -d 5s", "not allowed with argument"),
        ("target --port 70000", "expected a port from 0 to 65535"),
        ("runs prune --older-than x", "expected a duration"),
        ("runs rmm x", "invalid choice: 'rmm'"),
        ("--sessions", "chaperon has no option --sessions"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_nearest_name(line: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(line.split())
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: chaperon {command}" in text
    assert all(f"  {line}\n" in text for line in COMMANDS[command].examples)


def test_durations_and_counts_are_read_as_people_write_them() -> None:
    found = parse(["run", "x.py", "--duration", "1m30s", "--warmup", "500ms", "--max-time", "2h"])
    assert (found.duration, found.warmup, found.max_time) == (90, 0.5, 7200)
    assert parse(["quick", "u", "-n", "10k", "-c", "1k"]).requests == 10_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        (["20"], {"*": 20}),
        (["buyers=1k", "readers=5"], {"buyers": 1000, "readers": 5}),
        (["a=b=3"], {"a=b": 3}),
    ],
)
def test_sessions_are_given_by_number_or_by_name(
    values: list[str], expected: dict[str, int]
) -> None:
    assert sessions(values) == expected


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["x"], "--sessions is 'x', expected a whole number"),
        (["0"], "--sessions must be 1 or more"),
        (["a=1", "a=2"], "--sessions of a is given twice"),
        (["1", "2"], "--sessions is given twice"),
    ],
)
def test_sessions_that_make_no_sense_are_refused(values: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        sessions(values)


def test_exports_have_absolute_paths_and_keep_a_slash_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exports(["csv", "json=a/r.json", "timeline=out/"]) == {
        "csv": "",
        "json": f"{tmp_path}/a/r.json",
        "timeline": f"{tmp_path}/out/",
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["jsn=x"], "there is no export format 'jsn'; did you mean json?"),
        (["xyz"], "there are csv, influxdb, json, s3, timeline"),
        (["csv="], "no path or address behind the ="),
        (["csv=a", "csv=b"], "--out csv is given twice"),
    ],
)
def test_exports_that_make_no_sense_are_refused_before_the_run(
    values: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        exports(values)


def test_a_scenario_file_may_name_a_class_and_hold_a_colon(tmp_path: Path) -> None:
    plain, odd = tmp_path / "shop.py", tmp_path / "a:b.py"
    plain.touch()
    odd.touch()
    assert scenario_file(str(plain)) == (str(plain), None)
    assert scenario_file(f"{plain}:Buy") == (str(plain), "Buy")
    assert scenario_file(str(odd)) == (str(odd), None)
    assert scenario_file(f"{odd}:Buy") == (str(odd), "Buy")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("checkuot.py", "did you mean .*checkout.py"),
        ("zzz.py", "`chaperon list` shows the scenarios"),
        ("notes.txt", "must end in .py, .toml or .json"),
        ("", "is a folder: name a file in it"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "checkout.py").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=sentence):
        scenario_file(str(tmp_path / name))


def test_a_url_in_place_of_a_file_names_quick() -> None:
    with pytest.raises(UserError, match="`chaperon quick http://h/` loads it"):
        scenario_file("http://h/")


def test_all_options_of_run_reach_the_launch(tmp_path: Path) -> None:
    (tmp_path / "x.py").touch()
    (tmp_path / "c.toml").touch()
    words = (
        f"run {tmp_path}/x.py:T --set a.b=1 --set c=2 --config {tmp_path}/c.toml --sessions 3 "
        "--duration 4s --iterations 5 --workers 6 --warmup 1s --out json=/r.json --tag t --seed 7 "
        "--detach --no-preflight --no-pin --max-time 9s"
    )
    assert launch_request(parse(words.split())) == LaunchRequest(
        file=f"{tmp_path}/x.py",
        name="T",
        overrides=["a.b=1", "c=2"],
        config_file=f"{tmp_path}/c.toml",
        sessions={"*": 3},
        duration_s=4,
        iterations=5,
        workers=6,
        warmup_s=1,
        exports={"json": "/r.json"},
        tag="t",
        seed=7,
        detach=True,
        preflight=False,
        pin=False,
        max_time_s=9,
    )


def quick(line: str, *more: str) -> LaunchRequest:
    return quick_request(parse(["quick", *line.split(), *more]))


def test_quick_has_fifty_sessions_for_ten_seconds() -> None:
    request = quick("localhost:7070")
    assert (request.sessions, request.duration_s) == ({"*": 50}, 10)
    assert request.shared_iterations is None
    assert overrides_as_table(request.overrides) == {
        "services": {"target": {"base_url": "http://localhost:7070"}},
        "config": {"quick": {"method": "GET", "path": "/"}},
    }


def test_quick_with_a_number_of_requests_has_no_more_sessions_than_requests() -> None:
    request = quick("http://h/ -n 10")
    assert (request.shared_iterations, request.duration_s) == (10, None)
    assert request.sessions == {"*": 10}


def test_everything_that_quick_was_given_reaches_its_scenario() -> None:
    table = overrides_as_table(
        quick(
            "https://ann:p%40ss@h:8443/a/b?x=1&y=#z -m patch -k --timeout 500ms",
            "-H",
            'X-Quote: say "hé" \\ é\u007f😀',
            "-H",
            "accept: text/html",
            "-H",
            "Accept: */*",
            "-b",
            "a=1 # not a comment",
        ).overrides
    )
    assert table["services"]["target"] == {
        "base_url": "https://h:8443",
        "basic_auth": ["ann", "p@ss"],
        "headers": {"X-Quote": 'say "hé" \\ é\u007f😀', "accept": "text/html, */*"},
        "timeout": 0.5,
        "insecure": True,
    }
    quick_config = table["config"]["quick"]
    assert (quick_config["method"], quick_config["path"]) == ("PATCH", "/a/b?x=1&y=")
    assert base64.b64decode(quick_config["secret_body"]) == b"a=1 # not a comment"


def test_a_body_makes_the_method_post_and_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\x00\xff\n")
    table = overrides_as_table(quick(f"h -b @{tmp_path}/body").overrides)
    assert table["config"]["quick"]["method"] == "POST"
    assert base64.b64decode(table["config"]["quick"]["secret_body"]) == b"\x00\xff\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ftp://h/"], "has the scheme 'ftp'; quick loads http and https"),
        (["http://"], "is no URL of the form"),
        (["http://h:99999/"], "is no URL of the form"),
        (["http://h/ b"], "is no URL of the form"),
        (["h", "-H", "Secret"], "-H needs the form 'Name: value', with a colon"),
        (["h", "-m", "G T"], "'G T' is no HTTP method"),
        (["h", "-b", "@/no/such"], "the body /no/such cannot be read: No such file"),
    ],
)
def test_quick_refuses_what_makes_no_sense(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_request(parse(["quick", *words]))


def test_a_wrong_url_is_told_without_its_password() -> None:
    with pytest.raises(UserError) as caught:
        split_url("ftp://ann:secret@h/")
    assert "secret" not in str(caught.value)

"""`--set` arguments and config files."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition import sources
from chaperon_engine.definition.sources import overrides_as_table, parse_override, read_document
from chaperon_engine.errors import UserError
from tests.definition.conftest import Workbench


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("timeout=30s", ("timeout",), "30s"),
        ("timeout=30", ("timeout",), 30),
        ("timeout = 1.5", ("timeout",), 1.5),
        ("insecure=true", ("insecure",), True),
        ("insecure=yes", ("insecure",), "yes"),
        ("services.shop.base_url=http://h:1/x?y=1", ("services", "shop", "base_url"),
         "http://h:1/x?y=1"),
        ('populations."my buyers".sessions=5', ("populations", "my buyers", "sessions"), 5),
        ("populations.my buyers.sessions=5", ("populations", "my buyers", "sessions"), 5),
        ("services.käse.timeout=1", ("services", "käse", "timeout"), 1),
        ('headers."X.Y"=a=b', ("headers", "X.Y"), "a=b"),
        ("config.list=[1, 'a']", ("config", "list"), [1, "a"]),
        ("config.table={a = 1}", ("config", "table"), {"a": 1}),
        ("config.text=\"5\"", ("config", "text"), "5"),
        ("config.empty=", ("config", "empty"), ""),
        ("config.color=#fff", ("config", "color"), "#fff"),
        ("config.note=5 # five", ("config", "note"), "5 # five"),
        ("config.day=2026-01-02", ("config", "day"), "2026-01-02"),
        ("config.n=nan", ("config", "n"), "nan"),
        ("config.n=inf", ("config", "n"), "inf"),
        ("config.n=007", ("config", "n"), "007"),
        (f"config.n={'1' * 5000}", ("config", "n"), "1" * 5000),
        ("config.lines=a\nb = 2", ("config", "lines"), "a\nb = 2"),
        ("bearer=12345", ("bearer",), "12345"),
        ("bearer=1.10", ("bearer",), "1.10"),
        ("headers.X-Version=1.10", ("headers", "X-Version"), "1.10"),
        ("services.a.headers.X=true", ("services", "a", "headers", "X"), "true"),
        ("basic_auth=['ann', 'pw']", ("basic_auth",), ["ann", "pw"]),
        ("basic_auth.password=123", ("basic_auth", "password"), "123"),
        ("config.bearer=5", ("config", "bearer"), 5),
        ("populations.a.config.bearer=5", ("populations", "a", "config", "bearer"), "5"),
        ("populations.a.config.config.bearer=5",
         ("populations", "a", "config", "config", "bearer"), 5),
    ],
)  # fmt: skip
def test_an_override_is_a_path_and_a_toml_value_or_text(
    override: str, path: tuple[str, ...], value: Any
) -> None:
    found = parse_override(override)
    assert found == (path, value)
    assert type(found[1]) is type(value)


KEY_HINT = (
    " has no valid key; write --set a.b=value, and quote parts that have a dot in them: "
    '--set a."b.c"=value'
)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("timeout", "--set 'timeout' has no '='; write --set key=value"),
        ("", "--set '' has no '='; write --set key=value"),
        ("=5", "--set '=5'" + KEY_HINT),
        ("a..b=5", "--set 'a..b=5'" + KEY_HINT),
        ("#a=5", "--set '#a=5'" + KEY_HINT),
        ("[a]#=5", "--set '[a]#=5'" + KEY_HINT),
        ("a.=5", "--set 'a.=5'" + KEY_HINT),
        ("'a=5", "--set ''a=5' has no '='; write --set key=value"),
        ("a\nb = 1\nc=5", "--set 'a\\x0ab = 1\\x0ac=5'" + KEY_HINT),
    ],
)
def test_an_override_that_is_none_says_what_to_write(
    bench: Workbench, override: str, message: str
) -> None:
    assert bench.error(parse_override, override).message == message


def test_overrides_make_one_table_and_the_last_wins() -> None:
    table = overrides_as_table(
        ["config.a.b=1", "config.a.c=2", "config.a.b=3", "config.d=1", "config.d.e=2"]
    )
    assert table == {"config": {"a": {"b": 3, "c": 2}, "d": {"e": 2}}}


@pytest.mark.parametrize(
    ("name", "content", "message", "line"),
    [
        ("c.toml", "a = 1\nb = \n", "no valid TOML: Invalid value", 2),
        ("c.toml", "a = 1\na = 2\n", "no valid TOML: Cannot overwrite a value", 2),
        ("c.toml", "a = 1\n[b\n", "no valid TOML: Expected ']' at the end of a table declaration",
         2),
        ("c.toml", "a = " + "1" * 5000, "no valid TOML: a number has thousands of digits", None),
        ("c.json", '{"a": ' + "1" * 5000 + "}", "no valid JSON: a number has thousands of digits",
         None),
        ("c.toml", 'a = "x', "no valid TOML: Unterminated string", 1),
        ("c.json", '{"a": 1,\n "b": }', "no valid JSON: Expecting value", 2),
        ("c.json", "[1]", "no valid config: the outermost value must be an object {...}", 1),
        ("c.json", '{"a": NaN}', "no valid JSON: NaN is not a JSON value", 1),
        ("c.json", '{"NaN": "NaN",\n "b": [1,\n -Infinity]}',
         "no valid JSON: -Infinity is not a JSON value", 3),
        ("c.json", "[" * 100_000, "the config file is nested too deeply", None),
        ("c.yaml", "a: 1", "the config file must be a .toml or .json file", None),
    ],
)  # fmt: skip
def test_a_config_file_that_cannot_be_read_names_file_and_line(
    bench: Workbench, name: str, content: str, message: str, line: int | None
) -> None:
    path = bench.write(content, name)
    error = bench.error(read_document, path, "the config file")
    assert (error.message, error.path, error.line) == (message, str(path), line)


def test_a_missing_binary_or_huge_config_file_is_one_sentence(bench: Workbench) -> None:
    path = bench.folder / "c.toml"
    assert bench.error(read_document, path, "the config file").message == (
        "the config file does not exist"
    )
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    error = bench.error(read_document, path, "the config file")
    assert (error.message, error.line) == ("the config file is not UTF-8 text", 2)
    path.write_bytes(b"#" * (sources.MAX_FILE_BYTES + 1))
    assert bench.error(read_document, path, "the config file").message == (
        "the config file is larger than 4 MiB"
    )
    folder = bench.folder / "d.toml"
    folder.mkdir()
    assert bench.error(read_document, folder, "the config file").message == (
        "the config file is not a regular file"
    )


@given(st.text() | st.text(st.sampled_from("abc.=\"'\\[]{}#,\n 01")))
def test_any_override_is_understood_or_refused(override: str) -> None:
    with contextlib.suppress(UserError):
        path, _ = parse_override(override)
        assert path
        assert all(isinstance(part, str) for part in path)


def test_toml_and_json_give_the_same_table(bench: Workbench) -> None:
    toml = bench.write("timeout = '5s'\n[config]\na = [1]\n", "c.toml")
    json = bench.write('\ufeff{"timeout": "5s", "config": {"a": [1]}}', "c.json")
    assert (
        read_document(toml, "x").table
        == read_document(json, "x").table
        == {
            "timeout": "5s",
            "config": {"a": [1]},
        }
    )

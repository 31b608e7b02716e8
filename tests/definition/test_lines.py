"""Lines of keys in TOML and JSON texts: by tables, and against texts whose lines are known."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.definition.lines import Language, Lines
from chaperon_engine.definition.problems import Keys

TOML = '''\
# a comment with "quotes", [brackets] and = signs
timeout = "5s"
"quoted key" = 1          # another = one
'lit.eral' = [1, 2]
"esc\\u0061pe\\"d" = 1
a.b.c = 1
text = """
[not.a.table]
x = 1 \\"""
"""
raw = \'\'\'
y = 2\'\'\'\'
ends = """two quotes"""""
after = 2026-01-02 07:32:00   # a date with a blank and colons

[services.shop]
base_url = "http://h:1/#x"
headers = { "X-A" = "1", X-B = { deep = true } }
list = [
  1,  # one
  { name = "in a list", more.less = [[], [1,
     2]] },
  [
    "x", """
    ] """,
  ],
]
last = 1.5

[services]
push.timeout = 1

[[scenarios]]
name = "first"
[scenarios.config]
delay = 1
[[ scenarios ]]
name = "second"
  [ scenarios . "config" . inner ]
  delay = 2
  [[scenarios.parts]]
  x = 1
  [[scenarios.parts]]
  x = 2
[[scenarios]]
'''

JSON = """
{
  "timeout": "5s", "other": {"a": 1,
    "b": [1, 2,
      {"c": "}{][,:"}]
  },
  "esc\\u0061pe\\"d \\\\": 1, "\\ud83d\\ude00": 2, "sl\\/ash": 3,
  "": {
    "":
      1
  },
  "list": [
    [],
    [
      "\\"", {}, [
        {"x": null,
         "y": true}]]],
  "twice": {"old": 1},
  "twice":
    {"new": 1}
}
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("timeout",), 2),
        (("quoted key",), 3),
        (("lit.eral",), 4),
        (("lit.eral", 1), 4),
        (('escape"d',), 5),
        (("a",), 6),
        (("a", "b", "c"), 6),
        (("text",), 7),
        (("not",), None),
        (("raw",), 11),
        (("ends",), 13),
        (("after",), 14),
        (("services", "shop"), 16),
        (("services", "shop", "base_url"), 17),
        (("services", "shop", "headers", "X-A"), 18),
        (("services", "shop", "headers", "X-B", "deep"), 18),
        (("services", "shop", "list"), 19),
        (("services", "shop", "list", 0), 20),
        (("services", "shop", "list", 1), 21),
        (("services", "shop", "list", 1, "more", "less", 1, 1), 22),
        (("services", "shop", "list", 2), 23),
        (("services", "shop", "list", 2, 1), 24),
        (("services", "shop", "last"), 28),
        (("services",), 30),
        (("services", "push", "timeout"), 31),
        (("scenarios",), 33),
        (("scenarios", 0), 33),
        (("scenarios", 0, "name"), 34),
        (("scenarios", 0, "config", "delay"), 36),
        (("scenarios", 1), 37),
        (("scenarios", 1, "name"), 38),
        (("scenarios", 1, "config"), 39),
        (("scenarios", 1, "config", "inner", "delay"), 40),
        (("scenarios", 1, "parts", 0, "x"), 42),
        (("scenarios", 1, "parts", 1, "x"), 44),
        (("scenarios", 2), 45),
        # What is not there: the nearest above it.
        (("services", "shop", "base_url", "deeper"), 17),
        (("services", "shop", "timeout"), 16),
        (("services", "shop", "list", 9), 19),
        (("scenarios", 7), 33),
        (("nope", "b"), None),
        ((), None),
    ],
)
def test_a_key_in_toml_has_its_line(keys: Keys, line: int | None) -> None:
    assert Lines(TOML, "toml")(keys) == line
    assert Lines(TOML.replace("\n", "\r\n"), "toml")(keys) == line


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("timeout",), 3),
        (("other",), 3),
        (("other", "a"), 3),
        (("other", "b"), 4),
        (("other", "b", 1), 4),
        (("other", "b", 2), 5),
        (("other", "b", 2, "c"), 5),
        (('escape"d \\',), 7),
        (("😀",), 7),
        (("sl/ash",), 7),
        (("",), 8),
        (("", ""), 9),
        (("list",), 12),
        (("list", 0), 13),
        (("list", 1), 14),
        (("list", 1, 0), 15),
        (("list", 1, 2, 0, "x"), 16),
        (("list", 1, 2, 0, "y"), 17),
        (("twice",), 19),
        (("twice", "new"), 20),
        (("twice", "old"), 19),
        (("nope",), None),
        (("timeout", "deeper"), 3),
    ],
)
def test_a_key_in_json_has_its_line(keys: Keys, line: int | None) -> None:
    assert Lines(JSON, "json")(keys) == line


def test_the_tables_above_are_valid_texts() -> None:
    assert tomllib.loads(TOML)["scenarios"][1]["parts"] == [{"x": 1}, {"x": 2}]
    assert json.loads(JSON)["list"][1][2] == [{"x": None, "y": True}]


# Generated texts: a writer that notes the line of each key, with names and values that mislead.

NAMES = st.sampled_from(["a", "b-1", "x y", "k.l", 'q"', "[h]", "#", "é", "", "=", "\\", "\n", "'"])
TEXTS = st.sampled_from(["", "a", '"', "'", "[t]\nk = 1\n", "}", "]", "#", "\\", '"""', "'''", ","])
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(-5, 5) | st.booleans() | st.just(1.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


class Writer:
    """A text and the lines of what is in it."""

    def __init__(self, draw: st.DataObject) -> None:
        self._draw = draw
        self.text = ""
        self.lines: dict[Keys, int] = {}

    def write(self, text: str) -> None:
        self.text += text

    def mark(self, keys: Keys) -> None:
        self.lines[keys] = self.text.count("\n") + 1

    def any_of(self, *choices: str) -> str:
        return self._draw.draw(st.sampled_from(choices))

    def json(self, value: Any, keys: Keys) -> None:
        is_table = isinstance(value, dict)
        if not isinstance(value, dict | list):
            self.write(json.dumps(value, ensure_ascii=self._draw.draw(st.booleans())))
            return
        self.write("{" if is_table else "[")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for number, (key, item) in enumerate(items):
            self.write(self.any_of("", "\n", " ") if number == 0 else self.any_of(",", ",\n\n"))
            self.mark((*keys, key))
            if is_table:
                self.write(json.dumps(key) + self.any_of(":", " :\n", ": "))
            self.json(item, (*keys, key))
        self.write(self.any_of("", "\n") + ("}" if is_table else "]"))

    def toml(self, table: dict[str, Any], keys: Keys = (), header: str = "") -> None:
        """A table: plain values first, then tables and lists of tables below headers."""
        later: list[tuple[str, Any]] = []
        for key, value in table.items():
            is_tables = (
                isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            )
            if (isinstance(value, dict) or is_tables) and self._draw.draw(st.booleans()):
                later.append((key, value))
                continue
            self.write(self.any_of("", "\n", "# [x] = 'y' \"\n", "  "))
            self.mark((*keys, key))
            self.write(self.name(key) + self.any_of("=", " = "))
            self.value(value, (*keys, key), may_break=True)
            self.write(self.any_of("\n", " # a = [\n"))
        for key, value in later:
            name = header + ("." if header else "") + self.name(key)
            if isinstance(value, dict):
                self.mark((*keys, key))
                self.write(f"[{self.any_of('', ' ')}{name}]\n")
                self.toml(value, (*keys, key), name)
                continue
            self.mark((*keys, key))
            for index, item in enumerate(value):
                self.mark((*keys, key, index))
                self.write(f"[[{name}]]{self.any_of('', ' # c')}\n")
                self.toml(item, (*keys, key, index), name)

    def name(self, key: str) -> str:
        return key if key in ("a", "b-1") and self._draw.draw(st.booleans()) else json.dumps(key)

    def value(self, value: Any, keys: Keys, *, may_break: bool) -> None:
        gap = ("", "\n", "# ]\n") if may_break else ("", " ")
        if isinstance(value, list):
            self.write("[")
            for index, item in enumerate(value):
                self.write(("," if index else "") + self.any_of(*gap))
                self.mark((*keys, index))
                self.value(item, (*keys, index), may_break=may_break)
            self.write(self.any_of(*gap) + "]")
        elif isinstance(value, dict):
            self.write("{")
            for number, (key, item) in enumerate(value.items()):
                self.write(", " if number else "")
                self.mark((*keys, key))
                self.write(f"{self.name(key)} = ")
                self.value(item, (*keys, key), may_break=False)
            self.write("}")
        elif isinstance(value, str) and may_break and self._draw.draw(st.booleans()):
            self.write('"""\n' + value.replace("\\", "\\\\").replace('"""', '""\\"') + '"""')
        elif isinstance(value, str) and "'" not in value and value.isprintable():
            self.write(self.any_of(json.dumps(value), f"'{value}'"))
        else:
            self.write(json.dumps(value))


@settings(max_examples=150)
@given(st.data(), DOCUMENTS)
def test_every_key_of_a_json_text_has_its_line(data: st.DataObject, document: Any) -> None:
    writer = Writer(data)
    writer.json(document, ())
    assert json.loads(writer.text) == document
    lines = Lines(writer.text, "json")
    assert {keys: lines(keys) for keys in writer.lines} == writer.lines


@settings(max_examples=150)
@given(st.data(), DOCUMENTS)
def test_every_key_of_a_toml_text_has_its_line(data: st.DataObject, document: Any) -> None:
    writer = Writer(data)
    writer.toml(document)
    assert tomllib.loads(writer.text) == document
    lines = Lines(writer.text, "toml")
    assert {keys: lines(keys) for keys in writer.lines} == writer.lines


ANY_TEXT = st.text(st.sampled_from("ab.=\"'\\[]{}#,:\n 01")) | st.text()


@given(ANY_TEXT, st.sampled_from(["toml", "json"]))
def test_any_text_gives_a_line_in_it_or_none(text: str, language: Language) -> None:
    lines = Lines(text, language)
    for keys in ((), ("a",), ("a", "b"), ("a", 0, "b"), (0,)):
        assert lines(keys) in (None, *range(1, text.count("\n") + 2))


def test_nesting_and_size_do_not_matter() -> None:
    def ways(depth: int) -> Iterator[str | int]:
        yield "a"
        for _ in range(depth):
            yield 0

    text = '{"a":' + "\n[" * 5000 + "]" * 5000 + "}"
    assert Lines(text, "json")(tuple(ways(5000))) == 5001
    many = "".join(f"key{number} = 1\n" for number in range(20_000))
    assert Lines(many, "toml")(("key19999",)) == 20_000

"""The gate for foreign text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.text import MAX_LENGTH, visible, visible_block

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

anything = st.text(st.characters()) | st.text(
    st.sampled_from(
        "a \x00\x1b[31m\r\n\t\x7f\x85\u200b\u202e\u2066\ud800\u0301\u0489漢👩\u200d👧\u2028\ue000"
    )
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("\ud800", "\\ud800"),
        ("\x85", "\\x85"),
        ("\U000e0001", "\\U000e0001"),
        ("käse 漢字 é", "käse 漢字 é"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("[b]markup[/b]", "[b]markup[/b]"),
        (5, "5"),
        (None, "None"),
        (b"\x1b", "b'\\x1b'"),
    ],
)
def test_hidden_characters_become_visible(text: object, shown: str) -> None:
    assert visible(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert visible("a" * 300) == "a" * 300
    assert visible("a" * 301) == "a" * 300 + "…"
    assert visible("\x1b" * 200, 10) == "\\x1b\\x1b\\x…"


class Angry:
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd(str):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_object_without_words_does_not_raise() -> None:
    assert visible(Angry()) == "<Angry>"
    assert visible(Odd("text")) == "text"
    assert visible_block(Angry()) == "<Angry>"


def test_a_block_keeps_its_lines() -> None:
    assert visible_block("a\n  b\x1b\n") == "a\n  b\\x1b\n"
    assert visible_block("a\nb\nc", lines=2) == "a\nb\n…"
    assert visible_block("x" * 50 + "\ny", limit=10) == "x" * 10 + "…\ny"


@given(anything, st.integers(1, 400))
def test_what_is_shown_is_one_short_line_without_hidden_characters(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert len(shown) <= limit + 1
    assert not any(unicodedata.category(char) in HIDDEN for char in shown)
    assert not any(unicodedata.bidirectional(char) in
                   {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
                   for char in shown)  # fmt: skip
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(st.text(st.sampled_from("e\u0301\u0489\u20dd漢")))
def test_marks_never_pile_up(text: str) -> None:
    run = 0
    for char in visible(text):
        run = run + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        assert run <= 4


@given(anything)
def test_showing_twice_changes_nothing(text: str) -> None:
    once = visible(text)
    if len(once) <= MAX_LENGTH:
        assert visible(once) == once


@given(anything, st.integers(1, 5))
def test_a_block_has_few_short_lines(text: str, lines: int) -> None:
    rows = visible_block(text, lines, 20).split("\n")
    assert len(rows) <= lines + 1
    assert all(len(row) <= 21 for row in rows)

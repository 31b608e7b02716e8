"""Secrets and plain data."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition.secrets import Secret, is_secret_name, plain


def test_a_secret_is_a_string_that_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2"
    assert f"Bearer {secret}" == "Bearer hunter2"
    assert repr(secret) == "Secret('***')"
    assert "hunter2" not in repr({"a": [secret]})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True), ("db_password", True), ("Passwort", True), ("TOKEN", True),
        ("access-token", True), ("secret", True), ("api_key", True), ("X-Api-Key", True),
        ("apikey", True), ("Authorization", True), ("bearer", True), ("basic_auth", True),
        ("Cookie", True), ("private key", True), ("user", False), ("path", False),
        ("key", False), ("X-Test", False),
    ],
)  # fmt: skip
def test_names_that_mean_a_secret_are_known(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


class Thing:
    """Something that is no plain data."""


def tick() -> None:
    """A function of the user."""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (Path("/a"), "/a"),
        (tick, "<function tick>"),
        (functools.partial(tick), "<function partial>"),
        (Thing(), "<Thing>"),
        (b"abc", "<bytes>"),
        (float("nan"), "nan"),
        (2**63, "<large int>"),
        ("half \ud800", "half \\ud800"),
        (list(range(102)), [*range(100), "… 2 more"]),
        ("a" * 2001, "a" * 2000 + "…"),
        ({"password": None}, {"password": None}),
    ],
)
def test_values_become_plain_data(value: Any, shown: Any) -> None:
    assert plain(value) == shown


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    wide: Any = 0
    for _ in range(10):
        wide = [wide] * 100
    assert "…" in repr(plain(loop))
    assert len(repr(plain(wide))) < 200_000


any_text = st.text(st.characters()) | st.just("\ud800")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text | st.integers(), inner),
)


@given(values)
def test_plain_data_can_always_be_written_as_json(value: Any) -> None:
    msgspec.json.encode(plain(value))

"""Tokens, and where a browser was sent from."""

from __future__ import annotations

import base64

import pytest

from chaperon_engine.serve.access import Names, Token
from tests.serve.conftest import TOKEN


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "admitted"),
    [
        (basic(f"chaperon:{TOKEN}"), True),
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN}", True),
        (basic(f"other:{TOKEN}"), False),
        (basic(f"chaperon:{TOKEN}x"), False),
        (basic(f"chaperon:{TOKEN[:-1]}"), False),
        (basic("chaperon:"), False),
        (basic("chaperon"), False),
        ("Basic !!!", False),
        ("Basic", False),
        ("Bearer", False),
        (TOKEN, False),
        ("", False),
        (None, False),
        ("Bearer \udcff", False),
    ],
)
def test_only_the_user_chaperon_with_the_whole_token_is_admitted(
    header: str | None, admitted: bool
) -> None:
    assert Token(TOKEN).admits(header) is admitted


def test_the_token_itself_is_not_kept() -> None:
    assert TOKEN not in repr(vars(Token(TOKEN)))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:7080", True), ("[::1]:7080", True), ("localhost", True), ("LocalHost:1", True),
        ("192.168.1.5:7080", True), ("load.example.com", True), ("load.example.com.:443", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("localhost.evil.org", False),
        ("", False), (None, False), ("evil.example@127.0.0.1", False), ("127.0.0.1/..", False),
        ("[::1", False), ("localhost:port", False), ("l\u00f6calhost", False),
    ],
)  # fmt: skip
def test_a_host_is_ours_when_it_is_an_address_or_one_of_our_names(
    host: str | None, ours: bool
) -> None:
    assert Names(["load.example.com"]).is_ours(host) is ours


@pytest.mark.parametrize(
    ("origin", "site", "allowed"),
    [
        (None, None, True), (None, "none", True), ("http://127.0.0.1:7080", "same-origin", True),
        ("https://evil.example", "cross-site", False), ("null", None, False),
        ("http://127.0.0.1:8000", "same-site", False), (None, "cross-site", False),
        ("https://127.0.0.1:7080", None, False),
    ],
)  # fmt: skip
def test_other_web_pages_may_send_nothing(
    origin: str | None, site: str | None, allowed: bool
) -> None:
    assert Names([]).allows_origin(origin, site, "http://127.0.0.1:7080") is allowed

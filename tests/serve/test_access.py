"""Tokens, back-off, and where a browser was sent from."""

from __future__ import annotations

import base64

import pytest

from chaperon_engine.serve.access import MAX_ADDRESSES, BackOff, Names, Token
from tests.serve.conftest import TOKEN, FakeClock


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


def test_after_three_wrong_tokens_an_address_waits_twice_as_long_each_time() -> None:
    clock = FakeClock()
    back_off = BackOff(clock)
    waits = []
    for _ in range(12):
        back_off.failed("10.0.0.1")
        waits.append(back_off.wait_s("10.0.0.1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert back_off.wait_s("10.0.0.1") == 0
    assert back_off.wait_s("10.0.0.2") == 0


def test_the_right_token_or_a_quarter_of_an_hour_make_an_address_new() -> None:
    clock = FakeClock()
    back_off = BackOff(clock)
    for _ in range(9):
        back_off.failed("10.0.0.1")
        back_off.failed("10.0.0.2")
    back_off.succeeded("10.0.0.1")
    back_off.failed("10.0.0.1")
    assert back_off.wait_s("10.0.0.1") == 0
    clock.now += 901
    assert back_off.wait_s("10.0.0.2") == 0
    back_off.failed("10.0.0.2")
    assert back_off.wait_s("10.0.0.2") == 0


def test_one_host_does_not_escape_through_its_many_addresses() -> None:
    back_off = BackOff(FakeClock())
    for number in range(5):
        back_off.failed(f"2001:db8::{number}")
    assert back_off.wait_s("2001:db8::ffff") > 0
    assert back_off.wait_s("2001:db8:0:1::1") == 0
    for _ in range(5):
        back_off.failed("::ffff:10.0.0.1")
    assert back_off.wait_s("10.0.0.1") == back_off.wait_s("::ffff:10.0.0.1") > 0


def test_the_table_of_addresses_is_bounded() -> None:
    back_off = BackOff(FakeClock())
    for number in range(MAX_ADDRESSES + 100):
        back_off.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(back_off._failures) == MAX_ADDRESSES


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

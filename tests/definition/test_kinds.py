"""Values of settings: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition import kinds
from chaperon_engine.definition.model import Tls


def tick() -> None:
    """Stands for a function of the user."""


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        (kinds.duration, "1m30s", 90.0),
        (kinds.duration, 0, 0.0),
        (kinds.positive_duration, timedelta(seconds=2), 2.0),
        (kinds.at_least(1), "10k", 10_000),
        (kinds.at_least(0), 0, 0),
        (kinds.size, "64KiB", 65_536),
        (kinds.flag, False, False),
        (kinds.text, "a b", "a b"),
        (kinds.label, " buyers ", "buyers"),
        (kinds.choice("a", "b"), "b", "b"),
        (kinds.headers, {"X-A": "1", "B": 2}, {"X-A": "1", "B": "2"}),
        (kinds.credentials, ("ann", "p:w"), ("ann", "p:w")),
        (kinds.credentials, ["ann", ""], ("ann", "")),
        (kinds.credentials, "ann:p:w", ("ann", "p:w")),
        (kinds.credentials, {"user": "ann", "password": "pw"}, ("ann", "pw")),
        (kinds.tls, Tls(ca_file="ca.pem", insecure=True), {"ca_file": "ca.pem", "insecure": True}),
        (kinds.tls, {"server_name": "h"}, {"server_name": "h"}),
        (kinds.base_url, "", ""),
        (kinds.base_url, "http://h", "http://h"),
        (kinds.base_url, " HTTPS://h:8443/api/v1 ", "https://h:8443/api/v1"),
        (kinds.base_url, "ws://[::1]:80", "ws://[::1]:80"),
        (kinds.base_url, "wss://käse.example/", "wss://käse.example/"),
    ],
)
def test_a_value_becomes_its_type(kind: kinds.Kind, value: Any, typed: Any) -> None:
    assert kind(value, "x") == typed


def test_an_interval_is_a_period_and_a_function() -> None:
    interval = kinds.interval(("10s", tick), "x")
    assert (interval.period_s, interval.function) == (10.0, tick)


PAIR = "x must be a pair of user and password, or text 'user:password'"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (kinds.positive_duration, 0, "x must be more than zero seconds"),
        (kinds.duration, "10x", "x is '10x', expected a duration such as 500ms, 30s, 1m30s or 2h"),
        (kinds.duration, -1, "x must be zero or more seconds, not -1"),
        (kinds.duration, True, "x must be a duration such as 30s, not True"),
        (kinds.duration, tick, "x must be a duration such as 30s, not function"),
        (kinds.at_least(1), 0, "x must be 1 or more, not 0"),
        (kinds.at_least(1), 1.5, "x must be a whole number such as 50 or 10k, not 1.5"),
        (kinds.size, 0, "x must be at least 1 byte"),
        (kinds.flag, "yes", "x must be true or false, not 'yes'"),
        (kinds.flag, 1, "x must be true or false, not 1"),
        (kinds.text, 5, "x must be text, not int"),
        (kinds.text, "a\nb", "x must be one line without control characters"),
        (kinds.text, "a\ud800", "x has half a character in it (a lone surrogate)"),
        (kinds.headers, {"A": "\udfff"}, "x: the value of A has half a character in it"),
        (kinds.label, "  ", "x must not be empty"),
        (kinds.label, "a" * 101, "x has 101 characters, at most 100 are allowed"),
        (kinds.choice("session", "worker"), "own", "x must be 'session' or 'worker', not 'own'"),
        (kinds.choice("session", "worker"), [], "x must be 'session' or 'worker', not []"),
        (kinds.headers, "A: b", "x must be a table of names and values, not str"),
        (kinds.headers, {"A b": "1"}, "x has 'A b', which cannot be the name of a header"),
        (kinds.headers, {5: "1"}, "x has 5, which cannot be the name of a header"),
        (kinds.headers, {"A": None}, "x: the value of A must be text, not NoneType"),
        (kinds.headers, {"A": "b\r\nC: d"}, "x: the value of A has a line break or NUL in it"),
        (kinds.credentials, "hunter2", PAIR),
        (kinds.credentials, ("a",), PAIR),
        (kinds.credentials, ("a", 5), PAIR),
        (kinds.credentials, {"user": "a"}, PAIR),
        (kinds.credentials, ("a:b", "c"), "x: the user name must not have a colon in it"),
        (kinds.tls, True, "x must be Tls(...) or a table, not bool"),
        (kinds.tls, {"cafile": "a"}, "x has no setting 'cafile'; did you mean 'ca_file'?"),
        (kinds.tls, {"insecure": 1}, "insecure of x must be true or false, not 1"),
        (kinds.tls, {"ca_file": 1}, "ca_file of x must be text, not int"),
        (kinds.interval, "10s",
         "x must be a pair of a period and a function, as ('10s', function)"),
        (kinds.interval, ("10s", "f"),
         "x must be a pair of a period and a function, as ('10s', function)"),
        (kinds.interval, (0, tick), "the period of x must be more than zero seconds"),
        (kinds.base_url, 80, "x must be text, not int"),
        (kinds.base_url, "h:80",
         "x is 'h:80', which does not begin with http://; did you mean http://h:80?"),
        (kinds.base_url, "/path", "x is '/path', which does not begin with http://"),
        (kinds.base_url, "a b", "x is 'a b', which does not begin with http://"),
        (kinds.base_url, "ftp://h", "x has the scheme 'ftp'; use http, https, ws or wss"),
        (kinds.base_url, "http://", "x is 'http://', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://h:99999",
         "x is 'http://h:99999', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://h:0",
         "x is 'http://h:0', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://h:",
         "x is 'http://h:', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://[::1",
         "x is 'http://[::1', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://h h/",
         "x is 'http://h h/', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://h\\@evil/",
         "x is 'http://***@evil/', which is no URL of the form http://HOST:PORT"),
        (kinds.base_url, "http://ann:pw@h/",
         "x has credentials in it; put them into basic_auth=(user, password)"),
        (kinds.base_url, "http://h/?a=1", "x has a query or a fragment, but paths are appended to"
         " it"),
        (kinds.base_url, "http://h/#a", "x has a query or a fragment, but paths are appended to"
         " it"),
        (kinds.base_url, "http://h\r\n", "x must be one line without control characters"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence(kind: kinds.Kind, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        kind(value, "x")
    assert str(caught.value) == message


URLS = st.text() | st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "ws", "ftp", ""]),
    st.text(st.sampled_from("ab[]:@%\\0189.-_ /é")),
    st.text(st.sampled_from("/ab?#%")),
)


@given(URLS)
def test_any_text_is_a_base_url_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        url = kinds.base_url(text, "x")
        assert url == "" or urlsplit(url).hostname
        assert kinds.base_url(url, "x") == url

"""Hosts and schedulers as people write them, and as those write them who want more than a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.errors import UserError
from chaperon_engine.fleet.addresses import MAX_NAME, hosts_of, scheduler_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("load1", [("load1", None)]),
        ("load1,load2", [("load1", None), ("load2", None)]),
        ("ann@load1:2222,192.0.2.7", [("ann@load1", 2222), ("192.0.2.7", None)]),
        ("[2001:db8::7]:22,root@[::1]", [("2001:db8::7", 22), ("root@::1", None)]),
        ("a-b.example.com,under_score", [("a-b.example.com", None), ("under_score", None)]),
    ],
)
def test_hosts_are_found_with_their_users_and_ports(
    text: str, found: list[tuple[str, int | None]]
) -> None:
    assert [(host.destination, host.port) for host in hosts_of(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=touch /tmp/x", "-oProxyCommand=x", "ann@-oProxyCommand=x", "-F/tmp/x", "-",
        "good,-oProxyCommand=x", "--", "a b", "a;b", "a|b", "$(b)", "`b`", "a\nb", "a'b", 'a"b',
        "a&b", "a>b", "a\\b", "a%hb", "ann@", "@host", "a@b@c", "", "a,", ",a", "a:", "a:0",
        "a:65536", "a:b", "a:-1", "[::1", "[-1]", "[g::1]", "[1.2.3.4]", "ä", "a\x00b", "a" * 254,
        "~a", "/a", "a/b", "a=b", "::1",
    ],
)  # fmt: skip
def test_what_could_be_more_than_a_host_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="no host for ssh") as raised:
        hosts_of(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["a,a", "a,b,a", "a" * 80 + "1," + "a" * 80 + "2"])
def test_a_host_has_one_agent(text: str) -> None:
    with pytest.raises(UserError, match="twice"):
        hosts_of(text)


@given(st.text(max_size=40))
def test_no_text_becomes_an_option_or_a_command(text: str) -> None:
    try:
        hosts = hosts_of(text)
    except UserError:
        return
    for host in hosts:
        assert not host.destination.startswith("-")
        assert "@-" not in host.destination
        assert not set(host.destination) & set(" \t\n;|&$`'\"\\<>(){}%*?~#!,=")
        assert len(host.name) <= MAX_NAME


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tls://scheduler:8786", "tls://scheduler:8786"),
        ("tls://192.0.2.1:8786", "tls://192.0.2.1:8786"),
        ("tls://[2001:db8::1]:8786", "tls://[2001:db8::1]:8786"),
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://127.0.0.2:8786", "tcp://127.0.0.2:8786"),
        ("localhost:8786", "tcp://localhost:8786"),
        ("[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_a_scheduler_is_reached_with_tls_or_on_this_machine(text: str, found: str) -> None:
    assert scheduler_of(text) == found


@pytest.mark.parametrize(
    "text",
    ["scheduler:8786", "tcp://scheduler:8786", "192.0.2.1:8786", "0.0.0.0:8786", "[::]:8786",
     "localhost.example.com:8786", "tcp://[2001:db8::1]:8786"],
)  # fmt: skip
def test_a_scheduler_without_tls_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="without TLS"):
        scheduler_of(text)


@pytest.mark.parametrize(
    "text",
    ["", "tls://", "tls://scheduler", "scheduler", "ucx://scheduler:1", "inproc://x/1", "tls://a:b",
     "tls://ann@a:1", "tls://a:1/x", "tls://a:1?x", "tls://-a:1", "tls://a b:1", "tls://a:99999",
     "tls://[::1:8786", "ws://a:1", "tls://tls://a:1", "tls://a\n:1"],
)  # fmt: skip
def test_what_is_no_scheduler_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="no address of a dask scheduler"):
        scheduler_of(text)

"""Which addresses somebody outside may aim at."""

from __future__ import annotations

import pytest

from chaperon_engine.errors import UserError
from chaperon_engine.net.allowed import AllowedTargets, Pattern
from chaperon_engine.serve.targets import files_within, origins, urls_within


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1", "http://127.9.8.7:8080/api", "https://localhost", "ws://[::1]:90",
        "http://LOCALHOST:80", "http://localhost.:80",
    ],
)  # fmt: skip
def test_loopback_is_allowed_without_being_said(url: str) -> None:
    assert AllowedTargets().allows(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com", "http://10.0.0.1", "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0", "http://[::]", "http://[::ffff:169.254.169.254]", "http://2130706433",
        "http://0x7f.1", "http://127.1", "http://localhost.example.com",
        "http://127.0.0.1.example.com", "http://127.0.0.1@example.com",
        "http://example.com\\@127.0.0.1", "http://example.com#127.0.0.1", "file:///etc/passwd",
        "http:127.0.0.1", "//127.0.0.1", "", "http://", "http://loc\u200dalhost\n",
    ],
)  # fmt: skip
def test_everything_else_is_not_however_it_is_written(url: str) -> None:
    assert not AllowedTargets().allows(url)


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("staging", "http://staging:8080", "http://staging.example.com"),
        ("staging:8080", "https://staging:8080/x", "http://staging"),
        ("*.example.com", "http://api.example.com", "http://example.com"),
        ("*.example.com", "http://a.b.example.com:9", "http://api.example.com.evil.org"),
        ("https://api.example.com", "wss://api.example.com", "http://api.example.com"),
        ("10.1.0.0/16", "http://10.1.255.9:80", "http://10.2.0.1"),
        ("10.1.2.3", "http://10.1.2.3", "http://10.1.2.30"),
        ("[fd00::]/8", "http://[fd12::1]:8080", "http://[fe80::1]"),
        ("API.Example.Com", "http://api.example.com", "http://apiXexample.com"),
        ("*", "http://anything.example", "ftp://anything.example"),
    ],
)
def test_the_operator_allows_more_by_name_pattern_network_scheme_and_port(
    pattern: str, allowed: str, refused: str
) -> None:
    targets = AllowedTargets([pattern])
    assert targets.allows(allowed)
    assert not targets.allows(refused)


@pytest.mark.parametrize("text", ["", "a b", "http://", "host:0", "host:99999", "a/b/c", "x@y"])
def test_a_pattern_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match="write HOST, HOST:PORT"):
        Pattern.parse(text)


def test_the_services_of_a_file_are_its_own_with_their_port() -> None:
    own = origins(["http://service.example:8080/api", "no url"])
    targets = AllowedTargets()
    assert targets.allows("ws://service.example:8080/other", own)
    assert not targets.allows("http://service.example:22", own)
    assert not targets.allows("https://service.example:8080", own)


def test_addresses_are_found_wherever_they_are_in_a_request() -> None:
    table = {
        "services": {"a": "http://a", "b": {"base_url": "HTTPS://b"}},
        "populations": {"p": {"config": {"services": {"a": {"base_url": "ws://c"}}}}},
        "config": {"pages": ["see http://d/x, or http://e"], "http://f": 1, "n": 5, "ok": "text"},
    }
    found = dict.fromkeys(url for _, url in urls_within(table, "config"))
    assert list(found) == [
        "http://a", "HTTPS://b", "ws://c", "http://d/x,", "http://e", "http://f",
    ]  # fmt: skip
    wheres = {where for where, _ in urls_within(table, "config")}
    assert "config.populations.p.config.services.a.base_url" in wheres
    assert "config.config.pages[0]" in wheres


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1,@example.com", "http://127.0.0.1;.example.com",
        "http://127.0.0.1\t.example.com", "http://127.0.0.1\n@example.com", "http://127.0.0.1'x",
        "http://127.0.0.1|example.com", "see:http://example.com", "http://127.0.0.1 http://e.org",
    ],
)  # fmt: skip
def test_no_sign_behind_an_allowed_address_hides_another(text: str) -> None:
    targets = AllowedTargets()
    assert not all(targets.allows(url) for _, url in urls_within({"x": text}, "config"))


def test_a_backslash_does_not_hide_an_address() -> None:
    assert [url for _, url in urls_within("http:\\\\example.com", "x")] == ["http:\\\\example.com"]
    assert not AllowedTargets().allows("http:\\\\example.com")


def test_nesting_has_an_end() -> None:
    table: dict[str, object] = {}
    for _ in range(100):
        table = {"a": table, "b": "text"}
    with pytest.raises(UserError, match="nested too deeply"):
        list(urls_within(table, "config"))


def test_files_of_tls_settings_are_found_at_any_depth() -> None:
    table = {
        "tls": {"ca_file": "/etc/passwd", "insecure": True},
        "populations": {"p": {"config": {"http": {"tls": {"key_file": "k"}}}}},
        "config": {"ca_file": "my own key"},
    }
    assert list(files_within(table, "config")) == [
        "config.tls.ca_file",
        "config.populations.p.config.http.tls.key_file",
    ]

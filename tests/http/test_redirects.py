"""Redirects and cookies: where they lead, and what never goes along."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaperon_engine.errors import RedirectError
from chaperon_engine.http.redirect import next_hop
from chaperon_engine.net.cookies import MAX_COOKIES, CookieJar
from chaperon_engine.net.url import Origin
from tests.http.conftest import Harness, Request, Servers, ok


def to(location: str, status: int = 302, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n{more}\r\n"
    return head.encode()


@pytest.mark.parametrize(
    ("status", "method", "becomes", "keeps"),
    [
        (301, "GET", "GET", False),
        (301, "POST", "GET", False),
        (302, "PUT", "GET", False),
        (302, "HEAD", "HEAD", False),
        (302, "DELETE", "DELETE", False),
        (303, "DELETE", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PUT", "PUT", True),
    ],
)
def test_the_method_of_the_next_hop(status: int, method: str, becomes: str, keeps: bool) -> None:
    hop = next_hop(status, method, "../x y?a=b#c", "http://h/a/b/c")
    assert hop is not None
    assert (hop.method, hop.keeps_body) == (becomes, keeps)
    assert (hop.origin, hop.path) == (Origin("http", "h", 80), "/a/x%20y?a=b")


def test_other_statuses_and_missing_locations_are_no_redirects() -> None:
    assert next_hop(300, "GET", "/x", "http://h/") is None
    assert next_hop(304, "GET", "/x", "http://h/") is None
    assert next_hop(302, "GET", None, "http://h/") is None


@pytest.mark.parametrize(
    "location", ["javascript:x", "http://a b/", "file:///x", "//[::z/", "/\x01"]
)
def test_bad_locations_are_errors(location: str) -> None:
    with pytest.raises(RedirectError) as error:
        next_hop(302, "GET", location, "http://h/")
    assert str(error.value).isprintable()


async def test_each_hop_is_a_request_of_its_own(servers: Servers, harness: Harness) -> None:
    def answer(request: Request) -> bytes:
        number = int(request.path[1:])
        return to(f"/{number - 1}") if number else ok(request.line.encode())

    server = await servers.answering(answer)
    harness.add("target", server.url)
    asked: list[tuple[str, str, str]] = []

    def series_for(service: str, method: str, path: str) -> Any:
        asked.append((service, method, path))
        return harness.series

    response = await harness.call("POST", "/3", json={"a": 1}, series_for=series_for)
    assert response.body == b"GET /0 HTTP/1.1"
    assert [hop.path for hop in response.history] == ["/3", "/2", "/1"]
    assert asked == [("target", "GET", f"/{n}") for n in (2, 1, 0)]
    assert harness.counts == (4, 4, 0)
    assert "content-type" not in server.requests[1].headers
    assert (await harness.call("GET", "/2")).history[0].path == "/2"


async def test_limits_and_not_following(servers: Servers, harness: Harness) -> None:
    server = await servers.replying(to("/again"))
    harness.add("target", server.url, max_redirects=3)
    with pytest.raises(RedirectError, match="more than 3 redirects, last to"):
        await harness.call()
    assert harness.counts == (4, 4, 0)
    with pytest.raises(RedirectError, match="more than 1 redirect, last to"):
        await harness.call(max_redirects=1)
    assert (await harness.call(follow=False)).status == 302
    assert (await harness.call(max_redirects=0)).status == 302
    harness.add("never", server.url, max_redirects=0)
    assert (await harness.call(service="never")).status == 302


async def test_a_followed_redirect_is_no_surprise_but_an_unfollowed_one_is(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.answering(lambda r: to("/end") if r.path == "/" else ok())
    harness.add("target", server.url)
    await harness.call(expect=200)
    assert harness.series.http_errors == 0
    await harness.call(expect=200, follow=False)
    assert harness.series.http_errors == 1


async def test_307_repeats_the_body(servers: Servers, harness: Harness) -> None:
    server = await servers.answering(
        lambda r: to("/end", 307) if r.path.startswith("/?") else ok(r.body)
    )
    harness.add("target", server.url)
    response = await harness.call("POST", params={"a": "b"}, json=[1])
    assert response.body == b"[1]"
    assert server.requests[1].path == "/end"

    async def once() -> Any:
        yield b"x"

    with pytest.raises(RedirectError, match="again"):
        await harness.call("POST", "/?", body=once())


async def test_only_configured_services_are_followed_unless_any(
    servers: Servers, harness: Harness
) -> None:
    elsewhere = await servers.replying(ok(b"elsewhere"))
    server = await servers.replying(to(f"{elsewhere.url}/x?y"))
    harness.add("target", server.url)
    with pytest.raises(RedirectError, match="configured"):
        await harness.call()
    assert elsewhere.connections == 0
    assert (await harness.call(follow="any")).body == b"elsewhere"
    harness.add("second", elsewhere.url)
    assert (await harness.call()).body == b"elsewhere"
    harness.client.close()


async def test_credentials_and_cookies_never_leave_the_origin(
    servers: Servers, harness: Harness
) -> None:
    elsewhere = await servers.replying(ok())
    server = await servers.replying(to(f"{elsewhere.url}/", 307, "Set-Cookie: id=1; Path=/\r\n"))
    harness.add("target", server.url, bearer="secret", headers={"X-Api-Key": "k"})
    harness.add("second", elsewhere.url, headers={"X-Own": "1"})
    await harness.call(
        "POST",
        basic_auth=("a", "b"),
        json={},
        headers={"Cookie": "c=d", "Authorization": "x", "X-Secret": "y", "Accept": "text/html"},
    )
    headers = elsewhere.requests[0].headers
    assert not {"authorization", "cookie", "x-secret", "x-api-key"} & set(headers)
    assert headers["x-own"] == "1"
    assert headers["accept"] == "text/html"
    assert headers["content-type"] == "application/json"
    await harness.call(follow=False)
    assert server.requests[1].headers["cookie"] == "id=1"


HTTP = Origin("http", "shop.example.com", 80)
HTTPS = Origin("https", "shop.example.com", 443)


@pytest.mark.parametrize(
    ("set_cookie", "origin", "path", "sent"),
    [
        ("a=b", HTTP, "/", b"a=b"),
        ("a=b", HTTPS, "/", b"a=b"),
        ("a=b", Origin("http", "shop.example.com", 8080), "/", b""),
        ("a=b", Origin("http", "example.com", 80), "/", b""),
        ("a=b", Origin("http", "x.shop.example.com", 80), "/", b""),
        ("a=b; Domain=example.com", Origin("http", "www.example.com", 80), "/", b"a=b"),
        ("a=b; Domain=.example.com", Origin("http", "example.com", 80), "/", b"a=b"),
        ("a=b; Domain=example.com", Origin("http", "badexample.com", 80), "/", b""),
        ("a=b; Domain=evil.com", HTTP, "/", b""),
        ("a=b; Domain=com", HTTP, "/", b""),
        ("a=b; Secure", HTTPS, "/", b""),
        ("a=b; Path=/x", HTTP, "/x/y?q", b"a=b"),
        ("a=b; Path=/x", HTTP, "/xy", b""),
        ("a=b; Path=/x", HTTP, "/", b""),
        ("a=b; Max-Age=0", HTTP, "/", b""),
        ("a=b; Max-Age=60", HTTP, "/", b"a=b"),
        ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", HTTP, "/", b""),
        ("a=b; Expires=Fri, 01-Jan-2100 00:00:00 GMT", HTTP, "/", b"a=b"),
        ("a=b; Expires=nonsense", HTTP, "/", b"a=b"),
        ("a=b=c; HttpOnly", HTTP, "/", b"a=b=c"),
        ('a="quoted"', HTTP, "/", b'a="quoted"'),
        ("=b", HTTP, "/", b""),
        ("nothing", HTTP, "/", b""),
        ("a=\x01", HTTP, "/", b""),
        ("a=" + "x" * 5000, HTTP, "/", b""),
        ("a=gr\xc3\xbcn", HTTP, "/", "a=grün".encode()),
    ],
)
def test_where_a_cookie_goes(set_cookie: str, origin: Origin, path: str, sent: bytes) -> None:
    jar = CookieJar()
    jar.store(set_cookie, HTTP, "/")
    assert jar.header(origin, path) == sent
    assert jar.header(origin, path) == sent  # the remembered one


def test_a_cookie_is_replaced_deleted_and_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    jar = CookieJar()
    jar.store("a=1", HTTP, "/dir/page")
    assert jar.header(HTTP, "/dir/x") == b"a=1"
    assert jar.header(HTTP, "/") == b""
    jar.store("a=2; Path=/", HTTP, "/dir/page")
    assert jar.header(HTTP, "/dir/x") == b"a=1; a=2"
    jar.store("a=3; Path=/; Max-Age=100", HTTP, "/")
    assert jar.header(HTTP, "/") == b"a=3"
    later = time.time() + 200
    monkeypatch.setattr(time, "time", lambda: later)
    assert jar.header(HTTP, "/") == b""
    jar.store("a=x; Path=/dir; Max-Age=-1", HTTP, "/")
    assert jar.count == 0


def test_a_jar_is_bounded() -> None:
    jar = CookieJar()
    for number in range(MAX_COOKIES + 50):
        jar.store(f"c{number}=1", HTTP, "/")
    assert jar.count == MAX_COOKIES
    assert "c0" not in jar.as_dict()


async def test_cookies_are_stored_and_sent(servers: Servers, harness: Harness) -> None:
    server = await servers.answering(
        lambda r: ok(headers="set-cookie: a=1\r\nSET-COOKIE: b=2\r\n" if r.path == "/in" else "")
    )
    harness.add("target", server.url)
    await harness.call("POST", "/in", json={})
    await harness.call()
    await harness.call("PUT", "/x", body=b"1")
    assert [r.headers.get("cookie") for r in server.requests] == [None, "a=1; b=2", "a=1; b=2"]
    assert server.requests[2].body == b"1"
    harness.client.delete_cookies()
    await harness.call()
    assert "cookie" not in server.requests[3].headers
    harness.client.cookies.set("mine", "x", harness.client.service("target").target.address)
    await harness.call()
    assert server.requests[4].headers["cookie"] == "mine=x"

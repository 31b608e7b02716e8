"""Every plain route, asked over a real socket."""

from __future__ import annotations

import base64
import time

import aiohttp
import pytest

from chaperon_engine.target import RunningTarget, limits, start


async def test_the_root_is_two_hundred_bytes(client: aiohttp.ClientSession) -> None:
    async with client.get("/") as reply:
        assert reply.status == 200
        assert len(await reply.read()) == 200


async def test_json_is_ok_and_echoes_the_query(client: aiohttp.ClientSession) -> None:
    async with client.get("/json") as reply:
        assert await reply.json() == {"ok": True, "service": "chaperon target", "query": {}}
    async with client.get("/json", params={"page": "1"}) as reply:
        assert (await reply.json())["query"] == {"page": "1"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_echo_returns_body_and_content_type(
    client: aiohttp.ClientSession, method: str
) -> None:
    headers = {"Content-Type": "text/x-own"}
    async with client.request(method, "/echo", data=b"\x00abc", headers=headers) as reply:
        assert await reply.read() == b"\x00abc"
        assert reply.headers["Content-Type"] == "text/x-own"


async def test_login_sets_a_new_cookie_each_time_and_names_the_user(
    client: aiohttp.ClientSession,
) -> None:
    seen = set()
    for user in ("ann", "bob"):
        async with client.post("/login", json={"user": user}) as reply:
            assert await reply.json() == {"ok": True, "user": user}
            seen.add(reply.cookies["session"].value)
    assert len(seen) == 2


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"user": 1}', b"[" * 100_000])
async def test_login_refuses_a_body_that_names_no_user(
    client: aiohttp.ClientSession, body: bytes
) -> None:
    async with client.post("/login", data=body) as reply:
        assert reply.status == 400
        assert "JSON" in await reply.text()


async def test_slow_waits_as_long_as_asked(client: aiohttp.ClientSession) -> None:
    begin = time.monotonic()
    async with client.get("/slow", params={"ms": "50"}) as reply:
        assert reply.status == 200
    assert time.monotonic() - begin >= 0.049


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503, 599])
async def test_status_answers_with_the_code_of_the_path(
    client: aiohttp.ClientSession, code: int
) -> None:
    async with client.get(f"/status/{code}") as reply:
        assert reply.status == code
        assert (await reply.read() == b"") == (code in (204, 304))


@pytest.mark.parametrize(
    "path",
    [
        "/status/100",
        "/status/x",
        "/status/" + "9" * 5000,
        "/bytes/-1",
        f"/bytes/{limits.MAX_REPLY_BODY + 1}",
        "/chunked?chunks=10000&size=1000000",
        "/chunked?chunks=-1",
        "/flaky?rate=nan",
        "/flaky?rate=2",
        "/slow?ms=soon",
        "/redirect/0",
        "/redirect/101",
        "/redirect/1?status=304",
        "/channel/x?last_message_sequence=minus",
    ],
)
async def test_what_is_out_of_bounds_is_refused_with_a_reason(
    client: aiohttp.ClientSession, path: str
) -> None:
    async with client.get(path, allow_redirects=False) as reply:
        assert reply.status == 400
        assert "must be" in await reply.text()


@pytest.mark.parametrize(("rate", "failures"), [("0", 0), ("0.25", 25), ("0.333", 33), ("1", 100)])
async def test_flaky_fails_exactly_at_its_rate(
    client: aiohttp.ClientSession, rate: str, failures: int
) -> None:
    statuses = []
    for _ in range(100):
        async with client.get("/flaky", params={"rate": rate}) as reply:
            statuses.append(reply.status)
    assert statuses.count(503) == failures
    assert statuses.count(200) == 100 - failures


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_bytes_sends_as_many_as_asked(client: aiohttp.ClientSession, size: int) -> None:
    async with client.get(f"/bytes/{size}") as reply:
        assert reply.content_length == size
        body = await reply.read()
    assert len(body) == size
    assert body == (bytes(range(256)) * (size // 256 + 1))[:size]


async def test_head_has_the_length_and_no_body(client: aiohttp.ClientSession) -> None:
    for path, size in (("/", 200), ("/bytes/5000000", 5_000_000)):
        async with client.head(path) as reply:
            assert reply.content_length == size
            assert await reply.read() == b""


async def test_chunked_comes_in_chunks(client: aiohttp.ClientSession) -> None:
    async with client.get("/chunked", params={"chunks": "5", "size": "70000"}) as reply:
        assert reply.headers["Transfer-Encoding"] == "chunked"
        assert len(await reply.read()) == 350_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_leads_to_the_root_in_as_many_hops_as_asked(
    client: aiohttp.ClientSession, status: int
) -> None:
    async with client.get(f"/redirect/3?status={status}") as reply:
        assert reply.url.path == "/"
        assert [hop.status for hop in reply.history] == [status] * 3


async def test_gzip_is_compressed_json(client: aiohttp.ClientSession) -> None:
    async with client.get("/gzip") as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert (await reply.json())["gzip"] is True


async def test_headers_are_echoed_in_order_and_joined_by_name(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/headers", headers=[("X-A", "1"), ("X-A", "2")]) as reply:
        document = await reply.json()
    assert document["headers"]["X-A"] == "1, 2"
    assert [pair for pair in document["list"] if pair[0] == "X-A"] == [["X-A", "1"], ["X-A", "2"]]


async def test_cookies_are_set_from_the_query_and_echoed(
    target: RunningTarget,
) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(target.url, cookie_jar=jar) as session:
        async with session.get("/cookies", params={"a": "1"}) as reply:
            assert await reply.json() == {"cookies": {}}
        async with session.get("/cookies") as reply:
            assert await reply.json() == {"cookies": {"a": "1"}}


async def test_basic_auth_takes_only_the_credentials_of_the_path(
    client: aiohttp.ClientSession,
) -> None:
    path = "/basic-auth/ann/secret"
    right, wrong = (base64.b64encode(pair).decode() for pair in (b"ann:secret", b"ann:guess"))
    async with client.get(path, headers={"Authorization": f"Basic {right}"}) as reply:
        assert reply.status == 200
    for header in ("", "Basic", "Basic !!!", f"Basic {wrong}", f"Bearer {right}"):
        async with client.get(path, headers={"Authorization": header}) as reply:
            assert reply.status == 401
            assert "Basic" in reply.headers["WWW-Authenticate"]


async def test_a_body_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHANNEL_MESSAGE", 10)
    monkeypatch.setattr(limits, "MAX_REQUEST_BODY", 1000)
    async with await start() as target, aiohttp.ClientSession(target.url) as client:
        async with client.put("/channel/x", data=b"x" * 11) as reply:
            assert reply.status == 413
        async with client.post("/echo", data=b"x" * 1001) as reply:
            assert reply.status == 413

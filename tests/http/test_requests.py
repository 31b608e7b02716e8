"""Requests as they go on the wire, and arguments that must not be sent."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.errors import InvalidRequest, TotalTimeout
from chaperon_engine.http import FilePart
from chaperon_engine.net.url import Origin, encode_path, split_url
from tests.http.conftest import Harness, Server, Servers, ok, read_request

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def server(servers: Servers, harness: Harness) -> Server:
    made = await servers.replying(ok())
    harness.add("target", made.url)
    return made


async def test_a_bare_request_has_the_built_in_headers(server: Server, harness: Harness) -> None:
    await harness.call()
    request = server.requests[0]
    assert request.line == "GET / HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["user-agent"].startswith("chaperon/")
    assert request.headers["accept"] == "*/*"
    assert "content-length" not in request.headers
    await harness.call("POST")
    assert server.requests[1].headers["content-length"] == "0"


async def test_headers_of_call_win_over_service_over_built_in(
    servers: Servers, harness: Harness
) -> None:
    server = await servers.replying(ok())
    harness.add(
        "target",
        f"{server.url}/api/v1",
        headers={"X-Test": "1", "user-agent": "mine", "X-Other": "service"},
        basic_auth=("ann", "geheim ü"),
    )
    await harness.call("GET", "/foo", headers={"x-other": "call"})
    headers = server.requests[0].headers
    assert server.requests[0].path == "/api/v1/foo"
    assert (headers["x-test"], headers["user-agent"], headers["x-other"]) == ("1", "mine", "call")
    assert base64.b64decode(headers["authorization"].split()[1]).decode() == "ann:geheim ü"
    await harness.call(bearer="token")
    assert server.requests[1].headers["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/", "/"),
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a b", "/a%20b"),
        ("/grün?x=ä&y=%41", "/gr%C3%BCn?x=%C3%A4&y=%41"),
        ("/100%", "/100%25"),
        ("/%zz", "/%25zz"),
        ('/<>"{}|\\^`', "/%3C%3E%22%7B%7D%7C%5C%5E%60"),
        ("/a#fragment", "/a"),
        ("/:@!$&'()*+,;=-._~[]", "/:@!$&'()*+,;=-._~[]"),
        ("//host/path", "//host/path"),
    ],
)
def test_paths_are_percent_encoded_and_encoded_parts_kept(path: str, sent: str) -> None:
    assert encode_path(path) == sent


@given(st.text())
def test_a_path_is_refused_or_safe_to_send(text: str) -> None:
    try:
        sent = encode_path("/" + text)
    except InvalidRequest:
        return
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert encode_path(sent) == sent


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"page": 1, "q": "a b&c"}, "page=1&q=a+b%26c"),
        ([("a", 1), ("a", 2)], "a=1&a=2"),
        ({"a": ["x", "y"], "none": None, "yes": True}, "a=x&a=y&yes=true"),
        ({}, ""),
    ],
)
async def test_params_are_encoded(
    server: Server, harness: Harness, options: Any, query: str
) -> None:
    await harness.call("GET", "/p", params=options)
    await harness.call("GET", "/p?z=0", params=options)
    assert server.requests[0].path == ("/p?" + query if query else "/p")
    assert server.requests[1].path == ("/p?z=0&" + query if query else "/p?z=0")


@pytest.mark.parametrize(
    ("options", "body", "content_type"),
    [
        ({"body": b"\0raw"}, b"\0raw", None),
        ({"body": "grün"}, "grün".encode(), "text/plain; charset=utf-8"),
        ({"json": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        (
            {"form": {"a": "b c", "d": [1, 2]}},
            b"a=b+c&d=1&d=2",
            "application/x-www-form-urlencoded",
        ),
        (
            {"json": {}, "headers": {"Content-Type": "application/vnd.x"}},
            b"{}",
            "application/vnd.x",
        ),
    ],
)
async def test_bodies_arrive_as_given(
    server: Server, harness: Harness, options: Any, body: bytes, content_type: str | None
) -> None:
    await harness.call("POST", **options)
    assert server.requests[0].body == body
    assert server.requests[0].headers.get("content-type") == content_type
    await harness.call("POST", gzip=True, **options)
    assert gzip.decompress(server.requests[1].body) == body
    assert server.requests[1].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("compress", [False, True])
async def test_an_async_iterable_is_sent_chunked_with_backpressure(
    servers: Servers, harness: Harness, compress: bool
) -> None:
    made = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal made
        for number in range(200):
            made += 1
            yield b"" if number % 7 == 0 else bytes([number]) * 50_000

    started = asyncio.Event()
    server: Server

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await started.wait()
        server.requests.append(await read_request(reader))
        writer.write(ok())

    server = await servers.raw(handler)
    harness.add("target", server.url)
    call = asyncio.create_task(harness.call("POST", body=pieces(), gzip=compress))
    for _ in range(300):
        await asyncio.sleep(0)
    if not compress:
        assert made < 200  # ten megabytes do not fit into the buffers of a socket
    started.set()
    await call
    body = server.requests[0].body
    assert harness.series.bytes_out == server.requests[0].size
    assert (gzip.decompress(body) if compress else body) == b"".join(
        bytes([number]) * 50_000 for number in range(200) if number % 7
    )


async def test_an_error_in_the_scenarios_own_iterable_is_raised_and_counted_as_cancelled(
    server: Server, harness: Harness
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await harness.call("POST", body=pieces())
    assert harness.errors() == {"cancelled": 1}

    async def wrong() -> AsyncIterator[Any]:
        yield "text"

    with pytest.raises(InvalidRequest, match="yielded str"):
        await harness.call("POST", body=wrong())


async def test_an_upload_that_stalls_ends_at_the_deadline(server: Server, harness: Harness) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(TotalTimeout):
        await harness.call("POST", body=pieces(), timeout_s=0.1)


async def test_multipart_streams_files_with_their_exact_length(
    server: Server, harness: Harness, tmp_path: Path
) -> None:
    path = tmp_path / 'a "file".bin'
    path.write_bytes(bytes(range(256)) * 1000)
    await harness.call(
        "POST",
        multipart={
            "name": "Ann",
            "several": ["one", b"two"],
            "file": FilePart(path, content_type="image/png"),
        },
    )
    request = server.requests[0]
    assert int(request.headers["content-length"]) == len(request.body)
    assert harness.series.bytes_out == request.size
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    found = []
    for part in message_from_bytes(head + request.body).walk():
        if not part.is_multipart():
            name = part.get_param("name", header="content-disposition")
            found.append((name, part.get_payload(decode=True)))
    assert found == [
        ("name", b"Ann"),
        ("several", b"one"),
        ("several", b"two"),
        ("file", path.read_bytes()),
    ]
    assert b'filename="a %22file%22.bin"' in request.body


ILLEGAL: list[tuple[str, dict[str, Any], str]] = [
    ("method", {"method": "GET\r\nX: y"}, "method"),
    ("method", {"method": ""}, "method"),
    ("method", {"method": "CONNECT"}, "method"),
    ("path", {"path": "/a\r\nX: y"}, "path"),
    ("path", {"path": "/a\0"}, "path"),
    ("path", {"path": "/a\x1b"}, "path"),
    ("path", {"path": "@evil.example/"}, "path"),
    ("path", {"path": "/\ud800"}, "path"),
    ("header name", {"headers": {"X\r\nY": "1"}}, "headers"),
    ("header name", {"headers": {"": "1"}}, "headers"),
    ("header name", {"headers": {"X Y": "1"}}, "headers"),
    ("header value", {"headers": {"X": "1\r\nY: 2"}}, "headers: the value of X"),
    ("header value", {"headers": {"X": "1\0"}}, "headers: the value of X"),
    ("header value", {"headers": {"X": None}}, "headers: the value of X"),
    ("own header", {"headers": {"Content-Length": "1"}}, "Content-Length"),
    ("own header", {"headers": {"transfer-encoding": "chunked"}}, "transfer-encoding"),
    ("host header", {"headers": {"Host": "a\r\nb"}}, "Host"),
    ("bearer", {"bearer": "a\nb"}, "bearer"),
    ("basic", {"basic_auth": ("a:b", "c")}, "basic_auth"),
    ("two bodies", {"json": 1, "form": {"a": 1}}, "form and json"),
    ("json", {"json": object()}, "json"),
    ("body", {"body": 5}, "body"),
    ("params", {"params": 5}, "params"),
    ("params", {"params": {"a": {"b": 1}}}, "params"),
    ("multipart", {"multipart": {"a": FilePart("/does/not/exist")}}, "multipart"),
    ("multipart", {"multipart": {"a": FilePart(__file__, content_type="a\r\nb")}}, "multipart"),
    ("multipart", {"multipart": {"a": "b"}, "gzip": True}, "multipart"),
]


@pytest.mark.parametrize(("what", "arguments", "named"), ILLEGAL)
async def test_illegal_arguments_are_refused_before_a_byte_is_sent(
    server: Server, harness: Harness, what: str, arguments: dict[str, Any], named: str
) -> None:
    given = {"method": "POST", "path": "/", **arguments}
    with pytest.raises(InvalidRequest) as refused:
        await harness.call(given.pop("method"), given.pop("path"), **given)
    assert named in str(refused.value)
    assert str(refused.value).isprintable()
    assert server.connections == 0
    assert harness.counts == (0, 0, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://a\r\nb/",
        "http://a b/",
        "http://exa\0mple/",
        "ftp://example.com/",
        "http:///path",
        "http://user:pass@example.com/",
        "http://h:99999/",
        "http://h:0/",
        "http://[::zz]/",
        "http://-/",
        "http://xn--\u0000/",
        "http://" + "a" * 300 + "/",
        "example.com/path",
    ],
)
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        split_url(url, "URL")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("url", "origin", "rest", "host"),
    [
        ("http://example.com", Origin("http", "example.com", 80), "", "example.com"),
        ("https://EXAMPLE.com:8443/a?b=c", Origin("https", "example.com", 8443), "/a?b=c",
         "example.com:8443"),
        ("http://[::1]:70/x", Origin("http", "::1", 70), "/x", "[::1]:70"),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443), "/",
         "xn--bcher-kva.example"),
        ("ws://h:80/s", Origin("http", "h", 80), "/s", "h"),
    ],
)  # fmt: skip
def test_urls_are_split(url: str, origin: Origin, rest: str, host: str) -> None:
    assert split_url(url, "URL") == (origin, rest)
    assert origin.host_header == host


async def test_full_urls_find_their_service_or_one_made_for_them(
    servers: Servers, harness: Harness
) -> None:
    first = await servers.replying(ok())
    second = await servers.replying(ok())
    harness.add("target", first.url, bearer="secret", headers={"X-Key": "1"})
    state, rest = harness.client.locate(f"{first.url}/a?b")
    assert (state.name, rest) == ("target", "/a?b")
    state, rest = harness.client.locate(f"{second.url}/x")
    await harness.client.request(state, "GET", rest, harness.series)
    assert "authorization" not in second.requests[0].headers
    assert "x-key" not in second.requests[0].headers
    harness.client.close()


async def test_json_round_trips(servers: Servers, harness: Harness) -> None:
    server = await servers.answering(lambda request: ok(request.body))
    harness.add("target", server.url)
    value = {"user": "änn", "n": [1, 2.5, None, True]}
    assert (await harness.call("POST", json=value)).json() == value
    assert json.loads(server.requests[0].body) == value

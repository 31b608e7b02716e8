"""The plain HTTP routes of the target.

Handlers take a request whose body, if any, is already read and counted, and return the reply; those
that stream count their body bytes under `BYTES_OUT` in the request. Bodies that never change are
built once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import math

from aiohttp import web

from chaperon_engine.target import limits
from chaperon_engine.target.replies import (
    BYTES_HEAD,
    JSON_HEAD,
    TEXT_HEAD,
    Refused,
    json_body,
    json_reply,
    query_number,
    text_reply,
    whole_number,
)

BYTES_OUT = web.RequestKey("bytes_out", int)
"""Body bytes that a streaming handler has sent."""

ROOT_BODY = (
    b"Chaperon's bundled target: an answer of exactly two hundred bytes.".ljust(199, b".") + b"\n"
)

_BLOCK = bytes(range(256)) * 256
_PREBUILT_UP_TO = len(_BLOCK)

_GZIP_BODY = gzip.compress(b'{"ok":true,"gzip":true,"text":"' + b"chaperon " * 200 + b'"}', mtime=0)
_GZIP_HEAD = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

_JSON_BODY = b'{"ok":true,"service":"chaperon target","query":{}}'

_BODILESS = frozenset({204, 205, 304})

_PPM = 1_000_000


async def root(request: web.Request) -> web.Response:
    """200 bytes of text, as quick as it can be."""
    return web.Response(body=ROOT_BODY, headers=TEXT_HEAD)


async def json_page(request: web.Request) -> web.Response:
    """`{"ok": true, ...}` with the query's values under `query` (the first of equal names)."""
    if not request.query_string:
        return web.Response(body=_JSON_BODY, headers=JSON_HEAD)
    return json_reply({"ok": True, "service": "chaperon target", "query": dict(request.query)})


async def echo(request: web.Request) -> web.Response:
    """The request's body and content type, for any method."""
    content_type = request.headers.get("Content-Type", "application/octet-stream")
    return web.Response(body=await request.read(), headers={"Content-Type": content_type})


async def slow(request: web.Request) -> web.Response:
    """An answer after `?ms=` milliseconds (100 when not said, 60,000 at most)."""
    wait_ms = min(query_number(request, "ms", 100, 0, 10**9), limits.MAX_WAIT_MS)
    await asyncio.sleep(wait_ms / 1000)
    return json_reply({"ok": True, "ms": wait_ms})


async def status(request: web.Request) -> web.Response:
    """An answer with the status code of the path, 200 to 599."""
    code = whole_number("the status", request.match_info["code"], 200, 599)
    if code in _BODILESS:
        return web.Response(status=code)
    return text_reply(f"status {code}\n", code)


class Flaky:
    """`/flaky?rate=`: 503 for that share of the requests, by count and not by chance.

    Of any N requests at rate r, floor(N * r) or one more fail, evenly spread.
    """

    def __init__(self) -> None:
        self._owed_ppm = 0

    def reset(self) -> None:
        """Begin the count again."""
        self._owed_ppm = 0

    async def __call__(self, request: web.Request) -> web.Response:
        text = request.query.get("rate", "0.1")
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not 0 <= rate <= 1:
            raise Refused(400, "rate must be a number from 0 to 1")
        self._owed_ppm += round(rate * _PPM)
        if self._owed_ppm >= _PPM:
            self._owed_ppm -= _PPM
            return text_reply("flaky: this one fails\n", 503)
        return json_reply({"ok": True, "rate": rate})


async def some_bytes(request: web.Request) -> web.StreamResponse:
    """As many bytes as the path says, 0 to 255 over and over."""
    size = whole_number("the size", request.match_info["count"], 0, limits.MAX_REPLY_BODY)
    if size <= _PREBUILT_UP_TO:
        return web.Response(body=_BLOCK[:size], headers=BYTES_HEAD)
    reply = web.StreamResponse(headers=BYTES_HEAD)
    reply.content_length = size
    await reply.prepare(request)
    if request.method != "HEAD":
        for start in range(0, size, len(_BLOCK)):
            block = _BLOCK[: size - start]
            await reply.write(block)
            request[BYTES_OUT] = request.get(BYTES_OUT, 0) + len(block)
    await reply.write_eof()
    return reply


async def chunked(request: web.Request) -> web.StreamResponse:
    """`?chunks=` chunks (10) of `?size=` bytes (100), with chunked transfer coding."""
    chunks = query_number(request, "chunks", 10, 0, limits.MAX_CHUNKS)
    size = query_number(request, "size", 100, 1, limits.MAX_CHUNK_SIZE)
    if chunks * size > limits.MAX_REPLY_BODY:
        raise Refused(400, f"chunks times size must be at most {limits.MAX_REPLY_BODY} bytes")
    reply = web.StreamResponse(headers=BYTES_HEAD)
    reply.enable_chunked_encoding()
    await reply.prepare(request)
    if request.method != "HEAD":
        block = (_BLOCK * (size // len(_BLOCK) + 1))[:size]
        for _ in range(chunks):
            await reply.write(block)
            request[BYTES_OUT] = request.get(BYTES_OUT, 0) + size
    await reply.write_eof()
    return reply


async def redirect(request: web.Request) -> web.Response:
    """302 through as many hops as the path says, to `/` in the end; `?status=` for 301 to 308."""
    hops = whole_number("the number of hops", request.match_info["hops"], 1, limits.MAX_REDIRECTS)
    code = query_number(request, "status", 302, 301, 308)
    if code not in (301, 302, 303, 307, 308):
        raise Refused(400, "status must be 301, 302, 303, 307 or 308")
    query = f"?{request.query_string}" if request.query_string else ""
    location = "/" if hops == 1 else f"/redirect/{hops - 1}{query}"
    return web.Response(status=code, headers={"Location": location})


async def gzipped(request: web.Request) -> web.Response:
    """A JSON body with gzip content coding, whatever the client accepts."""
    return web.Response(body=_GZIP_BODY, headers=_GZIP_HEAD)


async def headers(request: web.Request) -> web.Response:
    """The request's headers: `headers` by name (equal names joined), `list` in order."""
    pairs = [(str(name), value) for name, value in request.headers.items()]
    names = dict.fromkeys(name.title() for name, _ in pairs)
    return json_reply(
        {
            "headers": {name: ", ".join(request.headers.getall(name)) for name in names},
            "list": pairs,
        }
    )


async def cookies(request: web.Request) -> web.Response:
    """The request's cookies; each name of the query is set as a cookie in the reply."""
    reply = json_reply({"cookies": dict(request.cookies)})
    for name, value in request.query.items():
        try:
            reply.set_cookie(name, value, path="/")
        except ValueError:
            raise Refused(400, "the query has a name that cannot be a cookie's") from None
    return reply


class Login:
    """`/login`: sets the cookie `session`; a JSON body `{"user": ...}` names the user."""

    def __init__(self) -> None:
        self._count = 0

    async def __call__(self, request: web.Request) -> web.Response:
        user: object = "guest"
        if body := await request.read():
            document = json_body(body, "the body")
            if not isinstance(document, dict) or not isinstance(document.get("user"), str):
                raise Refused(400, 'the body must be a JSON object such as {"user": "ann"}')
            user = document["user"]
        self._count += 1
        reply = json_reply({"ok": True, "user": user})
        reply.set_cookie("session", f"s{self._count}", path="/", httponly=True, samesite="Lax")
        return reply


async def basic_auth(request: web.Request) -> web.Response:
    """200 for the basic credentials that the path names, 401 otherwise."""
    user = request.match_info["user"]
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        given = ""
    if scheme.lower() == "basic" and given == f"{user}:{request.match_info['password']}":
        return json_reply({"ok": True, "user": user})
    return web.Response(
        status=401,
        body=b"who are you?\n",
        headers={**TEXT_HEAD, "WWW-Authenticate": 'Basic realm="chaperon target"'},
    )


async def not_found(request: web.Request) -> web.Response:
    """404 for every other path."""
    return text_reply("there is no such route\n", 404)

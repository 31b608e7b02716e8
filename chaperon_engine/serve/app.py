"""The HTTP application: what stands before every route, and how refusals look.

A request is checked in this order: time, Host and Origin, back-off, token, kind and size of its
body; its handler runs only then. Must not know: what the routes do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import hdrs, web

from chaperon_engine.errors import ChaperonError, UserError
from chaperon_engine.protocol.backoff import BackOff
from chaperon_engine.serve.access import Names, Token
from chaperon_engine.serve.admission import TooBusy
from chaperon_engine.serve.guard import Gate, Guard
from chaperon_engine.serve.keeper import CannotKeep
from chaperon_engine.serve.line import NotQueued, QueueFull
from chaperon_engine.serve.streams import Streams, TooManyStreams
from chaperon_engine.text import visible, visible_block

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 10.0
HANDLER_TIMEOUT_S = 80.0
OPEN_PATHS = ("/", "/healthcheck")
"""Anybody may ask whether the server lives, as in every load balancer's check."""
RETRY_LATER_S = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("chaperon.serve")
_access = logging.getLogger("chaperon.serve.access")

_STATUSES: tuple[tuple[type[ChaperonError], int], ...] = (
    (QueueFull, 409),
    (NotQueued, 409),
    (TooBusy, 503),
    (CannotKeep, 503),
    (TooManyStreams, 503),
    (UserError, 400),
    (ChaperonError, 500),
)
"""The first that fits."""


class Refusal(Exception):
    """A reply that is no success."""

    def __init__(self, status: int, error: str, **headers: str):
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refused(status: int, error: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A refusal as every route gives it."""
    body = msgspec.json.encode({"error": visible_block(error, limit=2000)})
    response = web.Response(
        status=status, body=body, headers=headers, content_type="application/json"
    )
    if status in (401, 403, 408, 413, 415, 429):
        response.force_close()  # What else it sends is not read.
    return response


@dataclass(frozen=True)
class Porter:
    """Lets requests in."""

    gate: Gate
    token: Token
    back_off: BackOff
    names: Names

    def check(self, request: web.Request, address: str) -> None:
        """Raises Refusal unless the request may be handled. For the network, not the owner."""
        if request.path in OPEN_PATHS:
            return
        if not self.names.is_ours(request.headers.get(hdrs.HOST)):
            raise Refusal(403, "the Host of the request is no name of this server (--allow-host)")
        own = f"{request.scheme}://{request.headers.get(hdrs.HOST)}"
        site = request.headers.get("Sec-Fetch-Site")
        if not self.names.allows_origin(request.headers.get(hdrs.ORIGIN), site, own):
            raise Refusal(403, "requests from other web pages are not taken")
        wait_s = self.back_off.wait_s(address)
        if wait_s:
            seconds = str(math.ceil(wait_s))
            raise Refusal(429, f"too many wrong tokens: wait {seconds} s", Retry_After=seconds)
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        if len(given) == 1 and self.token.admits(given[0]):
            self.back_off.succeeded(address)
            return
        if given:
            self.back_off.failed(address)
        raise Refusal(
            401,
            "this needs the token: basic authentication as chaperon, or a bearer token",
            WWW_Authenticate='Basic realm="chaperon", charset="UTF-8"',
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Everything around a handler."""
        guard = self.gate.guard_of(request.transport)
        if guard is None:
            return refused(503, "the connection is gone")
        guard.request_began()
        began = time.monotonic()
        response: web.StreamResponse | None = None
        try:
            response = await self._answer(request, handler, guard)
            if not response.prepared:
                # Sent here, so that a peer which does not read is limited as well.
                async with asyncio.timeout(HANDLER_TIMEOUT_S):
                    await response.prepare(request)
                    await response.write_eof()
            return response
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return response or refused(503, "it took too long")
        finally:
            guard.request_ended()
            if request.path != "/healthcheck":
                _access.info(
                    "%s %s %s %s %.0f ms",
                    guard.address or "owner",
                    request.method,
                    visible(request.path, 200),
                    "-" if response is None else response.status,
                    (time.monotonic() - began) * 1000,
                )

    async def _answer(
        self, request: web.Request, handler: Handler, guard: Guard
    ) -> web.StreamResponse:
        try:
            if not guard.is_local:
                self.check(request, guard.address)
            if request.match_info.http_exception is not None:
                raise request.match_info.http_exception
            await _read_body(request)  # The request keeps it.
            return await handler(request)
        except Refusal as refusal:
            return refused(refusal.status, refusal.error, refusal.headers)
        except web.HTTPException as error:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            words = "there is no such page" if error.status == 404 else error.reason
            return refused(error.status, words, allow)
        except ChaperonError as error:
            status = next(status for kind, status in _STATUSES if isinstance(error, kind))
            later = {"Retry-After": str(RETRY_LATER_S)} if status == 503 else None
            return refused(status, str(error), later)
        except (TimeoutError, ConnectionError):
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, visible(request.path, 200))
            return refused(500, "something went wrong here; the server's log says what")


async def _read_body(request: web.Request) -> None:
    """The whole body of a request that has one: JSON, not compressed, not too long, in time."""
    if request.method not in ("POST", "PUT", "PATCH"):
        if request.body_exists:
            raise Refusal(400, f"{request.method} takes no body")
        return
    length = request.content_length
    if length is not None and length > MAX_BODY_BYTES:
        raise Refusal(413, f"the body has {length} bytes, {MAX_BODY_BYTES} are allowed")
    if request.content_type != "application/json" or hdrs.CONTENT_TYPE not in request.headers:
        raise Refusal(415, "the body must be JSON: send Content-Type: application/json")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal(415, "the body must be JSON in UTF-8")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refusal(415, "the body must not be compressed")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, f"the body is longer than {MAX_BODY_BYTES} bytes") from None
    except TimeoutError:
        raise Refusal(408, "the body did not come in time") from None


def make_app(porter: Porter, routes: list[web.RouteDef], streams: Streams) -> web.Application:
    """The application with these routes."""
    app = web.Application(middlewares=[porter.middleware], client_max_size=MAX_BODY_BYTES)
    app.add_routes(routes)

    async def dress(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = "chaperon"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers[hdrs.CACHE_CONTROL] = "no-store"

    async def close(_: web.Application) -> None:
        streams.close()

    app.on_response_prepare.append(dress)
    app.on_shutdown.append(close)
    return app

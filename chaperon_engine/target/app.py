"""The target as an aiohttp application: its route table, counting, and the `/stats` routes.

Every route takes all methods and the last one takes all paths, so that a refused method and an
unknown path are counted as exactly as the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from chaperon_engine.target import handlers, limits
from chaperon_engine.target.handlers import BYTES_OUT, Flaky, Login
from chaperon_engine.target.replies import Refused, json_reply, text_reply
from chaperon_engine.target.sockets import Sockets
from chaperon_engine.target.stats import Stats

STATS = web.AppKey("stats", Stats)
"""Where an application keeps its counts."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_READ = frozenset({"GET", "HEAD"})
_READ_OR_POST = _READ | {"POST"}
_PUBLISH = frozenset({"PUT", "POST"})

_UNMATCHED = "(unmatched)"
_BODILESS = frozenset({204, 304})


def create_app() -> web.Application:
    """A target of its own, with counts that start from zero."""
    app = web.Application(client_max_size=limits.MAX_REQUEST_BODY)
    stats = app[STATS] = Stats()
    sockets = Sockets(stats)
    flaky = Flaky()

    async def on_shutdown(_: web.Application) -> None:
        await sockets.close()

    app.on_shutdown.append(on_shutdown)

    async def show_stats(_: web.Request) -> web.Response:
        return json_reply(stats.document())

    async def reset_stats(_: web.Request) -> web.Response:
        stats.reset()
        flaky.reset()
        return json_reply(stats.document())

    app.router.add_get("/stats", show_stats)
    app.router.add_post("/stats/reset", reset_stats)

    login = Login()
    table: list[tuple[str, frozenset[str] | None, Handler]] = [
        ("/", _READ_OR_POST, handlers.root),
        ("/json", _READ_OR_POST, handlers.json_page),
        ("/echo", None, handlers.echo),
        ("/data", None, handlers.echo),
        ("/login", _READ_OR_POST, login),
        ("/slow", None, handlers.slow),
        ("/status/{code}", None, handlers.status),
        ("/flaky", None, flaky),
        ("/bytes/{count}", _READ, handlers.some_bytes),
        ("/chunked", _READ, handlers.chunked),
        ("/redirect/{hops}", None, handlers.redirect),
        ("/gzip", _READ, handlers.gzipped),
        ("/cookies", _READ, handlers.cookies),
        ("/headers", None, handlers.headers),
        ("/basic-auth/{user}/{password}", None, handlers.basic_auth),
        ("/ws/echo", frozenset({"GET"}), sockets.echo),
        ("/channel/{name:.+}", _PUBLISH | {"GET"}, sockets.channel),
        ("/channels@firehose", _PUBLISH, sockets.batch),
    ]
    for path, methods, handler in table:
        app.router.add_route("*", path, _counted(stats, path, methods, handler))
    app.router.add_route("*", "/{path:.*}", _counted(stats, _UNMATCHED, None, handlers.not_found))
    return app


def _counted(
    stats: Stats, route: str, methods: frozenset[str] | None, handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """`handler` with its requests, statuses and bytes counted under `route`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        method = request.method
        counts = stats.of(route, method)
        counts.requests += 1
        try:
            if request.can_read_body:
                counts.bytes_in += len(await request.read())
            if methods is not None and method not in methods:
                raise Refused(405, f"{method} is not for this route")
            reply = await handler(request)
        except Refused as refusal:
            reply = text_reply(refusal.reason + "\n", refusal.status)
            if methods is not None and refusal.status == 405:
                reply.headers["Allow"] = ", ".join(sorted(methods))
        except web.HTTPRequestEntityTooLarge:
            reply = text_reply(f"a body has at most {limits.MAX_REQUEST_BODY} bytes\n", 413)
        except ConnectionError:
            # The client has left; there is nobody to read this reply, and nothing to log.
            counts.bytes_out += request.get(BYTES_OUT, 0)
            counts.abort()
            return web.Response(status=500)
        except BaseException:
            counts.bytes_out += request.get(BYTES_OUT, 0)
            counts.abort()
            raise
        if isinstance(reply, web.Response):
            body = reply.body
            bodiless = method == "HEAD" or reply.status in _BODILESS
            counts.reply(reply.status, len(body) if isinstance(body, bytes) and not bodiless else 0)
        else:
            counts.reply(reply.status, request.get(BYTES_OUT, 0))
        return reply

    return handle

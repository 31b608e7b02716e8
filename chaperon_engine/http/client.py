"""The HTTP client of one session: its services, connections and cookies.

Owns the way of one call: request, redirects, cookies. How a connection is come by is `exchange`'s
business; what goes over it is `connection`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import InvalidRequest, RedirectError
from chaperon_engine.http.connection import StaleConnection
from chaperon_engine.http.exchange import exchange, give_up, resend
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.pool import Pool
from chaperon_engine.http.ports import HttpSink, SeriesFor
from chaperon_engine.http.redirect import Hop, next_hop, options_for
from chaperon_engine.http.request import Prepared, prepare_with
from chaperon_engine.http.response import Response
from chaperon_engine.http.rules import REDIRECTS
from chaperon_engine.http.service import ServiceState
from chaperon_engine.net.cookies import CookieJar
from chaperon_engine.net.ports import Labels
from chaperon_engine.net.url import Origin, split_url
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.definition.resolved import ResolvedService
    from chaperon_engine.http.worker import HttpWorker

_NO_OPTIONS = RequestOptions()
_new = Response.__new__
_MAX_FOREIGN = 32


class HttpClient:
    """Sends the requests of one session. Concurrent calls are legal: each has a connection."""

    __slots__ = ("_borrows", "_closed", "_foreign", "_jar", "_labels", "_services", "_states",
                 "_worker", "series_for")  # fmt: skip

    def __init__(
        self, worker: HttpWorker, services: Mapping[str, ResolvedService], labels: Labels
    ) -> None:
        self._worker = worker
        self._services = services
        self._labels = labels
        self._states: dict[str, ServiceState] = {}
        self._foreign: dict[str, ServiceState] | None = None
        """Services made for origins that are not configured, by origin."""
        self._jar: CookieJar | None = None
        self._closed = False
        self._borrows = False
        """Its connections are another client's."""
        self.series_for: SeriesFor | None = None
        """Series of redirect hops, where a call does not say; None: as the first request."""

    def fork(self) -> HttpClient:
        """A client with a copy of the cookies that sends over the connections of this one.

        Closing it leaves them alone. Close it before this one.
        """
        twin = self._twin()
        twin._borrows = True
        if self._foreign is None:
            self._foreign = {}
        twin._foreign = self._foreign
        twin._states = self._states
        twin._jar = self._jar.copy() if self._jar is not None and self._jar.count else None
        twin.series_for = self.series_for
        return twin

    def measure(self, is_measured: bool) -> None:
        """Whether how connections are made is recorded from now on; also of clients that share
        them."""
        worker, labels = self._worker, self._labels._replace(is_measured=is_measured)
        self._labels = labels
        for state in self._states.values():
            state.target = worker.target(state.target.service, labels)
        for state in (self._foreign or {}).values():
            first = self.service(next(iter(self._services))).target
            state.target = worker.foreign(first, state.target.address)

    def _twin(self) -> HttpClient:
        return HttpClient(self._worker, self._services, self._labels)

    def service(self, name: str) -> ServiceState:
        """A configured service. Raises KeyError; InvalidRequest or UserError for bad settings."""
        state = self._states.get(name)
        if state is None:
            target = self._worker.target(self._services[name], self._labels)
            state = self._states[name] = ServiceState(target, self._worker.pool(target))
        return state

    def locate(self, url: str) -> tuple[ServiceState, str]:
        """The service for an absolute URL, and the rest of it: a configured one with the same
        origin, else one made for the occasion with the limits of the first service."""
        origin, rest = split_url(url, "URL")
        return self._state_for(origin, any_origin=True), rest

    @property
    def cookies(self) -> CookieJar:
        """The session's cookies."""
        if self._jar is None:
            self._jar = CookieJar()
        return self._jar

    @cookies.setter
    def cookies(self, jar: CookieJar) -> None:
        self._jar = jar

    def delete_cookies(self) -> None:
        """Forgets every cookie."""
        if self._jar is not None:
            self._jar.clear()

    def reset(self) -> None:
        """Drops connections and cookies, as for a new user."""
        self._drop_connections()
        self.delete_cookies()

    def close(self) -> None:
        """Drops all connections; what is in flight counts as cancelled. Further calls raise."""
        self._closed = True
        self._drop_connections()

    async def request(
        self,
        service: ServiceState,
        method: str,
        path: str,
        series: HttpSink,
        options: RequestOptions | None = None,
    ) -> Response:
        """Sends a request to a path below the service's base URL and returns its reply.

        Every send is recorded in `series`, those of redirects where `series_for` says. Raises
        InvalidRequest before anything is sent, or an ActionError.
        """
        if options is not None:
            return await self._request_with(service, method, path, series, options)
        target = service.target
        try:
            prepared = target.prepared[method][path]
        except (KeyError, TypeError):
            prepared = target.prepare(method, path)
        wire = prepared.wire
        if self._jar is not None and self._jar.count:
            wire = self._with_cookies(service, prepared)
        idle = service.pool.idle
        if idle:
            connection = idle.pop()
            response = _new(Response)  # its __init__ would cost more than all of this
            response.request = prepared
            series.sent(len(wire))
            future = connection.send(response, series, prepared.rules, wire)
            try:
                await future
            except StaleConnection:
                response = await resend(service, prepared, wire, series, connection.start_ns)
            except BaseException:
                give_up(connection, response, future)
                raise
        else:
            self._refuse_if_closed()
            response = await exchange(service, prepared, wire, series, now_ns())
        if response.is_special:
            self._store_cookies(service, response)
            if response.status in REDIRECTS:
                return await self._follow(service, prepared, response, series, _NO_OPTIONS)
        return response

    async def _request_with(
        self,
        service: ServiceState,
        method: str,
        path: str,
        series: HttpSink,
        options: RequestOptions,
    ) -> Response:
        called_ns = now_ns()
        prepared = prepare_with(service.target, method, path, options, joined=options.joined)
        for timeout_s in (options.timeout_s, options.first_byte_timeout_s):
            if timeout_s is not None:
                self._worker.tighten(timeout_s)
        response = await self._send(service, prepared, series, called_ns)
        if response.status in REDIRECTS and options.follow:
            return await self._follow(service, prepared, response, series, options, called_ns)
        return response

    async def _send(
        self, service: ServiceState, prepared: Prepared, series: HttpSink, called_ns: int
    ) -> Response:
        self._refuse_if_closed()
        wire = prepared.wire
        if self._jar is not None and self._jar.count:
            wire = self._with_cookies(service, prepared)
        response = await exchange(service, prepared, wire, series, called_ns)
        if response.is_special:
            self._store_cookies(service, response)
        return response

    async def _follow(
        self,
        service: ServiceState,
        prepared: Prepared,
        response: Response,
        series: HttpSink,
        options: RequestOptions,
        called_ns: int = 0,
    ) -> Response:
        """Follows the redirects of a reply; each hop is a request of its own."""
        called_ns = called_ns or response.start_ns
        limit = service.target.max_redirects
        if options.max_redirects is not None:
            limit = options.max_redirects
        history: tuple[Response, ...] = ()
        series_for = options.series_for or self.series_for
        while limit:
            hop = next_hop(
                response.status, response.method, response.headers.get("location"), response.url
            )
            if hop is None:
                return response
            response.close()
            if len(history) >= limit:
                hops = "1 redirect" if limit == 1 else f"{limit} redirects"
                raise RedirectError(f"more than {hops}, last to {_shown(hop)}")
            try:
                next_service = self._state_for(
                    hop.origin, any_origin=options.follow == "any", hop=hop
                )
            except InvalidRequest as error:  # an address that this run must not load
                raise RedirectError(f"redirected to {_shown(hop)}: {error}") from None
            if hop.keeps_body and prepared.body is not None and not prepared.body.replayable:
                raise RedirectError(f"the body cannot be sent again to {_shown(hop)}")
            options = options_for(
                options,
                keeps_body=hop.keeps_body,
                same_origin=hop.origin == service.target.address,
            )
            service = next_service
            prepared = prepare_with(service.target, hop.method, hop.path, options, joined=True)
            if series_for is not None:
                series = series_for(service.name, hop.method, prepared.path)
            history = (*history, response)
            response = await self._send(service, prepared, series, called_ns)
            response.history = history
        return response

    def _state_for(
        self, origin: Origin, *, any_origin: bool, hop: Hop | None = None
    ) -> ServiceState:
        """The service with this origin. Raises RedirectError when there must be one."""
        for name in self._services:
            if self._services[name].base_url:
                state = self.service(name)
                if state.target.address == origin:
                    return state
        if not any_origin:
            assert hop is not None
            raise RedirectError(
                f"redirected to {_shown(hop)}, which is no configured service "
                "(follow='any' follows everywhere)"
            )
        if self._foreign is None:
            self._foreign = {}
        foreign = self._foreign.get(str(origin))
        if foreign is None:
            if len(self._foreign) >= _MAX_FOREIGN:
                self._foreign.pop(next(iter(self._foreign))).pool.close()
            first = self.service(next(iter(self._services))).target
            target = self._worker.foreign(first, origin)
            foreign = ServiceState(target, self._worker.pool(target))
            self._foreign[str(origin)] = foreign
        return foreign

    def _with_cookies(self, service: ServiceState, prepared: Prepared) -> bytes:
        cookies = self.cookies.header(service.target.address, prepared.path)
        return prepared.with_cookies(cookies) if cookies else prepared.wire

    def _store_cookies(self, service: ServiceState, response: Response) -> None:
        for value in response.headers.all("set-cookie"):
            self.cookies.store(value, service.target.address, response.path)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise InvalidRequest("the session has ended; its connections are closed")

    def _drop_connections(self) -> None:
        if self._borrows:
            return
        states = [*self._states.values(), *(self._foreign or {}).values()]
        for state in states:
            if state.target.service.pool == "session":
                state.pool.close()
            if self._closed:
                # Of a pool that the worker shares, too: the next call meets the check above.
                state.pool = Pool(0)


def _shown(hop: Hop) -> str:
    return visible(f"{hop.origin}{hop.path}")

"""The HTTP verbs of a session, bound to one of its services.

The hot path of a load test begins here: a bare `session.get("/")` is one dictionary lookup and the
client's own coroutine, with no coroutine of ours around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from chaperon_engine.actions.http import (
    Decoding,
    RequestKeywords,
    ResultCallback,
    options_of,
    result_of,
)
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.response import Response
from chaperon_engine.metrics.recorder import HttpSeries
from chaperon_engine.net.url import with_params
from chaperon_engine.session.labels import ServiceLabels
from chaperon_engine.session.sockets import WebSocketVerbs

if TYPE_CHECKING:
    from chaperon_engine.session.session import Session

_ABSOLUTE = ("http://", "https://")

Exchange = Coroutine[Any, Any, Response]


class Client(Protocol):
    """The session's HTTP client, or what stands before it to watch."""

    def request(
        self,
        service: Any,
        method: str,
        path: str,
        series: HttpSeries,
        options: RequestOptions | None,
    ) -> Exchange: ...


class HttpVerbs(ABC):
    """Requests to one service. Each returns the response, or raises an ActionError.

    A status of 400 and more is no error: it is counted as an HTTP error unless `expect=` says
    otherwise. `path` is joined with the service's base URL as text; a full URL is taken as it is.
    The keywords are those of `RequestKeywords`.
    """

    __slots__ = ("_client", "_labels", "_service")

    _client: Client
    _labels: ServiceLabels
    _service: Any
    """The client's state of the service."""

    def get(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """GET."""
        series = self._labels.GET.get(path)
        if options or series is None:
            return self._send("GET", path, options)
        return self._client.request(self._service, "GET", path, series, None)

    def post(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """POST."""
        series = self._labels.POST.get(path)
        if options or series is None:
            return self._send("POST", path, options)
        return self._client.request(self._service, "POST", path, series, None)

    def put(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """PUT."""
        series = self._labels.PUT.get(path)
        if options or series is None:
            return self._send("PUT", path, options)
        return self._client.request(self._service, "PUT", path, series, None)

    def patch(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """PATCH."""
        series = self._labels.PATCH.get(path)
        if options or series is None:
            return self._send("PATCH", path, options)
        return self._client.request(self._service, "PATCH", path, series, None)

    def delete(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """DELETE."""
        series = self._labels.DELETE.get(path)
        if options or series is None:
            return self._send("DELETE", path, options)
        return self._client.request(self._service, "DELETE", path, series, None)

    def head(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """HEAD."""
        series = self._labels.HEAD.get(path)
        if options or series is None:
            return self._send("HEAD", path, options)
        return self._client.request(self._service, "HEAD", path, series, None)

    def options(self, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """OPTIONS."""
        series = self._labels.OPTIONS.get(path)
        if options or series is None:
            return self._send("OPTIONS", path, options)
        return self._client.request(self._service, "OPTIONS", path, series, None)

    def request(self, method: str, path: str, **options: Unpack[RequestKeywords]) -> Exchange:
        """Any method."""
        return self._send(method, path, options)

    def _send(self, method: str, path: str, keywords: RequestKeywords) -> Exchange:
        if not isinstance(path, str):
            raise InvalidRequest(f"path must be text, not {type(path).__name__}")
        options = options_of(keywords)
        service, labels = self._service, self._labels
        if path.startswith(_ABSOLUTE):
            service, path, is_below = self._session._locate(path)
            if not is_below:
                options = replace(options or RequestOptions(), joined=True)
            labels = self._session._labels_of(service.name)
        elif not keywords:
            series = labels.bare(method, path)
            return self._client.request(service, method, path, series, None)
        series = labels.series(
            method.lower(),
            method,
            _shown(path, keywords),
            keywords.get("name") or "",
            keywords.get("tags"),
        )
        exchange = self._client.request(service, method, path, series, options)
        callback = keywords.get("with_result")
        if callback is None:
            return exchange
        return self._hand_over(exchange, callback, keywords.get("decode", False))

    async def _hand_over(
        self, exchange: Exchange, callback: ResultCallback, decode: Decoding
    ) -> Response:
        response = await exchange
        await self._session.call(callback, result_of(response, decode))
        return response

    @property
    @abstractmethod
    def _session(self) -> Session:
        """The session whose requests these are."""


class ServiceView(HttpVerbs, WebSocketVerbs):
    """A session's verbs bound to another service; made by `session.service(name)`."""

    __slots__ = ("_keeping", "_named", "_owner", "name")

    def __init__(
        self, owner: Session, name: str, client: Client, service: Any, labels: ServiceLabels
    ) -> None:
        self._owner = owner
        self._client = client
        self._service = service
        self._labels = labels
        self._named = None
        self._keeping = owner._keeping
        self.name = name

    @property
    def _session(self) -> Session:
        return self._owner

    def __repr__(self) -> str:
        return f"<service {self.name} of {self._owner.id}>"


def _shown(path: str, keywords: RequestKeywords) -> str:
    """The path with its query as it will be sent, as far as it tells series apart."""
    params = keywords.get("params")
    return path if params is None or keywords.get("name") else with_params(path, params)

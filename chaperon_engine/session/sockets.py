"""The WebSocket verbs of a session, bound to one of its services.

Owns the names of a session's sockets and that none outlives it. Must not know frames nor how a
socket is opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chaperon_engine.actions.delay import Wait, random_wait_s
from chaperon_engine.actions.http import ResultCallback
from chaperon_engine.actions.ws import (
    CONNECT_RETRIES,
    RETRY_DELAY_S,
    ConnectKeywords,
    options_of,
    retries_of,
    timeout_s,
)
from chaperon_engine.errors import InvalidRequest, RequestTimeout, WebSocketNotOpen
from chaperon_engine.net.url import Fields, with_params
from chaperon_engine.text import visible
from chaperon_engine.units import Duration
from chaperon_engine.ws.matching import NOTHING, Decoding
from chaperon_engine.ws.series import NULL_SERIES, SocketSeries
from chaperon_engine.ws.socket import Kind, WebSocket
from chaperon_engine.ws.worker import WsWorker

if TYPE_CHECKING:
    from chaperon_engine.http.service import ServiceState
    from chaperon_engine.session.core import SessionCore
    from chaperon_engine.session.kept import Kept
    from chaperon_engine.session.session import Session

_ABSOLUTE = ("ws://", "wss://", "http://", "https://")

NamedSockets = dict[str, WebSocket]
SocketTable = dict[str, NamedSockets]
"""Sockets of a session by service and name."""


class WebSocketVerbs(ABC):
    """Sockets to one service, told apart by `name`; without one it is the service's only socket.

    What goes wrong is an ActionError. `ws_recv` and `ws_await_recv` wait as long as `timeout=`
    says, otherwise as long as the service's `timeout`.
    """

    __slots__ = ()

    _named: NamedSockets | None
    """The sockets of this service by name; None until there is one."""
    _keeping: Kept | None
    """Where messages that were received are kept; None unless the config says `store_results`."""
    _service: ServiceState

    async def ws_connect(
        self,
        path: str = "/",
        *,
        name: str = "",
        series: str | None = None,
        params: Fields | None = None,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        compression: bool | None = None,
        timeout: Duration | None = None,
        ping_interval: Duration | None = None,
        ping_timeout: Duration | None = None,
        max_message_bytes: int | str | None = None,
        max_queue: int | None = None,
        retries: int = CONNECT_RETRIES,
        retry_delay: Wait = RETRY_DELAY_S,
    ) -> WebSocket:
        """Open a WebSocket. `path` is joined with the service's base URL as text; a full URL is
        taken as it is. Cookies, headers and credentials are sent as with a request.

        `series` is its label in place of the URL; `compression` offers permessage-deflate;
        `ping_interval` sends own pings. After a time-out it is tried again, up to `retries` times
        (0: never), each time after a random part of `retry_delay`. Each attempt is measured.
        """
        given = ConnectKeywords(
            params=params,
            headers=headers,
            subprotocols=subprotocols,
            compression=compression,
            timeout=timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_message_bytes=max_message_bytes,
            max_queue=max_queue,
        )
        if not isinstance(path, str):
            raise InvalidRequest(f"path must be text, not {type(path).__name__}")
        session = self._session
        sockets = self._sockets_of(session)
        known = sockets.get(name)
        if known is not None and known.is_open:
            raise InvalidRequest(
                f"the WebSocket {_called(name)} is open already: ws_close or ws_reset it first, "
                "or give this one another name"
            )
        service, joined = self._service, False
        if path.startswith(_ABSOLUTE):
            service, path, is_below = session._locate(path)
            joined = not is_below
        target = service.target
        worker = WsWorker.of(target.network)
        options = options_of(given, target.service, joined=joined)
        shown = path if params is None or series else with_params(path, params)
        found: SocketSeries = NULL_SERIES
        if session._is_measured:
            found = session._context.socket_series(target.name, shown, series or "")
        left = retries_of(retries)
        if retry_delay != RETRY_DELAY_S:
            # Refused before anything is sent. Not drawn otherwise: it takes 2.5 KiB a session.
            random_wait_s(retry_delay, session, "retry_delay")
        ws_target = worker.target(target.service, target.labels)
        while True:
            try:
                socket = await worker.connect(
                    ws_target,
                    path,
                    found,
                    cookies=session.cookies,
                    options=options,
                    waiting=None if session._periodics is None else session._waiting,
                )
                break
            except RequestTimeout:
                if not left:
                    raise
                left -= 1
            await session._wait(random_wait_s(retry_delay, session, "retry_delay"))
        sockets[name] = socket
        if self._keeping is not None:
            self._keeping.labels[service.name, name] = series or shown
        return socket

    def ws_send(
        self,
        message: Any = NOTHING,
        *,
        name: str = "",
        type: Kind | None = None,
        json: Any = NOTHING,
    ) -> Coroutine[Any, Any, None]:
        """Send a message: `str` as text, `bytes` as binary, `json=` as JSON in text. `type` sends
        it as the other one."""
        try:
            socket = self._named[name]  # type: ignore[index]
        except (KeyError, TypeError):
            socket = self._socket(name)
        if type is None and json is NOTHING:
            return socket.send(message)
        return socket.send(message, type=type, json=json)

    def ws_recv(
        self,
        *,
        name: str = "",
        timeout: Duration | None = None,
        decode: Decoding | None = None,
        with_result: ResultCallback | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """The next message, `str` or `bytes`; with `decode` its JSON, or what a function makes of
        it. `with_result` is called with the session and that."""
        receiving = self._socket(name).recv(timeout=timeout_s(timeout), decode=decode)
        if self._keeping is not None:
            receiving = self._keep(receiving, "ws_recv", name, self._keeping)
        return receiving if with_result is None else self._told(receiving, with_result)

    def ws_await_recv(
        self,
        expected: Any = NOTHING,
        *,
        json: Any = NOTHING,
        name: str = "",
        timeout: Duration | None = None,
        keep: bool = False,
        decode: Decoding | None = None,
        with_result: ResultCallback | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Wait for the message that equals `expected`, for which the function `expected` is true,
        or that is JSON with all of `json` in it. Others are dropped; with `keep` later receives
        get them."""
        try:
            socket = self._named[name]  # type: ignore[index]
        except (KeyError, TypeError):
            socket = self._socket(name)
        if (
            expected.__class__ is str
            and json is NOTHING
            and timeout is None
            and not keep
            and decode is None
            and with_result is None
            and self._keeping is None
        ):
            return socket.await_recv(expected)
        receiving = socket.await_recv(
            expected,
            json=json,
            timeout=None if timeout is None else timeout_s(timeout),
            keep=keep,
            decode=decode,
        )
        if self._keeping is not None:
            receiving = self._keep(receiving, "ws_await_recv", name, self._keeping)
        return receiving if with_result is None else self._told(receiving, with_result)

    async def ws_close(self, *, name: str = "", code: int = 1000, reason: str = "") -> None:
        """Close with a handshake, and forget the socket: its name is free."""
        socket = self._socket(name)
        try:
            await socket.close(code, reason)
        finally:
            if not socket.is_open:
                self._forget(name, socket)

    def ws_reset(self, name: str = "") -> None:
        """End the connection without a handshake, and forget the socket; if there is one."""
        sockets = self._sockets_of(self._session)
        socket = sockets.pop(name, None)
        if socket is not None:
            socket.abort()

    def _socket(self, name: str) -> WebSocket:
        socket = self._sockets_of(self._session).get(name)
        if socket is None:
            raise WebSocketNotOpen(
                f"the WebSocket {_called(name)} of {visible(self._service.name)} is not open: "
                "ws_connect it first"
            )
        return socket

    def _forget(self, name: str, socket: WebSocket) -> None:
        sockets = self._sockets_of(self._session)
        if sockets.get(name) is socket:
            del sockets[name]

    def _sockets_of(self, session: SessionCore) -> NamedSockets:
        sockets = self._named
        if sockets is None:
            sockets = session._all_sockets.setdefault(self._service.name, {})
            self._named = sockets  # type: ignore[misc]  # who mixes this in has the slot
        return sockets

    async def _keep(
        self, receiving: Coroutine[Any, Any, Any], verb: str, name: str, kept: Kept
    ) -> Any:
        action = f"{verb} {kept.labels.get((self._service.name, name), name)}"
        try:
            result = await receiving
        except Exception as error:
            kept.add_error(action, error)
            raise
        kept.add_result(action, result)
        return result

    async def _told(self, receiving: Coroutine[Any, Any, Any], callback: ResultCallback) -> Any:
        result = await receiving
        await self._session.call(callback, result)
        return result

    @property
    @abstractmethod
    def _session(self) -> Session:
        """The session whose sockets these are."""


def abort_sockets(table: SocketTable | None) -> None:
    """End all sockets of a session, and forget them."""
    for socket in list(_each(table)):
        socket.abort()
    for sockets in (table or {}).values():
        sockets.clear()


def stop_measuring_sockets(table: SocketTable | None, own: set[SocketSeries]) -> None:
    """Record no more of sockets that are recorded in these series than that they ended."""
    for socket in _each(table):
        if socket.series in own:
            socket.series = socket.series.without_use()


def _each(table: SocketTable | None) -> Iterator[WebSocket]:
    for sockets in (table or {}).values():
        yield from sockets.values()


def _called(name: str) -> str:
    return repr(visible(name)) if name else "without a name"

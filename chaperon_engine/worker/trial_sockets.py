"""Watches the WebSockets of a trial: upgrade, messages and end become events.

Stands where a run has its WebSocket client, so that a run pays nothing for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import ActionError, InvalidRequest, WebSocketClosed, WebSocketNotOpen
from chaperon_engine.net.headers import Headers
from chaperon_engine.ws.life import CLOSED
from chaperon_engine.ws.matching import NOTHING
from chaperon_engine.ws.opening import upgrade_fields
from chaperon_engine.ws.options import DEFAULTS, ConnectOptions
from chaperon_engine.ws.socket import Kind, WebSocket, encoded
from chaperon_engine.ws.wire import TEXT
from chaperon_engine.ws.worker import WsWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaperon_engine.net.cookies import CookieJar
    from chaperon_engine.net.network import Network
    from chaperon_engine.worker.trial_observers import Observer
    from chaperon_engine.ws.life import Transmit, Waiting
    from chaperon_engine.ws.matching import Decoding, Message
    from chaperon_engine.ws.series import SocketSeries
    from chaperon_engine.ws.target import WsTarget


class ObservedSocket(WebSocket):
    """Shows every message and the end."""

    __slots__ = ("called_ns", "number", "observer", "said")

    observer: Observer
    number: int
    """Of the exchange in which it was opened."""
    called_ns: int
    """When it was asked for."""
    said: int
    """The close code with which this client gave the socket up; 0: it did not."""

    async def send(
        self, message: Any = NOTHING, *, type: Kind | None = None, json: Any = NOTHING
    ) -> None:
        kind, payload = encoded(message, type, json)
        with self._shown():
            await super().send(message, type=type, json=json)
        what = "text" if kind is TEXT else "binary"
        self.observer.socket(self.number, "sent", what, payload)

    def opened(self, subprotocol: str, compressed: bool, transmit: Transmit) -> None:
        super().opened(subprotocol, compressed, transmit)
        total_us = (now_ns() - self.called_ns) / 1000
        upgrade_us = min(self._wire.upgrade_ns / 1000, total_us) if self._wire else 0.0
        self.observer.opened(
            self.number,
            self.headers or Headers([]),
            {"connect": total_us - upgrade_us, "upgrade": upgrade_us, "total": total_us},
        )

    async def recv(self, *, timeout: float | None = None, decode: Decoding | None = None) -> Any:
        with self._shown():
            return await super().recv(timeout=timeout, decode=decode)

    async def await_recv(
        self,
        expected: Any = NOTHING,
        *,
        json: Any = NOTHING,
        timeout: float | None = None,
        keep: bool = False,
        decode: Decoding | None = None,
    ) -> Any:
        with self._shown():
            return await super().await_recv(
                expected, json=json, timeout=timeout, keep=keep, decode=decode
            )

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Shows what fails; mistakes of the call are shown as exceptions of the scenario."""
        try:
            yield
        except InvalidRequest:
            raise
        except ActionError as error:
            self.observer.sockets_failed.add(self.number)
            self.observer.failure(self.number, error.code, error.origin, error)
            raise

    def arrived(self, message: Message, size: int) -> None:
        if self._state == CLOSED:
            return
        is_text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else message
        what = "text" if is_text else "binary"
        self.observer.socket(self.number, "received", what, payload)
        super().arrived(message, size)

    def fail(self, error: ActionError, code: int, *, is_said: bool = False) -> None:
        self.said = code
        super().fail(error, code, is_said=is_said)

    def _end(self, error: Callable[[], ActionError]) -> None:
        super()._end(error)
        reason = error()
        if not isinstance(reason, (WebSocketClosed, WebSocketNotOpen)):
            self.observer.sockets_failed.add(self.number)
        words = self.close_reason or ("" if self.close_code != 1006 else str(reason))
        code = self.close_code or 0
        if self.said:
            code, words = self.said, f"sent by this client: {reason}"
        self.observer.socket(self.number, "ended", "close", words.encode(), code)


class ObservedWs(WsWorker):
    """Makes observed sockets, and shows how they are opened."""

    def __init__(self, network: Network, observer: Observer) -> None:
        super().__init__(network)
        self._observer = observer
        self._number = 0

    async def connect(
        self,
        target: WsTarget,
        path: str,
        series: SocketSeries,
        *,
        cookies: CookieJar,
        options: ConnectOptions = DEFAULTS,
        waiting: Waiting | None = None,
    ) -> WebSocket:
        observer = self._observer
        url = target.shown_origin + path
        number = 0
        observer.sockets += 1
        try:
            sent_path = target.path(path, options)
            url = target.shown_origin + sent_path
            fields = upgrade_fields(target, sent_path, cookies, options)
            head = "\r\n".join(("GET", *(f"{name}: {value}" for name, value in fields)))
            number = self._number = observer.request(target.name, "GET", url, head.encode())
            socket = await super().connect(
                target, path, series, cookies=cookies, options=options, waiting=waiting
            )
        except InvalidRequest as error:
            number = number or observer.request(target.name, "GET", url)
            observer.sockets_failed.add(number)
            observer.failure(number, "invalid", "scenario", error)
            raise
        except ActionError as error:
            observer.sockets_failed.add(number)
            observer.failure(number, error.code, error.origin, error)
            raise
        except asyncio.CancelledError:
            observer.failure(number, "cancelled", "scenario", "the call was cancelled")
            raise
        return socket

    def make(
        self, target: WsTarget, path: str, series: SocketSeries, options: ConnectOptions
    ) -> WebSocket:
        socket = ObservedSocket(self, target, path, series, options)
        socket.observer = self._observer
        socket.number = self._number
        socket.called_ns = now_ns()
        socket.said = 0
        return socket

"""What the WebSockets of one worker process share: deadline sweep, targets, their number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from chaperon_engine.net.sweep import Sweep
from chaperon_engine.ws.opening import open_socket
from chaperon_engine.ws.options import DEFAULTS, ConnectOptions
from chaperon_engine.ws.socket import WebSocket
from chaperon_engine.ws.target import WsTarget
from chaperon_engine.ws.wire import Wire

if TYPE_CHECKING:
    from chaperon_engine.definition.resolved import ResolvedService
    from chaperon_engine.net.cookies import CookieJar
    from chaperon_engine.net.network import Network
    from chaperon_engine.net.ports import Labels
    from chaperon_engine.ws.life import SocketLife, Waiting
    from chaperon_engine.ws.series import SocketSeries

_MAX_TARGETS = 4096
_CLOSE_S = 2.0
"""Longest wait for aborted connections to be gone."""


class WsWorker(Sweep):
    """One per worker process; opens the sockets of its sessions."""

    wire: Callable[[SocketLife, ConnectOptions], Wire] = Wire
    """Makes the frame layer of a socket."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.loop)
        self.network = network
        self.create_future = network.loop.create_future
        self.sockets: set[SocketLife] = set()
        """All that are connecting or have a connection."""
        self._targets: dict[tuple[int, Labels], WsTarget] = {}
        self._all_gone: asyncio.Future[None] | None = None

    @classmethod
    def of(cls, network: Network) -> WsWorker:
        """The one of a network; made when it is first asked for, closed with the network."""
        found = network.beside.get("ws")
        if not isinstance(found, WsWorker):
            found = network.beside["ws"] = cls(network)
        return found

    def target(self, service: ResolvedService, labels: Labels) -> WsTarget:
        """The shared part of a service. Raises InvalidRequest or UserError for bad settings."""
        # A target keeps its service alive, so that the id stays its own.
        key = (id(service), labels)
        target = self._targets.get(key)
        if target is None:
            target = WsTarget(self.network, service, labels)
            if len(self._targets) < _MAX_TARGETS:
                self._targets[key] = target
        return target

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
        """Opens a socket. Raises InvalidRequest before anything is sent, or an ActionError.

        `waiting` may put something around the future on which a receive waits.
        """
        sent_path = target.path(path, options)
        socket = self.make(target, sent_path, series, options)
        if waiting is not None:
            socket.waiting = waiting
        self.tighten(target.timeout_s)
        await open_socket(socket, self.wire, cookies, options)
        return socket

    def make(
        self, target: WsTarget, path: str, series: SocketSeries, options: ConnectOptions
    ) -> WebSocket:
        """A socket that is not connected yet."""
        return WebSocket(self, target, path, series, options)

    def expire(self, now: int) -> bool:
        busy = False
        for socket in list(self.sockets):
            if socket.expire(now):
                busy = True
        return busy

    def forget(self, socket: SocketLife) -> None:
        """Its connection is gone for good."""
        self.sockets.discard(socket)
        if self._all_gone is not None and not self.sockets and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def close(self) -> None:
        """Aborts every socket and waits until the loop has let go of all of them."""
        for socket in list(self.sockets):
            socket.abort()
        if self.sockets:
            self._all_gone = self.loop.create_future()
            await asyncio.wait((self._all_gone,), timeout=_CLOSE_S)
        self.stop_sweep()

"""What the HTTP clients of one worker process share: loop, deadline sweep, names, TLS, pools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chaperon_engine.clock import now_ns
from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.dial import Resolver
from chaperon_engine.http.pool import Pool
from chaperon_engine.http.ports import Labels
from chaperon_engine.http.service import Target
from chaperon_engine.http.tls import TlsContexts

if TYPE_CHECKING:
    from chaperon_engine.definition.resolved import ResolvedService
    from chaperon_engine.http.connection import Connection
    from chaperon_engine.http.ports import RecorderPort
    from chaperon_engine.http.url import Origin

_FINEST_TICK_S = 0.01
_COARSEST_TICK_S = 0.25
_TICKS_PER_TIMEOUT = 50
"""A deadline is noticed at most one tick late: by 2 % of the shortest time-out in use."""
_MAX_TARGETS = 4096


class HttpWorker:
    """One per worker process; makes the clients of its sessions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: RecorderPort) -> None:
        self.loop = loop
        self.create_future = loop.create_future
        self.recorder = recorder
        self.resolver = Resolver(loop)
        self.contexts = TlsContexts()
        self.connections: set[Connection] = set()
        """All established connections of this worker."""
        self.sweeping = False
        """Whether the next look at deadlines is planned; off while nothing is in flight."""
        self._tick_s = _COARSEST_TICK_S
        self._timer: asyncio.TimerHandle | None = None
        self._targets: dict[tuple[int | str, Labels], Target] = {}
        self._pools: dict[tuple[int, str], Pool] = {}
        self._all_lost: asyncio.Future[None] | None = None

    def client(
        self,
        services: Mapping[str, ResolvedService],
        labels: Labels = Labels(),  # noqa: B008
    ) -> HttpClient:
        """A client for one session. Services are looked at when they are first used."""
        return HttpClient(self, services, labels)

    def target(self, service: ResolvedService, labels: Labels) -> Target:
        """The shared part of a service. Raises InvalidRequest or UserError for bad settings."""
        # A target keeps its service alive, so that the id stays its own.
        key = (id(service), labels)
        target = self._targets.get(key)
        if target is None:
            target = Target(self, service, labels)
            if len(self._targets) < _MAX_TARGETS:
                self._targets[key] = target
        return target

    def foreign(self, first: Target, origin: Origin) -> Target:
        """A target for an origin that is not configured, with the limits of another."""
        key = (str(origin), first.labels)
        target = self._targets.get(key)
        if target is None:
            target = Target(self, first.elsewhere(origin), first.labels)
            if len(self._targets) < _MAX_TARGETS:
                self._targets[key] = target
        return target

    def pool(self, target: Target) -> Pool:
        """Connections to a target: new ones for a session, or those that the worker shares."""
        service = target.service
        if service.pool == "session":
            return Pool(service.max_connections)
        key = (id(service), target.origin)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(service.max_connections)
        return pool

    def tighten(self, timeout_s: float) -> None:
        """A time-out that is in use: deadlines are looked at often enough for the shortest."""
        tick_s = max(_FINEST_TICK_S, timeout_s / _TICKS_PER_TIMEOUT)
        if tick_s < self._tick_s:
            self._tick_s = tick_s
            if self._timer is not None:
                self._timer.cancel()
                self._timer = self.loop.call_later(tick_s, self._sweep)

    def start_sweep(self) -> None:
        """Something is in flight again."""
        self.sweeping = True
        self._timer = self.loop.call_later(self._tick_s, self._sweep)

    def _sweep(self) -> None:
        """Fails what is past its deadline. One timer for all requests: it costs them nothing."""
        now = now_ns()
        busy = False
        for connection in list(self.connections):
            if connection.response is not None and not connection.expire(now):
                busy = True
        if busy:
            self._timer = self.loop.call_later(self._tick_s, self._sweep)
        else:
            self.sweeping = False
            self._timer = None

    def forget(self, connection: Connection) -> None:
        """A connection is lost for good."""
        self.connections.discard(connection)
        if self._all_lost is not None and not self.connections and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def close(self) -> None:
        """Aborts every connection and waits until the loop has let go of all of them."""
        self.resolver.close()
        for connection in list(self.connections):
            connection.cancel()
        if self.connections:
            self._all_lost = self.create_future()
            await self._all_lost
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.sweeping = False

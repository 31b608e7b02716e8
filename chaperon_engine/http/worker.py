"""What the HTTP clients of one worker process share: deadline sweep, network, pools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.pool import Pool
from chaperon_engine.http.service import Target
from chaperon_engine.net.network import Network
from chaperon_engine.net.ports import Labels
from chaperon_engine.net.sweep import Sweep

if TYPE_CHECKING:
    from chaperon_engine.definition.resolved import ResolvedService
    from chaperon_engine.http.connection import Connection
    from chaperon_engine.net.ports import RecorderPort
    from chaperon_engine.net.url import Origin

_MAX_TARGETS = 4096


class HttpWorker(Sweep):
    """One per worker process; makes the clients of its sessions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: RecorderPort) -> None:
        super().__init__(loop)
        self.network = Network(loop, recorder)
        self.create_future = loop.create_future
        self.recorder = recorder
        self.connections: set[Connection] = set()
        """All established connections of this worker."""
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

    def expire(self, now: int) -> bool:
        busy = False
        for connection in list(self.connections):
            if connection.response is not None and not connection.expire(now):
                busy = True
        return busy

    def forget(self, connection: Connection) -> None:
        """A connection is lost for good."""
        self.connections.discard(connection)
        if self._all_lost is not None and not self.connections and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def close(self) -> None:
        """Aborts every connection and waits until the loop has let go of all of them."""
        await self.network.close()
        for connection in list(self.connections):
            connection.cancel()
        if self.connections:
            self._all_lost = self.create_future()
            await self._all_lost
        self.stop_sweep()

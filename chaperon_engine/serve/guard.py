"""Stands between a socket and aiohttp: how many connections, how long a request may take to come.

A peer that sends its head byte by byte, or nothing at all, would hold a connection for ever:
aiohttp has no limit on that. Must not know: tokens, routes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from chaperon_engine.client.queue_place import is_ours

HEAD_TIMEOUT_S = 10.0
"""From the connection, or the end of the last reply, until a request's head is there."""
MAX_CONNECTIONS = 256
MAX_PER_ADDRESS = 64


class Gate:
    """All connections of one server."""

    def __init__(
        self,
        *,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        max_connections: int = MAX_CONNECTIONS,
        max_per_address: int = MAX_PER_ADDRESS,
    ):
        self.head_timeout_s = head_timeout_s
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._guards: dict[asyncio.BaseTransport, Guard] = {}
        self._addresses: Counter[str] = Counter()

    def admit(self, guard: Guard, transport: asyncio.BaseTransport) -> bool:
        """Whether there is room for one more connection from there."""
        if guard.is_local:
            if not is_ours(transport.get_extra_info("socket")):
                return False
        elif (
            len(self._guards) >= self._max_connections
            or self._addresses[guard.address] >= self._max_per_address
        ):
            return False
        self._guards[transport] = guard
        self._addresses[guard.address] += 1
        return True

    def leave(self, guard: Guard, transport: asyncio.BaseTransport) -> None:
        """A connection is gone."""
        if self._guards.pop(transport, None) is not None:
            self._addresses[guard.address] -= 1
            if not self._addresses[guard.address]:
                del self._addresses[guard.address]

    def guard_of(self, transport: asyncio.BaseTransport | None) -> Guard | None:
        """The guard of a connection that is still there."""
        return None if transport is None else self._guards.get(transport)


class Guard(asyncio.Protocol):
    """One connection; everything goes through to aiohttp's own protocol."""

    def __init__(self, gate: Gate, make: Callable[[], asyncio.Protocol], *, is_local: bool):
        self._gate = gate
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_local = is_local
        """It came through the unix socket: its peer is the owner."""
        self.address = ""
        """IP address of the peer; empty for the unix socket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not self.is_local and isinstance(peer, tuple):
            self.address = str(peer[0])
        if not self._gate.admit(self, transport):
            self._transport.abort()
            return
        self._inner = self._make()
        self._inner.connection_made(transport)
        self.request_ended()

    def request_began(self) -> None:
        """A request's head is there; from now on its handler limits the time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def request_ended(self) -> None:
        """The next request may come, for a while."""
        self.request_began()
        if self._transport is not None and not self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._gate.head_timeout_s, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self.request_began()
        if self._transport is not None:
            self._gate.leave(self, self._transport)
        if self._inner is not None:
            self._inner.connection_lost(error)

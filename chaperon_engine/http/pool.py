"""The connections of one session to one service, or of a whole worker to it.

Decides who gets a connection; opens none itself. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaperon_engine.http.connection import Connection


def list_for_one() -> list[Any]:
    """An empty list with room for one element.

    CPython gives memory back when a list falls below half of its room, and asks for more when it
    passes it. In a list with room for one, one element comes and goes without either.
    """
    room = [None]
    room.pop()
    return room


class Pool:
    """Idle connections, the number of open ones, and who waits for one."""

    __slots__ = ("connections", "idle", "limit", "opening", "waiters")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: list[Connection] = list_for_one()
        """Free connections, the most recently used last: it is taken first."""
        self.connections: list[Connection] = []
        """All established connections."""
        self.opening = 0
        """Connections that are being established."""
        self.waiters: deque[asyncio.Future[Connection | None]] | None = None
        """Calls in line; each gets a connection, or None as the right to open one."""

    @property
    def has_room(self) -> bool:
        """Whether another connection may be opened."""
        return len(self.connections) + self.opening < self.limit

    def wait(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Connection | None]:
        """Joins the line. Who gets a result and cannot use it passes it on (`pass_on`)."""
        if self.waiters is None:
            self.waiters = deque()
        future: asyncio.Future[Connection | None] = loop.create_future()
        self.waiters.append(future)
        return future

    def release(self, connection: Connection) -> None:
        """A connection became free: the first in line gets it."""
        if self.waiters and self._serve(connection):
            return
        self.idle.append(connection)

    def remove(self, connection: Connection) -> None:
        """A connection is gone: the first in line may open another."""
        self.connections.remove(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self.room_made()

    def room_made(self) -> None:
        """A connection fewer is open or opening."""
        if self.waiters and self.has_room and self._serve(None):
            self.opening += 1

    def pass_on(self, granted: Connection | None) -> None:
        """A grant that its receiver cannot use."""
        if granted is None:
            self.opening -= 1
            self.room_made()
        elif not granted.closing:
            self.release(granted)

    def close(self) -> None:
        """Drops every connection; what is in flight on them counts as cancelled."""
        for connection in list(self.connections):
            connection.cancel()

    def _serve(self, granted: Connection | None) -> bool:
        assert self.waiters is not None
        while self.waiters:
            future = self.waiters.popleft()
            if not future.done():
                future.set_result(granted)
                return True
        return False

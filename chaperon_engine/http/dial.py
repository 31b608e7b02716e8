"""Opens a connection of a pool: the network dials, the pool is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaperon_engine.http.connection import Connection
from chaperon_engine.net import dial as network

if TYPE_CHECKING:
    from chaperon_engine.http.pool import Pool
    from chaperon_engine.http.service import Target


async def dial(target: Target, pool: Pool) -> tuple[Connection, network.Dialled]:
    """A new connection of `pool`, which has counted it as opening, and what it took.

    Raises ActionError.
    """
    connection = Connection(target, pool)
    try:
        return connection, await network.dial(target, connection)
    except BaseException:
        if connection.transport is not None:
            connection.drop()
            # uvloop closes a transport whose maker was cancelled without telling its protocol.
            target.worker.forget(connection)
        raise
    finally:
        if connection.transport is None:
            pool.opening -= 1
            pool.room_made()

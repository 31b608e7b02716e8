"""How a request comes by a connection, is sent on it, and is sent again when it was stale.

The slow path of a call: everything but an idle connection that works. Keeps the count: whatever
was tried is `sent`, and ends as completed or failed in the same series.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import ActionError, ConnectionLost, TotalTimeout
from chaperon_engine.http.connection import Connection, StaleConnection
from chaperon_engine.http.dial import dial
from chaperon_engine.http.request import Prepared
from chaperon_engine.http.response import Phases, Response
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.http.ports import HttpSink
    from chaperon_engine.http.service import ServiceState
    from chaperon_engine.http.upload import UploadBody


async def exchange(
    service: ServiceState,
    prepared: Prepared,
    wire: bytes,
    series: HttpSink,
    called_ns: int,
) -> Response:
    """Sends a request and returns its reply. Raises ActionError."""
    acquired = await _Acquiring(service, prepared, series, called_ns).run()
    try:
        return await _send(acquired, service, prepared, wire, series, called_ns)
    except StaleConnection:
        return await resend(service, prepared, wire, series, called_ns)


async def resend(
    service: ServiceState,
    prepared: Prepared,
    wire: bytes,
    series: HttpSink,
    called_ns: int,
) -> Response:
    """Sends a request for the second and last time, on a new connection if there may be one."""
    again = Prepared(
        prepared.origin,
        prepared.method,
        prepared.path,
        prepared.head,
        prepared.tail[2:],
        replace(prepared.rules, retry=False),
        prepared.body,
    )
    series.retried()
    acquiring = _Acquiring(service, again, series, called_ns)
    acquired = await acquiring.run(fresh=True)
    return await _send(acquired, service, again, wire, series, called_ns)


def give_up(connection: Connection, response: Response, future: asyncio.Future[Response]) -> None:
    """The call ended by an error or was cancelled: nothing of it may stay on the connection."""
    if connection.response is response:
        connection.cancel()
    elif future.done() and not future.cancelled():
        future.exception()  # cancelled in the moment in which it failed: nobody will look


async def _send(
    acquired: tuple[Connection, Phases, bool],
    service: ServiceState,
    prepared: Prepared,
    wire: bytes,
    series: HttpSink,
    called_ns: int,
) -> Response:
    connection, phases, is_counted = acquired
    response = Response(prepared)
    response.phases = phases
    if is_counted:
        series.wrote(len(wire))
    else:
        series.sent(len(wire))
    future = connection.send(response, series, prepared.rules, wire, called_ns)
    upload: asyncio.Task[None] | None = None
    if prepared.body is not None:
        connection.uploading = True
        # A task of its own, because the reply may come, or a deadline pass, before the body ends.
        upload = asyncio.create_task(_upload(connection, response, prepared.body, series))
    try:
        return await future
    except BaseException:
        give_up(connection, response, future)
        raise
    finally:
        if upload is not None and not prepared.rules.stream:
            upload.cancel()


async def _upload(
    connection: Connection, response: Response, body: UploadBody, series: HttpSink
) -> None:
    """Writes a body as fast as the peer takes it, for as long as the exchange lasts."""
    try:
        async for piece in body.pieces():
            if not connection.write(response, piece):
                return
            series.wrote(len(piece))
            await connection.drained()
        if connection.response is response:
            connection.uploading = False
    except Exception as error:  # of the scenario's own iterable, or of a file
        connection.spoil(response, error)


class _Acquiring:
    """One call on its way to a connection."""

    def __init__(
        self,
        service: ServiceState,
        prepared: Prepared,
        series: HttpSink,
        called_ns: int,
    ) -> None:
        self._service = service
        self._prepared = prepared
        self._series = series
        self._called_ns = called_ns
        self._waited_ns = 0
        self._sent_ns = 0
        """When the client began to connect for the call: from then on it counts as sent."""

    async def run(self, *, fresh: bool = False) -> tuple[Connection, Phases, bool]:
        """A connection, what it took, and whether the request is counted as sent already.

        `fresh`: a new connection rather than an idle one, if that is possible.
        """
        timeout_ns = self._prepared.rules.timeout_ns
        left_s = (self._called_ns + timeout_ns - now_ns()) / 1e9
        pool = self._service.pool
        if pool.idle and not fresh:
            return pool.idle.pop(), Phases(self._called_ns), False
        try:
            async with asyncio.timeout(max(left_s, 0)):
                return await self._open_or_wait(fresh)
        except TimeoutError:
            error: ActionError = TotalTimeout(
                f"no connection for the request within {timeout_ns / 1e9:g} s: "
                f"{self._prepared.method} {visible(self._prepared.path)}"
            )
            self._count_failure(error.code)
            raise error from None
        except ActionError as error:
            self._count_failure(error.code)
            raise
        except BaseException:
            if self._sent_ns:
                self._count_failure("cancelled")
            raise

    async def _open_or_wait(self, fresh: bool) -> tuple[Connection, Phases, bool]:
        pool = self._service.pool
        while True:
            if not pool.has_room and fresh and pool.idle:
                pool.idle[0].drop()
            if pool.has_room:
                pool.opening += 1
                return await self._open()
            granted = await self._wait()
            if granted is None:
                return await self._open()
            if not granted.closing:
                return granted, Phases(self._called_ns, self._waited_ns), False

    async def _wait(self) -> Connection | None:
        """Stands in line at the pool."""
        pool, target = self._service.pool, self._service.target
        start = now_ns()
        future = pool.wait(target.worker.loop)
        try:
            granted = await future
        except BaseException:
            if future.done() and not future.cancelled():
                pool.pass_on(future.result())
            target.series("pool_wait").failed(now_ns() - start, "cancelled")
            raise
        waited = now_ns() - start
        self._waited_ns += waited
        target.series("pool_wait").record_ns(waited)
        return granted

    async def _open(self) -> tuple[Connection, Phases, bool]:
        if not self._sent_ns:
            self._sent_ns = now_ns()
            self._series.sent(0)  # bytes count when a connection takes them
        target = self._service.target
        connection, dialled = await dial(target, self._service.pool)
        if connection.closing:
            raise connection.fault or ConnectionLost(
                f"{target.where} closed the connection before the request was sent"
            )
        phases = Phases(
            self._called_ns, self._waited_ns, dialled.dns_ns, dialled.connect_ns, dialled.tls_ns
        )
        return connection, phases, True

    def _count_failure(self, code: str) -> None:
        now = now_ns()
        if not self._sent_ns:
            self._series.sent(0)
            self._sent_ns = self._called_ns
        self._series.failed(self._sent_ns, now, code)

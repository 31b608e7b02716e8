"""Viewers: the unix socket in the run's directory and what each connection has seen.

Owns: who may connect, what each viewer looks at, leases, back pressure. A slow viewer gets the
newest snapshot when it has taken the last one, never a queue. Must not know how a snapshot is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary
from chaperon_engine.protocol.codec import ProtocolError, encode, from_client_decoder
from chaperon_engine.protocol.lease import Leases
from chaperon_engine.protocol.messages import (
    PROTOCOL_VERSION,
    AbortRun,
    FromClient,
    Gathering,
    GetSeries,
    GetWindow,
    Hello,
    Message,
    NodeDied,
    Refused,
    SeriesReply,
    SnapshotMessage,
    StopRun,
    Subscribe,
    Welcome,
    WindowReply,
)

HELLO_TIMEOUT_S = 5.0
MAX_CLIENTS = 64
MAX_RATE_HZ = 4.0
MAX_BUFFER_BYTES = 8 * 1024 * 1024
"""A viewer that asks and does not read loses its connection when this much waits for it."""
FAREWELL_S = 5.0
"""How long viewers have to take the last snapshot and close."""


class Seen:
    """What of the run's history one viewer has had."""

    def __init__(self) -> None:
        self.intervals = 0
        """Number of intervals."""
        self.logs = 0
        """Number of log lines since the run began."""


class RunView(Protocol):
    """The run as viewers may see and steer it."""

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        """The run now; advances `seen`."""
        ...

    def series_detail(self, series: int) -> SeriesDetail | None: ...

    def window_summary(self, start_s: int, end_s: int) -> WindowSummary | None: ...

    def stop(self, by: str) -> None: ...

    def abort(self, by: str) -> None: ...

    def node_died(self, name: str, reason: str) -> None: ...


class ClientServer:
    """Listens for viewers of one run."""

    def __init__(self, run: RunView, leases: Leases, now: Callable[[], float]):
        self._run = run
        self._leases = leases
        self._now = now
        self._clients: dict[int, _Client] = {}
        self._numbers = 0
        self._was_answered = asyncio.Event()
        self._answer: Welcome | Refused | None = None
        self._gathering: Gathering | None = None
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None

    @property
    def viewers(self) -> int:
        """Connections now."""
        return len(self._clients)

    async def listen(self, path: Path) -> None:
        """Begin to accept connections at `path`; a stale socket there is replaced."""
        _remove(path)
        loop = asyncio.get_running_loop()
        previous = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(lambda: _Client(self), str(path))
        finally:
            os.umask(previous)
        self._path = path

    def answer_all(self, answer: Welcome | Refused) -> None:
        """Say to all who wait, and to all who come, that the load began or that it will not."""
        self._answer = answer
        for client in list(self._clients.values()):
            if client.said_hello:
                client.answer(answer)
                self._was_answered.set()

    def gather(self, gathering: Gathering) -> None:
        """Tell all who wait for the load, and all who will, how far the agents are."""
        if gathering == self._gathering or self._answer is not None:
            return
        self._gathering = gathering
        for client in list(self._clients.values()):
            if client.said_hello:
                client.send(gathering)

    def publish(self) -> None:
        """Send snapshots to the viewers whose time has come and who took the last one."""
        now = self._now()
        for client in list(self._clients.values()):
            client.publish(now)

    async def close(self) -> None:
        """Send the last snapshot to everybody, wait a bounded time until they have left, leave."""
        if isinstance(self._answer, Refused):
            # Who started the run may not have come yet, and has no other way to hear the reason.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._was_answered.wait()
        for client in list(self._clients.values()):
            client.publish_last()
        waiting = [client.closed.wait() for client in self._clients.values()]
        if waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await asyncio.gather(*waiting)
        for client in list(self._clients.values()):
            client.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._path is not None:
            _remove(self._path)

    # what connections call

    def add(self, client: _Client) -> int | None:
        """A number for a new connection; None when it is refused."""
        if len(self._clients) >= MAX_CLIENTS or not _is_ours(client.transport):
            return None
        self._numbers += 1
        self._clients[self._numbers] = client
        return self._numbers

    def remove(self, number: int) -> None:
        if self._clients.pop(number, None) is not None:
            self._leases.release(number, self._now())

    def greet(self, client: _Client, hello: Hello) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            client.answer(
                Refused(
                    reason=f"this run speaks protocol {PROTOCOL_VERSION}, the viewer "
                    f"{hello.protocol}: use the same version of Chaperon for both"
                )
            )
            return
        if hello.lease:
            self._leases.acquire(client.number)
        if self._answer is not None:
            client.answer(self._answer)
            self._was_answered.set()
        elif self._gathering is not None:
            client.send(self._gathering)

    def obey(self, client: _Client, message: FromClient) -> None:
        match message:
            case StopRun():
                self._run.stop("client")
            case AbortRun():
                self._run.abort("client")
            case NodeDied(name=name, reason=reason):
                self._run.node_died(name, reason)
            case GetSeries(request=request, series=series):
                client.send(SeriesReply(request=request, detail=self._run.series_detail(series)))
            case GetWindow(request=request, start_s=start, end_s=end):
                client.send(
                    WindowReply(request=request, summary=self._run.window_summary(start, end))
                )
            case Subscribe(view=view, rate_hz=rate_hz):
                client.subscribe(view, rate_hz, self._now())
            case _:
                raise ProtocolError(f"{type(message).__name__} out of turn")

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        return self._run.snapshot(view, seen)


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: ClientServer):
        self._server = server
        self._decoder = from_client_decoder()
        self._seen = Seen()
        self._view: View | None = None
        self._period_s = 1 / MAX_RATE_HZ
        self._due_at = 0.0
        self._hello_timer: asyncio.TimerHandle | None = None
        self.closed = asyncio.Event()
        self.number = 0
        self.said_hello = False
        self._said_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self.transport = cast(asyncio.Transport, transport)
        number = self._server.add(self)
        if number is None:
            self.transport.abort()
            return
        self.number = number
        loop = asyncio.get_running_loop()
        self._hello_timer = loop.call_later(HELLO_TIMEOUT_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if self.number == 0:
            return
        try:
            for message in self._decoder.feed(data):
                if self.transport.is_closing():
                    return
                if self.said_hello:
                    self._server.obey(self, message)
                else:
                    self._greet(message)
        except ProtocolError as error:
            self.answer(Refused(reason=str(error), user_error=False))

    def _greet(self, message: FromClient) -> None:
        if not isinstance(message, Hello):
            raise ProtocolError("the first message must be Hello")
        self.said_hello = True
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._server.greet(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._server.remove(self.number)
        self.closed.set()

    def answer(self, answer: Welcome | Refused) -> None:
        """Welcome, or a refusal that ends the connection."""
        self.send(answer)
        if isinstance(answer, Refused):
            self.transport.close()

    def send(self, message: Message) -> None:
        if self.transport.is_closing() or self._said_last:
            return
        if self.transport.get_write_buffer_size() > MAX_BUFFER_BYTES:
            self.transport.abort()
            return
        self.transport.write(encode(message))

    def subscribe(self, view: View, rate_hz: float, now: float) -> None:
        self._view = view
        # `not (x > 0)` also catches NaN, which compares false with everything.
        rate_hz = 0.1 if not rate_hz > 0.1 else min(rate_hz, MAX_RATE_HZ)
        self._period_s = 1 / rate_hz
        self._due_at = now

    def publish(self, now: float) -> None:
        if self._view is None or now < self._due_at or self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > 0:
            return
        self._due_at = max(self._due_at + self._period_s, now)
        self.send(SnapshotMessage(snapshot=self._server.snapshot(self._view, self._seen)))

    def publish_last(self) -> None:
        """The final snapshot goes to every viewer, whatever its rate, and nothing after it.

        The viewer closes first: a request of its own that met a closed socket would take along
        what it has not read yet.
        """
        if self._view is not None:
            self.send(SnapshotMessage(snapshot=self._server.snapshot(self._view, self._seen)))
        self._said_last = True
        if not self.transport.is_closing():
            self.transport.write_eof()


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _is_ours(transport: asyncio.Transport) -> bool:
    """Whether the peer is this user (or root). The directory's mode says the same again."""
    peer = transport.get_extra_info("socket")
    if not sys.platform.startswith("linux") or peer is None:
        return True
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (os.getuid(), 0)

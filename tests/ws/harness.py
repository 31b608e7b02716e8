"""Raw WebSocket servers that do exactly what a test says, and a session's sockets against them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from chaperon_engine import Session
from chaperon_engine.clock import now_ns
from tests.session.family import Step, scenario
from tests.session.harness import Bench, Ran, load_test, population

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(payload: bytes = b"", opcode: int = TEXT, *, fin: bool = True, bits: int = 0,
          mask: bytes = b"") -> bytes:  # fmt: skip
    """A frame as a server sends it; `bits` are the reserved ones (4, 2, 1)."""
    first = (0x80 if fin else 0) | bits << 4 | opcode
    size = len(payload)
    masked = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(struct.pack("!H", code) + reason, CLOSE)


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    @property
    def fields(self) -> dict[str, str]:
        """Header fields of the upgrade, names in lower case."""
        pairs = (line.split(": ", 1) for line in self.head.decode().split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}

    def accept(self, *more: str, key: str | None = None) -> bytes:
        """The head that accepts the upgrade."""
        asked = (self.fields["sec-websocket-key"] if key is None else key).encode()
        answer = base64.b64encode(hashlib.sha1(asked + GUID).digest()).decode()
        lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Accept: {answer}", *more)  # fmt: skip
        return "\r\n".join((*lines, "", "")).encode()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the client: opcode and payload."""
        first, payload = await self.masked()
        return first & 0x0F, payload

    async def masked(self) -> tuple[int, bytes]:
        """The next frame of the client: its first octet, and the payload without its mask."""
        first, second = await self.reader.readexactly(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        repeated = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
        return first, plain.to_bytes(size, "big")

    async def gone(self) -> None:
        """Until the client has ended the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Behaviour = Callable[[Peer], Awaitable[Any]]


class RawServer:
    """Reads the head of each upgrade and leaves the rest to the test."""

    def __init__(self, behaviour: Behaviour, tls: Any = None) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None and self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            peer.head = await reader.readuntil(b"\r\n\r\n")
            await self._behaviour(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


def accepted(then: Behaviour) -> Behaviour:
    """Accepts the upgrade first."""

    async def behave(peer: Peer) -> None:
        peer.send(peer.accept())
        await then(peer)

    return behave


def saying(data: bytes) -> Behaviour:
    """Accepts, sends these bytes, and waits until the client is gone."""

    async def behave(peer: Peer) -> None:
        peer.send(peer.accept() + data)
        await peer.gone()

    return behave


async def echoing(peer: Peer) -> None:
    """Accepts and echoes; answers a close."""
    peer.send(peer.accept())
    while True:
        opcode, payload = await peer.frame()
        if opcode == CLOSE:
            peer.send(frame(payload, CLOSE))
            await peer.writer.drain()
            return
        if opcode in (TEXT, BINARY):
            peer.send(frame(payload, opcode))


async def ran_to_the_end(bench: Bench) -> Ran:
    """Run, and check that nothing is left of it on the loop."""
    before = asyncio.all_tasks()
    await bench.runner.run(now_ns())
    names = ("_serve", "_listen", "aiohttp", "websockets")
    left = [
        task for task in asyncio.all_tasks() - before if not any(n in repr(task) for n in names)
    ]
    assert not left, f"tasks are left: {left}"
    await bench.http.close()
    return bench.result()


async def walk(url: str, steps: Step, *, raises: bool = True, **more: Any) -> Ran:
    """One session of these steps against a server; what they raise is raised here."""
    caught: list[BaseException] = []

    async def step(session: Session) -> None:
        try:
            await steps(session)
        except BaseException as error:
            caught.append(error)
            raise

    tls, timeout_s = more.pop("tls", {}), more.pop("timeout_s", 30.0)
    made = population(scenario(step), url=url, **more)
    services = {
        name: replace(service, tls=tls.get(name, service.tls), timeout_s=timeout_s)
        for name, service in made.services.items()
    }
    bench = Bench(load_test(replace(made, services=services)))
    ran = await ran_to_the_end(bench)
    if caught and raises:
        raise caught[0]
    network = bench.http.network
    assert all(not client.sockets for client in network.beside.values())  # type: ignore[attr-defined]
    return ran


def of_kind(ran: Ran, kind: str) -> Any:
    """The one series of a kind."""
    found = [delta for key, delta in ran.series.items() if key.kind == kind]
    assert len(found) == 1, [(key.kind, key.label) for key in ran.series]
    return found[0]


@asynccontextmanager
async def serving(behaviour: Behaviour, tls: Any = None) -> AsyncIterator[str]:
    """The URL of a raw server."""
    async with RawServer(behaviour, tls) as server:
        yield server.url

"""Servers that send exact bytes, and a client with a real recorder around it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.http import HttpClient, HttpWorker, Labels, RequestOptions, Response
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import SeriesDelta, SeriesKey
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.metrics.series import HttpSeries

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on both loops: workers use uvloop, a user's own tests may not."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}


@dataclass
class Request:
    """A request as a server read it."""

    line: str
    headers: dict[str, str]
    body: bytes
    size: int
    """Bytes on the wire, head and framing included."""

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request of a connection. Raises IncompleteReadError at its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head[:-4].split("\r\n")
    headers = {}
    for field_line in rest:
        name, _, value = field_line.partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    size = len(head)
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
        size += len(body)
    elif headers.get("transfer-encoding") == "chunked":
        while True:
            line_of_size = await reader.readline()
            length = int(line_of_size, 16)
            chunk = await reader.readexactly(length + 2)
            size += len(line_of_size) + len(chunk)
            body += chunk[:-2]
            if not length:
                break
    return Request(line, headers, body, size)


@dataclass
class Server:
    """A listening server that counts what it was asked."""

    port: int
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Servers:
    """Starts servers and ends them with the test."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack

    async def raw(
        self,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> Server:
        """A server whose handler owns the connection."""
        state = Server(0)
        tasks: set[asyncio.Task[Any]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            state.connections += 1
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await handler(reader, writer)
            except asyncio.CancelledError:
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connected, host, 0, ssl=tls)
        state.port = server.sockets[0].getsockname()[1]

        async def close() -> None:
            server.close()
            for task in list(tasks):
                task.cancel()
            if tasks:
                await asyncio.wait(list(tasks), timeout=5)

        self._stack.push_async_callback(close)
        return state

    async def answering(self, answer: Callable[[Request], bytes | None], **options: Any) -> Server:
        """A server that answers each request with exact bytes; None closes the connection."""
        server: Server

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                request = await read_request(reader)
                server.requests.append(request)
                reply = answer(request)
                if reply is None:
                    return
                writer.write(reply)
                await writer.drain()

        server = await self.raw(handler, **options)
        return server

    async def replying(self, reply: bytes, *, then_close: bool = False, **options: Any) -> Server:
        """A server that answers each request with these bytes."""
        server: Server

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                server.requests.append(await read_request(reader))
                writer.write(reply)
                if then_close:
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
                    return

        server = await self.raw(handler, **options)
        return server


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with contextlib.AsyncExitStack() as stack:
        yield Servers(stack)


def ok(body: bytes = b"hi", headers: str = "") -> bytes:
    """A plain reply."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode("latin-1") + body


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - conditions of objects without events
            await asyncio.sleep(0.001)


class Harness:
    """A worker with one client, and what it recorded."""

    def __init__(self) -> None:
        self.recorder = Recorder(RunCounters(1).worker(0))
        self.worker = HttpWorker(asyncio.get_running_loop(), self.recorder)
        self.services: dict[str, ResolvedService] = {}
        self.client: HttpClient = self.worker.client(self.services, Labels("scenario", "session"))
        self.taken: dict[SeriesKey, SeriesDelta] = {}

    def add(self, name: str, base_url: str, **settings: Any) -> None:
        """A service for the client."""
        self.services[name] = ResolvedService(name=name, base_url=base_url, **settings)

    def another_client(self) -> HttpClient:
        """A session of its own on the same worker."""
        return self.worker.client(self.services, Labels("scenario", "session"))

    @property
    def series(self) -> HttpSeries:
        return self.recorder.http(SeriesKey(kind="http", scenario="scenario", name="all"))

    async def call(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        service: str = "target",
        client: HttpClient | None = None,
        **options: Any,
    ) -> Response:
        """One request to a service, recorded in `series`."""
        client = client or self.client
        given = RequestOptions(**options) if options else None
        return await client.request(client.service(service), method, path, self.series, given)

    @property
    def counts(self) -> tuple[int, int, int]:
        """sent, ok, failed."""
        return self.series.sent_count, self.series.ok_count, self.series.failed_count

    def errors(self) -> dict[str, int]:
        """Failures by class so far."""
        return dict(self.series._errors)

    def timed(self, kind: str, service: str = "target") -> Mapping[str, Any]:
        """What a series of durations recorded since the last look."""
        key = SeriesKey(kind=kind, scenario="scenario", session="session", service=service)
        delta = self.recorder.timed(key).take()
        if delta is None:
            return {"ok": 0, "errors": {}}
        return {"ok": delta.ok, "errors": delta.errors}

    def unsolicited(self, service: str = "target") -> int:
        """Connections dropped for bytes nobody asked for, since the last look."""
        key = SeriesKey(
            kind="counter",
            unit="count",
            scenario="scenario",
            session="session",
            service=service,
            name="unsolicited_bytes",
        )
        series = self.recorder._series.get(key)
        delta = series.take() if series is not None else None
        return int(delta.value_sum) if delta is not None else 0


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Checks at the end of each test that every send ended and no connection is left."""
    made = Harness()
    yield made
    await made.worker.close()
    sent, succeeded, failed = made.counts
    assert sent == succeeded + failed
    assert not made.worker.connections
    for state in made.client._states.values():
        assert not state.pool.connections
        assert state.pool.opening == 0


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """TLS of a server with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context

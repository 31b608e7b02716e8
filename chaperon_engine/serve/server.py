"""The server's life: one for each user, its two doors, and its end.

Owns: lock, sockets, TLS, the order in which things start and stop. The door to the network wants
the token; the unix socket in the queue's folder is for the owner. Must not know: routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp import web

from chaperon_engine.client.queue_place import (
    TOKEN_VARIABLE,
    check_private,
    make_private,
    queue_folder,
    queue_socket,
)
from chaperon_engine.clock import Clock, SystemClock
from chaperon_engine.errors import UserError
from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.protocol.backoff import BackOff
from chaperon_engine.runs.directory import Lock
from chaperon_engine.serve.access import Names, Token
from chaperon_engine.serve.admission import Admission
from chaperon_engine.serve.app import Porter, make_app
from chaperon_engine.serve.guard import Gate, Guard
from chaperon_engine.serve.handlers import Handlers
from chaperon_engine.serve.keeper import QueueKeeper
from chaperon_engine.serve.options import DefaultParser, OptionParser
from chaperon_engine.serve.store import QueueStore
from chaperon_engine.serve.streams import Streams
from chaperon_engine.text import visible

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7080
KEEPALIVE_S = 60.0
LINGERING_S = 1.0
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_S = 3.0
_BACKLOG = 128


@dataclass(frozen=True)
class Settings:
    """What the operator decides."""

    token: str
    folders: Sequence[Path]
    """Absolute; where tests are taken from."""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    """0 takes a free one."""
    names: Sequence[str] = ()
    """Further names under which the server may be called."""
    targets: AllowedTargets = field(default_factory=AllowedTargets)
    parser: OptionParser = field(default_factory=DefaultParser)
    exports: Mapping[str, str] = field(default_factory=dict)
    """Formats allowed beyond those that write a file, with their destination."""
    results: Path = field(default_factory=lambda: Path("results").absolute())
    """Below which every output lies."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    end_run: bool = False
    """When the server ends, the run that runs is stopped; else it goes on by itself."""

    def __repr__(self) -> str:
        return f"Settings({self.host}:{self.port})"  # the token is nobody's business


class QueueServer:
    """A server that takes requests; an async context manager that stops it at its end."""

    def __init__(self, settings: Settings, runner: web.AppRunner, keeper: QueueKeeper, lock: Lock):
        self._lock: Lock | None = lock
        self._settings = settings
        self._runner = runner
        self._keeper = keeper
        self._doors: list[asyncio.AbstractServer] = []
        self._socket: Path | None = None
        self.url = ""
        """Such as `http://127.0.0.1:7080`."""

    @classmethod
    async def start(
        cls, settings: Settings, *, clock: Clock | None = None, gate: Gate | None = None,
        streams: Streams | None = None,
    ) -> Self:  # fmt: skip
        """Read the queue, open both doors, go on with what was queued. Raises UserError."""
        clock = clock or SystemClock()
        gate = gate or Gate()
        streams = streams or Streams()
        tls = await _tls_of(settings)
        folder = make_private(queue_folder())
        lock = Lock.take(folder / "server.lock", f"{os.getpid()}\n")
        if lock is None:
            raise UserError(
                f"a server keeps the queue in {visible(folder)} already: end it first, or set "
                "CHAPERON_HOME to another folder"
            )
        store = QueueStore(folder)
        keeper = QueueKeeper(store, clock)
        admission = Admission(
            store,
            keeper.make_item,
            folders=settings.folders,
            targets=settings.targets,
            parser=settings.parser,
            exports=settings.exports,
            results=settings.results,
        )
        porter = Porter(
            gate=gate,
            token=Token(settings.token),
            back_off=BackOff(clock.monotonic),
            names=Names((settings.host, *settings.names)),
        )
        runner = web.AppRunner(
            make_app(porter, Handlers(keeper, admission, streams, gate).routes(), streams),
            access_log=None,
            # It would log what strangers send that is no HTTP, which may hold secrets.
            logger=logging.Logger("silent", logging.CRITICAL + 1),
            handle_signals=False,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            shutdown_timeout=SHUTDOWN_S,
        )
        server = cls(settings, runner, keeper, lock)
        try:
            await server._open(gate, tls)
        except BaseException:
            await server.stop()
            raise
        return server

    async def _open(self, gate: Gate, tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        host, port = self._settings.host, self._settings.port
        try:
            door = await loop.create_server(
                self._guards(gate, is_local=False), host, port,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HANDSHAKE_TIMEOUT_S,
                backlog=_BACKLOG,
                start_serving=False,
            )  # fmt: skip
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise UserError(
                f"the queue cannot listen on {visible(host)} port {port}: {visible(reason)}"
            ) from None
        self._doors.append(door)
        scheme = "http" if tls is None else "https"
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{shown}:{door.sockets[0].getsockname()[1]}"
        await self._keeper.open()
        path = queue_socket()
        if path.parent == queue_folder():
            check_private(path.parent)
        else:
            make_private(path.parent)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        previous = os.umask(0o177)
        try:
            own = await loop.create_unix_server(self._guards(gate, is_local=True), str(path))
        finally:
            os.umask(previous)
        self._doors.append(own)
        self._socket = path
        await door.start_serving()

    def _guards(self, gate: Gate, *, is_local: bool) -> Callable[[], asyncio.Protocol]:
        server = self._runner.server
        assert server is not None
        return lambda: Guard(gate, server, is_local=is_local)

    async def stop(self) -> None:
        """Take no more requests, end the streams, write the queue down; may be repeated. The run
        that runs goes on, unless the settings say otherwise."""
        for door in self._doors:
            door.close()
        self._doors.clear()
        if self._socket is not None:
            with contextlib.suppress(FileNotFoundError):
                self._socket.unlink()
            self._socket = None
        await self._runner.cleanup()
        await self._keeper.close(end_run=self._settings.end_run)
        if self._lock is not None:
            self._lock.forget()
            self._lock = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()


async def _tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The server's side of TLS; raises UserError when the network could read the token."""
    if not settings.token:
        raise UserError(f"a server needs a token: set {TOKEN_VARIABLE}, or give --token-file")
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise UserError("--tls-key needs --tls-cert beside it")
        if not await _is_loopback(settings.host, settings.port):
            raise UserError(
                f"{visible(settings.host)} can be reached from other machines, and without TLS "
                "everybody between could read the token: give --tls-cert and --tls-key, or listen "
                f"on {DEFAULT_HOST} behind a proxy or an ssh tunnel"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except FileNotFoundError:
        raise UserError("the file of --tls-cert or --tls-key does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"--tls-cert and --tls-key cannot be used (PEM, without a password): {visible(error)}"
        ) from None
    return context


async def _is_loopback(host: str, port: int) -> bool:
    if not host:
        return False
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise UserError(f"--host {visible(host)} is no address of this machine") from None
    return all(ipaddress.ip_address(info[4][0]).is_loopback for info in found)

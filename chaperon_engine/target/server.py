"""Starting and stopping the target: in a loop (`start`) or as a process of its own (`serve`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvloop
from aiohttp import web

from chaperon_engine.errors import UserError
from chaperon_engine.target.app import STATS, create_app
from chaperon_engine.target.stats import Stats

_BACKLOG = 4096
_KEEPALIVE_S = 3600.0
_SHUTDOWN_S = 1.0


class RunningTarget:
    """A target that accepts connections; an async context manager that stops it at its end."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner = runner
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Base URL without a slash at the end, such as `http://127.0.0.1:7070`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def stats(self) -> Stats:
        """The live counts; the same that `/stats` shows."""
        return self._runner.app[STATS]

    async def stop(self) -> None:
        """Close the listening socket, end what waits, close all connections; may be repeated."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def start(host: str = "127.0.0.1", port: int = 0) -> RunningTarget:
    """Start a target in the running loop; port 0 takes a free one.

    Raises UserError when the address cannot be had.
    """
    # The loop would take such a number modulo 65,536.
    if not 0 <= port <= 65535:
        raise UserError(f"the target cannot listen on port {port}: ports go from 0 to 65535")
    runner = web.AppRunner(
        create_app(),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        reason = os.strerror(error.errno) if error.errno else error
        if isinstance(error, socket.gaierror):
            reason = "no such host"
        raise UserError(f"the target cannot listen on {host} port {port}: {reason}") from error
    return RunningTarget(runner, host, runner.addresses[0][1])


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    on_ready: Callable[[str], None] = lambda url: None,
    stop_with_stdin: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, or until standard input is closed if `stop_with_stdin`.

    `on_ready` gets the base URL when connections are accepted. Raises UserError when the address
    cannot be had.
    """
    uvloop.run(_serve(host, port, on_ready, stop_with_stdin))


async def _serve(
    host: str, port: int, on_ready: Callable[[str], None], stop_with_stdin: bool
) -> None:
    _raise_descriptor_limit()
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stopped.set)
    async with await start(host, port) as target:
        if stop_with_stdin:
            # A thread, because a file or /dev/null as standard input cannot be polled.
            threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
        # What start-up made lives until the end: collecting it again and again costs 6 %.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        on_ready(target.url)
        await stopped.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    # The loop is closed when a signal came first.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stopped.set)


def _raise_descriptor_limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""Servers for the network exporters: InfluxDB from Debian, the contract of 2.x, moto's S3."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tests.export.lineparser import Malformed, Point, parse

START_S = 15.0
Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


def missing(program: str) -> str:
    """Why a test cannot run here; empty when it can, or must."""
    if shutil.which(program) or os.environ.get("CI"):
        return ""
    return f"{program} is not installed"


@contextlib.contextmanager
def influxd(folder: Path, **settings: str) -> Iterator[str]:
    """A server of InfluxDB 1.x with its data in `folder`; answers its address."""
    log = folder / "influxd.log"
    env = {
        **os.environ,
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
        "INFLUXDB_HTTP_BIND_ADDRESS": "127.0.0.1:0",
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        **{f"INFLUXDB_{name}": value for name, value in settings.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["influxd", "run", "-config", os.devnull], env=env, stdout=output, stderr=output
        )
    try:
        port = _wait_for(process, log, r"service=httpd addr=127\.0\.0\.1:(\d+)")
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """moto's S3; answers its address."""
    log = folder / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": ""},
        )
    try:
        port = _wait_for(process, log, r"Running on http://127\.0\.0\.1:(\d+)")
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


def _wait_for(process: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    limit = time.monotonic() + START_S
    while time.monotonic() < limit and process.poll() is None:
        match = re.search(pattern, log.read_text(errors="replace"))
        if match is not None:
            return match[1]
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not start: {log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)


@dataclass
class Contract:
    """A server with the write API of InfluxDB 2.x as it is published, and of 1.x beside it.

    It takes a batch only when path, query, token, encoding and every line are right.
    """

    address: str = ""
    token: str = "the-right-token"
    points: list[Point] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    """What the next requests get instead, one each; an empty list: the contract."""
    always: Reply | None = None
    """What every request gets instead."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        body = await request.read()
        if self.replies:
            return await self.replies.pop(0)(request)
        if self.always is not None:
            return await self.always(request)
        return self._write_2(request, body)

    def _write_2(self, request: web.Request, body: bytes) -> web.Response:
        if request.path != "/api/v2/write" or request.method != "POST":
            return problem(404, "not found", "path not found")
        if request.headers.get("Authorization") != f"Token {self.token}":
            return problem(401, "unauthorized", "unauthorized access")
        query = request.query
        if query.get("org") != "acme & co":
            return problem(404, "not found", f'organization name "{query.get("org")}" not found')
        if query.get("bucket") != "load/test":
            return problem(404, "not found", f'bucket "{query.get("bucket")}" not found')
        if query.get("precision") != "ms" or set(query) != {"org", "bucket", "precision"}:
            return problem(400, "invalid", "invalid query")
        if request.headers.get("Content-Encoding") != "gzip":
            return problem(415, "invalid", "this contract wants gzip")
        if not request.headers.get("Content-Type", "").startswith("text/plain"):
            return problem(415, "invalid", "line protocol is text/plain")
        try:
            self.points += parse(gzip.decompress(body) if not body.startswith(b"load") else body)
        except Malformed as error:
            return problem(400, "invalid", f"unable to parse: {error}")
        return web.Response(status=204)


def problem(status: int, code: str, message: str, **headers: str) -> web.Response:
    """An error in the JSON form of 2.x."""
    return web.json_response({"code": code, "message": message}, status=status, headers=headers)


def answer(status: int, code: str = "", message: str = "", **headers: str) -> Reply:
    """A reply that is always the same; names of headers with `_` for `-`."""

    async def reply(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return problem(status, code, message, **named)

    return reply


def old_answer(status: int, message: str) -> Reply:
    """An error in the JSON form of 1.x."""

    async def reply(_: web.Request) -> web.Response:
        return web.json_response({"error": message}, status=status)

    return reply


async def silent(request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Closes the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    """An error whose text never ends, a byte now and then."""
    response = web.StreamResponse(status=400)
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def contract_server() -> Iterator[Contract]:
    """The contract on a free port, in a thread of its own: exporters block their caller."""
    contract = Contract()
    ready, loops = threading.Event(), []
    ended = asyncio.Event()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        # The body is checked as it was sent.
        app = web.Application(client_max_size=2**26, handler_args={"auto_decompress": False})
        app.router.add_route("*", "/{path:.*}", contract.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        contract.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield contract
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(10)


needs_influxd = [
    pytest.mark.server,
    pytest.mark.skipif(bool(missing("influxd")), reason=missing("influxd") or "installed"),
]

"""The queue of load tests as its users see it: the entries, and a client for its server.

One test runs at a time, the next starts when it ends. `chaperon serve` keeps the queue; this
client reaches the server of this user through a unix socket, or another one over HTTP(S).

Must not know: how a queue is kept, or how its entries are drawn.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from chaperon_engine.client.queue_place import (
    TOKEN_FILE_VARIABLE,
    TOKEN_USER,
    TOKEN_VARIABLE,
    check_private,
    check_token,
    queue_socket,
    read_token,
)
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible, visible_block

if TYPE_CHECKING:
    import aiohttp

Answer = TypeVar("Answer")
EntryState = Literal["queued", "running", "finished", "failed", "cancelled"]

REPLY_TIMEOUT_S = 60.0
"""A reply may take that long: adding entries loads their files."""
CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 20.0
"""A server that sends neither an event nor a heartbeat for this long is gone."""
MAX_REPLY_BYTES = 16 * 1024 * 1024

HOW_TO_START = (
    "`chaperon serve` starts one (it wants a token: "
    f"`export {TOKEN_VARIABLE}=$(openssl rand -hex 24)`)"
)


class QueueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One load test in the queue, waiting, running or ended."""

    id: str
    """A UUID; the same from the submission to the end."""
    name: str
    """Name of the load test."""
    state: EntryState
    """`queued`; `running` from the moment its engine is started; `finished` with a report, also
    when the run was stopped by hand; `failed`: it could not start or its engine failed;
    `cancelled`: through the queue."""
    tag: str = ""
    submitted_at: str
    """ISO 8601, UTC; so are the other times."""
    started_at: str = ""
    """When its engine was started; empty before."""
    ended_at: str = ""
    run_id: str = ""
    """The run, once its load has begun: `attach(run_id)`, later `load_report(run_id)`. A running
    entry without it is still being started."""
    reason: str = ""
    """Why it failed, was cancelled or is partial; else empty. May have several lines."""
    position: int = 0
    """Place among the queued ones, 1 is the next to run; 0 when it is not queued."""

    @property
    def has_ended(self) -> bool:
        return self.state in ("finished", "failed", "cancelled")


class QueuedTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test by its name below the server's folders, as POST /load_tests takes it."""

    test: str | dict[str, Any]
    """`file.py`, `file.py:LoadTest`, a data file, or the data itself."""
    options: dict[str, Any] = {}
    """`tag config output export metrics sessions duration iterations shared_iterations warmup
    workers seed max_time`; see docs/serve.md."""


class QueueUnavailable(UserError):
    """There is no server to talk to; the message says how to start one."""


class _Listing(msgspec.Struct):
    running: list[QueueEntry] = []
    scheduled: list[QueueEntry] = []
    ended: list[QueueEntry] = []

    def entries(self) -> list[QueueEntry]:
        return [*self.running, *self.scheduled, *self.ended]


class _Scheduled(msgspec.Struct):
    scheduled: list[str]


class _Refusal(msgspec.Struct):
    error: str = ""


class QueueClient:
    """A connection to a queue's server; an async context manager. Made by `connect`.

    Every method raises UserError with the server's sentence when it refuses, QueueUnavailable when
    it is gone, and EngineError when it answers what nobody understands.
    """

    is_local: bool
    """The server runs on this machine for this user: `attach(entry.run_id)` works, and so does
    `add` with any file."""
    address: str
    """What to show a person: the URL, or the path of the socket."""

    def __init__(self, http: aiohttp.ClientSession, base: str, address: str, *, is_local: bool):
        self._http = http
        self._base = base
        self.address = address
        self.is_local = is_local

    @classmethod
    async def connect(cls, url: str | None = None, token: str | None = None) -> QueueClient:
        """Without `url` to this user's own server, for which no token is needed: the folder that
        its socket lies in is proof enough.

        With `url` over HTTP(S); the token is the one given, or that of CHAPERON_API_TOKEN or
        CHAPERON_API_TOKEN_FILE. It never travels over plain HTTP to another machine.
        Raises QueueUnavailable, and UserError for a URL or token that cannot be used.
        """
        client = _open_local() if url is None else _open_remote(url, token)
        try:
            await client._call("GET", "/version", timeout_s=CONNECT_TIMEOUT_S)
        except BaseException:
            await client.close()
            raise
        return client

    async def entries(self) -> list[QueueEntry]:
        """All entries: the running one, the queued in their order, the ended newest first."""
        return _decode(await self._call("GET", "/load_tests"), _Listing).entries()

    async def entry(self, id: str) -> QueueEntry:
        """One entry."""
        return _decode(await self._call("GET", f"/load_tests/{quote(id, safe='')}"), QueueEntry)

    async def add(self, request: LaunchRequest) -> QueueEntry:
        """Queue any launch of this user, as `launch` would take it (local server only).

        The server checks it first and runs it detached. A remote server runs only what lies in
        its own folders: see `add_tests`.
        """
        if not self.is_local:
            raise UserError(
                f"{self.address} is another machine's queue: name a test of its own folders"
            )
        body = msgspec.json.encode(request)
        return _decode(await self._call("POST", "/local/load_tests", body), QueueEntry)

    async def add_tests(self, tests: Sequence[QueuedTest]) -> list[str]:
        """Queue tests by name, all of them or, when one is refused, none; answers their ids."""
        body = msgspec.json.encode({"load_tests": tests})
        return _decode(await self._call("POST", "/load_tests", body), _Scheduled).scheduled

    async def cancel(self, id: str) -> None:
        """Take an entry out of the queue, or abort it when it runs: it is `cancelled` a moment
        later and keeps its report. Nothing happens to one that has ended."""
        await self._call("DELETE", f"/load_tests/{quote(id, safe='')}")

    async def cancel_queued(self) -> None:
        """Cancel all that wait; what runs goes on."""
        await self._call("DELETE", "/load_tests/scheduled")

    async def cancel_all(self) -> None:
        """Cancel what runs and all that wait."""
        await self._call("DELETE", "/load_tests")

    async def move(self, id: str, position: int) -> QueueEntry:
        """Put a queued entry at `position`: 1 runs next, beyond the end is last."""
        body = msgspec.json.encode({"position": position})
        reply = await self._call("PUT", f"/load_tests/{quote(id, safe='')}/position", body)
        return _decode(reply, QueueEntry)

    async def report(self, run_id: str) -> Report:
        """The report of an ended run of the server's machine."""
        return _decode(await self._call("GET", f"/runs/{quote(run_id, safe='')}/report"), Report)

    async def events(self) -> AsyncGenerator[list[QueueEntry], None]:
        """All entries, now and after each change (the newest state only, never a backlog).

        Does not end by itself. Raises QueueUnavailable when the server goes.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S)
        try:
            async with self._http.get(
                f"{self._base}/events", timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _refused(response.status, await _bounded(response))
                async for data in _event_data(response.content):
                    yield _decode(data, _Listing).entries()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _gone(self.address, error) from None
        raise QueueUnavailable(f"the queue at {self.address} has closed: {HOW_TO_START}")

    async def close(self) -> None:
        """Close the connection; may be repeated."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _call(
        self, method: str, path: str, body: bytes | None = None, *,
        timeout_s: float = REPLY_TIMEOUT_S,
    ) -> bytes:  # fmt: skip
        import aiohttp

        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.request(
                    method, self._base + path, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                content = await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _gone(self.address, error) from None
        if not 200 <= response.status < 300:
            raise _refused(response.status, content)
        return content


def _open_local() -> QueueClient:
    import aiohttp

    path = queue_socket()
    try:
        check_private(path.parent)
    except OSError:
        raise QueueUnavailable(f"no queue is being served: {HOW_TO_START}") from None
    http = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)))
    return QueueClient(http, "http://localhost", str(path), is_local=True)


def _open_remote(url: str, token: str | None) -> QueueClient:
    import aiohttp

    # What is left of an @ may be a password.
    shown = visible(url.rpartition("@")[2], 100)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - looked at for the ValueError of a port that is none
    except ValueError:
        is_address = False
    if not is_address or "@" in url:
        raise UserError(f"{shown!r} is no address of a queue: write https://HOST:PORT")
    assert parts.hostname is not None
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise UserError(
            f"{shown} would carry the token readable over the network: write https://HOST:PORT"
        )
    token = read_token() if token is None else check_token(token, "the call")
    if token is None:
        raise UserError(
            f"{shown} wants a token: set {TOKEN_VARIABLE}, or {TOKEN_FILE_VARIABLE} to a file "
            "that holds it"
        )
    credentials = b64encode(f"{TOKEN_USER}:{token}".encode()).decode()
    http = aiohttp.ClientSession(headers={"Authorization": f"Basic {credentials}"})
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return QueueClient(http, base, base, is_local=False)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            raise EngineError("the queue's answer is larger than anybody can want")
        parts.append(chunk)
    return b"".join(parts)


async def _event_data(lines: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The data of each server-sent event; heartbeats are comments and give nothing."""
    data: list[bytes] = []
    rest = b""
    async for chunk in lines.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_REPLY_BYTES:
            raise EngineError("the queue's event is larger than anybody can want")
        for line in whole:
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif not line and data:
                yield b"\n".join(data)
                data = []


def _decode(content: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise EngineError(f"the queue's answer cannot be read: {visible(error)}") from None


def _refused(status: int, content: bytes) -> UserError:
    try:
        reason = msgspec.json.decode(content, type=_Refusal).error
    except msgspec.MsgspecError:
        reason = ""
    return UserError(
        visible_block(reason, limit=2000) or f"the queue answered with status {status}"
    )


def _gone(address: str, error: Exception) -> UserError:
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return UserError(f"the certificate of {visible(address)} cannot be trusted: {error}")
    words = "does not answer" if isinstance(error, TimeoutError) else "cannot be reached"
    return QueueUnavailable(f"the queue at {visible(address)} {words}: {HOW_TO_START}")

"""RunClient: one viewer's connection to the engine of a run.

Owns: the socket to the engine, requests and their replies, the newest snapshot. Must not know: how
the engine came to be there, or what is done with a snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from chaperon_engine.definition.plan import Plan
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary
from chaperon_engine.protocol.codec import ProtocolError, encode, from_engine_decoder
from chaperon_engine.protocol.messages import (
    MAX_NAME,
    MAX_REASON,
    PROTOCOL_VERSION,
    AbortRun,
    FromEngine,
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
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.text import visible

REPLY_TIMEOUT_S = 10.0
READ_BYTES = 256 * 1024
MAX_KEPT_LOGS = 2000
"""Log lines kept for a viewer that does not fetch its snapshots."""

Reply = TypeVar("Reply", SeriesReply, WindowReply)


class RunClient:
    """A run as its viewer sees it. Made by `launch` and `attach`."""

    run_id: str
    directory: Path
    """The run's directory."""
    plan: Plan

    def __init__(
        self,
        directory: RunDirectory,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        welcome: Welcome,
        early: list[FromEngine],
    ):
        self.run_id = directory.id
        self.directory = directory.path
        self.engine_pid = welcome.pid
        try:
            self.plan = msgspec.msgpack.decode(welcome.plan, type=Plan)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"the engine's plan cannot be read: {error}") from None
        self._reader = reader
        self._writer = writer
        self._decoder = from_engine_decoder()
        self._subscribed = False
        self._newest: Snapshot | None = None
        self._finished = False
        self._failure: EngineError | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._requests = 0
        self._waiting: dict[int, asyncio.Future[SeriesReply | WindowReply]] = {}
        for message in early:
            self._receive(message)
        self._task = asyncio.create_task(self._read(), name=f"run {self.run_id}")

    @classmethod
    async def open(
        cls,
        directory: RunDirectory,
        socket: Path,
        *,
        lease: bool,
        timeout_s: float,
        on_gathering: Callable[[Gathering], None] | None = None,
    ) -> RunClient:
        """Connect, and wait until the load has begun or the engine says why it will not.
        `on_gathering` hears how far the agents are that the load waits for.

        Raises UserError (with the engine's sentence), EngineError, OSError when nobody listens,
        TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(encode(Hello(protocol=PROTOCOL_VERSION, lease=lease)))
                decoder = from_engine_decoder()
                while True:
                    try:
                        data = await reader.read(READ_BYTES)
                    except ConnectionError:
                        data = b""
                    if not data:
                        raise EngineError(
                            f"the engine of {directory.id} ended before the start; its log is "
                            f"{directory.log}"
                        )
                    for number, message in enumerate(messages := decoder.feed(data)):
                        if isinstance(message, Welcome):
                            client = cls(directory, reader, writer, message, messages[number + 1 :])
                            client._decoder = decoder
                            return client
                        if isinstance(message, Gathering):
                            if on_gathering is not None:
                                on_gathering(message)
                            continue
                        if isinstance(message, Refused):
                            kind = UserError if message.user_error else EngineError
                            raise kind(message.reason)
                        raise ProtocolError("the engine spoke before its welcome")
            except BaseException:
                writer.transport.abort()
                raise

    async def subscribe(self, view: View, rate_hz: float = 4.0) -> None:
        """Say what to look at from now on; snapshots follow."""
        self._subscribed = True
        await self._send(Subscribe(view=view, rate_hz=rate_hz))

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Snapshots as they come, the newest only, without a gap in their history. Ends after the
        one with state `finished`. Raises EngineError when the engine goes before that."""
        if not self._subscribed:
            await self.subscribe(View())
        while True:
            await self._changed.wait()
            self._changed.clear()
            snapshot, self._newest = self._newest, None
            if snapshot is not None:
                yield snapshot
                if snapshot.state == "finished":
                    return
            elif self._finished or self._closed:
                return
            elif self._failure is not None:
                raise self._failure

    async def stop(self) -> None:
        """Stop gracefully: no new iterations, running ones get their grace period."""
        await self._send(StopRun())

    async def abort(self) -> None:
        """Cancel what is in flight; there is still a report."""
        await self._send(AbortRun())

    async def node_died(self, name: str, reason: str) -> None:
        """Say that the host of an agent is gone, as whoever placed it there knows. A hint: an
        agent that is still heard goes on."""
        await self._send(NodeDied(name=name[:MAX_NAME], reason=reason[:MAX_REASON]))

    async def series(self, id: int) -> SeriesDetail | None:
        """One series in full; None when there is no such series."""
        number, reply = self._expect_reply()
        await self._send(GetSeries(request=number, series=id))
        return (await self._reply(number, reply, SeriesReply)).detail

    async def window(self, start_s: int, end_s: int) -> WindowSummary | None:
        """Exact percentiles of the seconds [start_s, end_s); None when nothing is known of them."""
        number, reply = self._expect_reply()
        await self._send(GetWindow(request=number, start_s=start_s, end_s=end_s))
        return (await self._reply(number, reply, WindowReply)).summary

    async def close(self) -> None:
        """Leave; the run goes on (a lease ends, which stops a run that nobody else holds)."""
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> RunClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _send(self, message: Message) -> None:
        if self._failure is not None and not self._finished:
            raise self._failure
        if self._closed or self._failure is not None:
            return
        self._writer.write(encode(message))
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def _expect_reply(self) -> tuple[int, asyncio.Future[SeriesReply | WindowReply]]:
        self._requests += 1
        future: asyncio.Future[SeriesReply | WindowReply] = (
            asyncio.get_running_loop().create_future()
        )
        if self._closed or self._failure is not None:
            future.set_exception(self._failure or EngineError("the connection is closed"))
        else:
            self._waiting[self._requests] = future
        return self._requests, future

    async def _reply(
        self, number: int, future: asyncio.Future[SeriesReply | WindowReply], kind: type[Reply]
    ) -> Reply:
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                reply = await future
        except TimeoutError:
            raise EngineError(f"the engine of {self.run_id} did not answer") from None
        finally:
            self._waiting.pop(number, None)
        if not isinstance(reply, kind):
            raise ProtocolError("the engine answered another question")
        return reply

    async def _read(self) -> None:
        failure = f"the engine of {self.run_id} ended without a report: `chaperon recover` makes it"
        try:
            while data := await self._reader.read(READ_BYTES):
                for message in self._decoder.feed(data):
                    self._receive(message)
        except (OSError, ProtocolError) as error:
            failure = f"{failure} ({visible(error)})"
        self._failure = EngineError(failure)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._failure)
        self._changed.set()

    def _receive(self, message: FromEngine) -> None:
        if isinstance(message, SnapshotMessage):
            snapshot, unseen = message.snapshot, self._newest
            if unseen is not None:
                snapshot = msgspec.structs.replace(
                    snapshot,
                    intervals=unseen.intervals + snapshot.intervals,
                    logs=(unseen.logs + snapshot.logs)[-MAX_KEPT_LOGS:],
                )
            self._newest = snapshot
            self._finished = self._finished or snapshot.state == "finished"
            self._changed.set()
        elif isinstance(message, SeriesReply | WindowReply):
            future = self._waiting.get(message.request)
            if future is not None and not future.done():
                future.set_result(message)


def socket_of(directory: RunDirectory, recorded: str) -> Path:
    """Where the engine of a run listens: what run.json says, else the run's own folder."""
    return Path(recorded) if recorded else Path(os.path.join(directory.path, "engine.sock"))

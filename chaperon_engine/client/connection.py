"""RunClient: one viewer's view of a run, on this machine or on another.

Owns: requests and their replies, the newest snapshot. Must not know: how the engine came to be
there, how it is reached, or what is done with a snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from chaperon_engine.client.wire import Ears, LocalWire, OnGathering, Outage, Role, Wire
from chaperon_engine.definition.plan import Plan
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary
from chaperon_engine.protocol.codec import ProtocolError
from chaperon_engine.protocol.messages import (
    MAX_NAME,
    MAX_REASON,
    AbortRun,
    DrainMember,
    FromEngine,
    GetSeries,
    GetWindow,
    Message,
    NodeDied,
    Refused,
    SeriesReply,
    SnapshotMessage,
    StopRun,
    Subscribe,
    WindowReply,
)
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.text import visible

REPLY_TIMEOUT_S = 10.0
MAX_KEPT_LOGS = 2000
"""Log lines kept for a viewer that does not fetch its snapshots."""

Reply = TypeVar("Reply", SeriesReply, WindowReply)


class RunClient:
    """A run as its viewer sees it. Made by `launch`, `attach` and `attach_remote`."""

    run_id: str
    plan: Plan

    def __init__(self, wire: Wire, directory: RunDirectory | None):
        """`directory`: None when it is on another machine. The client owns the wire."""
        self.run_id = wire.welcome.run_id
        self.engine_pid = wire.welcome.pid
        try:
            self.plan = msgspec.msgpack.decode(wire.welcome.plan, type=Plan)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"the engine's plan cannot be read: {error}") from None
        self.on_refused: Callable[[str], None] | None = None
        """Called with a sentence when the engine would not do what this viewer asked for."""
        self._directory = directory
        self._wire = wire
        self._subscription: Subscribe | None = None
        self._had_intervals = 0
        self._had_logs = 0
        self._newest: Snapshot | None = None
        self._finished = False
        self._failure: EngineError | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._requests = 0
        self._waiting: dict[int, asyncio.Future[SeriesReply | WindowReply]] = {}
        self._returning: asyncio.Task[None] | None = None
        wire.begin(Ears(self._receive, self._fail_questions, self._resubscribe, self._end))

    @classmethod
    async def open(
        cls,
        directory: RunDirectory,
        socket: Path,
        *,
        lease: bool,
        timeout_s: float | None,
        on_gathering: OnGathering | None = None,
    ) -> RunClient:
        """Connect to an engine on this machine, and wait until the load has begun or the engine
        says why it will not. `on_gathering` hears how far the agents are that the load waits for.

        Raises UserError (with the engine's sentence), EngineError, OSError when nobody listens,
        TimeoutError.
        """
        async with asyncio.timeout(timeout_s):
            wire = await LocalWire.open(directory, socket, lease=lease, on_gathering=on_gathering)
        try:
            return cls(wire, directory)
        except BaseException:
            await wire.close()
            raise

    @property
    def directory(self) -> Path:
        """The run's directory. Raises EngineError when it is on another machine."""
        if self._directory is None:
            raise EngineError(f"the directory of {self.run_id} is on another machine")
        return self._directory.path

    @property
    def role(self) -> Role:
        """`owner` on the engine's machine; elsewhere `operator`, or `observer`, who may not
        steer."""
        return self._wire.role

    @property
    def where(self) -> str:
        """`HOST:PORT` of an engine on another machine; empty on this one."""
        return self._wire.where

    @property
    def outage(self) -> Outage | None:
        """Set while the network is broken and the engine is looked for again: its text says since
        when and why."""
        return self._wire.outage

    async def subscribe(self, view: View, rate_hz: float = 4.0) -> None:
        """Say what to look at from now on; snapshots follow."""
        self._subscription = Subscribe(view=view, rate_hz=rate_hz)
        # While the engine is away it is enough to know what to say on its return.
        if self._wire.outage is None:
            await self._send(self._subscribing())

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Snapshots as they come, the newest only, without a gap in their history. Ends after the
        one with state `finished`. Raises EngineError when the engine goes before that, or is not
        found again. None comes during an outage."""
        if self._subscription is None:
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
        """Stop gracefully: no new iterations, running ones get their grace period.

        Raises UserError when this viewer may not (`abort` and `drain` as well), EngineError when
        the engine cannot be reached now.
        """
        await self._steer(StopRun())

    async def abort(self) -> None:
        """Cancel what is in flight; there is still a report."""
        await self._steer(AbortRun())

    async def drain(self, member: int) -> None:
        """Have one member of the run (`WorkerRow.worker`) leave gracefully; the others go on, and
        the run is partial. `on_refused` hears why when there is no such member any more."""
        await self._steer(DrainMember(member=member))

    async def node_died(self, name: str, reason: str) -> None:
        """Say that the host of an agent is gone, as whoever placed it there knows. A hint: an
        agent that is still heard goes on."""
        await self._send(NodeDied(name=name[:MAX_NAME], reason=reason[:MAX_REASON]))

    async def series(self, id: int) -> SeriesDetail | None:
        """One series in full; None when there is no such series."""
        number, reply = self._expect_reply()
        return (await self._reply(GetSeries(request=number, series=id), reply, SeriesReply)).detail

    async def window(self, start_s: int, end_s: int) -> WindowSummary | None:
        """Exact percentiles of the seconds [start_s, end_s); None when nothing is known of them."""
        number, reply = self._expect_reply()
        question = GetWindow(request=number, start_s=start_s, end_s=end_s)
        return (await self._reply(question, reply, WindowReply)).summary

    async def close(self) -> None:
        """Leave; the run goes on (a lease ends, which stops a run that nobody else holds)."""
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        if self._returning is not None:
            self._returning.cancel()
        await self._wire.close()

    async def __aenter__(self) -> RunClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _steer(self, message: Message) -> None:
        if self.role == "observer":
            raise UserError(
                "an observer may not steer a run: attach with the operator's token for that"
            )
        await self._send(message)

    async def _send(self, message: Message) -> None:
        if self._failure is not None and not self._finished:
            raise self._failure
        if self._closed or self._failure is not None:
            return
        await self._wire.send(message)

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
        self,
        question: GetSeries | GetWindow,
        future: asyncio.Future[SeriesReply | WindowReply],
        kind: type[Reply],
    ) -> Reply:
        try:
            await self._send(question)
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                reply = await future
        except TimeoutError:
            raise EngineError(f"the engine of {self.run_id} did not answer") from None
        finally:
            self._waiting.pop(question.request, None)
            if future.done() and not future.cancelled():
                future.exception()  # asked for, so that the loop does not complain
        if not isinstance(reply, kind):
            raise ProtocolError("the engine answered another question")
        return reply

    # what the wire says

    def _end(self, failure: EngineError) -> None:
        self._failure = failure
        self._fail_questions(failure)
        self._changed.set()

    def _fail_questions(self, failure: EngineError) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(failure)

    def _subscribing(self) -> Message:
        """What to say so that snapshots come, without what was had already."""
        return msgspec.structs.replace(
            self._subscription or Subscribe(),
            had_intervals=self._had_intervals,
            had_logs=self._had_logs,
        )

    def _resubscribe(self) -> None:
        if self._subscription is not None:
            self._returning = asyncio.create_task(self._quietly(self._subscribing()))

    async def _quietly(self, message: Message) -> None:
        # When it breaks again at once, the next return says it again.
        with contextlib.suppress(EngineError):
            await self._send(message)

    def _receive(self, message: FromEngine) -> None:
        if isinstance(message, SnapshotMessage):
            snapshot, unseen = message.snapshot, self._newest
            if snapshot.intervals:
                self._had_intervals = snapshot.intervals[-1].second + 1
            self._had_logs = snapshot.log_lines
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
        elif isinstance(message, Refused) and self.on_refused is not None:
            self.on_refused(visible(message.reason))


def socket_of(directory: RunDirectory, recorded: str) -> Path:
    """Where the engine of a run listens: what run.json says, else the run's own folder."""
    return Path(recorded) if recorded else Path(os.path.join(directory.path, "engine.sock"))

"""Keeps the queue going: starts the next run when one ends, follows it, writes every change down.

Owns: the one task that runs entries, attaching to a run that another server started, cancelling.
Must not know: HTTP, or what somebody may start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence

import msgspec

from chaperon_engine.client.archive import attach
from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.launching import launch
from chaperon_engine.client.queue import EntryState, QueueEntry
from chaperon_engine.clock import Clock, SystemClock
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import ChaperonError, EngineError, UserError
from chaperon_engine.metrics.snapshot import Snapshot, View
from chaperon_engine.runs.directory import RunDirectory, all_runs, runs_folder
from chaperon_engine.runs.listing import load_report
from chaperon_engine.runs.record import read_launch, read_record
from chaperon_engine.serve.line import Item, Line
from chaperon_engine.serve.store import QueueStore
from chaperon_engine.text import visible, visible_block

LIVE_RATE_HZ = 2.0
LIVE_ROWS = 50
ATTACH_PERIOD_S = 0.1
CLOSE_TIMEOUT_S = 10.0
MAX_REASON = 2000

_log = logging.getLogger("chaperon.serve")


class CannotKeep(UserError):
    """The queue could not be written down, so it was not changed."""


class QueueKeeper:
    """The queue of one server."""

    def __init__(self, store: QueueStore, clock: Clock | None = None):
        self._store = store
        self._clock = clock or SystemClock()
        self._line = Line()
        self._version = 0
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[RunClient] | None = None
        self._client: RunClient | None = None
        self._live: Snapshot | None = None
        self._aborts: set[asyncio.Task[None]] = set()

    # what others see

    @property
    def version(self) -> int:
        """Grows with every change of an entry."""
        return self._version

    async def changed_since(self, version: int) -> int:
        """Wait until the queue is newer than `version`; answers its version."""
        while self._version == version:
            await self._changed.wait()
        return self._version

    def running(self) -> list[QueueEntry]:
        """What runs: one entry or none."""
        return [] if self._line.running is None else [self._line.running.entry("running")]

    def scheduled(self) -> list[QueueEntry]:
        """What waits, in its order."""
        return self._line.scheduled()

    def ended(self) -> list[QueueEntry]:
        """What has ended, the newest first."""
        return list(self._line.ended)

    def find(self, id: str) -> QueueEntry | None:
        """The entry of that id."""
        return self._line.find(id)

    def live(self, id: str) -> Snapshot | None:
        """The newest snapshot of the entry that runs."""
        running = self._line.running
        return self._live if running is not None and running.id == id else None

    # what others do

    def make_item(self, id: str, name: str, request: LaunchRequest) -> Item:
        """An item that can be added; its run will be detached, and has a seed to know it by."""
        seed = secrets.randbits(63) if request.seed is None else request.seed
        request = msgspec.structs.replace(request, detach=True, seed=seed)
        return Item(id=id, name=name, request=request, tag=request.tag, submitted_at=self._now())

    def add(self, items: Sequence[Item]) -> None:
        """Queue them in their order, all or none. Raises QueueFull and CannotKeep."""
        self._line.add(items)
        try:
            self._store.save(self._line)
        except OSError as error:
            del self._line.waiting[-len(items) :]
            raise CannotKeep(
                f"the queue cannot be written to {self._store.path}: {error.strerror}"
            ) from None
        self._notify()

    def move(self, id: str, position: int) -> QueueEntry:
        """Re-order what waits. Raises NotQueued."""
        entry = self._line.move(id, position)
        self._keep()
        return entry

    def cancel(self, id: str) -> None:
        """Cancel what waits or runs; what has ended is left as it is."""
        cancelled = self._line.cancel_waiting(self._now(), id)
        running = self._line.running
        if running is not None and running.id == id:
            self._cancel_running(running)
        self._dropped(cancelled)

    def cancel_scheduled(self) -> None:
        """Cancel all that wait."""
        self._dropped(self._line.cancel_waiting(self._now()))

    def cancel_all(self) -> None:
        """Cancel all that wait, and what runs."""
        cancelled = self._line.cancel_waiting(self._now())
        if self._line.running is not None:
            self._cancel_running(self._line.running)
        self._dropped(cancelled)

    # its life

    async def open(self) -> None:
        """Read the queue and begin to run it. Raises UserError when it cannot be read."""
        self._line = await asyncio.to_thread(self._store.load)
        self._store.drop_strange_inputs(self._line)
        self._task = asyncio.create_task(self._work(), name="queue")

    async def close(self, *, end_run: bool = False) -> None:
        """Let go of the queue. The run that runs goes on, unless `end_run`: then it is stopped
        gracefully and its end is not waited for."""
        if end_run and self._client is not None:
            with contextlib.suppress(ChaperonError, OSError):
                await self._client.stop()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._task

    async def _work(self) -> None:
        if self._line.running is not None:
            await self._guarded(self._resume(self._line.running))
        while True:
            self._wake.clear()
            item = self._line.begin(self._now())
            if item is None:
                await self._wake.wait()
                continue
            self._keep()
            await self._guarded(self._run(item))

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Whatever goes wrong with one entry, the next one follows."""
        try:
            await work
        except Exception as error:
            _log.exception("the queue's entry failed")
            self._end("failed", f"unexpected {type(error).__name__}: {error}")

    async def _run(self, item: Item) -> None:
        try:
            client = await self._start(item)
        except asyncio.CancelledError:
            if item.cancelled:
                self._end("cancelled", "cancelled while it was being started")
            else:
                self._line.put_back()  # The server stops; launch left nothing behind.
                self._keep()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except (ChaperonError, OSError) as error:
            self._end("failed", str(error))
        else:
            await self._follow(item, client)

    async def _start(self, item: Item) -> RunClient:
        """Launch as a task of its own, so that a cancelled entry does not end the queue's task."""
        self._starting = asyncio.create_task(launch(item.request))
        try:
            return await self._starting
        finally:
            self._starting = None

    async def _follow(self, item: Item, client: RunClient) -> None:
        """Until the run ends."""
        item.run_id = client.run_id
        self._client = client
        self._keep()
        if item.cancelled:
            self._abort(client)
        try:
            async with client:
                await client.subscribe(View(limit=LIVE_ROWS), LIVE_RATE_HZ)
                async for snapshot in client.snapshots():
                    self._live = snapshot
            self._end(*_outcome(item, self._live))
        except (EngineError, OSError) as error:
            await self._end_by_files(item, RunDirectory(client.directory), str(error))
        finally:
            self._client = self._live = None

    async def _resume(self, item: Item) -> None:
        """Find the run that an earlier server started, and follow it or see how it ended."""
        directory = await asyncio.to_thread(_find_run, item)
        if directory is None:
            if item.cancelled:
                self._end("cancelled", "cancelled while it was being started")
            else:
                self._line.put_back()
                self._keep()
            return
        reason = "its engine was killed"
        while directory.state() == "running":
            try:
                client = await attach(directory.id)
            except (ChaperonError, OSError) as error:
                reason = str(error)  # It may still be starting, or just have ended.
                await asyncio.sleep(ATTACH_PERIOD_S)
            else:
                _log.info("found %s again, run %s", item.id, directory.id)
                return await self._follow(item, client)
        if directory.state() == "killed" and not directory.lock.exists():
            directory.delete()  # Its engine was never started.
            self._line.put_back()
            self._keep()
            return
        item.run_id = directory.id
        await self._end_by_files(item, directory, reason)

    async def _end_by_files(self, item: Item, directory: RunDirectory, reason: str) -> None:
        """The engine is gone: its report, or the one that its journal gives, says how it ended."""
        limit = time.monotonic() + CLOSE_TIMEOUT_S
        while directory.state() == "running" and time.monotonic() < limit:  # noqa: ASYNC110
            await asyncio.sleep(ATTACH_PERIOD_S)
        if not directory.path.exists():
            item.run_id = ""
        elif directory.state() == "finished":
            with contextlib.suppress(UserError):
                report = await asyncio.to_thread(load_report, directory.id)
                return self._end(*_judged(item, report.run.status, report.run.reasons))
        elif directory.state() == "killed":
            from chaperon_engine.runs import recovery

            try:
                await asyncio.to_thread(recovery.recover, directory.id)
            except (ChaperonError, OSError) as error:
                _log.warning("%s cannot be recovered: %s", directory.id, visible(error))
            else:
                reason = "its engine was killed; the report was made from its journal"
        self._end("cancelled" if item.cancelled else "failed", reason)

    def _cancel_running(self, item: Item) -> None:
        if item.cancelled:
            return
        item.cancelled = True
        if self._client is not None:
            self._abort(self._client)
        elif self._starting is not None:
            self._starting.cancel()
        self._keep()

    def _abort(self, client: RunClient) -> None:
        async def abort() -> None:
            with contextlib.suppress(ChaperonError, OSError):
                await client.abort()

        task = asyncio.create_task(abort())
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)

    def _dropped(self, ids: list[str]) -> None:
        for id in ids:
            self._store.drop_inputs(id)
        self._keep()

    def _end(self, state: EntryState, reason: str) -> None:
        entry = self._line.end(state, visible_block(reason, limit=MAX_REASON), self._now())
        if entry is not None:
            self._store.drop_inputs(entry.id)
            _log.info("%s %s%s", entry.id, state, f": {visible(reason)}" if reason else "")
        self._keep()

    def _keep(self) -> None:
        """Write the queue down. What happened has happened: a full disk does not undo it."""
        try:
            self._store.save(self._line)
        except OSError as error:
            _log.error("%s cannot be written: %s", self._store.path, error.strerror)
        self._notify()

    def _notify(self) -> None:
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._wake.set()

    def _now(self) -> str:
        return self._clock.label().isoformat(timespec="milliseconds")


def _outcome(item: Item, last: Snapshot | None) -> tuple[EntryState, str]:
    if last is None or last.state != "finished":
        return "failed", "its engine ended without a word"
    problems = [f"export {format}: {error}" for format, error in last.export_errors.items()]
    return _judged(item, last.status, [*last.reasons, *problems])


def _judged(item: Item, status: str, reasons: Sequence[str]) -> tuple[EntryState, str]:
    reason = "\n".join(reasons)
    if item.cancelled and status != "complete":
        return "cancelled", reason or "cancelled while it ran"
    if status == "failed":
        return "failed", reason or "the run failed"
    return "finished", reason or ("" if status == "complete" else f"the run was {status}")


def _find_run(item: Item) -> RunDirectory | None:
    """The run that was started for `item`: by its id, or by its request when the server was gone
    before it could write the id down."""
    if item.run_id:
        directory = RunDirectory(runs_folder() / item.run_id)
        return directory if directory.path.is_dir() else None
    for directory in reversed(all_runs()):
        try:
            if read_launch(directory) == item.request:
                return directory if read_record(directory).created_at >= item.started_at else None
        except UserError:
            continue
    return None

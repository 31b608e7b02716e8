"""The engine process: the wiring of one run, from its directory to its report.

Owns: the order in which things are made (workers before loop and threads), signals, what is
written at the end. Must not know: decisions; the coordinator has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from chaperon_engine import export
from chaperon_engine.coordinator.events import Limits, StopAsked
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.crew.cores import CoreShare, take_cores
from chaperon_engine.crew.forking import WorkerHandle, fork_workers
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.metrics.counters import RunCounters, slots_for
from chaperon_engine.platform import raise_descriptor_limit, usable_cores
from chaperon_engine.runs.directory import Lock, RunDirectory
from chaperon_engine.runs.listing import save_report
from chaperon_engine.runs.record import RunRecord, read_launch, read_record
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

MAX_SENT_S = 10_000
"""Seconds of history in a report that is sent to viewers, who cannot read it from the disk."""
LOCK_WAIT_S = 2.0
"""Somebody who looks whether the run lives holds the lock for an instant."""


def main(arguments: Sequence[str], *, limits: Limits | None = None) -> int:
    """The engine's whole life; the exit status is 0 when there is a report."""
    if len(arguments) != 1:
        print("usage: python -m chaperon_engine.engine RUN_DIR", file=sys.stderr)
        return 2
    directory = RunDirectory(Path(arguments[0]).absolute())
    try:
        record, launch = read_record(directory), read_launch(directory)
        raise_descriptor_limit()
        share = take_cores(record.id, usable_cores(), record.workers_planned, pin=launch.pin)
        slots = slots_for(record.plan.max_series)
        # There is no mapping of no bytes: a run without workers of its own has one unused region.
        counters = RunCounters(max(1, record.workers_planned), slots=slots)
        gc.collect()
        gc.freeze()
        workers = fork_workers(share.cores, counters)
        # Frames hold no cycles, and looking for some among a thousand agents takes time.
        gc.set_threshold(50_000, 20, 100)
        lock = _take_lock(directory)
    except (UserError, EngineError, OSError) as error:
        print(visible(error), file=sys.stderr)
        return 1
    try:
        record.engine_pid = os.getpid()
        return uvloop.run(_Engine(directory, record, launch, workers, counters, limits).run(share))
    finally:
        lock.forget()


def _take_lock(directory: RunDirectory) -> Lock:
    limit = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < limit:
        lock = Lock.take(directory.lock, f"{os.getpid()}\n")
        if lock is not None:
            return lock
        time.sleep(0.01)
    raise EngineError(f"{directory.id} has an engine already")


class _Engine:
    def __init__(
        self,
        directory: RunDirectory,
        record: RunRecord,
        launch: LaunchRequest,
        workers: list[WorkerHandle],
        counters: RunCounters,
        limits: Limits | None,
    ):
        # Not before the workers were forked: they have no use for numpy.
        from chaperon_engine.coordinator.run import Coordinator

        self._directory = directory
        self._launch = launch
        self._record = record
        self._workers = workers
        self._coordinator = Coordinator(
            directory, record, launch, workers, counters, limits=limits, say=_log
        )

    async def run(self, share: CoreShare) -> int:
        """Listen, run, report, take leave."""
        coordinator = self._coordinator
        if share.note:
            self._record.notes.append(share.note)
            coordinator.say("warning", share.note)
        for worker in self._workers:
            await coordinator.link(worker.number).connect(worker.commands, worker.frames)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, coordinator.handle, StopAsked("signal"))
        await coordinator.server.listen(Path(self._record.socket))
        listener = await self._listen_for_others() if self._launch.listen else None
        report = await coordinator.run()
        await coordinator.agents.close()
        if report is not None:
            publishing = asyncio.create_task(self._keep_publishing())
            await asyncio.to_thread(self._save, report)
            await asyncio.to_thread(self._export, report)
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing
            coordinator.outcome.is_final = True
        await coordinator.server.close()
        if listener is not None:
            await listener.close()
        await coordinator.end_workers()
        if coordinator.refusal is not None and coordinator.refusal.user_error:
            # Nothing was measured: such a run never was.
            await asyncio.to_thread(shutil.rmtree, self._directory.path, ignore_errors=True)
        return 1 if report is None else 0

    async def _listen_for_others(self) -> Listener | None:
        # It loads a library for certificates, which a run on one machine never needs.
        from chaperon_engine.engine.listening import listen_for_others

        try:
            return await listen_for_others(
                self._directory, self._record, self._launch, self._coordinator, _log
            )
        except (UserError, OSError) as error:
            self._coordinator.cannot_start(visible(error))
            return None

    async def _keep_publishing(self) -> None:
        while True:
            self._coordinator.server.publish()
            await asyncio.sleep(0.1)

    def _save(self, report: Report) -> None:
        outcome = self._coordinator.outcome
        if self._launch.listen:
            outcome.report = _short(report)
        try:
            save_report(self._directory, report)
            outcome.report_path = str(self._directory.report)
        except OSError as error:
            outcome.export_errors["report"] = (
                f"{self._directory.report} could not be written: {error.strerror}; the journal is "
                f"kept, make room and run `chaperon recover {self._directory.id}`"
            )
            outcome.report = outcome.report or _short(report)

    def _export(self, report: Report) -> None:
        outcome = self._coordinator.outcome
        written = export.write_all(report, self._launch.exports, self._launch.export_options)
        outcome.exports.update(written.places)
        outcome.export_errors.update(written.errors)
        for format, problem in outcome.export_errors.items():
            _log("error", f"export {format}: {problem}")


def _short(report: Report) -> bytes:
    """As JSON; a viewer's frame has a limit that only the seconds of a very long run would pass."""
    short = msgspec.structs.replace(report, intervals=report.intervals[-MAX_SENT_S:])
    return msgspec.json.encode(short)


def _log(level: str, text: str) -> None:
    """A line for engine.log, which is where the process's output goes."""
    with contextlib.suppress(OSError):  # the disk may be full; the run's own log has the line too
        print(f"{level}: {visible(text)}", file=sys.stderr, flush=True)

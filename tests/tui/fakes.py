"""An engine of canned snapshots that the tests move on by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chaperon_engine import (
    Authority,
    EngineError,
    Entry,
    ExportFormat,
    ExportOption,
    Gathering,
    LaunchRequest,
    Plan,
    Report,
    RunSummary,
    SeriesDetail,
    Snapshot,
    Token,
    Totals,
    TrialCheck,
    TrialException,
    TrialFailure,
    TrialFinished,
    TrialLog,
    TrialRequest,
    TrialResponse,
    TrialStarted,
    UserError,
    View,
    WindowSummary,
)
from tests.tui import canned
from tests.tui.canned import PLAIN, Words
from tests.tui.fake_queue import FakeQueueServer

if TYPE_CHECKING:
    from chaperon_engine import TrialEvent

OnGathering = Callable[[Gathering], None]


class FakeRun:
    """A run whose snapshots the test sends."""

    def __init__(self, words: Words = PLAIN):
        self.words = words
        self.run_id = words.run_id
        self.plan = canned.plan(words)
        self.views: list[View] = []
        self.asked: list[str] = []
        self.is_closed = False
        self.role, self.where = "owner", ""
        self.outage: object | None = None
        self.on_refused: Callable[[str], None] | None = None
        self.is_gone = False
        """The engine has left after its run."""
        self.detail: SeriesDetail | None = None
        """Of every series, if set."""
        self.details_asked = 0
        self._queue: asyncio.Queue[Snapshot | None] = asyncio.Queue()

    def send(self, snapshot: Snapshot) -> None:
        """The next snapshot."""
        self._queue.put_nowait(snapshot)

    def vanish(self) -> None:
        """The engine is killed."""
        self._queue.put_nowait(None)

    async def subscribe(self, view: View, rate_hz: float = 4.0) -> None:
        self.views.append(view)

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        while True:
            snapshot = await self._queue.get()
            if snapshot is None:
                raise EngineError(f"the engine of {self.run_id} ended without a report")
            yield snapshot
            if snapshot.state == "finished":
                return

    async def stop(self) -> None:
        self.asked.append("stop")

    async def abort(self) -> None:
        self.asked.append("abort")

    async def drain(self, member: int) -> None:
        self.asked.append(f"drain {member}")

    async def series(self, id: int) -> SeriesDetail | None:
        self.details_asked += 1
        if self.is_gone:
            raise EngineError(f"the engine of {self.run_id} is gone")
        return self.detail or canned.detail(self.words)

    async def close(self) -> None:
        self.is_closed = True


class FakeEngine:
    """Answers from canned data; `launch` hands out the runs of `runs` in turn."""

    def __init__(self, words: Words = PLAIN, runs: Sequence[FakeRun] = ()):
        self.words = words
        self.runs = list(runs)
        self.requests: list[LaunchRequest] = []
        self.refusal = ""
        self.gatherings: asyncio.Queue[Gathering | str | None] = asyncio.Queue()
        """What a launch that waits for agents is told; None: the load begins."""
        self.is_gathering = False
        self.attached: list[tuple[str, int, str, str, str | None]] = []
        """To runs on other machines."""
        self.removed: list[str] = []
        self.windows: list[tuple[int, int]] = []
        self.written: list[tuple[str, str | None]] = []
        self.options: dict[str, object] = {}
        """Of the last export."""
        self.QueueClient = FakeQueueServer(words)

    def discover(self, folders: Sequence[Path] | None = None) -> list[Entry]:
        return canned.entries(self.words)

    async def describe(self, request: LaunchRequest, *, timeout_s: float = 15) -> Plan:
        return canned.plan(self.words)

    async def launch(
        self, request: LaunchRequest, *, on_gathering: OnGathering | None = None
    ) -> FakeRun:
        if self.refusal:
            raise UserError(self.refusal)
        self.requests.append(request)
        if request.expect:
            await self._gather(on_gathering)
        return self.runs.pop(0)

    async def attach(
        self, run: str | None = None, *, on_gathering: OnGathering | None = None
    ) -> FakeRun:
        if not self.runs:
            raise UserError("no run is running")
        return self.runs.pop(0)

    async def attach_remote(
        self, host: str, port: int, *, run_id: str, token: Token, pin: str | None = None,
        authority: Authority | None = None, on_gathering: OnGathering | None = None,
    ) -> FakeRun:  # fmt: skip
        self.attached.append((host, port, run_id, token.role, pin))
        if self.refusal:
            raise UserError(self.refusal)
        run = self.runs.pop(0)
        run.role, run.where = token.role, f"{host}:{port}"
        return run

    async def _gather(self, on_gathering: OnGathering | None) -> None:
        """Say what the test puts into `gatherings` until it is None, or a refusal."""
        self.is_gathering = True
        try:
            while (said := await self.gatherings.get()) is not None:
                if isinstance(said, str):
                    raise UserError(said)
                assert on_gathering is not None
                on_gathering(said)
        finally:
            self.is_gathering = False

    def final_report(self, last: Snapshot) -> Report:
        return canned.report(self.words)

    def list_runs(self) -> list[RunSummary]:
        return [
            RunSummary(id=f"run-{n}", load_test=self.words.load_test, state=state,
                       started_at=f"2026-11-21T20:0{n}:00Z", status=status, size_bytes=52_000 * n,
                       path=f"/runs/run-{n}", tag=self.words.name)
            for n, (state, status) in enumerate(
                (("running", ""), ("finished", "complete"), ("finished", "stopped"),
                 ("killed", ""))
            )
            if f"run-{n}" not in self.removed
        ]  # fmt: skip

    def load_report(self, run: str) -> Report:
        return canned.report(self.words)

    def load_window(self, run: str, start_s: int, end_s: int) -> WindowSummary | None:
        self.windows.append((start_s, end_s))
        return WindowSummary(
            start_s=start_s, end_s=end_s, totals=Totals(requests=1200, ok=1190, failed=10),
            latency=canned.latency(2.0, 1200), rows=[],
        )  # fmt: skip

    def delete_run(self, run: str) -> None:
        self.removed.append(run)

    def recover(self, run: str) -> Report:
        return canned.report(self.words)

    def export_formats(self) -> list[str]:
        return ["csv", "influxdb", "json", "timeline"]

    def export_format(self, format: str) -> ExportFormat:
        if format == "influxdb":
            options = (ExportOption("database"), ExportOption("token", secret=True))
            return ExportFormat(name=format, summary="points of every second",
                                destination="http://HOST:8086/DATABASE", needs_destination=True,
                                options=options)  # fmt: skip
        return ExportFormat(name=format, summary=self.words.doc, destination="PATH", is_file=True)

    def export_report(
        self, report: Report, format: str, destination: str | Path | None = None, **options: object
    ) -> str:
        if str(destination) == "/full/disk":
            raise UserError("the disk is full")
        self.written.append((format, None if destination is None else str(destination)))
        self.options = options
        return str(destination or self.words.path)

    async def trial(self, request: LaunchRequest) -> AsyncIterator[TrialEvent]:
        words = self.words
        yield TrialStarted(load_test=words.load_test, populations=[words.name],
                           services={"shop": words.url})  # fmt: skip
        yield TrialRequest(at_s=0.01, number=1, session=words.name, service="shop", method="GET",
                           url=words.url, headers=[("X-Test", words.log)])  # fmt: skip
        yield TrialResponse(at_s=0.02, number=1, session=words.name, status=200,
                            reason=words.message, expected=True,
                            headers=[("Content-Type", words.log)], body=words.doc, body_bytes=310,
                            timings_us={"first_byte": 900.0, "service": 1200.0})  # fmt: skip
        yield TrialCheck(at_s=0.02, session=words.name, name=words.log, passed=False,
                         reason=words.message)  # fmt: skip
        yield TrialRequest(at_s=0.03, number=2, session=words.name, service="shop", method="POST",
                           url="/echo", body='{"total": 12.5}', body_bytes=15)  # fmt: skip
        yield TrialFailure(at_s=0.04, number=2, session=words.name, code="reset", origin="target",
                           message=words.message)  # fmt: skip
        yield TrialLog(at_s=0.05, level="output", source=words.name, text=words.log)
        yield TrialException(at_s=0.06, session=words.name, where="run", type=words.error,
                             message=words.message, file="/home/ann/scenarios/checkout.py",
                             line=12, traceback=canned.TRACEBACK)  # fmt: skip
        yield TrialFinished(at_s=0.07, ok=False, verdict="1 of 2 requests failed.", sessions=1,
                            sessions_failed=0, iterations=1, iterations_failed=1, requests=2,
                            failed=1, http_errors=0, checks_passed=0, checks_failed=1)  # fmt: skip

"""`chaperon run`, and what it shares with `chaperon quick`: launch, follow, tell.

Owns: what Ctrl-C means, what is printed while a run goes on and after it. Must not know how a run
is executed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING

import msgspec

from chaperon_engine.cli.attaching import GatheringShown, watch_lines
from chaperon_engine.cli.live import live_line
from chaperon_engine.cli.requesting import START_TIMEOUT_S, launch_request
from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.client.archive import exit_code, final_report
from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.launching import launch
from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import EXIT_INTERRUPTED, EXIT_OK, EngineError
from chaperon_engine.export.layout import Style, plural
from chaperon_engine.export.summary import render
from chaperon_engine.metrics.model import LogLine
from chaperon_engine.metrics.snapshot import Snapshot, View
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

if TYPE_CHECKING:
    from chaperon_engine.fleet.placing import Placing
    from chaperon_engine.fleet.protocol import Fleet

_MAX_LOG_LINES = 20
"""Log lines shown of one snapshot."""
_FIRST_LINE_S = 0.5
"""A line before that would tell nothing; a terminal shows it all the same."""
_SHOWN_LEVELS = frozenset({"warning", "error", "output"})


def run(arguments: Namespace) -> int:
    """Run a load test, print how it goes and the summary."""
    if arguments.fleet is None:
        return execute(launch_request(arguments), print_token=arguments.print_token)
    from chaperon_engine.cli.fleets import dry_run, fleet_of

    fleet = fleet_of(arguments)
    request = launch_request(arguments, start_timeout_s=fleet.start_timeout_s or START_TIMEOUT_S)
    if arguments.dry_run:
        Terminal().write(dry_run(fleet, request))
        return EXIT_OK
    return execute(request, print_token=arguments.print_token, fleet=fleet)


def execute(
    request: LaunchRequest, *, print_token: bool = False, fleet: Fleet | None = None
) -> int:
    """Launch, follow until the end, print the summary; answers the exit code."""
    return asyncio.run(_execute(request, Terminal(), print_token, fleet))


async def _execute(
    request: LaunchRequest, terminal: Terminal, print_token: bool, fleet: Fleet | None
) -> int:
    shown = GatheringShown(
        terminal, print_token=print_token, until=time.time() + request.start_timeout_s
    )
    interrupts = Interrupts(terminal)
    with interrupts.installed():
        if fleet is None:
            launching = launch(request, on_gathering=shown.show)
            return await _see_through(request, terminal, interrupts, launching)
        from chaperon_engine.fleet.placing import Placing

        placing = Placing(fleet, terminal.write, fewer_ok=request.fewer_ok)
        try:
            launching = _launch_with(placing, fleet, request, shown)
            return await _see_through(request, terminal, interrupts, launching)
        finally:
            await placing.close()


async def _launch_with(
    placing: Placing, fleet: Fleet, request: LaunchRequest, shown: GatheringShown
) -> RunClient:
    """Launch, and place agents when the run listens."""
    from chaperon_engine.cli.fleets import expected

    await fleet.prepare()
    request = msgspec.structs.replace(request, expect=expected(request, fleet))
    shown.placed = fleet.agents

    def gathering(now: Gathering) -> None:
        shown.show(now)
        placing.gathering(now)

    client = await placing.guard(launch(request, on_gathering=gathering))
    placing.begun(client.node_died)
    return client


async def _see_through(
    request: LaunchRequest,
    terminal: Terminal,
    interrupts: Interrupts,
    launching: Coroutine[object, object, RunClient],
) -> int:
    task = asyncio.ensure_future(launching)
    interrupts.on_first = task.cancel
    try:
        client = await task
    except asyncio.CancelledError:
        terminal.write("Interrupted before the load began; nothing was measured.")
        return EXIT_INTERRUPTED
    async with client:
        if request.detach:
            _tell_how_to_attach(client, terminal)
            if request.listen:
                await client.subscribe(View(limit=0))
                _tell_how_to_watch(await anext(client.snapshots()), client, terminal)
            return EXIT_OK
        interrupts.control(client)
        terminal.write(_headline(client.plan, request))
        try:
            last = await follow(client, terminal, interrupts)
        except GivenUp:
            terminal.write(
                f"Left the run; `chaperon report {client.run_id}` shows its report when it is "
                "there."
            )
            return EXIT_INTERRUPTED
        return _tell_the_end(last, terminal)


async def follow(client: RunClient, terminal: Terminal, interrupts: Interrupts) -> Snapshot:
    """Show snapshots as they come; answers the last one."""
    rate_hz = 4.0 if terminal.is_terminal else 1.0
    await client.subscribe(View(limit=0, worker_limit=0), rate_hz=rate_hz)
    last: Snapshot | None = None
    next_line = 0.0
    try:
        async for snapshot in interrupts.watched(client):
            if last is None:
                _tell_how_to_watch(snapshot, client, terminal)
            last = snapshot
            for line in shown_logs(last.logs):
                terminal.write(line)
            if not terminal.is_terminal and last.elapsed_s < _FIRST_LINE_S:
                continue
            # At the start and the end snapshots come whenever the state changes.
            if last.state != "finished" and time.monotonic() >= next_line:
                next_line = time.monotonic() + 0.9 / rate_hz
                style: Style = "" if last.health.verdict == "good" else "yellow"
                terminal.live(live_line(last), style)
    finally:
        # What follows, an error too, begins a line of its own.
        terminal.clear_live()
    if last is None or last.state != "finished":
        raise EngineError(f"the engine of {client.run_id} ended without a report")
    return last


def shown_logs(logs: list[LogLine]) -> list[str]:
    """What a person wants to see of the log while the run goes on."""
    wanted = [line for line in logs if line.level in _SHOWN_LEVELS]
    shown = [
        f"[{line.at_s:.1f} s {visible(line.source, 60)}] {line.level}: {visible(line.text)}"
        for line in wanted[:_MAX_LOG_LINES]
    ]
    if len(wanted) > _MAX_LOG_LINES:
        shown.append(f"… {len(wanted) - _MAX_LOG_LINES} more lines of the log")
    return shown


def _headline(plan: Plan, request: LaunchRequest) -> str:
    parts = []
    for population in plan.populations:
        profile = population.profile
        part = f"{visible(population.name, 60)}: {plural(population.sessions, 'session')}"
        if profile.shared_iterations is not None:
            part += f", {profile.shared_iterations:,} iterations together"
        elif profile.iterations is not None:
            part += f", {plural(profile.iterations, 'iteration')} each"
        elif profile.duration_s is not None:
            part += f" for {show_duration(profile.duration_s)}"
        parts.append(part)
    urls = dict.fromkeys(visible(service.base_url, 100) for service in plan.services)
    where = f" → {', '.join(urls)}" if urls else ""
    what = "; ".join(parts[:5]) + (f"; {len(parts) - 5} more" if len(parts) > 5 else "")
    return f"{visible(plan.load_test, 60)}  {what}{where}"


def _tell_how_to_attach(client: RunClient, terminal: Terminal) -> None:
    terminal.write(
        f"{client.run_id}\n"
        f"  watch or stop it:  chaperon-tui attach {client.run_id}\n"
        f"  its report later:  chaperon report {client.run_id}"
    )


def _tell_how_to_watch(first: Snapshot, client: RunClient, terminal: Terminal) -> None:
    """Once the load has begun; with agents it was said before, while they were waited for."""
    if first.attach and not first.join:
        terminal.write(watch_lines(first.attach, client.directory, terminal))


def _tell_the_end(last: Snapshot, terminal: Terminal) -> int:
    report = final_report(last)
    files = {"report": last.report_path} if last.report_path else {}
    files.update(last.exports)
    terminal.write(render(report, width=terminal.width, color=terminal.color, files=files))
    for format, reason in last.export_errors.items():
        print(f"chaperon: {visible(format, 60)}: {visible(reason, 2000)}", file=sys.stderr)
    return exit_code(report, export_failed=bool(last.export_errors))


class GivenUp(Exception):
    """The third interrupt: leave at once."""


class Interrupts:
    """Ctrl-C and SIGTERM: the first stops gracefully, the second aborts, the third leaves."""

    def __init__(self, terminal: Terminal):
        self._terminal = terminal
        self._count = 0
        self._client: RunClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up = asyncio.Event()
        self.on_first: Callable[[], object] = lambda: None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Take the signals over; must be entered in the running loop."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def control(self, client: RunClient) -> None:
        """From now on interrupts steer this run."""
        self._client = client

    async def watched(self, client: RunClient) -> AsyncIterator[Snapshot]:
        """The client's snapshots until a third interrupt, which raises GivenUp."""
        snapshots = client.snapshots()
        leaving = asyncio.ensure_future(self._given_up.wait())
        coming: asyncio.Task[Snapshot | None] | None = None
        try:
            while True:
                coming = asyncio.create_task(_next(snapshots))
                await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise GivenUp
                snapshot = coming.result()
                if snapshot is None:
                    return
                yield snapshot
        finally:
            leaving.cancel()
            if coming is not None:
                coming.cancel()

    def _interrupt(self) -> None:
        self._count += 1
        client = self._client
        if client is None:
            self.on_first()
        elif self._count == 1:
            self._terminal.write(
                "Stopping: no new iterations, running ones may end. Ctrl-C again aborts them."
            )
            self._steer(client.stop())
        elif self._count == 2:
            self._terminal.write("Aborting what is in flight; the report follows.")
            self._steer(client.abort())
        else:
            self._given_up.set()

    def _steer(self, command: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(self._quietly(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, command: Coroutine[object, object, None]) -> None:
        # An engine that has gone is told by the end of its snapshots.
        with contextlib.suppress(EngineError, OSError):
            await command


async def _next(snapshots: AsyncIterator[Snapshot]) -> Snapshot | None:
    return await anext(snapshots, None)

"""What the workers' screen of the UI costs: `python -m bench.members [--members N] [--size WxH]`.

The app without a terminal, on a run that does not exist: each second it decodes a snapshot with all
its members, in which every row has changed, and draws it. The engine's part of such a snapshot is
in `python -m bench scale`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import msgspec

import chaperon_engine
from chaperon_engine import LaunchRequest, Plan, Snapshot, View, WorkerRow
from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.metrics.snapshot import HealthView, MembersView, Percentiles, Totals
from chaperon_engine.protocol.messages import SnapshotMessage
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.engine import Engine
from chaperon_tui.screens.live import LiveScreen
from chaperon_tui.screens.workers import WorkersScreen

WARM_UP_S = 2.0


class PretendedRun:
    """Snapshots of as many members, at the rate that is asked for."""

    run_id, role, where, outage = "bench", "owner", "", None
    on_refused: Callable[[str], None] | None = None

    def __init__(self, plan: Plan, members: int):
        self.plan = plan
        self._members = members
        self._view, self._rate_hz = View(), 4.0
        self._decoder = msgspec.msgpack.Decoder(SnapshotMessage)
        self.making_s = 0.0
        """CPU time of what the engine would do; not the UI's."""

    async def subscribe(self, view: View, rate_hz: float = 4.0) -> None:
        """What is looked at from now on."""
        self._view, self._rate_hz = view, rate_hz

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """For ever."""
        tick = 0
        while True:
            begin = time.thread_time()
            encoded = msgspec.msgpack.encode(SnapshotMessage(snapshot=self._snapshot(tick)))
            self.making_s += time.thread_time() - begin
            yield self._decoder.decode(encoded).snapshot
            tick += 1
            await asyncio.sleep(1 / self._rate_hz)

    async def stop(self) -> None: ...
    async def abort(self) -> None: ...
    async def drain(self, member: int) -> None: ...
    async def close(self) -> None: ...
    async def series(self, id: int) -> None: ...

    def _snapshot(self, tick: int) -> Snapshot:
        first = self._view.worker_offset
        last = min(first + self._view.worker_limit, self._members)
        return Snapshot(
            run_id=self.run_id, load_test="Bench", state="running", elapsed_s=float(tick),
            planned_s=3600.0, totals=Totals(), latency=Percentiles(), latency_now=Percentiles(),
            sessions=SessionCounts(), iterations=IterationCounts(), health=HealthView(),
            members=MembersView(self._members, 2 * self._members, 0.7, 700),
            workers=[self._row(number, tick) for number in range(first, last)],
            worker_offset=first,
        )  # fmt: skip

    def _row(self, number: int, tick: int) -> WorkerRow:
        return WorkerRow(
            worker=number, pid=0, state="running", core=None, active_sessions=6,
            requests_per_s=9000.0 + (number * 7 + tick * 131) % 500,
            cpu=0.3 + (number + tick) % 40 / 100, lag_p99_us=280 + (number * 3 + tick) % 400,
            rss_bytes=96_000_000, agent=f"load-{number}", host=f"load-{number}.example.com",
            address=f"192.0.2.{number % 250}:40312", cores=2, shares=[2 * number, 2 * number + 1],
            round_trip_us=410 + (number + tick) % 90, clock_offset_us=-35, python="3.11.7",
            version=chaperon_engine.__version__,
        )  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", default="160x50")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    return asyncio.run(_measure(options.members, options.seconds, (width, height)))


async def _measure(members: int, seconds: float, size: tuple[int, int]) -> int:
    run = PretendedRun(Plan(file="", load_test="Bench", services=[], populations=[]), members)
    with tempfile.TemporaryDirectory(prefix="chaperon-bench-") as folder:
        app = ChaperonApp(cast(Engine, chaperon_engine), Start(), Path(folder) / "ui.json")
        async with app.run_test(size=size) as pilot:
            live = LiveScreen(run, LaunchRequest())
            await app.push_screen(live)
            await pilot.pause(WARM_UP_S)
            lines = [("live screen", await _share(run, seconds))]
            screen = WorkersScreen(live)
            await app.push_screen(screen)
            await pilot.pause(WARM_UP_S)
            lines.append(("workers' screen", await _share(run, seconds)))
            for name, key in (("cursor down", "down"), ("page down", "pagedown"), ("sort", "o")):
                begin = time.process_time()
                for _ in range(20):
                    await pilot.press(key)
                lines.append((f"{name}, a key", (time.process_time() - begin) / 20))
    print(f"UI at {size[0]}x{size[1]}, {members:,} members:")
    for name, value in lines:
        figure = f"{value * 1000:.1f} ms" if name.endswith("key") else f"{value:.1%} of a core"
        print(f"  {name}: {figure}")
    return 0


async def _share(run: PretendedRun, seconds: float) -> float:
    """CPU of the UI, of a core."""
    begin, making_s = time.process_time(), run.making_s
    await asyncio.sleep(seconds)
    return (time.process_time() - begin - run.making_s + making_s) / seconds


if __name__ == "__main__":
    sys.exit(main())

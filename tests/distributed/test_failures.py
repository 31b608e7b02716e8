"""Pauses, full disks, killed viewers, bad wires: what a run says is what the target counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from chaperon_engine.client.archive import final_report
from tests.distributed.conftest import (
    AGENT_LIMITS,
    Proxy,
    Start,
    grows,
    last_kept,
    rests,
    signal_all,
)
from tests.distributed.test_runs import reported, two_agents
from tests.engine.conftest import CountingServer
from tests.engine.test_conservation import check_sums
from tests.tui.test_e2e import Terminal

pytestmark = pytest.mark.e2e

Write = Callable[..., Path]
MakeProxy = Callable[[int], Awaitable[tuple[Proxy, int]]]
MakeDisk = Callable[[str], Path]


# pauses


async def test_a_worker_and_an_agent_that_pause_for_less_than_a_lease_change_nothing(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(
        scenario(duration="60s"), expect=1, limits="lease_s=10, start_delay_s=0.05"
    )
    agent = await launched.join("a", workers=2, limits=f"{AGENT_LIMITS}, hung_after_s=0.6")
    await launched.begins()
    await grows(server, 100)
    worker = agent.workers[0]
    worker.suspend()
    await agent.says("does not answer")
    worker.resume()
    await agent.says("answers again")
    agent.signal(signal.SIGSTOP)
    await asyncio.sleep(1.2)  # the length of the pause is what is tested
    agent.signal(signal.SIGCONT)
    await launched.stop()
    assert await agent.end() == 0, agent.said
    report = reported(launched)
    assert report.totals.requests == report.totals.ok == server.requests
    assert not report.run.partial
    assert report.run.reasons == ["stopped on request"]


async def test_a_worker_that_does_not_wake_up_is_killed_and_counted_from_its_shared_memory(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="60s"), workers=0, expect=1)
    limits = f"{AGENT_LIMITS}, hung_after_s=2, kill_after_s=0.3"
    agent = await launched.join("a", workers=2, limits=limits)
    await launched.begins()
    await grows(server, 100)
    agent.workers[0].suspend()
    await agent.says("was lost: it hung")
    await launched.stop()
    await agent.end()
    report = reported(launched)
    assert report.run.partial
    assert any("agent a lost worker 0: it hung" in reason for reason in report.run.reasons)
    assert report.totals.requests == server.requests


async def test_a_suspended_coordinator_stops_its_agents_and_gets_everything_when_it_wakes_up(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="60s"))
    first, second = await two_agents(launched)
    await grows(server, 100)
    signal_all(launched.engine.pid, signal.SIGSTOP)
    await first.says("the load stops: the coordinator was not heard")
    await second.says("the load stops: the coordinator was not heard")
    await rests(server)
    counted = server.requests
    signal_all(launched.engine.pid, signal.SIGCONT)
    await grows(server, 50)  # its own worker goes on
    await asyncio.gather(first.end(), second.end())
    await launched.stop()
    report = reported(launched)
    assert report.totals.requests == report.totals.ok == server.requests > counted
    assert report.run.partial
    assert [worker.state for worker in report.run.workers] == ["done", "done", "done"]


async def test_a_partition_that_ends_a_lease_unnoticed_leaves_a_partial_run(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy
) -> None:
    launched = await start(
        scenario(duration="60s"),
        expect=1,
        limits="lease_s=1, lease_margin_s=30, start_delay_s=0.05",
    )
    between, port = await proxy(await launched.port())
    agent = await launched.join("a", port=port)
    await launched.begins()
    await grows(server, 100)
    between.freeze()
    await agent.says("the load stops: the coordinator was not heard")
    between.thaw()
    await agent.end()
    await launched.stop()
    report = reported(launched)
    assert report.totals.requests == server.requests
    assert report.run.partial
    assert any("agent a" in reason for reason in report.run.reasons)


# losses


async def test_what_a_killed_agent_had_kept_is_delivered_by_its_successor(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy, home: Path
) -> None:
    launched = await start(scenario(duration="60s"), workers=0, limits="lease_s=10")
    between, port = await proxy(await launched.port())
    cut_off = await launched.join("a", port=port)
    await launched.attaches(1)
    other = await launched.join("b")
    await launched.begins()
    await grows(server, 100)
    [journal] = home.glob("agents/a-*/journal")
    between.freeze()
    delivered = newest(journal)
    # A frame that is kept and not delivered; the second, for the first may have just got through.
    while newest(journal) < delivered + 2:  # noqa: ASYNC110 (a file has no event to offer)
        await asyncio.sleep(0.02)
    cut_off.signal(signal.SIGKILL)
    await cut_off.end()
    between.cut()
    kept = last_kept(journal).totals.sent
    assert kept > 0
    successor = await launched.join("a")
    assert await successor.end() == 0, successor.said
    assert "delivering what an earlier agent a had measured" in successor.said
    await launched.stop()
    assert await other.end() == 0
    report = reported(launched)
    assert [worker.sent for worker in report.run.workers] == [kept, report.totals.requests - kept]
    # Three sessions, for less than two ticks, with 5 ms between requests.
    assert 0 <= server.requests - report.totals.requests < 1200
    assert report.run.partial
    assert any("agent a" in reason for reason in report.run.reasons)


def newest(journal: Path) -> int:
    """Number of the newest frame in an agent's journal; -1 when there is none."""
    try:
        return last_kept(journal).seq
    except IndexError:
        return -1


# disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Makes small disks."""
    made: list[Path] = []

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def fill(disk: Path) -> None:
    """No byte more goes onto this disk."""
    with (disk / "full").open("wb", buffering=0) as file:
        for size in (65536, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
async def test_full_disks_on_both_sides_cost_no_measurement(
    server: CountingServer, scenario: Write, start: Start, disk: MakeDisk, proxy: MakeProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here, there = disk("here"), disk("there")
    monkeypatch.setenv("CHAPERON_HOME", str(here))
    launched = await start(scenario(duration="60s"), expect=1, limits="lease_s=10")
    between, port = await proxy(await launched.port())
    agent = await launched.join("a", port=port, home=there)
    await launched.begins()
    await grows(server, 100)
    fill(here)
    fill(there)
    await agent.says("is kept in memory alone")
    between.cut()
    await agent.says("reached again")
    last = await launched.stop()
    assert await agent.end() == 0, agent.said
    report = final_report(last)
    check_sums(report)
    assert report.totals.requests == report.totals.ok == server.requests
    assert report.run.status == "stopped"
    assert any(
        "the journal could not be written (No space left" in reason for reason in report.run.reasons
    )
    assert "could not be written" in last.export_errors["report"]


# wires


async def test_late_split_and_cut_connections_lose_nothing_and_double_nothing(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy
) -> None:
    launched = await start(scenario(duration="3s"), limits="lease_s=8, start_delay_s=0.05")
    wires = [await proxy(await launched.port()) for _ in range(2)]
    agents = []
    for name, (between, port) in zip("ab", wires, strict=True):
        between.spoil(ord(name))
        agents.append(await launched.join(name, port=port))
    await launched.begins()
    await launched.last()
    assert [await agent.end() for agent in agents] == [0, 0], [agent.said for agent in agents]
    assert any("reached again" in agent.said for agent in agents)
    report = reported(launched)
    assert report.totals.requests == report.totals.ok == server.requests > 0
    assert not report.run.partial


# the UI


@pytest.fixture
async def terminal(tmp_path: Path, home: Path) -> AsyncIterator[Terminal]:
    if shutil.which("tmux") is None and not os.environ.get("CI"):
        pytest.skip("tmux is not installed")
    (tmp_path / "home").symlink_to(home)
    opened = Terminal(tmp_path, 160, 50)
    yield opened
    opened.close()


async def test_a_killed_ui_does_not_disturb_a_run_of_several_hosts_and_finds_it_again(
    server: CountingServer, scenario: Write, start: Start, terminal: Terminal, tmp_path: Path
) -> None:
    launched = await start(scenario(duration="60s"))
    first, second = await two_agents(launched)
    client = await launched.begins()
    watching = asyncio.create_task(launched.last())

    async def sees(pattern: str) -> None:
        # In a thread: the server that counts lives on this loop.
        await asyncio.to_thread(terminal.until, pattern)

    terminal.start_ui("attach", launched.directory.id)
    await sees(r"\d s of ")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    terminal.fresh()
    terminal.start_ui("attach")
    await sees(r"\d s of ")
    await client.stop()
    await sees("stopped")
    await watching
    assert [await first.end(), await second.end()] == [0, 0]
    report = reported(launched)
    assert report.totals.requests == report.totals.ok == server.requests
    assert not report.run.partial

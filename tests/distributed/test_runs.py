"""Real engines and agents: whatever fails, the target's count decides what is true."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from chaperon_engine.client.archive import load_report, recover
from chaperon_engine.client.describing import child_environment
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.snapshot import Snapshot
from chaperon_engine.protocol.wire import WIRE_VERSION
from chaperon_engine.runs.report import Report
from chaperon_engine.version import __version__
from tests.distributed.conftest import Agent, Launched, Proxy, Start, grows, rests
from tests.engine.conftest import CountingServer, snapshots_until
from tests.engine.test_conservation import check_journal, check_sums

pytestmark = pytest.mark.e2e

Write = Callable[..., Path]
MakeProxy = Callable[[int], Awaitable[tuple[Proxy, int]]]


def reported(launched: Launched) -> Report:
    report = load_report(launched.directory.id)
    check_sums(report)
    check_journal(report)
    return report


async def two_agents(launched: Launched, **keywords: int) -> tuple[Agent, Agent]:
    """Attach `a` and `b`, in this order, and wait for the load."""
    first = await launched.join("a", **keywords)  # type: ignore[arg-type]
    await launched.attaches(1)
    second = await launched.join("b")
    await launched.begins()
    return first, second


async def test_two_agents_by_their_join_line_and_every_request_is_counted_once(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario())
    words = await launched.line()
    token_file = Path(words[-1])
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    agents = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaperon_engine.cli", *words[1:], "--name", name,
            "--workers", "2", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=child_environment(),
        )
        for name in ("left", "right")
    ]  # fmt: skip
    last = await launched.last()
    for agent in agents:
        output, _ = await agent.communicate()
        assert agent.returncode == 0, output.decode()
    report = reported(launched)
    assert report.totals.requests == last.totals.requests == server.requests > 0
    assert report.run.status == "complete"
    assert not report.run.partial
    assert report.run.reasons == []
    assert report.run.workers[0].agent == ""
    assert {worker.agent for worker in report.run.workers[1:]} == {"left", "right"}
    assert all(worker.sent > 0 for worker in report.run.workers)
    assert [worker.cores for worker in report.run.workers] == [1, 2, 2]
    assert report.run.start_skew_us is not None
    assert report.run.start_skew_us < 50_000
    rows = last.workers[1:]
    assert sorted(share for row in rows for share in row.shares) == [1, 2, 3, 4]
    assert all(row.round_trip_us and row.host and row.version for row in rows)
    assert report.sessions.planned == report.sessions.started == 6


async def test_a_machine_without_workers_of_its_own_leaves_the_load_to_agents(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="800ms"), workers=0, expect=1)
    agent = await launched.join("only", workers=2)
    await launched.last()
    assert await agent.end() == 0
    report = reported(launched)
    assert report.totals.requests == server.requests > 0
    assert [worker.agent for worker in report.run.workers] == ["only"]


async def test_a_killed_agent_leaves_a_partial_run_that_counts_what_it_had_reported(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(
        scenario(duration="3s"), limits="lease_s=1, lease_margin_s=0.3, return_wait_s=0.5"
    )
    first, second = await two_agents(launched)
    await grows(server, 400)
    first.signal(signal.SIGKILL)
    last = await launched.last()
    assert await second.end() == 0
    report = reported(launched)
    assert report.run.partial
    assert report.run.status == "complete"
    lost = report.run.workers[1]
    assert (lost.agent, lost.state) == ("a", "lost")
    assert any("agent a was lost" in reason for reason in report.run.reasons)
    assert last.workers[1].state == "lost"
    assert 0 <= server.requests - report.totals.requests < 600


async def test_a_lost_agent_fails_the_run_when_it_was_told_so(
    scenario: Write, server: CountingServer, start: Start
) -> None:
    launched = await start(
        scenario(duration="20s"), on_loss="fail",
        limits="lease_s=0.8, lease_margin_s=0.2, return_wait_s=0.5, abort_s=1",
    )  # fmt: skip
    first, second = await two_agents(launched)
    first.signal(signal.SIGKILL)
    last = await launched.last()
    await second.end()
    assert last.status == "failed"
    assert any("was told to fail" in reason for reason in last.reasons)


async def test_sessions_of_a_killed_agent_begin_anew_on_those_that_remain(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(
        scenario(duration="5s"), on_loss="respread",
        limits="lease_s=1, lease_margin_s=0.3, return_wait_s=0.5",
    )  # fmt: skip
    first, second = await two_agents(launched, workers=2)
    client = await launched.begins()
    await snapshots_until(client, lambda seen: seen.workers[1].active_sessions > 0)
    first.signal(signal.SIGKILL)
    last = await launched.last()
    assert await second.end() == 0
    report = reported(launched)
    assert report.run.partial
    assert report.run.status == "complete"
    (handed,) = report.run.hand_overs
    assert (handed.member, handed.shares, handed.epoch) == (1, [1, 2], 2)
    assert [(to.member, to.shares) for to in handed.to] == [(0, [1]), (2, [2])]
    # Six sessions on four shares: three of them were those of the agent.
    assert handed.sessions == 3
    assert (report.sessions.planned, report.sessions.started) == (6, 9)
    assert (report.sessions.finished, report.sessions.interrupted) == (6, 3)
    assert [row.shares for row in last.workers] == [[], [], [3, 2]]
    assert any("shares of agent a were handed over" in reason for reason in report.run.reasons)
    assert 0 <= server.requests - report.totals.requests < 600


async def test_workers_whose_agent_stands_still_stop_by_its_lease_and_all_they_did_is_counted(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="30s"), workers=0, expect=1)
    agent = await launched.join("a", workers=2)
    await launched.begins()
    await grows(server, 200)
    agent.signal(signal.SIGSTOP)
    before = server.requests
    await rests(server, quiet_s=1.0)
    assert server.requests > before, "its workers went on for a while"
    agent.signal(signal.SIGCONT)
    await launched.last()
    await agent.end()
    report = reported(launched)
    assert report.totals.requests == server.requests
    assert report.run.partial
    assert report.run.workers[0].state == "done"


async def test_a_worker_killed_on_an_agents_host_is_counted_from_its_shared_memory(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="2s"), expect=1)
    agent = await launched.join("a", workers=2)
    await launched.begins()
    await grows(server, 300)
    worker = psutil.Process(agent.pid).children()[0]
    worker.kill()
    await launched.last()
    await agent.end()
    report = reported(launched)
    assert report.run.partial
    assert any("agent a lost worker" in reason for reason in report.run.reasons)
    assert abs(server.requests - report.totals.requests) <= 1


async def test_hosts_that_were_suspended_for_longer_than_their_leases_deliver_everything(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="4s"))
    first, second = await two_agents(launched)
    await grows(server, 100)
    first.signal(signal.SIGSTOP)
    second.signal_host(signal.SIGSTOP)
    client = await launched.begins()

    def are_away(snapshot: Snapshot) -> bool:
        return [row.state for row in snapshot.workers[1:]] == ["away", "away"]

    await snapshots_until(client, are_away)
    first.signal(signal.SIGCONT)
    second.signal_host(signal.SIGCONT)
    last = await launched.last()
    await asyncio.gather(first.end(), second.end())
    report = reported(launched)
    assert report.totals.requests == report.totals.ok == server.requests
    assert report.totals.requests == last.totals.requests
    assert report.run.partial
    for name in ("a", "b"):
        assert any(f"agent {name} returned after" in reason for reason in report.run.reasons)
    assert [worker.state for worker in report.run.workers[1:]] == ["done", "done"]


async def test_a_short_partition_loses_nothing_and_stops_nothing(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy
) -> None:
    launched = await start(
        scenario(duration="3s"), expect=1, limits="lease_s=10, start_delay_s=0.05"
    )
    between, port = await proxy(await launched.port())
    agent = await launched.join("a", port=port)
    await launched.begins()
    await grows(server, 100)
    between.freeze()
    await asyncio.sleep(1.2)  # the length of the partition is what is tested
    between.thaw()
    await grows(server, 50)
    between.cut()
    await launched.last()
    assert await agent.end() == 0, agent.said
    report = reported(launched)
    assert report.totals.requests == server.requests
    assert not report.run.partial
    assert "reached again" in agent.said


async def test_a_long_partition_stops_the_load_by_lease_and_loses_nothing(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy
) -> None:
    launched = await start(scenario(duration="15s"), workers=0, expect=1)
    between, port = await proxy(await launched.port())
    agent = await launched.join("a", port=port, limits="silent_s=0.8, return_s=20.0")
    client = await launched.begins()
    await grows(server, 100)
    between.freeze()
    between.cut()
    await rests(server)
    async for snapshot in client.snapshots():
        if snapshot.workers[0].state == "away":
            break
    counted = server.requests
    between.thaw()
    last = await launched.last()
    await agent.end()
    assert server.requests == counted
    report = reported(launched)
    assert report.totals.requests == last.totals.requests == counted
    assert report.run.partial
    assert any("returned after" in reason for reason in report.run.reasons)
    assert "the load stops" in agent.said


async def test_agents_of_a_killed_coordinator_stop_and_its_journal_makes_the_report(
    server: CountingServer, scenario: Write, start: Start
) -> None:
    launched = await start(scenario(duration="30s"))
    first, second = await two_agents(launched)
    await grows(server, 600)
    client = await launched.begins()
    async for snapshot in client.snapshots():
        if snapshot.elapsed_s > 2.2:
            break
    launched.engine.kill()
    await launched.engine.wait()
    await asyncio.gather(first.end(), second.end())
    await rests(server, 0.1)
    assert "the load stops" in first.said
    report = recover(launched.directory.id)
    check_sums(report)
    assert report.run.recovered
    assert report.run.partial
    assert 0 < report.totals.requests <= server.requests
    assert [worker.agent for worker in report.run.workers] == ["", "a", "b"]
    assert sum("lies as far as it was kept on its host" in reason for reason in report.run.reasons) == 2


async def test_an_agent_too_late_one_of_another_version_and_one_of_a_name_that_is_taken_are_told_so(
    scenario: Write, server: CountingServer, start: Start, tmp_path: Path
) -> None:
    launched = await start(scenario(duration="30s"))
    await launched.join("a")
    await launched.attaches(1)
    double = await launched.join("a", home=tmp_path / "elsewhere")
    assert await double.end() != 0
    assert "there is an agent 'a' already" in double.said
    other = await launched.join(
        "other",
        setup="from chaperon_engine.protocol import handshake\n"
        "handshake.WIRE_VERSION, handshake.__version__ = 99, '9.9.9'",
    )
    assert await other.end() != 0
    for version in ("99", "9.9.9", str(WIRE_VERSION), __version__):
        assert version in other.said
    await launched.join("b")
    client = await launched.begins()
    late = await launched.join("c")
    assert await late.end() != 0
    assert "the load has begun" in late.said
    await client.stop()
    last = await launched.last()
    assert last.status == "stopped"
    assert not last.partial
    assert last.totals.requests == server.requests


async def test_a_run_begins_with_fewer_agents_only_if_it_was_told_so(
    scenario: Write, server: CountingServer, start: Start
) -> None:
    file = scenario(duration="600ms")
    refused = await start(file, start_timeout_s=0.3)
    with pytest.raises(UserError, match=r"0 of 2 agents attached within 300 ms; --fewer-ok"):
        await refused.begins()
    launched = await start(file, start_timeout_s=0.3, fewer_ok=True)
    last = await launched.last()
    report = reported(launched)
    assert report.run.reasons == ["it began with 0 of 2 agents"]
    assert last.totals.requests == report.totals.requests == server.requests > 0

"""Agents through a real ssh and a real sshd on loopback."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chaperon_engine.errors import UserError
from chaperon_engine.fleet import ssh as module
from chaperon_engine.fleet.addresses import hosts_of
from chaperon_engine.fleet.order import Order
from chaperon_engine.fleet.protocol import Ended, Happening
from chaperon_engine.fleet.ssh import SshFleet
from chaperon_engine.protocol.token import RunSecret, Token
from tests.distributed.conftest import grows
from tests.engine.conftest import CountingServer
from tests.fleet.conftest import WAIT_S, Run, Ssh, no_agents, tokens_of, visible_to_others

pytestmark = [pytest.mark.e2e, pytest.mark.server]

Write = Callable[..., Path]


async def test_hosts_load_the_target_also_when_ssh_dies_and_no_token_is_to_be_seen(
    server: CountingServer, scenario: Write, run: Run, ssh: Ssh, home: Path
) -> None:
    running = await run(
        scenario(duration="90s", delay=0.02), "--fleet", "ssh://load1,load2", "--fleet-command",
        ssh.command, env=ssh.env,
    )  # fmt: skip
    await grows(server, 5)
    (token,) = tokens_of(home)
    secrets = [token, *(Token.parse(token).of_agent(name).text for name in ("load1", "load2"))]
    assert visible_to_others(secrets) == []
    clients = psutil.Process(running.process.pid).children()
    (process,) = (each for each in clients if each.name() == "ssh" and "load1" in each.cmdline())
    process.kill()
    await running.says("agent load1 ended: ssh was killed by signal 9")
    await grows(server, 20)
    running.interrupt()
    assert await running.ends() == 105, running.said
    assert "Waiting for 2 agents of the fleet." in running.said
    report = running.report
    assert {worker.agent for worker in report.run.workers} == {"load1", "load2"}
    assert report.totals.requests == server.requests
    assert report.run.status == "stopped"
    assert not report.run.partial
    assert not any(secret in running.said for secret in secrets)
    await no_agents(ssh.home)


@pytest.mark.parametrize(
    ("host", "command", "sentence"),
    [
        ("dead", "", "ssh failed: "),
        ("load1", "no-such-chaperon", "--fleet-command says how Chaperon is called there"),
        ("load2", "", "exit status 104"),
    ],
)
async def test_why_a_host_cannot_take_part_is_said(
    ssh: Ssh, monkeypatch: pytest.MonkeyPatch, host: str, command: str, sentence: str
) -> None:
    monkeypatch.setenv("PATH", ssh.path)
    ends: asyncio.Queue[Happening] = asyncio.Queue()
    fleet = SshFleet(hosts_of(host), shlex.split(command or ssh.command))
    token = RunSecret(bytes(32)).token("agent")
    await fleet.prepare()
    # The pin is none, which the agent says at once.
    order = Order("127.0.0.1:9", "r", "sha256:0", Path("/nowhere"), token)
    await fleet.place(order, ends.put_nowait)
    async with asyncio.timeout(WAIT_S):
        ended = await ends.get()
    assert isinstance(ended, Ended)
    assert ended.name == host
    assert sentence in ended.reason
    assert not ended.ok
    await fleet.close(0.0)


async def test_a_host_that_does_not_answer_is_left_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = tmp_path / "ssh"
    said = tmp_path / "pid"
    # Not for ever: where this test fails, nothing of it stays.
    stubborn.write_text(
        f"#!/bin/sh\ntrap '' TERM\necho $$ > {said}\nfor _ in $(seq 600); do sleep 0.1; done\n"
    )
    stubborn.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "KILL_S", 0.2)
    fleet = SshFleet(hosts_of("a"), ["chaperon"])
    ends: asyncio.Queue[Happening] = asyncio.Queue()
    order = Order("127.0.0.1:9", "r", "sha256:0", Path("/nowhere"), None)
    await fleet.place(order, ends.put_nowait)
    async with asyncio.timeout(WAIT_S):
        # A file has no event to offer.
        while not (said.exists() and said.read_text().endswith("\n")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await fleet.close(0.0)
    assert not psutil.pid_exists(int(said.read_text()))


async def test_without_ssh_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="`ssh`, which is not installed"):
        await SshFleet(hosts_of("a"), ["chaperon"]).prepare()


async def test_an_interrupt_before_the_load_ends_agents_and_ssh(
    scenario: Write, run: Run, ssh: Ssh
) -> None:
    running = await run(
        scenario(), "--fleet", "ssh://load1", "--fleet-command", ssh.command, "--expect", "2",
        env=ssh.env,
    )  # fmt: skip
    await running.says("agent load1 attached (1 of 2)")
    assert "Waiting for 1 agent, and 1 of the fleet. On each machine" in running.said
    children = psutil.Process(running.process.pid).children(recursive=True)
    running.interrupt()
    assert await running.ends() == 105
    await no_agents(ssh.home)
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert alive == []

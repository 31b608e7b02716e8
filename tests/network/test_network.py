"""Runs between three hosts, attached by the line that is printed; the target's count decides."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from chaperon_engine.agent.journal import AgentRecord, KeptFrame
from chaperon_engine.client.archive import load_report
from chaperon_engine.runs.journal import RecordReader
from tests.engine.test_conservation import check_journal, check_sums
from tests.network.machines import Machine, Network, Program

pytestmark = [pytest.mark.e2e]

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Browse(Scenario):
    async def run(self, session: Session) -> None:
        await session.get("/json")
        await session.delay(0.02)

class ShopTest(LoadTest):
    services = {{"shop": Service("{url}")}}
    scenarios = [
        Population(Browse, sessions=6, duration="{duration}", name="buyers", graceful_stop="2s")
    ]
"""
ENGINE = """
import sys
from chaperon_engine.coordinator.events import Limits
from chaperon_engine.engine.process import main
sys.exit(main(sys.argv[1:], limits=Limits({limits})))
"""
RUN = """
import subprocess, sys, threading
from chaperon_engine import cli
from chaperon_engine.client import launching
from chaperon_engine.client.describing import child_environment

def start(directory):
    with directory.log.open("ab") as log:
        engine = subprocess.Popen(
            [sys.executable, "-P", "-c", {engine!r}, str(directory.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(),
        )
    threading.Thread(target=engine.wait, daemon=True).start()
    return engine

launching._start_engine = start
sys.exit(cli.main(sys.argv[1:]))
"""
LIMITS = "lease_s=1.5, lease_margin_s=0.5, return_wait_s=10.0"
"""Short leases; everything else is as for a user."""


def begin(network: Network, folder: Path, duration: str, *options: str) -> tuple[Program, str]:
    """`chaperon run` on the coordinator's machine, and the join line that it prints."""
    file = folder / "shop.py"
    file.write_text(SCENARIO.format(url=network.url, duration=duration))
    shim = RUN.format(engine=ENGINE.format(limits=LIMITS))
    words = [sys.executable, "-c", shim, "run", str(file), "--listen", "10.77.1.2:0"]
    run = network.coordinator.start(*words, "--expect", "2", *options, name="run")
    return run, run.says(r"^ *(chaperon worker join .+)$")[1]


def join(machine: Machine, line: str) -> Program:
    """The join line as it was printed."""
    return machine.start("sh", "-c", f"exec {line}", name="agent")


def kept(machine: Machine) -> int:
    """Requests that the agent of this machine sent, once its own journal has the end of it."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        [journal] = machine.home.glob("agents/*/journal")
        frames = [
            record.frame
            for record in RecordReader[AgentRecord](journal, AgentRecord)
            if isinstance(record, KeptFrame)
        ]
        if frames[-1].last:
            return frames[-1].totals.sent
        time.sleep(0.05)
    raise AssertionError(f"the load of {machine.name} does not end")


def test_a_pulled_cable_stops_its_host_and_nothing_is_lost_when_it_is_plugged_in_again(
    network: Network, tmp_path: Path
) -> None:
    run, line = begin(network, tmp_path, "7s", "--workers", "1")
    left, right = join(network.left, line), join(network.right, line)
    run.says("agent left attached")
    run.says("agent right attached")
    network.grows(100)
    network.pull(network.left)
    left.says("the load stops: the coordinator was not heard")
    run.says("agent left was away")
    network.plug(network.left)
    run.says("agent left returned")
    assert run.end() == 0
    assert (left.end(), right.end()) == (1, 0)
    report = load_report(shlex.split(line)[5])
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == report.totals.ok == network.requests > 0
    assert report.run.partial
    assert {worker.host for worker in report.run.workers[1:]} == {"left", "right"}


def test_a_coordinator_that_dies_is_recovered_and_what_it_lacks_lies_on_the_other_hosts(
    network: Network, tmp_path: Path
) -> None:
    run, line = begin(network, tmp_path, "60s", "--workers", "0")
    agents = join(network.left, line), join(network.right, line)
    run.says("^running [2-9] s")
    run.kill()
    for agent in agents:
        agent.says("the load stops: the coordinator was not heard")
    sent = kept(network.left) + kept(network.right)
    for agent in agents:
        agent.end(signal.SIGINT)
        agent.says("frames could not be delivered; they are kept in")
    run_id = shlex.split(line)[5]
    told = network.coordinator.call("chaperon", "recover", run_id)
    for name in ("left", "right"):
        assert f"agent {name} had reported" in told
    report = load_report(run_id)
    check_sums(report)
    assert report.run.recovered
    assert report.run.partial
    assert 0 < report.totals.requests < sent == network.requests


def test_packets_that_come_late_twice_and_in_another_order_change_no_count(
    network: Network, tmp_path: Path
) -> None:
    for seed, host in enumerate((network.left, network.right)):
        network.spoil(host, seed)
    run, line = begin(network, tmp_path, "3s", "--workers", "1")
    agents = join(network.left, line), join(network.right, line)
    assert run.end() == 0
    assert [agent.end() for agent in agents] == [0, 0]
    assert network.coordinator.out_of_order > 0
    report = load_report(shlex.split(line)[5])
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == report.totals.ok == network.requests > 0
    assert not report.run.partial

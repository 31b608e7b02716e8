"""Runs between three hosts, attached by the line that is printed; the target's count decides."""

from __future__ import annotations

import shlex
import signal
import time
from pathlib import Path

import pytest

from chaperon_engine.client.archive import load_report
from tests.distributed.conftest import last_kept
from tests.engine.test_conservation import check_journal, check_sums
from tests.network.machines import Machine, Network
from tests.network.running import begin, join

pytestmark = [pytest.mark.e2e]


def kept(machine: Machine) -> int:
    """Requests that the agent of this machine sent, once its own journal has the end of it."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        [journal] = machine.home.glob("agents/*/journal")
        frame = last_kept(journal)
        if frame.last:
            return frame.totals.sent
        time.sleep(0.05)
    raise AssertionError(f"the load of {machine.name} does not end")


def test_a_pulled_cable_stops_its_host_and_nothing_is_lost_when_it_is_plugged_in_again(
    network: Network, tmp_path: Path
) -> None:
    run, line = begin(network, tmp_path, "8s", "--workers", "1")
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
    run, line = begin(network, tmp_path, "3s", "--workers", "1", limits="lease_s=10")
    agents = join(network.left, line), join(network.right, line)
    assert run.end() == 0
    assert [agent.end() for agent in agents] == [0, 0]
    machines = (network.coordinator, network.left, network.right)
    assert sum(machine.out_of_order for machine in machines) > 0
    report = load_report(shlex.split(line)[5])
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == report.totals.ok == network.requests > 0
    assert not report.run.partial

"""Partitions as long as people mean them, with the leases that everybody has: minutes.

`pytest -m soak` runs them; the suite does not.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import pytest

from chaperon_engine.client.archive import load_report
from tests.engine.test_conservation import check_journal, check_sums
from tests.network.machines import Network
from tests.network.running import begin, join

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def test_five_seconds_without_a_cable_cost_nothing_and_sixty_seconds_only_their_load(
    network: Network, tmp_path: Path
) -> None:
    run, line = begin(network, tmp_path, "100s", "--workers", "1", limits="")
    left, right = join(network.left, line), join(network.right, line)
    network.grows(200)
    network.pull(network.left)
    network.pull(network.right)
    time.sleep(5)
    network.plug(network.left)
    right.says("the load stops: the coordinator was not heard for 15 s")
    run.says("agent right was away")
    time.sleep(60 - 5 - 18)
    network.plug(network.right)
    run.says("agent right returned after")
    assert run.process.wait(timeout=120) == 0
    assert (left.end(), right.end()) == (0, 1)
    report = load_report(shlex.split(line)[5])
    check_sums(report)
    check_journal(report)
    assert report.totals.requests == report.totals.ok == network.requests > 0
    assert report.run.partial
    assert all("agent right" in reason for reason in report.run.reasons)
    print(run.said, left.said, right.said, *report.run.reasons, network.requests, sep="\n")

"""`chaperon run` and `chaperon worker join` on the machines of a network."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.network.machines import Machine, Network, Program

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
LIMITS = "lease_s=2, lease_margin_s=0.5, return_wait_s=10"
"""Short leases; everything else is as for a user."""


def begin(
    network: Network, folder: Path, duration: str, *options: str, limits: str = LIMITS
) -> tuple[Program, str]:
    """`chaperon run` on the coordinator's machine, and the join line that it prints; without
    `limits` it is the command as it is installed."""
    file = folder / "shop.py"
    file.write_text(SCENARIO.format(url=network.url, duration=duration))
    words = ["run", str(file), "--listen", "10.77.1.2:0", "--expect", "2", *options]
    command = ["chaperon"]
    if limits:
        command = [sys.executable, "-c", RUN.format(engine=ENGINE.format(limits=limits))]
    run = network.coordinator.start(*command, *words, name="run")
    return run, run.says(r"^ *(chaperon worker join .+)$")[1]


def join(machine: Machine, line: str) -> Program:
    """The join line as it was printed."""
    return machine.start("sh", "-c", f"exec {line}", name="agent")

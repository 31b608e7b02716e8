"""One measurement of one generator, and the arithmetic that cancels its start-up.

Each measurement is a short and a long run of the same command. What start and end cost is in both,
so the difference is the cost of the requests alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench.server import Server, requests_between

_MARGIN_S = 30.0
"""Time that a command may take beyond what it was asked to run."""


class RunFailed(Exception):
    """The generator did not do its work; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command did and cost."""

    requests: int
    """Requests that the server counted."""
    cpu_s: float
    """CPU seconds of all processes of the command."""
    wall_s: float
    """Seconds from its start to the end of its last process."""
    peak_bytes: int
    """Highest sum of the proportional set sizes of its processes."""
    server_cpu_s: float
    """CPU seconds of the server meanwhile."""
    others_cpu_s: float
    """CPU seconds of everything else on the machine, and what the hypervisor withheld."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Cost of the requests alone."""

    requests_per_s: float
    cpu_us_per_request: float
    peak_bytes: int
    server_busy: float
    """Share of its core that the server used, 0 to 1: near 1 it is the limit."""
    others_cores: float
    """Cores' worth of time that went to anything else in the more disturbed run."""


def difference(short: Run, long: Run) -> Measurement:
    """What the long run did beyond the short one. RunFailed when that is nothing."""
    requests = long.requests - short.requests
    wall_s = long.wall_s - short.wall_s
    if requests <= 0 or wall_s <= 0:
        raise RunFailed("the long run served no more requests than the short one")
    return Measurement(
        requests_per_s=requests / wall_s,
        cpu_us_per_request=(long.cpu_s - short.cpu_s) / requests * 1e6,
        peak_bytes=max(short.peak_bytes, long.peak_bytes),
        server_busy=(long.server_cpu_s - short.server_cpu_s) / wall_s,
        others_cores=max(each.others_cpu_s / each.wall_s for each in (short, long)),
    )


def run(command: Sequence[str], server: Server, core: int, seconds: float) -> Run:
    """Run `command`, which lasts about `seconds`, on `core` against `server`."""
    before, server_before_s, machine_before_s = server.status(), server.cpu_s(), _machine_cpu_s()
    supervisor = [sys.executable, "-m", "bench.supervisor", str(core), str(seconds + _MARGIN_S)]
    ended = subprocess.run(
        [*supervisor, *command],
        capture_output=True,
        text=True,
        timeout=seconds + 2 * _MARGIN_S,
        check=False,
    )
    if ended.returncode != 0:
        raise RunFailed(_last_line(ended.stderr) or "the supervisor failed")
    cost = json.loads(ended.stdout)
    server_cpu_s = server.cpu_s() - server_before_s
    machine_cpu_s = _machine_cpu_s() - machine_before_s
    requests = requests_between(before, server.status())
    if cost["timed_out"]:
        raise RunFailed(f"did not end within {_MARGIN_S:.0f} s after its time")
    if cost["exit_code"] != 0:
        reason = _last_line(cost["output"]) or "nothing printed"
        raise RunFailed(f"ended with exit code {cost['exit_code']}: {reason}")
    return Run(
        requests=requests,
        cpu_s=cost["cpu_s"],
        wall_s=cost["wall_s"],
        peak_bytes=cost["peak_bytes"],
        server_cpu_s=server_cpu_s,
        others_cpu_s=max(0.0, machine_cpu_s - server_cpu_s - cost["cpu_s"]),
    )


def _machine_cpu_s() -> float:
    """CPU seconds of the whole machine since its start, with those withheld from it (steal)."""
    times = psutil.cpu_times()
    used: float = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return used


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""

"""`python -m bench costs`: what each demand on the generator costs, layer by layer.

Each layer does what those before it do and one thing more (`scripts/layers.py`). CPU is measured as
in the comparison of generators: a short and a long run, interleaved rounds, ratios to wrk of the
same round. Instructions in user space are counted by valgrind; they hardly depend on what else the
machine does, and leave out what the kernel does for a request.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import machine, peers, server
from bench.measure import RunFailed, difference, run
from bench.table import render

_HERE = Path(__file__).parent
_SCRIPT = _HERE / "scripts" / "layers.py"
_SHORT_REQUESTS = 10_000
_COUNTED = (800, 2_400)
"""Requests of the two runs whose instructions are subtracted: valgrind is slow."""
_COUNTED_CONNECTIONS = 16
_TICKS = (20, 60)
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of the tables; `name` is that of the function in `scripts/layers.py`."""

    name: str
    what: str
    is_aside: bool = False
    """The layer after it does not stand above it but above the one before."""


LAYERS = (
    Layer("callbacks", "httptools in a protocol, callbacks only"),
    Layer("future", "+ a task that awaits one future per request"),
    Layer("client", "+ our client: limits, deadlines, pools, errors"),
    Layer("recorded", "+ counters, histograms, first byte, statuses, bytes"),
    Layer("verbs", "+ the session's verbs and labels"),
    Layer("iterations", "+ one iteration for each request"),
    Layer("changing", "  the same, a header field different in each reply", is_aside=True),
    Layer("worker", "+ health, and a frame each second"),
)
_WHOLE = "the whole run, all processes"


def instructions(text: str) -> dict[int, int]:
    """Instructions by process, over all its threads, from what valgrind's exp-bbv printed."""
    counts: dict[int, int] = {}
    for pid, count in re.findall(r"^==(\d+)== #\s+Total instructions: (\d+)", text, re.MULTILINE):
        counts[int(pid)] = counts.get(int(pid), 0) + int(count)
    return counts


def per_unit(jobs: str, counts: Mapping[int, int]) -> dict[str, float]:
    """Instructions per request and layer.

    `jobs` are the lines that `layers.py` printed: process, layer, requests. Each layer stands there
    twice, with few and with many requests; what start and end cost is in both. Raises ValueError
    when a job is missing.
    """
    runs: dict[str, list[tuple[int, int]]] = {}
    for line in jobs.splitlines():
        pid, name, requests = line.split()
        if int(pid) not in counts:
            raise ValueError(f"valgrind counted nothing for {name}")
        runs.setdefault(name, []).append((int(requests), counts[int(pid)]))
    result = {}
    for name, pair in runs.items():
        (few, less), (many, more) = sorted(pair)
        result[name] = (more - less) / (many - few)
    return result


def measure_costs(rounds: int, requests: int, *, count_instructions: bool) -> int:
    """Measure and print; 1 when it cannot be measured here."""
    cores = machine.cores()
    if len(cores) < 2:
        print("the costs need two cores: one for nginx, one for the generator")
        return 1
    if count_instructions and shutil.which("valgrind") is None:
        print("valgrind is missing: install it (apt-get install valgrind)")
        return 1
    print("\n".join(machine.describe()))
    try:
        with server.running(cores[0]) as nginx:
            if count_instructions:
                print(_instruction_table(nginx, cores[1]))
            if rounds:
                print(_cpu_table(nginx, cores[1], rounds, requests))
    except (server.ServerMissing, RunFailed, ValueError, subprocess.TimeoutExpired) as error:
        print(f"not measured: {error}")
        return 1
    return 0


def _command(url: str, connections: int, jobs: Sequence[tuple[str, int]]) -> list[str]:
    words = [str(word) for job in jobs for word in job]
    return [sys.executable, str(_SCRIPT), url, str(connections), *words]


def _instruction_table(nginx: server.Server, core: int) -> str:
    # Health and frames come with the clock, not with requests, and under valgrind seconds are long:
    # they are counted for themselves.
    names = [layer.name for layer in LAYERS if layer.name != "worker"]
    jobs = [(name, count) for name in names for count in _COUNTED]
    jobs += [("tick", count) for count in _TICKS]
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=exp-bbv", "--instr-count-only=yes"]
        files = [f"--{kind}-out-file={folder}/{kind}" for kind in ("bb", "pc")]
        ended = subprocess.run(
            [*valgrind, *files, *_command(nginx.url, _COUNTED_CONNECTIONS, jobs)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    if ended.returncode:
        raise RunFailed("a layer failed under valgrind")
    costs = per_unit(ended.stdout, instructions(ended.stderr))
    rows = []
    before: float | None = None
    for layer in LAYERS:
        if layer.name in names:
            cost = costs[layer.name]
            more = "-" if before is None else f"{cost - before:+,.0f}"
            rows.append((layer.what, f"{cost:,.0f}", more))
            if not layer.is_aside:
                before = cost
    head = ("layer", "instructions/request", "more than before")
    tick = (
        "Recording 1,000 requests, and then a worker's health and frame of one second: "
        f"{costs['tick']:,.0f} instructions."
    )
    return f"\n{render(head, rows)}\n\n{tick}"


def _cpu_table(nginx: server.Server, core: int, rounds: int, requests: int) -> str:
    measured: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    for _ in range(rounds):
        wrk = _timed(nginx, core, peers.all_peers()[0].command)
        for name, cost in {"wrk": wrk, **_round(nginx, core, requests)}.items():
            measured.setdefault(name, []).append(cost)
            ratios.setdefault(name, []).append(cost / wrk)
    rows = []
    before: float | None = None
    for name, costs in measured.items():
        layer = next((layer for layer in LAYERS if layer.name == name), Layer(name, name))
        cost = median(costs)
        more = "-" if before is None or name == _WHOLE else f"{cost - before:+.1f}"
        spread = f"{min(ratios[name]):.2f}-{max(ratios[name]):.2f}"
        rows.append((layer.what, f"{cost:.1f}", more, f"{median(ratios[name]):.2f}", spread))
        if not layer.is_aside:
            before = None if name == "wrk" else cost
    head = ("layer", "CPU us/request", "more than before", "times wrk's", "lowest-highest")
    return f"\n{render(head, rows)}"


def _round(nginx: server.Server, core: int, requests: int) -> dict[str, float]:
    """CPU microseconds per request of each layer, and of the whole run."""
    costs = {}
    for layer in LAYERS:
        short, long = (
            run(_command(nginx.url, peers.CONNECTIONS, [(layer.name, count)]), nginx, core, 60.0)
            for count in (_SHORT_REQUESTS, _SHORT_REQUESTS + requests)
        )
        costs[layer.name] = difference(short, long).cpu_us_per_request
    whole = _HERE / "scenarios" / "get.py"
    costs[_WHOLE] = _timed(
        nginx, core, lambda url, s: peers.chaperon_command(whole, url, s, peers.CONNECTIONS)
    )
    return costs


def _timed(nginx: server.Server, core: int, command: Callable[[str, float], list[str]]) -> float:
    """CPU microseconds per request of a generator that runs for a time."""
    short, long = (run(command(nginx.url, length), nginx, core, length) for length in (1.0, 4.0))
    return difference(short, long).cpu_us_per_request

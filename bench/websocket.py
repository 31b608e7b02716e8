"""`python -m bench websocket`: CPU of one echo, behind the session call and bare.

A counting echo server on one core, each client in turn on the other. Each measurement is a short
and a long run; their difference, divided by the echoes that the server counted beyond the short
one's, is the cost of an echo alone. On a busy machine only ratios within a round mean something.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from statistics import median

from bench import machine
from bench.websocket_client import WALKS

_REFERENCE = "picows bare"
_TIMEOUT_S = 120


def measure_websocket(rounds: int, echoes: int, connections: int, only: list[str]) -> int:
    """Measure and print the table; 1 when it cannot be measured here."""
    cores = machine.cores()
    if len(cores) < 2:
        print("not measured: it needs two cores")
        return 1
    names = [name for name in WALKS if not only or name in only]
    missing = {name for name in names if "websockets" in name and not find_spec("websockets")}
    print("\n".join(machine.describe()))
    measured: dict[str, list[tuple[float, float]]] = {
        name: [] for name in names if name not in missing
    }
    with server(cores[0]) as port:
        for number in range(rounds):
            order = list(measured)
            for name in order if number % 2 == 0 else reversed(order):
                measured[name].append(_measure(name, port, cores[-1], echoes, connections))
    print(f"\n{connections} connections, {echoes:,} echoes a run, {rounds} rounds, medians\n")
    print("| client | CPU us/echo | lowest | highest | echoes/s | CPU / picows bare |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, results in measured.items():
        cpu = [each[0] for each in results]
        rate = median(each[1] for each in results)
        print(
            f"| {name} | {median(cpu):.1f} | {min(cpu):.1f} | {max(cpu):.1f} | {rate:,.0f} | "
            f"{_ratio(results, measured.get(_REFERENCE))} |"
        )
    for name in missing:
        print(f"| {name} | not installed | | | | |")
    return 0


def _ratio(results: list[tuple[float, float]], reference: list[tuple[float, float]] | None) -> str:
    if not reference:
        return "–"
    pairs = zip(results, reference, strict=True)
    return f"{median(mine[0] / base[0] for mine, base in pairs):.2f}"


def _measure(name: str, port: int, core: int, echoes: int, connections: int) -> tuple[float, float]:
    """CPU in us of an echo, and echoes in a second."""
    runs: list[tuple[int, dict[str, float]]] = []
    for count in (echoes // 4, echoes):
        before = _count(port)
        command = [sys.executable, "-m", "bench.websocket_client", name, str(port), str(core)]
        ended = subprocess.run(
            [*command, str(count), str(connections)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if ended.returncode:
            raise SystemExit(f"{name} failed: {ended.stderr.strip().splitlines()[-1:]}")
        runs.append((_count(port) - before, json.loads(ended.stdout)))
    (few, short), (many, long) = runs
    served = many - few
    return (
        (long["cpu_s"] - short["cpu_s"]) / served * 1e6,
        served / (long["wall_s"] - short["wall_s"]),
    )


def _count(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=5) as reply:
        return int(reply.read())


@contextlib.contextmanager
def server(core: int) -> Iterator[int]:
    """The echo server on a core; its port."""
    command = [sys.executable, "-m", "bench.websocket_server", str(core)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()

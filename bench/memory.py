"""`python -m bench memory`: what one more idle session with an open connection costs.

Two runs of the same scenario with few and with many sessions; when nginx has seen a connection of
each, the private memory of all of Chaperon's processes is read. The difference by the number of
sessions is the cost of one; what the processes need by themselves cancels out. Socket buffers,
which belong to the kernel, are not in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from bench import machine, peers, server
from bench.supervisor import adopt_orphans, descendants, private_bytes

_CONNECT_TIMEOUT_S = 60.0
_SETTLE_TIMEOUT_S = 10.0
_SETTLE_STEP_S = 0.5
_STEADY = 0.002
"""Relative change between two readings below which memory counts as settled."""
_END_TIMEOUT_S = 10.0

_IDLE = Path(__file__).parent / "scenarios" / "idle.py"


def per_session(few: int, few_bytes: int, many: int, many_bytes: int) -> float:
    """Bytes of one session, from the memory of a run with `few` and of one with `many`."""
    if many <= few:
        raise ValueError("the large run needs more sessions than the small one")
    return (many_bytes - few_bytes) / (many - few)


def measure_memory(few: int, many: int) -> int:
    """Measure and print; 1 when it cannot be measured here."""
    if reason := peers.chaperon_missing():
        print(f"not measured: {reason}")
        return 1
    if not 0 < few < many < server.MAX_CONNECTIONS:
        print(f"--few must be smaller than --many, and --many below {server.MAX_CONNECTIONS}")
        return 1
    adopt_orphans()
    print("\n".join(machine.describe()))
    try:
        with server.running(machine.cores()[0]) as nginx:
            few_bytes, many_bytes = (_settled_bytes(nginx, count) for count in (few, many))
    except (server.ServerMissing, TimeoutError) as error:
        print(f"not measured: {error}")
        return 1
    cost = per_session(few, few_bytes, many, many_bytes)
    print(f"{few} sessions: {few_bytes / 1024**2:.1f} MiB private in all processes")
    print(f"{many} sessions: {many_bytes / 1024**2:.1f} MiB private in all processes")
    print(f"one idle session with an open connection: {cost / 1024:.1f} KiB")
    return 0


def _settled_bytes(nginx: server.Server, sessions: int) -> int:
    """Private bytes of a run with that many sessions, each connected and idle."""
    command = peers.chaperon_command(_IDLE, nginx.url, 600, sessions)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + _CONNECT_TIMEOUT_S
        # The reading's own connection is one of the active ones.
        while (connected := nginx.status().active - 1) < sessions:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"only {connected} of {sessions} sessions connected")
            time.sleep(0.1)
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        last = _private(nginx)
        while time.monotonic() < deadline:
            time.sleep(_SETTLE_STEP_S)
            now = _private(nginx)
            if abs(now - last) <= _STEADY * last:
                return now
            last = now
        return last
    finally:
        _end(process, nginx)


def _private(nginx: server.Server) -> int:
    return sum(private_bytes(pid) for pid in descendants(os.getpid()) if pid != nginx.pid)


def _end(process: subprocess.Popen[bytes], nginx: server.Server) -> None:
    """End all processes of the run: interrupt it, and kill what is left after a while."""
    if process.poll() is None:
        # The second interruption tells it not to wait for the sessions.
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(_SETTLE_STEP_S)
    deadline = time.monotonic() + _END_TIMEOUT_S
    while left := [pid for pid in descendants(os.getpid()) if pid != nginx.pid]:
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        process.poll()
        for pid in left:
            if pid != process.pid:
                _reap(pid)
        time.sleep(0.05)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return

"""Runs one command on one core and says what all its processes cost; a process of its own.

`python -m bench.supervisor CORE TIMEOUT_S COMMAND...` prints one JSON line (`Cost` in `measure`).

It makes itself the sub-reaper of its descendants: a process that leaves its parent, such as a
daemon in a session of its own, is still waited for here. Every descendant is reaped by its parent
or by this process, so `getrusage(RUSAGE_CHILDREN)` at the end is the CPU of all of them. (A process
that ignores SIGCHLD would lose its children's share; none of the measured ones does.)

Memory is the highest sum of the proportional set sizes of all descendants, read four times a
second: pages that forked workers share are counted once.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

_PR_SET_CHILD_SUBREAPER = 36
_SAMPLE_S = 0.25
_ORPHAN_POLL_S = 0.02
_TAIL = 2000


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends (Linux)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a sub-reaper")


def descendants(pid: int) -> list[int]:
    """Process ids of all living descendants."""
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(child) for child in task.read_text().split()]
            except OSError:
                continue
            found += children
            parents += children
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size: own pages, and of each shared page the share; 0 for the dead."""
    return _rollup_bytes(pid, "Pss:")


def private_bytes(pid: int) -> int:
    """Pages that no other process has; 0 for the dead."""
    return _rollup_bytes(pid, "Private_Clean:", "Private_Dirty:")


def _rollup_bytes(pid: int, *names: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def main() -> int:
    """Run the command, print its cost; 0 unless it could not be started."""
    core, timeout_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    adopt_orphans()
    own_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        # Sampling must not take time from the generator's core.
        os.sched_setaffinity(0, own_cores - {core} or own_cores)
        ended = os.pidfd_open(process.pid)
        output = bytearray()
        assert process.stdout is not None
        reader = threading.Thread(target=_keep_tail, args=(process.stdout, output), daemon=True)
        reader.start()
        peak, timed_out, code = 0, False, None
        while True:
            peak = max(peak, sum(pss_bytes(pid) for pid in descendants(os.getpid())))
            if code is None:
                code = process.poll()
            if code is not None and not _reap_orphans():
                break
            if not timed_out and time.perf_counter() - begin > timeout_s:
                timed_out = True
                for pid in descendants(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
            # Returns at the very moment when the main process ends; orphans are polled.
            if code is None:
                select.select([ended], [], [], _SAMPLE_S)
            else:
                time.sleep(_ORPHAN_POLL_S)
        wall_s = time.perf_counter() - begin
        reader.join(timeout=5)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "wall_s": wall_s,
                "peak_bytes": peak,
                "exit_code": code,
                "timed_out": timed_out,
                "output": output.decode(errors="replace"),
            }
        )
    )
    return 0


def _reap_orphans() -> bool:
    """Reap all that ended; whether any descendant still lives."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _keep_tail(stream: IO[bytes], output: bytearray) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        output += chunk
        del output[:-_TAIL]


if __name__ == "__main__":
    sys.exit(main())

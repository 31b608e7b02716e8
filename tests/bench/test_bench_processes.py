"""The benchmarks' measuring: a real nginx counts, and a supervisor accounts for every process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from bench import server
from bench.measure import RunFailed, run

ROOT = Path(__file__).parents[2]

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") is None
    and os.environ.get("CI") != "true",
    reason="nginx is not installed here",
)

SPIN = "import time\nwhile time.process_time() < 0.2: pass\n"

ORPHAN = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        exec({SPIN!r})
    os._exit(0)
"""


def supervised(*command: str) -> dict[str, object]:
    core = str(min(os.sched_getaffinity(0)))
    ended = subprocess.run(
        [sys.executable, "-m", "bench.supervisor", core, "10", *command],
        cwd=ROOT,
        capture_output=True,
        timeout=20,
        check=True,
    )
    document: dict[str, object] = json.loads(ended.stdout)
    return document


def test_cpu_time_of_a_daemon_that_left_its_parent_is_counted() -> None:
    cost = supervised(sys.executable, "-c", ORPHAN)
    assert cost["exit_code"] == 0
    assert isinstance(cost["cpu_s"], float)
    assert 0.2 <= cost["cpu_s"] < 1.0


def test_peak_memory_and_the_end_of_the_output_are_reported() -> None:
    hold = (
        "import time; held = b'x' * 50_000_000; print('held'); time.sleep(0.6); raise SystemExit(3)"
    )
    cost = supervised(sys.executable, "-c", hold)
    assert cost["exit_code"] == 3
    assert cost["output"] == "held\n"
    assert isinstance(cost["peak_bytes"], int)
    assert 50_000_000 < cost["peak_bytes"] < 100_000_000


@needs_nginx
@pytest.mark.server
def test_nginx_counts_exactly_what_a_command_asked() -> None:
    core = min(os.sched_getaffinity(0))
    with server.running(core) as nginx:
        with urllib.request.urlopen(nginx.url, timeout=5) as reply:
            assert len(reply.read()) == 200
        code = f"import urllib.request as u\nfor _ in range(25): u.urlopen({nginx.url!r}).read()"
        measured = run([sys.executable, "-c", code], nginx, core, 1)
        assert measured.requests == 25
        assert measured.cpu_s > 0
        with pytest.raises(RunFailed, match="exit code 1: ValueError: no"):
            run([sys.executable, "-c", "raise ValueError('no')"], nginx, core, 1)

"""Describes the machine that a table was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil


def cores() -> list[int]:
    """Numbers of the cores that this process may use, ascending."""
    return sorted(os.sched_getaffinity(0))


def cpu_model() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def first_line(command: Sequence[str]) -> str:
    """The first line that a command prints on either stream, for versions; empty when it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, timeout=20, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
    return lines[0].strip() if lines else ""


def interpreter() -> str:
    """Which Python runs: builds of one version differ by a third in what a request costs."""
    return f"Python {platform.python_version()} of {os.path.realpath(sys.executable)}"


def describe() -> list[str]:
    """Lines that every result is printed with."""
    memory_gib = psutil.virtual_memory().total / 1024**3
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return [
        f"machine: {len(cores())} cores of {cpu_model()}, {memory_gib:.0f} GiB",
        f"system: {platform.system()} {platform.release()}, {interpreter()}",
        f"load average before: {load}",
    ]

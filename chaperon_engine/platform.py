"""What differs between operating systems: cores, pinning, processor times, descriptor limits,
exact timers, that a process ends with its parent, and that a connection notices a silent peer.

Linux has all of it; elsewhere each function gives the plain answer its docstring names. Must not
know workers or runs. `root` stands for the file system's root, so that tests can lay out their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")

_PR_SET_PDEATHSIG = 1
_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1


def usable_cores(root: Path = ROOT) -> list[int]:
    """Numbers of the cores that this process may keep busy, ascending, at least one.

    The affinity mask says which; a cgroup's processor quota may allow fewer: a quota of 2.5 cores
    gives the first two, because a worker on half a core would be throttled in mid-measurement.
    """
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    quota = cpu_quota(root)
    return cores if quota is None else cores[: max(1, int(quota))]


def cpu_quota(root: Path = ROOT) -> float | None:
    """The processor quota in cores, the least of this process's cgroup and all above it.

    None when there is none, and always where there are no cgroups.
    """
    quotas = [quota for group in _cgroups(root) if (quota := _quota_of(group)) is not None]
    return min(quotas, default=None)


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders that may hold a quota for this process, in both versions of the interface."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mounts = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [mount / controllers, mount / "cpu"]
        else:
            continue
        # In a container the path may be the host's; what exists of it counts, and its parents.
        inside = PurePosixPath(path.strip().lstrip("/"))
        for folder in mounts:
            yield from (folder / group for group in (inside, *inside.parents))


def _quota_of(group: Path) -> float | None:
    limits = " ".join(_lines(group / "cpu.max")).split()
    if not limits:
        limits = _lines(group / "cpu.cfs_quota_us") + _lines(group / "cpu.cfs_period_us")
    try:
        quota, period = (int(limit) for limit in limits)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def pin(core: int) -> bool:
    """Keep this process on one core; False where that is impossible."""
    if sys.platform != "linux":
        return False
    try:
        os.sched_setaffinity(0, {core})
    except OSError:
        return False
    return True


class CoreTimes(NamedTuple):
    """Times of one core since boot, in ticks of the system; only differences have a meaning."""

    busy: int
    steal: int
    """What the hypervisor gave to others while this core had work."""
    total: int


def core_times(core: int, root: Path = ROOT) -> CoreTimes | None:
    """Times of a core, or None where the system does not tell."""
    start = f"cpu{core} "
    for line in _lines(root / "proc/stat"):
        if line.startswith(start):
            # user nice system idle iowait irq softirq steal; guest times are part of user
            times = [int(field) for field in line.split()[1:9]]
            times += [0] * (8 - len(times))
            idle = times[3] + times[4]
            return CoreTimes(sum(times[:7]) - idle, times[7], sum(times))
    return None


def steal_share(before: CoreTimes | None, after: CoreTimes | None) -> float:
    """Share of the time between two readings that was stolen, 0 to 1; 0 when unknown."""
    if before is None or after is None or after.total <= before.total:
        return 0.0
    return min(max((after.steal - before.steal) / (after.total - before.total), 0.0), 1.0)


def suspended_s() -> float:
    """How long this machine has slept since it was started, which its monotonic clock leaves out;
    0 where the system does not tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock) - time.monotonic()


def process_cpu_ns() -> int:
    """Processor time that this process has used, user and system, in nanoseconds."""
    return time.process_time_ns()


def resident_bytes(root: Path = ROOT) -> int:
    """Memory of this process now; where the system does not tell, its peak."""
    fields = " ".join(_lines(root / "proc/self/statm")).split()
    if len(fields) > 1:
        return int(fields[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def open_descriptors() -> int:
    """How many descriptors this process has open; 0 where the system does not tell."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1
        except OSError:
            continue
    return 0


def raise_descriptor_limit() -> int:
    """Raise the soft limit on descriptors as far as it goes; gives the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard
    if hard == resource.RLIM_INFINITY:
        # macOS says unlimited and refuses more than this.
        wanted = 10240 if sys.platform == "darwin" else 1_048_576
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def die_with_parent() -> bool:
    """Have this process killed when its parent ends; False where the system cannot do that."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)


def watch_connection(connection: socket.socket, silent_s: float) -> None:
    """Have a TCP connection end when its peer is silent: probed while nothing is sent, and given
    up `silent_s` after the last sign of life.

    Without it a partition goes unnoticed for many minutes. Where the system cannot limit how long
    sent bytes stay unacknowledged (`TCP_USER_TIMEOUT`, Linux), only an idle connection is watched.
    """
    probes = 3
    every_s = max(1, int(silent_s / (probes + 1)))
    options = {
        "TCP_KEEPIDLE": every_s,
        "TCP_KEEPALIVE": every_s,  # macOS's name of the one above
        "TCP_KEEPINTVL": every_s,
        "TCP_KEEPCNT": probes,
        "TCP_USER_TIMEOUT": int(silent_s * 1000),
    }
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def open_timerfd(first_ns: int, period_ns: int) -> int | None:
    """A descriptor that becomes readable at `first_ns` and each period after; None where there is
    no timerfd."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))
    if descriptor < 0:
        return None
    spec = _TimerSpec(
        _TimeSpec(*divmod(period_ns, 1_000_000_000)), _TimeSpec(*divmod(first_ns, 1_000_000_000))
    )
    if libc.timerfd_settime(descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
        os.close(descriptor)
        return None
    return descriptor

import os
import socket
import sys

import pytest

from chaperon_engine import platform
from chaperon_engine.platform import CoreTimes

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def lay_out(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


QUOTAS = [
    # files, cores                                                meaning
    ({}, None),  # no cgroups at all
    ({"proc/self/cgroup": "0::/\n"}, None),  # version 2 without limits
    (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
        1.5,
    ),  # version 2, in a container's own root
    (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        None,
    ),  # version 2, limit lifted
    (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
        },
        2.0,
    ),  # the least of all groups above counts
    (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        },
        0.5,
    ),  # version 1
    (
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),  # version 1 without a limit
    (
        {"proc/self/cgroup": "0::/gone/from/here\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
        3.0,
    ),  # the host's path, which does not exist in this container
    (
        {"proc/self/cgroup": "nonsense\n\n0::/\n", "sys/fs/cgroup/cpu.max": "a b c\n"},
        None,
    ),  # text that is none of the above
]


@pytest.mark.parametrize(("files", "cores"), QUOTAS)
def test_the_quota_is_read_from_both_versions_of_cgroups(tmp_path, files, cores):
    assert platform.cpu_quota(lay_out(tmp_path, files)) == cores


@on_linux
def test_a_quota_leaves_only_whole_cores_and_at_least_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 2, 4, 5})
    assert platform.usable_cores(tmp_path) == [2, 4, 5, 7]
    lay_out(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000"})
    assert platform.usable_cores(tmp_path) == [2, 4]
    lay_out(tmp_path, {"sys/fs/cgroup/cpu.max": "10000 100000"})
    assert platform.usable_cores(tmp_path) == [2]


def test_elsewhere_all_cores_are_usable_and_none_can_be_pinned(monkeypatch, tmp_path):
    monkeypatch.setattr(platform.sys, "platform", "darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert platform.usable_cores(tmp_path) == [0, 1, 2]
    assert platform.pin(0) is False
    assert platform.core_times(0, tmp_path) is None
    assert platform.resident_bytes(tmp_path) > 0


@on_linux
def test_a_pinned_process_stays_on_its_core():
    core = platform.usable_cores()[-1]
    pid = os.fork()
    if pid == 0:
        ok = platform.pin(core) and os.sched_getaffinity(0) == {core} and not platform.pin(100_000)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


STAT = "cpu  9 9 9 9\ncpu1 1 1 1 1\ncpu10 100 5 50 800 20 1 4 20 0 0\ncpu11 1 1 1 1\nintr 1\n"


def test_times_of_one_core_are_told_apart_from_those_of_others(tmp_path):
    lay_out(tmp_path, {"proc/stat": STAT})
    assert platform.core_times(10, tmp_path) == CoreTimes(busy=160, steal=20, total=1000)
    assert platform.core_times(1, tmp_path) == CoreTimes(busy=3, steal=0, total=4)
    assert platform.core_times(2, tmp_path) is None


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        (CoreTimes(0, 10, 100), CoreTimes(0, 30, 300), 0.1),
        (CoreTimes(0, 10, 100), CoreTimes(0, 10, 100), 0.0),  # no time passed
        (CoreTimes(0, 10, 100), CoreTimes(0, 5, 200), 0.0),  # counters that go back
        (None, CoreTimes(0, 10, 100), 0.0),  # unknown
    ],
)
def test_steal_is_a_share_of_the_time_between_two_readings(before, after, share):
    assert platform.steal_share(before, after) == pytest.approx(share)


def test_this_process_has_processor_time_memory_and_descriptors():
    assert platform.process_cpu_ns() > 0
    assert platform.resident_bytes() > 2**20
    before = platform.open_descriptors()
    reader, writer = os.pipe()
    try:
        assert platform.open_descriptors() == before + 2
    finally:
        os.close(reader)
        os.close(writer)


def test_the_soft_limit_on_descriptors_is_raised_to_the_hard_one():
    pid = os.fork()
    if pid == 0:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        limit = platform.raise_descriptor_limit()
        same = limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
        os._exit(0 if same and platform.raise_descriptor_limit() == limit else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_connection_is_probed_and_given_up_when_its_peer_is_silent():
    with socket.socket() as connection:
        platform.watch_connection(connection, 12.0)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if sys.platform == "linux":
            options = {
                name: connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            assert options == {
                "TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 12_000,
            }  # fmt: skip


def test_where_an_option_is_missing_the_others_are_set(monkeypatch):
    for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE"):
        monkeypatch.delattr(socket, name, raising=False)
    with socket.socket() as connection:
        platform.watch_connection(connection, 12.0)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

"""`chaperon run` as a process of its own, a real sshd, real dask schedulers and workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
import pytest
import trustme

from chaperon_engine.runs.report import Report
from tests.distributed.conftest import home, scenario, server

__all__ = ["home", "scenario", "server"]

WAIT_S = 40.0
"""For anything that happens when the machine is not busy within seconds."""


class Running:
    """A `chaperon run` and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process, report: Path):
        self.process = process
        self.said = ""
        self._report = report
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said += line.decode()
            self._changed.set()
        self._changed.set()

    async def says(self, text: str) -> None:
        """Wait until it has printed this."""
        try:
            async with asyncio.timeout(WAIT_S):
                while text not in self.said:
                    assert not self._reading.done(), self.said
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not said: {self.said}") from None

    async def ends(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(WAIT_S):
            code = await self.process.wait()
            await self._reading
        return code

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    @property
    def report(self) -> Report:
        return msgspec.json.decode(self._report.read_bytes(), type=Report)

    def engine(self) -> psutil.Process:
        """The process of its engine."""
        (found,) = [
            each
            for each in psutil.Process(self.process.pid).children()
            if "chaperon_engine.engine" in each.cmdline()
        ]
        return found


Run = Callable[..., Awaitable[Running]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Starts `chaperon run FILE` with these arguments; its workers are those of the agents."""
    started: list[Running] = []

    async def start(file: Path, *arguments: str, env: dict[str, str] | None = None) -> Running:
        report = tmp_path / f"report{len(started)}.json"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaperon_engine.cli", "run", str(file), "--workers", "0",
            "--listen", "127.0.0.1:0", "--out", f"json={report}", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env={**os.environ, **(env or {})},
        )  # fmt: skip
        started.append(Running(process, report))
        return started[-1]

    yield start
    for running in started:
        if running.process.returncode is None:
            running.process.kill()
            await running.process.wait()


def agents_of(home: Path) -> list[psutil.Process]:
    """Agents (not their workers) whose data folder is this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "chaperon_engine.cli" not in words or "join" not in words:
                continue
            if process.environ().get("CHAPERON_HOME") != str(home):
                continue
            parent = process.parent()
            if parent is None or parent.cmdline() != words:
                found.append(process)
    return found


async def no_agents(home: Path) -> None:
    """Wait until they are gone."""
    async with asyncio.timeout(WAIT_S):
        # Processes of others have no event to offer.
        while agents_of(home):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def tokens_of(home: Path) -> list[str]:
    """Keys of the agents' tokens of all runs there are, as they stand in files."""
    return [path.read_text().strip() for path in home.glob("runs/*/agent.token")]


def visible_to_others(secrets: list[str]) -> list[str]:
    """Processes whose arguments or environment hold one of these."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            shown = " ".join(process.cmdline()) + " ".join(process.environ().values())
            if any(secret in shown for secret in secrets):
                found.append(shown)
    return found


# ssh


@dataclass(frozen=True)
class Ssh:
    """An sshd on loopback; the `ssh` in `path` knows the hosts load1, load2 and dead."""

    path: str
    """For the environment."""
    home: Path
    """Data folder of the agents there."""

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": self.path}

    @property
    def command(self) -> str:
        """How Chaperon is called on these hosts."""
        return f"env CHAPERON_HOME={self.home} {sys.executable} -m chaperon_engine.cli"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    sshd, client, keygen = (
        shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        for name in ("sshd", "ssh", "ssh-keygen")
    )
    if sshd is None or client is None or keygen is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs sshd: install openssh-server")
        pytest.skip("no sshd here: install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True
        )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself up
    port = _free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\n"
    )
    key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {key}\n")
    (folder / "ssh_config").write_text(
        f"Host load1 load2\n  Port {port}\nHost dead\n  Port {_free_port()}\n"
        f"Host *\n  HostName 127.0.0.1\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n"
    )
    tools = folder / "bin"
    tools.mkdir()
    (tools / "ssh").write_text(f'#!/bin/sh\nexec {client} -F {folder}/ssh_config "$@"\n')
    (tools / "ssh").chmod(0o755)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _until(lambda: "listening" in (folder / "log").read_text(), server, folder / "log")
        yield Ssh(path=f"{tools}:{os.environ['PATH']}", home=folder / "home")
    finally:
        server.terminate()
        server.wait(10)


def _until(is_there: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + WAIT_S
    while not is_there():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.05)


# dask


@dataclass
class Cluster:
    """A scheduler with mutual TLS and workers, each on a loopback address of its own."""

    folder: Path
    env: dict[str, str]
    """What a client needs to take part."""
    home: Path
    """Data folder of the agents."""
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    nannies: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """By address."""

    def begin(self) -> None:
        file = self.folder / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--protocol", "tls",
            "--scheduler-file", str(file), "--no-dashboard",
        )  # fmt: skip

        def is_written() -> bool:
            with contextlib.suppress(OSError, ValueError):
                self.address = json.loads(file.read_text())["address"]
            return bool(self.address)

        _until(is_written, self.scheduler, self.folder / "log")

    def add(self, *hosts: str) -> None:
        """Start nannies with a worker each and wait for them."""
        for host in hosts:
            self.nannies[host] = self._start(
                "dask_worker", self.address, "--host", host, "--protocol", "tls", "--nthreads", "1",
                "--name", f"node-{host}", "--no-dashboard",
                "--memory-limit", "0", "--local-directory", str(self.folder),
            )  # fmt: skip
        for host in hosts:
            _until(
                lambda host=host: f"name: node-{host}" in self.log,  # type: ignore[misc]
                self.nannies[host], self.folder / "log",
            )  # fmt: skip

    def is_there_again(self, host: str) -> None:
        """Wait until the scheduler has a second worker from this nanny."""
        came = f"Register worker addr: tls://{host}"
        _until(lambda: self.log.count(came) > 1, self.nannies[host], self.folder / "log")

    @property
    def log(self) -> str:
        """What scheduler, nannies and workers have written."""
        return (self.folder / "log").read_text()

    @property
    def fleet(self) -> list[str]:
        return ["--fleet", f"dask://{self.address}"]

    def worker(self, host: str) -> psutil.Process:
        """The worker of a nanny."""
        (found,) = [
            each
            for each in psutil.Process(self.nannies[host].pid).children()
            if any("spawn_main" in word for word in each.cmdline())
        ]
        return found

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.env, "CHAPERON_HOME": str(self.home)},
                start_new_session=True,
            )  # fmt: skip

    def close(self) -> None:
        processes = [*self.nannies.values(), *([self.scheduler] if self.scheduler else [])]
        children = []
        for process in processes:
            with contextlib.suppress(psutil.Error):
                children += psutil.Process(process.pid).children(recursive=True)
        for process in processes:
            process.kill()
            process.wait(10)
        for child in [*children, *agents_of(self.home)]:
            with contextlib.suppress(psutil.Error):
                child.kill()


def certificates(folder: Path, authority: trustme.CA) -> dict[str, str]:
    """Dask's settings for a certificate of this authority."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    pem = folder / "node.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    found = {f"{prefix}CA_FILE": str(folder / "ca.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        found |= {f"{prefix}{role}__CERT": str(pem), f"{prefix}{role}__KEY": str(pem)}
    return found


def make_cluster(folder: Path) -> Cluster:
    # What costs processor time and is not needed: profiler, stealing, memory watching.
    quick = {
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
        "DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL": "10s",
    }
    cluster = Cluster(folder, quick | certificates(folder, trustme.CA()), folder / "home")
    cluster.begin()
    return cluster

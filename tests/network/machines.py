"""Machines on one machine: network namespaces with host names of their own, cables, a router.

A namespace here has no name and lives as long as a process in it: the keeper, which ends when its
standard input is closed, and what runs on the machine, which ends with the tests. So nothing of it
stays, also when the tests themselves are killed.

    coordinator 10.77.1.2 ─┐            ┌─ 10.88.1.2
           left 10.77.2.2 ─┼─ router    ├─ 10.88.2.2 ── target 10.99.0.1
          right 10.77.3.2 ─┘            └─ 10.88.3.2

The load goes over cables of its own, so that a pulled cable between agents and coordinator leaves
every request countable.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

WAIT_S = 30.0
TARGET = "10.99.0.1"
CABLE = Path(__file__).with_name("cable.py")
HOSTS = ("coordinator", "left", "right")

_KEEPER = """
import socket, sys
socket.sethostname(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def missing() -> str:
    """Why there can be no such machines here; empty when there can."""
    if shutil.which("ip") is None and not os.environ.get("CI"):
        return "ip (iproute2) is not installed"
    commands = (
        ["unshare", "--net", "--uts", "setpriv", "--pdeathsig", "KILL", "--", "true"],
        ["unshare", "--net", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            return f"no network namespaces here: {' '.join(command)}: {done.stderr.strip()}"
    return ""


class Program:
    """A process on a machine, in a session of its own, with its output in a file."""

    def __init__(self, command: list[str], output: Path, environment: dict[str, str]):
        self._output = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
                start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self._output.read_text(errors="replace")

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has written this."""
        limit = time.monotonic() + WAIT_S
        while time.monotonic() < limit:
            ended = self.process.poll() is not None
            if found := re.search(pattern, self.said, re.MULTILINE):
                return found
            if ended:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in what {self.process.args!r} said:\n{self.said}")

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for its end, after a signal to it; its exit status."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(timeout=WAIT_S)

    def kill(self) -> None:
        """End it and what it has started in its session, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=WAIT_S)


class Machine:
    """A host: a network and a name of its own, and its user's files below `folder`."""

    def __init__(self, name: str, folder: Path):
        self.name = name
        self.home = folder / name
        self._folder = folder
        self._programs: list[Program] = []
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--uts", sys.executable, "-c", _KEEPER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "ready\n"
        self.ip("link set lo up")

    @property
    def pid(self) -> int:
        """Of a process in its namespaces."""
        return self._keeper.pid

    @property
    def environment(self) -> dict[str, str]:
        """Of its programs: the product is on the path, as after its installation."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "CHAPERON_HOME": str(self.home), "PATH": path, "COLUMNS": "200"}

    def inside(self, *words: str) -> list[str]:
        """The command that runs these words on this machine, no longer than the tests live."""
        dying = ["setpriv", "--pdeathsig", "KILL", "--"]
        return [*dying, "nsenter", f"--target={self.pid}", "--net", "--uts", "--", *words]

    def start(self, *words: str, name: str) -> Program:
        """A program that is ended with the machine; `name` of the file of its output."""
        output = self._folder / f"{self.name}-{name}.txt"
        program = Program(self.inside(*words), output, self.environment)
        self._programs.append(program)
        return program

    def call(self, *words: str, text: str | None = None) -> str:
        """Run these words; what they write."""
        done = subprocess.run(
            self.inside(*words), input=text, capture_output=True, text=True, timeout=WAIT_S,
            env=self.environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def out_of_order(self) -> int:
        """How many TCP segments came before one that was sent earlier."""
        names, values = (
            line.split()
            for line in self.call("cat", "/proc/net/netstat").splitlines()
            if line.startswith("TcpExt:")
        )
        return int(dict(zip(names, values, strict=True))["TCPOFOQueue"])

    def ip(self, *lines: str) -> None:
        """Commands of `ip`."""
        self.call("ip", "-batch", "-", text="".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """Its processes end, those that left their sessions too, and with them its namespaces."""
        network = os.stat(f"/proc/{self.pid}/ns/net")
        for process in psutil.pids():
            with contextlib.suppress(OSError):
                same = os.path.samestat(os.stat(f"/proc/{process}/ns/net"), network)
                if same and process != self.pid:
                    os.kill(process, signal.SIGKILL)
        for program in self._programs:
            program.process.wait(timeout=WAIT_S)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=WAIT_S)
        assert self._keeper.stdout is not None
        self._keeper.stdout.close()


class Network:
    """Three hosts, a router between them, and a target that each reaches over another cable."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._machines: list[Machine] = []
        self._cables: list[Program] = []
        try:
            self._make(folder)
        except BaseException:
            self.close()
            raise

    def _make(self, folder: Path) -> None:
        self.router = self._machine("router", folder)
        self._target = self._machine("target", folder)
        self.router.call("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._target.ip(f"address add {TARGET}/32 dev lo")
        self.coordinator, self.left, self.right = (self._machine(name, folder) for name in HOSTS)
        for number, host in enumerate((self.coordinator, self.left, self.right), start=1):
            for other, wire, peer in ((self.router, "eth0", 77), (self._target, "eth1", 88)):
                other.ip(
                    f"link add {host.name} type veth peer name {wire} netns {host.pid}",
                    f"address add 10.{peer}.{number}.1/24 dev {host.name}",
                    f"link set {host.name} up",
                )
                host.ip(f"address add 10.{peer}.{number}.2/24 dev {wire}", f"link set {wire} up")
            host.ip(
                f"route add default via 10.77.{number}.1",
                f"route add {TARGET}/32 via 10.88.{number}.1",
            )
        server = self._target.start(
            sys.executable, "-m", "chaperon_engine.target", "--host", TARGET, name="server"
        )
        self.url: str = json.loads(server.says(r"^\{.*\}$")[0])["url"]

    def _machine(self, name: str, folder: Path) -> Machine:
        machine = Machine(name, folder)
        self._machines.append(machine)
        return machine

    def pull(self, host: Machine) -> None:
        """Take this host's cable out of the router: neither side is told more than that."""
        self.router.ip(f"link set {host.name} down")

    def plug(self, host: Machine) -> None:
        """Put it back."""
        self.router.ip(f"link set {host.name} up")

    def spoil(self, host: Machine, seed: int) -> None:
        """Replace this host's cable by one that delays, reorders, doubles and loses packets."""
        number = 1 + HOSTS.index(host.name)
        self.router.ip(f"link delete {host.name}")
        # It enters the networks of both; here it is one of the router's processes.
        ends = [str(host.pid), "bad0", str(self.router.pid), host.name]
        cable = Program(
            [sys.executable, str(CABLE), *ends, str(seed)],
            self._folder / f"cable-{host.name}.txt",
            self.router.environment,
        )
        self._cables.append(cable)
        cable.says("^ready$")
        for machine, name, last in ((host, "bad0", 2), (self.router, host.name, 1)):
            machine.ip(f"address add 10.77.{number}.{last}/24 dev {name}", f"link set {name} up")
        host.ip(f"route add default via 10.77.{number}.1")

    @property
    def requests(self) -> int:
        """How many the target has counted."""
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        document = self._target.call(sys.executable, "-I", "-c", code, f"{self.url}/stats")
        found: int = json.loads(document)["requests"]
        return found

    def grows(self, by: int) -> None:
        """Wait until the target has counted so many more."""
        goal = self.requests + by
        limit = time.monotonic() + WAIT_S
        while self.requests < goal:
            assert time.monotonic() < limit, "no load arrives at the target"
            time.sleep(0.05)

    def close(self) -> None:
        """Everything ends."""
        for cable in self._cables:
            cable.kill()
        for machine in self._machines:
            machine.close()

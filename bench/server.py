"""The server of the comparison: one nginx process on one core, which also does the counting.

Owns the server's life and what it knows of requests and connections. Must not know: generators.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BODY = "x" * 200
"""The answer to every request."""

MAX_CONNECTIONS = 8192

_START_TIMEOUT_S = 5.0

_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 16384;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 2147483647;
    keepalive_timeout 3600s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 "{body}"; }}
        location = /changing {{ add_header X-Request-Id $request_id; return 200 "{body}"; }}
        location = /bench-status {{ stub_status; }}
    }}
}}
"""


class ServerMissing(Exception):
    """nginx is not installed or does not start; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Status:
    """One reading of nginx's stub_status."""

    active: int
    """Open connections, that of the reading included."""
    requests: int
    """Requests since the start, that of the reading included."""


def parse_status(text: str) -> Status:
    """What a stub_status page says; ValueError when it is none."""
    active = re.search(r"^Active connections:\s*(\d+)", text, re.MULTILINE)
    counts = re.search(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s*$", text, re.MULTILINE)
    if active is None or counts is None:
        raise ValueError(f"not a stub_status page: {text[:80]!r}")
    return Status(int(active[1]), int(counts[3]))


def requests_between(before: Status, after: Status) -> int:
    """Requests of others between two readings: each reading counts itself."""
    return after.requests - before.requests - 1


@dataclass(frozen=True, slots=True)
class Server:
    """A running nginx."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where every request is answered with `BODY`; below it `changing`, where each reply has a
        header field of its own."""
        return f"http://127.0.0.1:{self.port}/"

    def status(self) -> Status:
        """Ask for the counts, over a connection of its own."""
        with urllib.request.urlopen(self.url + "bench-status", timeout=10) as reply:
            return parse_status(reply.read().decode())

    def cpu_s(self) -> float:
        """CPU seconds that the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def version() -> str:
    """nginx's version, empty when it is missing."""
    program = _program()
    if program is None:
        return ""
    ended = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=5, check=False)
    return ended.stderr.strip().removeprefix("nginx version: ")


@contextlib.contextmanager
def running(core: int) -> Iterator[Server]:
    """nginx on `core` and on a free port, until the block ends."""
    program = _program()
    if program is None:
        raise ServerMissing("nginx is missing: install it (apt-get install nginx)")
    with tempfile.TemporaryDirectory(prefix="chaperon-bench-") as folder:
        port = _free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(
            _CONFIG.format(folder=folder, port=port, body=BODY, connections=MAX_CONNECTIONS)
        )
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        try:
            process = subprocess.Popen(
                [program, "-p", folder, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.sched_setaffinity(0, own)
        try:
            _wait_until_listening(process, port, Path(folder, "error.log"))
            yield Server(port, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            reason = log.read_text().strip().splitlines() if log.exists() else []
            raise ServerMissing(f"nginx does not start: {reason[-1] if reason else 'no reason'}")
        time.sleep(0.01)

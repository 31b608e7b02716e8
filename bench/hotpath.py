"""What one bare request costs on the hot path: CPU of this client against wrk's, on the same nginx.

    python -m bench.hotpath [--seconds 3] [--rounds 3] [--sessions 64] [--profile]

nginx runs on one core, the client on the other, in turn with wrk. CPU is what the operating system
says the process used (user and system), requests are those that the client counted. On a busy
machine only the ratio means something.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.http import HttpWorker, Labels
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import Recorder

BODY_BYTES = 200


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start_nginx(folder: Path, port: int, core: int) -> subprocess.Popen[bytes]:
    """nginx with one worker on `core` that serves 200 bytes."""
    (folder / "index.html").write_bytes(b"x" * BODY_BYTES)
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; keepalive_requests 1000000000; open_file_cache max=10;
          client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
          fastcgi_temp_path {folder}/c;
          uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
          server {{ listen 127.0.0.1:{port}; root {folder}; }}
        }}
        """
    )
    folder.chmod(0o755)
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.02)
    raise SystemExit("nginx did not start")


async def requests(port: int, seconds: float, sessions: int) -> tuple[int, float]:
    """Requests completed and CPU seconds used by `sessions` sessions that do nothing else."""
    loop = asyncio.get_running_loop()
    worker = HttpWorker(loop, recorder := Recorder(RunCounters(1).worker(0)))
    services = {"target": ResolvedService(name="target", base_url=f"http://127.0.0.1:{port}")}
    series = recorder.http(SeriesKey(kind="http", method="GET", url="/"))
    end = 0.0

    async def session() -> None:
        client = worker.client(services, Labels("bench", "bench"))
        service = client.service("target")
        while time.monotonic() < end:
            await client.request(service, "GET", "/", series)
        client.close()

    async def for_seconds(duration: float) -> None:
        nonlocal end
        end = time.monotonic() + duration
        await asyncio.gather(*(session() for _ in range(sessions)))

    await for_seconds(0.3)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    before, cpu = series.ok_count, time.process_time()
    await for_seconds(seconds)
    used = time.process_time() - cpu
    done = series.ok_count - before
    await worker.close()
    return done, used


def wrk(port: int, seconds: int, sessions: int, core: int) -> tuple[int, float]:
    """Requests completed and CPU seconds used by wrk."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(
        ["wrk", "-t1", f"-c{sessions}", f"-d{seconds}s", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 20,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    count = next(line for line in output.splitlines() if "requests in" in line).split()[0]
    return int(count), used


def main() -> None:
    """Prints one line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--profile", action="store_true", help="profile one round, without wrk")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        nginx = start_nginx(Path(folder), port, cores[0])
        os.sched_setaffinity(0, {cores[-1]})
        try:
            if options.profile:
                profile = cProfile.Profile()
                profile.enable()
                uvloop.run(requests(port, options.seconds, options.sessions))
                profile.disable()
                pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(25)
                return
            for _ in range(options.rounds):
                ours, our_cpu = uvloop.run(requests(port, options.seconds, options.sessions))
                line = f"client {ours / options.seconds:9,.0f}/s {our_cpu / ours * 1e6:6.2f} us CPU"
                if shutil.which("wrk"):
                    theirs, cpu = wrk(port, options.seconds, options.sessions, cores[-1])
                    line += (
                        f"   wrk {theirs / options.seconds:9,.0f}/s {cpu / theirs * 1e6:6.2f} us"
                        f"   CPU ratio {our_cpu / ours / (cpu / theirs):.2f}"
                        f"   rate ratio {ours / theirs:.2f}"
                    )
                print(line)
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait(10)


if __name__ == "__main__":
    main()

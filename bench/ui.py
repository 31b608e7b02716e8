"""What the terminal UI costs: `python -m bench.ui [--seconds N] [--size 120x40]`.

Starts the bundled target and a real run of the bundled scenario, attaches the UI to it in a pty of
the given size with all panels, and reads the CPU time of the UI from the operating system.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import psutil

from chaperon_engine import LaunchRequest, discover, launch
from chaperon_tui.target import BundledTarget

WARM_UP_S = 4.0
"""Start of the UI and its first pictures, not measured."""


def main() -> int:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--sessions", type=int, default=10)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with BundledTarget() as target:
        return asyncio.run(_measure(target.url, options.sessions, options.seconds, width, height))


async def _measure(url: str, sessions: int, seconds: float, width: int, height: int) -> int:
    entry = next(entry for entry in discover() if entry.name == "CheckoutTest")
    request = LaunchRequest(
        file=entry.file, name=entry.name, overrides=[f"services.shop.base_url={url}"],
        sessions={"*": sessions}, duration_s=seconds + 30, workers=1, detach=True,
    )  # fmt: skip
    async with await launch(request) as client:
        try:
            cpu, drawn = await asyncio.to_thread(_watch, client.run_id, seconds, width, height)
        finally:
            await client.abort()
    print(
        f"UI at {width}x{height}, all panels, run of {sessions} sessions: "
        f"{cpu / seconds:.1%} of a core over {seconds:.0f} s, {drawn / seconds / 1024:.1f} KiB/s "
        "to the terminal"
    )
    return 0


def _watch(run_id: str, seconds: float, width: int, height: int) -> tuple[float, int]:
    """CPU seconds of the UI and bytes it drew, over `seconds`."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    code = "import sys; from chaperon_tui.main import main; sys.exit(main(sys.argv[1:]))"
    viewer = subprocess.Popen(
        [sys.executable, "-c", code, "attach", run_id],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )  # fmt: skip
    os.close(slave)
    os.set_blocking(master, False)
    try:
        _drain(master, WARM_UP_S)
        if viewer.poll() is not None:
            raise SystemExit(f"the UI ended with {viewer.returncode}")
        process = psutil.Process(viewer.pid)
        before = process.cpu_times()
        drawn = _drain(master, seconds)
        after = process.cpu_times()
        return after.user + after.system - before.user - before.system, drawn
    finally:
        viewer.kill()
        viewer.wait()
        os.close(master)


def _drain(master: int, seconds: float) -> int:
    """Read what is drawn for so long; answers how many bytes."""
    end, total = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            total += len(os.read(master, 1 << 20))
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    return total


if __name__ == "__main__":
    sys.exit(main())

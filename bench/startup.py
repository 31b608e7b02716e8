"""`python -m bench startup`: how long the first import, `--help` and the UI's first paint take.

Medians of the wall time of fresh processes, after one that is not counted and fills the caches.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench import machine
from bench.table import render

_TIMEOUT_S = 20.0
_COLUMNS, _LINES = 120, 40

_PAINTED_BYTES = 500
_PAINTED_WORD = "scenario"
"""A word that only the drawn menu shows, in any case of letters."""

_ESCAPES = re.compile(
    rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[P_^X].*?\x1b\\|.)", re.S
)


class StartFailed(Exception):
    """A start did not come to its end; the message is one sentence."""


def measure_startup(runs: int) -> int:
    """Measure and print; 1 when anything could not be measured."""
    print("\n".join(machine.describe()))
    python = [sys.executable, "-c", "pass"]
    code = "import chaperon_engine"
    rows: list[tuple[str, str]] = []
    failures = []

    def add(name: str, seconds: float) -> None:
        rows.append((name, f"{seconds * 1000:.0f}"))

    bare_s = _median(runs, lambda: wall_s(python))
    add("the interpreter alone", bare_s)
    with tempfile.TemporaryDirectory(prefix="chaperon-bench-") as folder:
        own = _own_environment(Path(folder))
        for name, measured in (
            ("import chaperon_engine", lambda: wall_s([sys.executable, "-c", code], own)),
            ("chaperon --help", lambda: wall_s([*_program("chaperon"), "--help"], own)),
            ("UI, exec to first paint", lambda: first_paint_s(_program("chaperon-tui"), own)),
        ):
            try:
                seconds = _median(runs, measured)
            except StartFailed as error:
                failures.append(f"{name}: not measured: {error}")
                continue
            add(name, seconds)
            if name.startswith("import"):
                add("  without the interpreter", seconds - bare_s)
    print()
    print(render(("start", "ms"), rows))
    print("\n".join(failures))
    return 1 if failures else 0


def wall_s(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Seconds from exec to the end of a command. StartFailed when it fails."""
    begin = time.perf_counter()
    try:
        ended = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartFailed(f"no end within {_TIMEOUT_S:.0f} s") from None
    elapsed = time.perf_counter() - begin
    if ended.returncode != 0:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        raise StartFailed(lines[-1] if lines else f"exit code {ended.returncode}")
    return elapsed


def is_painted(output: bytes | bytearray) -> bool:
    """Whether a terminal's output shows the drawn menu."""
    text = _ESCAPES.sub(b"", output).decode(errors="replace")
    return len(output) >= _PAINTED_BYTES and _PAINTED_WORD in text.lower()


def first_paint_s(command: Sequence[str], environment: dict[str, str]) -> float:
    """Seconds from exec until the menu is on a terminal of 120 by 40. StartFailed without it."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    output = bytearray()
    try:
        while (left := begin + _TIMEOUT_S - time.perf_counter()) > 0:
            if not select.select([screen], [], [], left)[0]:
                break
            try:
                output += os.read(screen, 65536)
            except OSError:
                # What a terminal says when its last user is gone.
                break
            if is_painted(output):
                return time.perf_counter() - begin
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(screen)
    lines = _ESCAPES.sub(b"", bytes(output)).decode(errors="replace").strip().splitlines()
    raise StartFailed(
        f"the menu was not painted: {lines[-1].strip()[:120] if lines else 'nothing'}"
    )


def _median(runs: int, measured: Callable[[], float]) -> float:
    measured()
    return median(measured() for _ in range(runs))


def _program(name: str) -> list[str]:
    """A console script as it was installed, or what it calls when it was not."""
    installed = Path(sys.executable).with_name(name)
    if installed.exists():
        return [str(installed)]
    module = {"chaperon": "chaperon_engine.cli", "chaperon-tui": "chaperon_tui.main"}[name]
    return [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]


def _own_environment(folder: Path) -> dict[str, str]:
    """The environment with folders of its own, so that no user's data are read or written."""
    folders = {
        name: str(folder / name.lower())
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    }
    return {**os.environ, **folders}

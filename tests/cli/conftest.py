"""The `chaperon` command as a real process, and a target for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "chaperon_engine.cli"]


@dataclass(frozen=True)
class Chaperon:
    """Runs the command in a folder of its own, with a data folder of its own."""

    folder: Path
    home: Path

    @property
    def env(self) -> dict[str, str]:
        hidden = ("NO_COLOR", "COLUMNS", "PYTHONWARNINGS")
        kept = {name: value for name, value in os.environ.items() if name not in hidden}
        return {**kept, "CHAPERON_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def __call__(self, *args: str, timeout: float = 40) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *args],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextlib.contextmanager
    def start(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A running command; it is ended at the end of the block if it still runs."""
        process = subprocess.Popen(
            [*COMMAND, *args],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that was started in the background of a shell has this signal ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)

    def refused(self, *args: str) -> str:
        """The sentence with which bad input is refused."""
        done = self(*args)
        assert done.returncode == 104, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert done.stderr.startswith("chaperon: ")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


@pytest.fixture
def chaperon(tmp_path: Path) -> Chaperon:
    """The command, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Chaperon(folder, tmp_path / "home")


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """URL of the bundled target, started through the command line."""
    process = subprocess.Popen(
        [*COMMAND, "target", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Target at http://127.0.0.1:"), line
    yield line.split()[2]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.stdout.close()

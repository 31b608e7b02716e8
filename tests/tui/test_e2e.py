"""The whole product in a real terminal: a run launched, watched, killed off, attached, exported."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaperon_engine import export_formats
from chaperon_tui.target import BundledTarget

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is not installed"
    ),
]

SCENARIO = '''
from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Visit(Scenario):
    """Looks at one page."""

    async def run(self, session: Session) -> None:
        await session.get("/json")
        await session.delay(0.01)


class VisitTest(LoadTest):
    services = {"shop": Service("URL")}
    scenarios = [Population(Visit, sessions=4, duration="6s", name="visitors")]
'''
WAIT_S = 25.0


class Terminal:
    """A tmux server of its own."""

    def __init__(self, folder: Path, width: int, height: int):
        self._base = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._shell = ["-c", str(folder), "env", f"CHAPERON_HOME={folder / 'home'}", "sh"]
        self._call("new-session", "-d", "-x", str(width), "-y", str(height), *self._shell)

    def fresh(self) -> None:
        """Another shell: a killed program leaves its terminal in raw mode."""
        self._call("respawn-pane", "-k", *self._shell)

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._base, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    def text(self) -> str:
        return self._call("capture-pane", "-p")

    def until(self, pattern: str) -> str:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if re.search(pattern, text := self.text()):
                return text
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} did not appear in:\n{self.text()}")

    def type_until_seen(self, key: str, pattern: str) -> None:
        """The focus moves some keys after Tab: repeat a harmless key until it arrives."""
        end = time.monotonic() + WAIT_S
        while not re.search(pattern, self.text()):
            assert time.monotonic() < end, self.text()
            self.keys(key)

    def start_ui(self, *arguments: str) -> None:
        code = "import os,sys; open('pid','w').write(str(os.getpid())); "
        code += "from chaperon_tui.main import main; sys.exit(main(sys.argv[1:]))"
        words = " ".join((sys.executable, "-c", f'"{code}"', *arguments))
        self.keys(words, "Enter")

    def close(self) -> None:
        self._call("kill-server")


@pytest.fixture(params=[(80, 24), (160, 50)], ids=["80x24", "160x50"])
def terminal(request, tmp_path):
    opened = Terminal(tmp_path, *request.param)
    yield opened
    opened.close()


def test_launch_kill_the_ui_attach_again_and_export(terminal, tmp_path):
    with BundledTarget() as target:
        (tmp_path / "visit.py").write_text(SCENARIO.replace("URL", target.url))
        terminal.start_ui("visit.py")
        terminal.until("Enter or F5 launches")
        terminal.keys("Enter")
        terminal.until(r"[1-9] s of 6 s")
        terminal.until("GET /json")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        terminal.fresh()
        terminal.start_ui("attach")
        terminal.until(r"[2-6] s of 6 s")
        terminal.until("✓ complete")
        terminal.keys("w")
        terminal.until("Window 2 s to 4 s")
        terminal.keys("e")
        terminal.until("Export the report")
        formats = export_formats()
        for before, name in itertools.pairwise(formats[: formats.index("json") + 1]):
            terminal.until(f"› {before}")
            terminal.keys("Down")
            terminal.until(f"› {name}")
        terminal.keys("Tab")
        terminal.type_until_seen("/", r"│   /+ ")
        terminal.keys(str(tmp_path / "out.json"), "Enter")
        terminal.until("✓ Written: ")
        assert (tmp_path / "out.json").read_text().startswith("{")
        terminal.keys("Escape")
        terminal.until("✓ Written: json")
        terminal.keys("C-q")
        terminal.until("Load generator|Service time of complete responses")

"""A run over two machines in real terminals: what the screen says is what the person does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaperon_tui.target import BundledTarget
from tests.tui.test_e2e import SCENARIO, Terminal, pytestmark  # noqa: F401

FIELDS = {"listen": "127.0.0.1:0", "expect": "1", "workers": "1", "duration": "50s"}


@pytest.fixture
def terminals(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    opened = [Terminal(tmp_path, 80, 24), Terminal(tmp_path / "elsewhere", 160, 50)]
    yield opened
    for terminal in opened:
        terminal.close()


def command_on(screen: str, first: str) -> str:
    """The lines of a command, as somebody marks them with the mouse."""
    lines = screen[screen.index(first) :].split("\n")
    last = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
    return "\n".join(lines[: last + 1])


def join(screen: str, home: Path) -> subprocess.Popen[bytes]:
    """Paste the join line into the shell of another machine."""
    tools = str(Path(sys.executable).parent)
    environment = {**os.environ, "CHAPERON_HOME": str(home)}
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
    command = f"exec {command_on(screen, 'chaperon worker join')}"
    return subprocess.Popen(["sh", "-c", command], env=environment, stderr=subprocess.DEVNULL)


def watch(screen: str, terminal: Terminal, folder: Path) -> None:
    """Paste the watch line into another terminal, the token through standard input."""
    command = command_on(screen, "chaperon-tui attach").replace("\\\n", "")
    found = re.fullmatch(r"chaperon-tui (.*--token-file) +(\S+)", command)
    assert found is not None, command
    code = "import sys; from chaperon_tui.main import main; sys.exit(main())"
    (folder / "watch.sh").write_text(
        f'cat {found[2]} | {sys.executable} -c "{code}" {found[1]} -\n'
    )
    terminal.keys("sh watch.sh", "Enter")


def test_the_ui_is_killed_an_agent_joins_is_watched_from_elsewhere_and_drained(terminals, tmp_path):
    here, elsewhere = terminals
    file = tmp_path / "tests" / "visit.py"
    for folder in (file.parent, tmp_path / "home"):
        folder.mkdir()
    remembered = {"launches": {f"{file}:": FIELDS}}
    (tmp_path / "home" / "ui.json").write_text(json.dumps(remembered))
    with BundledTarget() as target:
        file.write_text(SCENARIO.replace("URL", target.url))
        here.start_ui("tests/visit.py")
        here.until("Enter or F5 launches")
        here.keys("Enter")
        here.until("Waiting for 1 of 1 agent(?s:.*)Token: hidden")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        here.fresh()
        here.start_ui("attach")
        screen = here.until("Waiting for 1 of 1 agent(?s:.*)Token: hidden")
        agent = join(screen, tmp_path / "agent")
        try:
            here.until(r"[1-9] s of 50 s")
            here.keys("w")
            here.until("2 hosts · 2 members")
            here.keys("l")
            watch(here.until("To watch from(?s:.*)observer.token"), elsewhere,
                  tmp_path / "elsewhere")  # fmt: skip
            seen = elsewhere.until(r"observer · whole run(?s:.*)GET /json")
            assert "Stop" not in seen
            elsewhere.keys("C-q")
            elsewhere.until("goes on at 127.0.0.1")
            here.keys("Escape")
            here.until("2 hosts · 2 members")
            here.keys("End")
            here.until("In full(?s:.*)Versions")
            here.keys("d")
            here.until("Drain this member")
            here.keys("d")
            here.until("1 done")
            assert agent.wait(timeout=20) == 0
            here.keys("Escape")
            here.until("3 Series")
            here.keys("s")
            here.until("stopped, partial(?s:.*)was drained by")
        finally:
            if agent.poll() is None:
                agent.send_signal(signal.SIGKILL)
                agent.wait()
        here.keys("C-q")
        here.until("Load generator|Service time of complete responses")

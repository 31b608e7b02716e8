"""The command on a real terminal: a pseudo-terminal of 70 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from tests.cli.conftest import COMMAND, Chaperon

pytestmark = pytest.mark.e2e

SGR = re.compile(r"\x1b\[\d+m")


def on_terminal(
    chaperon: Chaperon, *args: str, interrupt_at: str = "", **env: str
) -> tuple[int, str]:
    """Exit code and everything the terminal got; Ctrl-C is typed once `interrupt_at` is seen."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *args],
        cwd=chaperon.folder,
        env={**chaperon.env, "TERM": "xterm-256color", **env},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        # A session of its own with this terminal in control: Ctrl-C reaches it as a signal.
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    shown = b""
    try:
        while True:
            try:
                data = os.read(control, 65536)
            except OSError:
                break  # Linux says so when the last writer has gone.
            if not data:
                break
            shown += data
            if interrupt_at and interrupt_at.encode() in shown:
                os.write(control, b"\x03")
                interrupt_at = ""
        return process.wait(timeout=20), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(control)


def test_a_terminal_gets_one_line_that_is_rewritten_then_the_summary(
    chaperon: Chaperon, target: str
) -> None:
    code, shown = on_terminal(chaperon, "quick", target, "-d", "1500ms", "-c", "2")
    assert code == 0, shown
    rewritten = re.findall(r"\r([^\r\n]*)\x1b\[K", shown)
    assert len(rewritten) >= 4
    assert all(len(SGR.sub("", line)) < 70 for line in rewritten)
    assert "\x1b[1m" in shown, "colours"
    assert "Requests " in shown.replace("\x1b[0m", "")


def test_no_color_keeps_the_live_line_but_no_colours(chaperon: Chaperon, target: str) -> None:
    code, shown = on_terminal(chaperon, "quick", target, "-n", "200", NO_COLOR="1")
    assert code == 0, shown
    assert not SGR.search(shown)


def test_ctrl_c_typed_on_the_terminal_stops_gracefully(chaperon: Chaperon, target: str) -> None:
    args = ("quick", target, "-d", "60s", "-c", "2")
    code, shown = on_terminal(chaperon, *args, interrupt_at="running")
    assert code == 105, shown
    assert "Stopping: no new iterations" in shown
    assert "stopped" in shown
    assert "Traceback" not in shown

"""Makes the pictures of the README and the guides: `python -m screenshots.make`.

Drives the app by keys over a real run of the bundled scenario against the bundled target, with an
agent as on another machine, and writes SVG pictures beside this file: menu, launch, gathering,
live, series, workers, report.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import chaperon_engine
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.target import BundledTarget

HERE = Path(__file__).parent
SIZE = (120, 40)
SESSIONS = "6"
"""Few enough that the generator of a machine with two cores keeps up with its target beside it."""
DURATION = "40s"
LIVE_AT_S = 14
"""Second of the run at which the live pictures are taken."""
WAIT_S = 60.0
WITH_AGENT = {"listen": "127.0.0.1:0", "expect": "1", "workers": "1"}
"""What is typed into the launch form once its picture has been taken."""


def main() -> int:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as home, BundledTarget() as target:
        os.environ["CHAPERON_HOME"] = home
        asyncio.run(_drive(target.url, Path(home)))
    return 0


async def _drive(url: str, home: Path) -> None:
    from textual.widgets import Input

    from chaperon_tui.widgets.join_card import JoinCard

    app = ChaperonApp(chaperon_engine, Start(target_url=url), home / "ui.json")
    app.animation_level = "none"
    async with app.run_test(size=SIZE) as pilot:

        def text() -> str:
            strips = app.screen._compositor.render_strips()
            return "\n".join(strip.text for strip in strips)

        async def until(condition: Callable[[], bool]) -> None:
            try:
                async with asyncio.timeout(WAIT_S):
                    while not condition():
                        await pilot.pause(0.05)
            except TimeoutError:
                raise SystemExit(f"waited in vain on:\n{text()}") from None

        def take(name: str) -> None:
            for field in app.screen.query(Input):
                field.cursor_blink = False
            picture = re.sub(r"\bterminal-\d+-", "terminal-", app.export_screenshot(simplify=True))
            (HERE / f"{name}.svg").write_text(picture)
            print(f"screenshots/{name}.svg")

        await until(lambda: "Services" in text())
        take("menu")
        await pilot.press("enter")
        await until(lambda: any(field.name == "duration" for field in app.screen.query(Input)))
        for field in app.screen.query(Input):
            if str(field.name).startswith("sessions."):
                field.value = SESSIONS
            elif field.name == "duration":
                field.value = DURATION
        await until(lambda: "Enter or F5" in text())
        take("launch")
        for field in app.screen.query(Input):
            field.value = WITH_AGENT.get(str(field.name), field.value)
        await pilot.pause()
        await pilot.press("f5")
        await until(lambda: "Copy join line" in text())
        take("gathering")
        agent = _join(app.screen.query_one(JoinCard).command("join"), home)
        await until(lambda: f"{LIVE_AT_S} s of" in text())
        take("live")
        await pilot.press("enter")
        await until(lambda: "99.9" in text() and "HTTP 200" in text())
        take("series")
        await pilot.press("escape")
        await pilot.press("w", "end")
        await until(lambda: "round trip" in text())
        take("workers")
        await pilot.press("escape")
        await until(lambda: "complete" in text() and "iterations" in text())
        await pilot.press("w")
        await until(lambda: "Window" in text() and "requests" in text())
        take("report")
        agent.wait(WAIT_S)


def _join(line: str, home: Path) -> subprocess.Popen[bytes]:
    """What another machine does with the join line."""
    _, *words = shlex.split(line)
    environment = {**os.environ, "CHAPERON_HOME": str(home / "agent")}
    return subprocess.Popen(
        [sys.executable, "-m", "chaperon_engine.cli", *words, "--workers", "1", "--name", "east"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    sys.exit(main())

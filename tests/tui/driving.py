"""Drives the app over a fake engine and waits for conditions, never for time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from chaperon_engine import LaunchRequest
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.screens.workers import WorkersScreen
from chaperon_tui.widgets.table_view import TableView
from tests.tui import canned, canned_members
from tests.tui.canned import PLAIN, Words
from tests.tui.fakes import FakeEngine, FakeRun

SIZES = {"80x24": (80, 24), "120x40": (120, 40), "160x50": (160, 50)}
WAIT_S = 15.0
QUIET_TURNS = 3
MENU = Start()


async def idle(min_sleep: float = 0.0, max_sleep: float = 5.0) -> None:
    """Wait until nothing is ready to run in the loop, some turns long: all wait for keys, threads
    or timers.

    Stands in for the toolkit's own wait, which looks at the CPU of the process in steps of 20 ms,
    and takes a second after each key where a thread or another process keeps the machine busy.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + max_sleep
    quiet = 0
    while quiet < QUIET_TURNS and loop.time() < end:
        await asyncio.sleep(0.001)
        quiet = 0 if loop._ready else quiet + 1  # type: ignore[attr-defined]


@dataclass
class Driver:
    """The app, its pilot, and the run that the next launch gets."""

    app: ChaperonApp
    pilot: Pilot[None]
    engine: FakeEngine
    run: FakeRun

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await self.pilot.pause(0.01)

    async def until_screen(self, name: str) -> None:
        """Wait until the screen of this class lies on top and has been laid out."""
        await self.until(lambda: type(self.app.screen).__name__ == name)
        await self.pilot.pause()

    def strips(self) -> list[Strip]:
        """What the screen shows."""
        return self.app.screen._compositor.render_strips()

    def text(self) -> str:
        """What the screen shows, as plain lines."""
        return "\n".join(strip.text for strip in self.strips())

    async def until_text(self, text: str) -> None:
        """Wait until the screen shows it."""
        try:
            await self.until(lambda: text in self.text())
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in:\n{self.text()}") from None

    async def until_said(self, text: str) -> None:
        """Wait until a message in the corner holds it; tests do not show them on the screen."""
        await self.until(lambda: any(text in each.message for each in self.app._notifications))

    def picture(self) -> str:
        """The screen as SVG without what differs between two equal screens."""
        for field in self.app.screen.query(Input):
            field.cursor_blink = False
        return re.sub(r"\bterminal-\d+-", "terminal-", self.app.export_screenshot(simplify=True))

    async def walk_to_form(self) -> None:
        """Menu to launch form by keys."""
        await self.until_text("◆")
        await self.press("enter")
        await self.until_screen("LaunchScreen")
        await self.until(lambda: self.app.screen.query(Input))

    async def open_form(self) -> None:
        """The launch form of the first entry."""
        from chaperon_tui.screens.launch import LaunchScreen
        from chaperon_tui.screens.menu import request_for

        entry = self.engine.discover()[0]
        await self.app.push_screen(LaunchScreen(request_for(entry), self.run.plan))
        await self.until(lambda: self.app.screen.query(Input))
        await self.pilot.pause()

    async def open_live(self, **snapshot: Any) -> None:
        """The live screen of a launched run, and a snapshot; the first time of the run at hand."""
        from chaperon_tui.screens.live import LiveScreen

        if not self.engine.runs:
            self.run = FakeRun(self.engine.words)
            self.engine.runs.append(self.run)
        request = LaunchRequest(file="/a/checkout.py", name="CheckoutTest")
        client = await self.engine.launch(request)
        screen = LiveScreen(client, request)
        await self.app.push_screen(screen)
        table = screen.query_one("#series-table", TableView)
        await self.until(lambda: self.run.views and self.run.views[-1].limit == table.page + 1)
        await self.send(**snapshot)

    async def send(self, **snapshot: Any) -> None:
        """One snapshot for the view that was asked for last."""
        await self.until(lambda: self.run.views)
        words = self.engine.words
        self.run.send(canned.snapshot(words, view=self.run.views[-1], **snapshot))
        await self.pilot.pause()
        await self.pilot.pause()

    async def open_members(self, *, role: str = "owner", where: str = "") -> None:
        """The workers' screen of a run over several machines."""
        if not self.engine.runs:
            self.run = FakeRun(self.engine.words)
            self.engine.runs.append(self.run)
        self.run.role, self.run.where = role, where
        await self.open_live()
        await self.press("w")
        await self.until_screen("WorkersScreen")
        await self.send_all_members(role=role)
        screen = self.app.screen
        assert isinstance(screen, WorkersScreen)
        await self.until(lambda: screen.shown is screen.live.store.snapshot)

    async def send_members(self, **fields: Any) -> None:
        """A snapshot of a run over several machines."""
        view = self.run.views[-1]
        self.run.send(canned_members.snapshot(self.engine.words, view=view, **fields))
        await self.pilot.pause()

    async def send_all_members(self, **fields: Any) -> None:
        """The same to the workers' screen, which asks for all of them."""
        await self.until(lambda: self.run.views[-1].worker_limit > 1000)
        await self.send_members(**fields)

    async def open_gathering(self) -> None:
        """A launch from the form that waits for agents."""
        await self.open_form()
        self.field("listen").value = "192.0.2.10:7700"
        await self.pilot.pause()
        self.field("expect").value = "3"
        await self.press("f5")
        await self.until_screen("GatheringScreen")
        await self.until(lambda: self.engine.is_gathering)

    def field(self, name: str) -> Input:
        """A text field of the form."""
        return next(each for each in self.app.screen.query(Input) if each.name == name)

    async def gather(self, *attached: str, **fields: Any) -> None:
        """Who has attached to the launch by now."""
        self.engine.gatherings.put_nowait(canned_members.gathering(*attached, **fields))
        await self.pilot.pause()

    async def open_report(self) -> None:
        """The report of a run that has just ended."""
        await self.open_live(state="finished", elapsed_s=60.0)
        await self.until_screen("ReportScreen")


@asynccontextmanager
async def driving(
    tmp_path: Path,
    size: tuple[int, int] = (120, 40),
    words: Words = PLAIN,
    start: Start = MENU,
) -> AsyncIterator[Driver]:
    """The app on the menu, with one run ready."""
    run = FakeRun(words)
    engine = FakeEngine(words, [run])
    app = ChaperonApp(engine, start, tmp_path / "ui.json")
    app.animation_level = "none"
    with patch("textual.app.wait_for_idle", idle), patch("textual.pilot.wait_for_idle", idle):
        async with app.run_test(size=size, tooltips=False) as pilot:
            await pilot.pause()
            yield Driver(app, pilot, engine, run)

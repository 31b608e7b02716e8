"""Screens at three sizes, compared with pictures.

`CHAPERON_PICTURES=write` writes them anew; look at them before they are committed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.tui.driving import SIZES, Driver, driving

PICTURES = Path(__file__).parent / "pictures"


@contextmanager
def clock_stopped() -> Iterator[None]:
    """Time that is left does not become less."""
    with patch("chaperon_tui.screens.gathering.monotonic", return_value=1000.0):
        yield


class Album:
    """Pictures of one journey through the app at one size."""

    def __init__(self, driver: Driver, size: str, seen: Path):
        self._driver = driver
        self._size = size
        self._seen = seen
        self.different: list[str] = []

    async def take(self, name: str, *sizes: str) -> None:
        """Compare the screen with its picture, at all sizes unless some are named."""
        if sizes and self._size not in sizes:
            return
        await self._driver.pilot.pause()
        found = self._driver.picture()
        assert len(self._driver.text().split("\n")) == SIZES[self._size][1]
        path = PICTURES / f"{name}-{self._size}.svg"
        if os.environ.get("CHAPERON_PICTURES") == "write":
            PICTURES.mkdir(exist_ok=True)
            path.write_text(found)
            return
        (self._seen / path.name).write_text(found)
        if not path.exists() or found != path.read_text():
            self.different.append(f"compare {self._seen / path.name} with {path}")


@pytest.mark.parametrize("size", SIZES)
async def test_menu_form_and_trial_look_as_they_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        album = Album(driver, size, tmp_path)
        await driver.until_text("50 sessions")
        await album.take("menu")
        await driver.press("ctrl+r")
        await driver.until_text("killed")
        await album.take("runs", "80x24", "120x40")
        await driver.press("escape")
        await driver.open_form()
        await driver.until_text("Enter or F5")
        await album.take("launch")
        await driver.press("end", "x")
        await driver.until_text("✗ ")
        await album.take("launch_problem", "80x24")
        await driver.press("backspace", "ctrl+t")
        await driver.until_text("1 of 2 requests failed")
        await album.take("trial")
    assert album.different == []


@pytest.mark.parametrize("size", SIZES)
async def test_live_and_report_look_as_they_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        album = Album(driver, size, tmp_path)
        await driver.open_live()
        await driver.until_text("POST /login")
        await album.take("live")
        await driver.press("escape")
        await driver.until_screen("LeaveScreen")
        await album.take("leave", "80x24")
        await driver.press("escape", "f1")
        await driver.until_screen("HelpScreen")
        await album.take("help_page", "80x24")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        for key, name in (("1", "live_charts"), ("2", "live_heatmap")):
            await driver.press(key)
            await album.take(name, "80x24")
        await driver.press("5", "z")
        await driver.until_text("running")
        await album.take("workers", "80x24", "160x50")
        if size != "80x24":
            await driver.press("z")
        await driver.press("3", "down", "enter")
        await driver.until_screen("SeriesScreen")
        await driver.until_text("99.9")
        await album.take("series")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        await driver.send(verdict="saturated")
        await driver.until_text("saturated")
        await album.take("live_saturated", "80x24", "120x40")
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.until_text("POST /login")
        await album.take("report")
        await driver.press("w")
        await driver.until_text("Window 20 s to 40 s")
        await album.take("window", "80x24", "120x40")
        await driver.press("e")
        await driver.until_screen("ExportScreen")
        await album.take("export", "80x24")
    assert album.different == []


@pytest.mark.parametrize("size", SIZES)
async def test_a_launch_that_gathers_agents_looks_as_it_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        album = Album(driver, size, tmp_path)
        driver.engine.runs.insert(0, driver.run)
        await driver.open_gathering()
        await driver.press("escape")
        await driver.until_screen("ConfirmScreen")
        await driver.press("c")
        await driver.until_text("Not launched")
        await driver.until_screen("LaunchScreen")
        driver.field("expect").focus()
        await driver.pilot.pause()
        await album.take("launch_agents")
        await driver.press("f5")
        await driver.until_screen("GatheringScreen")
        with clock_stopped():
            await driver.gather("load-2", "east")
            await driver.until_text("Waiting for 1 of 3 agents · 1m left")
            await album.take("gathering")
    assert album.different == []


@pytest.mark.parametrize("size", SIZES)
async def test_workers_and_join_lines_look_as_they_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        album = Album(driver, size, tmp_path)
        await driver.open_members()
        await driver.until_text("this host")
        await album.take("members")
        await driver.press("down", "down", "down", "down", "down")
        await driver.until_text("drained by ann@desk")
        await album.take("members_drained", "80x24", "160x50")
        await driver.press("up", "up", "up", "d")
        await driver.until_screen("ConfirmScreen")
        await album.take("drain", "80x24")
        await driver.press("c", "l")
        await driver.until_screen("JoinScreen")
        await album.take("join", "80x24", "160x50")
    assert album.different == []


@pytest.mark.parametrize("size", ["80x24"])
async def test_a_run_elsewhere_looks_as_it_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        album = Album(driver, size, tmp_path)
        await driver.open_members(role="observer", where="192.0.2.10:7700")
        await driver.until_text("observer")
        await album.take("members_observer")
        await driver.press("escape")
        driver.run.outage = "reconnecting since 21:00:42: the connection was reset"
        await driver.until_text("RECONNECTING")
        await album.take("live_reconnecting")
        driver.run.outage = None
        await driver.until(lambda: "RECONNECTING" not in driver.text())
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.until_text("POST /login")
        await album.take("report_elsewhere")
    assert album.different == []

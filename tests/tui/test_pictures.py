"""Screens at three sizes, compared with pictures.

`CHAPERON_PICTURES=write` writes them anew; look at them before they are committed.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.tui.driving import SIZES, Driver, driving

PICTURES = Path(__file__).parent / "pictures"
ALL = tuple(SIZES)
SMALL = ("80x24",)

Drive = Callable[[Driver], Awaitable[None]]


async def menu(driver: Driver) -> None:
    await driver.until_text("50 sessions")


async def launch(driver: Driver) -> None:
    await driver.open_form()
    await driver.until_text("Enter or F5")


async def launch_problem(driver: Driver) -> None:
    await launch(driver)
    await driver.press("end", "x")
    await driver.until_text("✗ ")


async def live(driver: Driver) -> None:
    await driver.open_live()
    await driver.until_text("POST /login")


async def live_charts(driver: Driver) -> None:
    await live(driver)
    await driver.press("1")


async def live_heatmap(driver: Driver) -> None:
    await live(driver)
    await driver.press("2")


async def live_saturated(driver: Driver) -> None:
    await driver.open_live(verdict="saturated")
    await driver.until_text("POST /login")


async def workers(driver: Driver) -> None:
    await live(driver)
    await driver.press("5", "z")
    await driver.until_text("running")


async def series(driver: Driver) -> None:
    await live(driver)
    await driver.press("down", "enter")
    await driver.until_screen("SeriesScreen")
    await driver.until_text("99.9")


async def report(driver: Driver) -> None:
    await driver.open_report()


async def window(driver: Driver) -> None:
    await driver.open_report()
    await driver.press("w")
    await driver.until_text("Window 20 s to 40 s")


async def export(driver: Driver) -> None:
    await driver.open_report()
    await driver.press("e")
    await driver.until_screen("ExportScreen")


async def runs(driver: Driver) -> None:
    await driver.press("ctrl+r")
    await driver.until_text("killed")


async def trial(driver: Driver) -> None:
    await driver.open_form()
    await driver.press("ctrl+t")
    await driver.until_text("1 of 2 requests failed")


async def leave(driver: Driver) -> None:
    await live(driver)
    await driver.press("escape")
    await driver.until_screen("LeaveScreen")


async def help_page(driver: Driver) -> None:
    await live(driver)
    await driver.press("f1")
    await driver.until_screen("HelpScreen")


CASES = [
    (drive, size)
    for drive, sizes in (
        (menu, ALL), (launch, ALL), (live, ALL), (series, ALL), (report, ALL), (trial, ALL),
        (workers, ("80x24", "160x50")), (runs, ("80x24", "120x40")), (launch_problem, SMALL),
        (live_charts, SMALL), (live_heatmap, SMALL), (live_saturated, ("80x24", "120x40")),
        (window, ("80x24", "120x40")), (export, SMALL), (leave, SMALL), (help_page, SMALL),
    )
    for size in sizes
]  # fmt: skip


@pytest.mark.parametrize(
    ("drive", "size"), CASES, ids=[f"{drive.__name__}-{size}" for drive, size in CASES]
)
async def test_a_screen_looks_as_it_did(drive: Drive, size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        await drive(driver)
        await driver.pilot.pause()
        found = driver.picture()
        height = SIZES[size][1]
        lines = driver.text().split("\n")
        assert len(lines) == height
    path = PICTURES / f"{drive.__name__}-{size}.svg"
    if os.environ.get("CHAPERON_PICTURES") == "write":
        PICTURES.mkdir(exist_ok=True)
        path.write_text(found)
    else:
        seen = tmp_path / path.name
        seen.write_text(found)
        assert found == path.read_text(), f"compare {seen} with {path}"

"""A run of which only some metrics are kept says so, live and in its report."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from chaperon_tui.state.reports import summary_rows
from tests.tui import canned
from tests.tui.driving import SIZES, driving


@pytest.mark.parametrize("size", SIZES)
async def test_the_live_screen_says_what_a_filter_keeps(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size]) as driver:
        driver.run.plan = msgspec.structs.replace(driver.run.plan, metrics=["get", "ws_recv"])
        await driver.open_live()
        await driver.until_text("filtered · whole run")
        await driver.until_text("only get, ws_recv · ")


def test_the_report_says_what_a_filter_kept() -> None:
    report = canned.report()
    run = msgspec.structs.replace(report.run, metrics=["get", "\x1b[2J"])
    rows = summary_rows(msgspec.structs.replace(report, run=run))
    assert (("! only these metrics were kept: get, \\x1b[2J", "warn"),) in rows
    assert not any("only these metrics" in text for row in summary_rows(report) for text, _ in row)

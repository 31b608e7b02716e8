"""Foreign text over every screen: it is shown as text, or as visible escapes, and nothing else."""

from __future__ import annotations

import unicodedata

import pytest

from tests.tui.canned import Words
from tests.tui.driving import SIZES, Driver, driving

ACTING = (
    "\x1b[2J[red]x[/]\x07[@click=app.quit]a[/b]\r\n\t\x00[/]\x1b]0;own\x07|/a[/b]|\x9b1m"
    " /c\\[d]\u2028\ud800\udfff \x1b[31m one [/red]"
)
"""What a terminal, or the toolkit's markup, would act on."""
SHAPES = (
    "\u202ee\u0301商\u2066x\u2069👩\u200d👩"
    + "e"
    + "\u0301" * 200
    + "\u200f品z"
    + "\u0336" * 50
    + "🏳️\u200d🌈"
    + "商品検索" * 40
    + "x" * 5000
)
"""What would stand in another place, or take another width, than its characters say."""
CORPUS = {"acting": (ACTING, "120x40"), "shapes": (SHAPES, "80x24")}


def check(driver: Driver, where: str) -> None:
    """The screen keeps its size and holds no character that a terminal acts on."""
    strips = driver.strips()
    assert len(strips) == driver.app.size.height, where
    for line in (strip.text for strip in strips):
        for char in set(line):
            category = unicodedata.category(char)
            assert category not in ("Cc", "Cs", "Zl", "Zp"), (where, line)
            assert category != "Cf", (where, hex(ord(char)), line)
    assert {strip.cell_length for strip in strips} == {driver.app.size.width}, where
    for strip in strips:
        for segment in strip:
            meta = segment.style.meta if segment.style else {}
            assert "@click" not in meta, where
            assert not (segment.style and segment.style.link), where


@pytest.mark.parametrize("name", CORPUS)
async def test_no_screen_is_broken_by_foreign_text(name: str, tmp_path) -> None:
    text, size = CORPUS[name]
    words = Words(load_test=text, url=f"/{text}", name=text, reason=text, log=text, error=text,
                  message=text, doc=text, run_id=text, path=text, host=text)  # fmt: skip
    async with driving(tmp_path, SIZES[size], words) as driver:
        await driver.until_text("◆")
        await driver.until(lambda: "Reading" not in driver.text())
        check(driver, "menu")
        await driver.open_form()
        check(driver, "form")
        await driver.press("ctrl+t")
        await driver.until_text("1 of 2 requests failed")
        check(driver, "trial")
        for _ in range(7):
            await driver.press("down")
            check(driver, "exchange")
        await driver.press("enter")
        await driver.until_screen("LinesScreen")
        check(driver, "exchange in full")
        await driver.press("escape", "escape")
        await driver.until_screen("LaunchScreen")
        driver.engine.refusal = text
        await driver.press("f5")
        await driver.until_text("✗")
        check(driver, "refusal")
        driver.engine.refusal = ""
        await driver.open_live(verdict="saturated")
        for key in "123456":
            await driver.press(key)
            await driver.send(verdict="saturated")
            check(driver, f"live {key}")
        for keys, name in (
            (["f1"], "HelpScreen"),
            (["escape"], "LeaveScreen"),
            (["a"], "ConfirmScreen"),
            (["slash"], "PromptScreen"),
            (["ctrl+p"], "CommandPalette"),
        ):
            await driver.press(*keys)
            await driver.until_screen(name)
            check(driver, name)
            await driver.press("escape")
            await driver.until_screen("LiveScreen")
        await driver.press("4", "end", "enter")
        await driver.until_screen("LinesScreen")
        check(driver, "error in full")
        await driver.press("escape", "3")
        await driver.until(lambda: driver.run.views[-1].limit)
        await driver.send(verdict="saturated")
        await driver.until(lambda: driver.app.screen.series.rows)
        await driver.press("enter")
        await driver.until_screen("SeriesScreen")
        await driver.until(lambda: "Reading" not in driver.text())
        for key in "123":
            await driver.press(key)
            check(driver, f"series {key}")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        driver.app.say(text, severe=True)
        await driver.pilot.pause()
        check(driver, "toast")
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        for key in "1234":
            await driver.press(key)
            check(driver, f"report {key}")
        await driver.press("e", "tab", "enter")
        await driver.until_text("✓ Written")
        check(driver, "export")
        await driver.press("escape")
        await driver.until_screen("ReportScreen")
        check(driver, "written")
        from chaperon_tui.screens.runs import RunsScreen

        await driver.app.push_screen(RunsScreen())
        await driver.until_text("running")
        check(driver, "runs")


@pytest.mark.parametrize("name", CORPUS)
async def test_no_screen_of_several_machines_is_broken_by_foreign_text(name: str, tmp_path) -> None:
    text, size = CORPUS[name]
    words = Words(load_test=text, reason=text, name=text, host=text)
    async with driving(tmp_path, SIZES[size], words) as driver:
        await driver.open_members()
        check(driver, "members")
        for _ in range(6):
            await driver.press("down")
        check(driver, "member in full")
        await driver.press("l")
        await driver.until_screen("JoinScreen")
        check(driver, "join lines")
        await driver.open_gathering()
        await driver.gather(text, text)
        await driver.until_text("✓")
        check(driver, "gathering")

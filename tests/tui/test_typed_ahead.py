"""Keys that arrive before the one before them has been done: they answer no question twice."""

from __future__ import annotations

from textual import events

from tests.tui.driving import driving


def type_ahead(driver, *keys):
    """As a slow terminal delivers them: none waits for another."""
    for key in keys:
        driver.app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_a_question_is_answered_once(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        driver.run.vanish()
        await driver.until_screen("ConfirmScreen")
        type_ahead(driver, "r", "r", "r")
        await driver.until_screen("ReportScreen")

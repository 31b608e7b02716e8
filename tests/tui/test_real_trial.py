"""Try, from the key in the form to the exchange on the screen, against the bundled target."""

from __future__ import annotations

import chaperon_engine
from chaperon_engine import LaunchRequest
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.target import BundledTarget
from tests.tui.driving import Driver
from tests.tui.fakes import FakeEngine, FakeRun

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Visit(Scenario):
    async def run(self, session: Session) -> None:
        reply = await session.get("/json")
        session.check("is json", reply.ok)


class VisitTest(LoadTest):
    services = {"shop": Service("URL")}
    scenarios = [Population(Visit, sessions=4, duration="6s", name="visitors")]
"""


async def test_try_shows_the_exchange_of_a_real_session(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path / "home"))
    with BundledTarget() as target:
        file = tmp_path / "visit.py"
        file.write_text(SCENARIO.replace("URL", target.url))
        start = Start(request=LaunchRequest(file=str(file), name="VisitTest"))
        app = ChaperonApp(chaperon_engine, start, tmp_path / "ui.json")
        async with app.run_test(size=(80, 24)) as pilot:
            driver = Driver(app, pilot, FakeEngine(), FakeRun())
            await driver.until_text("Enter or F5")
            await driver.press("ctrl+t")
            await driver.until_screen("TrialScreen")
            await driver.until_text("✓ passed")
            await driver.until_text("200 OK")
            assert "GET /json " in driver.text()
            await driver.press("home")
            await driver.until_text(f"GET {target.url}/json")
            await driver.press("escape")
            await driver.until_screen("LaunchScreen")

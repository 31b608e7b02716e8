"""The screen of the queue: by keys over a fake server, as pictures, and with a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

import chaperon_engine
from chaperon_engine import LaunchRequest, QueueEntry
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.screens import queue as queue_module
from chaperon_tui.screens.queue import QueueScreen
from chaperon_tui.state.queue import for_queue, queue_table, state_words, with_moved
from chaperon_tui.target import BundledTarget
from tests.tui.canned import Words
from tests.tui.driving import SIZES, Driver, driving
from tests.tui.fake_queue import canned_entries, entry
from tests.tui.fakes import FakeEngine, FakeRun
from tests.tui.test_hostile import ACTING, SHAPES, check
from tests.tui.test_pictures import Album

QUEUE = Start(queue=True)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is looked for without a pause to speak of."""
    monkeypatch.setattr(queue_module, "RETRY_S", (0.05,))


def chosen(driver: Driver) -> str:
    """Id of the entry below the cursor."""
    screen = driver.app.screen
    assert isinstance(screen, QueueScreen)
    assert screen.chosen is not None
    return screen.chosen.id


def said(driver: Driver) -> str:
    """What stood in the corner so far."""
    return "\n".join(note.message for note in driver.app._notifications)


# Key flows over a fake server


async def test_the_menu_leads_to_the_queue_and_back(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        await driver.until_text("◆")
        await driver.press("ctrl+g")
        await driver.until_screen("QueueScreen")
        await driver.until_text("1 running · 3 waiting · 4 ended")
        await driver.press("escape")
        await driver.until_screen("MenuScreen")
        await driver.until(lambda: driver.engine.QueueClient.connections[0].is_closed)


async def test_the_command_palette_offers_the_queue(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        await driver.until_text("◆")
        await driver.press("ctrl+p", *"queue")
        await driver.until_text("what waits, what has ended")
        await driver.press("enter")
        await driver.until_screen("QueueScreen")


async def test_a_key_of_the_form_queues_what_launch_would_start(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        server = driver.engine.QueueClient
        await driver.walk_to_form()
        field = next(f for f in driver.app.screen.query(Input) if f.name == "tag")
        field.value = "nightly"
        await driver.press("ctrl+g")
        await driver.until_screen("QueueScreen")
        await driver.until(lambda: chosen(driver) == "added-3")
        queued = server.added[0]
        await driver.press("escape")
        await driver.until_screen("LaunchScreen")
        await driver.press("f5")
        await driver.until_screen("LiveScreen")
        assert driver.engine.requests == [queued]
        assert (queued.tag, queued.detach) == ("nightly", True)


async def test_without_a_server_the_form_says_how_to_start_one(tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        driver.engine.QueueClient.is_there = False
        await driver.open_form()
        await driver.press("ctrl+g")
        await driver.until_text("✗ no queue is being served: `chaperon serve`")
        assert type(driver.app.screen).__name__ == "LaunchScreen"
        driver.engine.QueueClient.is_there = True
        driver.engine.QueueClient.refusal = "the queue holds 1000 load tests at most"
        await driver.press("ctrl+g")
        await driver.until_text("✗ the queue holds 1000 load tests at most")


async def test_add_leads_to_the_menu_from_wherever_the_queue_was_opened(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        await driver.walk_to_form()
        await driver.press("ctrl+g")
        await driver.until_screen("QueueScreen")
        await driver.press("a")
        await driver.until_screen("MenuScreen")
        await driver.until(lambda: "Ctrl+G in its launch form queues it" in said(driver))
        assert len(driver.app.screen_stack) == 2


async def test_what_runs_opens_live_and_what_ended_its_report(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        await driver.until_text("▶ running")
        await driver.press("enter")
        await driver.until_screen("LiveScreen")
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        await driver.press("escape")
        await driver.until_screen("QueueScreen")
        await driver.press("down", "down", "down", "down", "o")
        await driver.until_screen("ReportScreen")
        await driver.press("escape")
        await driver.until_screen("QueueScreen")
        await driver.press("down", "enter")
        await driver.until_screen("LinesScreen")
        assert "start it first" in driver.text()


async def test_what_is_still_starting_says_so_and_opens_later(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        server.change("e1", run_id="")
        await driver.until_text("▷ starting")
        await driver.press("enter")
        await driver.until_screen("LinesScreen")
        await driver.press("escape")
        server.change("e1", run_id="run-0")
        await driver.until_text("▶ running")
        await driver.press("enter")
        await driver.until_screen("LiveScreen")


async def test_a_run_that_cannot_be_attached_is_one_sentence(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        driver.engine.runs.clear()
        await driver.until_text("▶ running")
        await driver.press("enter")
        await driver.until(lambda: "no run is running" in said(driver))
        assert type(driver.app.screen).__name__ == "QueueScreen"


async def test_waiting_tests_change_places_and_the_cursor_goes_with_them(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        await driver.press("down", "down", "down")
        assert chosen(driver) == "e4"
        await driver.press("shift+up", "K", "K")
        await driver.until(lambda: server.waiting() == ["e4", "e2", "e3"])
        assert chosen(driver) == "e4"
        await driver.press("shift+down")
        await driver.until(lambda: server.waiting() == ["e2", "e4", "e3"])
        await driver.press("J")
        await driver.until(lambda: server.waiting() == ["e2", "e3", "e4"])
        await driver.press("J")
        assert [what for what in server.asked if what[0] == "move"] == [
            ("move", "e4", 2), ("move", "e4", 1), ("move", "e4", 2), ("move", "e4", 3),
        ]  # fmt: skip


async def test_what_runs_or_has_ended_cannot_be_moved_or_cancelled_again(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        await driver.press("shift+down", "end", "K", "c")
        await driver.pilot.pause()
        assert type(driver.app.screen).__name__ == "QueueScreen"
        assert server.asked == []


async def test_cancel_asks_and_says_what_it_will_do(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        await driver.press("c")
        await driver.until_text("Abort the running test?")
        await driver.press("enter")
        await driver.until_screen("QueueScreen")
        await driver.press("down", "c")
        await driver.until_text("Take it out of the queue?")
        await driver.press("r")
        await driver.until(lambda: server.waiting() == ["e3", "e4"])
        await driver.until(lambda: chosen(driver) == "e3")
        assert server.asked == [("cancel", "e2")]
        await driver.press("up", "delete")
        await driver.until_screen("ConfirmScreen")
        await driver.press("a")
        await driver.until(lambda: ("cancel", "e1") in server.asked)


async def test_a_test_that_begins_while_the_question_stands_is_not_aborted(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        await driver.press("down", "c")
        await driver.until_text("Take it out of the queue?")
        server.change("e2", state="running", position=0)
        await driver.press("r")
        await driver.until(lambda: "is running by now; it was left as it is" in said(driver))
        assert server.asked == []


@pytest.mark.parametrize(("key", "asked"), [("a", "cancel_all"), ("w", "cancel_queued"), ("c", "")])
async def test_cancel_all_asks_which(key: str, asked: str, tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        await driver.press("C")
        await driver.until_text("1 running · 3 waiting · 4 ended")
        await driver.press(key)
        await driver.until_screen("QueueScreen")
        if asked:
            await driver.until(lambda: server.asked == [(asked,)])
            await driver.until(lambda: server.waiting() == [])
        else:
            assert server.asked == []


async def test_a_refusal_of_the_server_is_one_sentence(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        driver.engine.QueueClient.refusal = "only a load test that waits can be moved"
        await driver.until_text("▶ running")
        await driver.press("down", "shift+down")
        await driver.until(lambda: "only a load test that waits can be moved" in said(driver))


@pytest.mark.usefixtures("at_once")
async def test_a_server_that_comes_later_is_found(tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES["80x24"], start=QUEUE) as driver:
        server = driver.engine.QueueClient
        server.end()
        await driver.press("escape", "ctrl+g")
        await driver.until_text("✗ no queue is being served: `chaperon serve` starts one")
        attempts = server.attempts
        await driver.until(lambda: server.attempts > attempts + 2)
        await driver.press("c", "C", "K", "enter")
        assert type(driver.app.screen).__name__ == "QueueScreen"
        server.is_there = True
        await driver.until_text("▶ running")
        await driver.until(lambda: "✗ no queue" not in driver.text())


@pytest.mark.usefixtures("at_once")
async def test_when_the_server_goes_its_last_word_stays_and_can_be_read(tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES["80x24"], start=QUEUE) as driver:
        server = driver.engine.QueueClient
        await driver.until_text("▶ running")
        server.end()
        await driver.until_text("What is listed is what it said last.")
        await driver.press("c", "C")
        assert type(driver.app.screen).__name__ == "QueueScreen"
        await driver.press("end", "enter")
        await driver.until_screen("ReportScreen")
        server.is_there = True
        server.entries = server.entries[1:]
        await driver.press("escape")
        await driver.until_text("0 running · 3 waiting")
        await driver.until(lambda: "said last" not in driver.text())


async def test_f5_looks_for_the_server_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "RETRY_S", (3600.0,))
    async with driving(tmp_path) as driver:
        server = driver.engine.QueueClient
        server.is_there = False
        await driver.press("ctrl+g")
        await driver.until_text("✗ no queue is being served")
        server.is_there = True
        await driver.press("f5")
        await driver.until_text("▶ running")


async def test_an_empty_queue_says_how_to_fill_it(tmp_path: Path) -> None:
    async with driving(tmp_path, start=QUEUE) as driver:
        driver.engine.QueueClient.become([])
        await driver.until_text("The queue is empty.")
        assert "Ctrl+G in the launch form" in driver.text()


@pytest.mark.parametrize(
    ("text", "size"), [(ACTING, "120x40"), (SHAPES, "80x24")], ids=["acting", "shapes"]
)
async def test_foreign_text_in_an_entry_breaks_nothing(
    text: str, size: str, tmp_path: Path
) -> None:
    words = Words(load_test=text, name=text, reason=text, run_id=text)
    async with driving(tmp_path, SIZES[size], words, start=QUEUE) as driver:
        await driver.until_text("running")
        for _ in range(8):
            check(driver, "queue")
            await driver.press("down")
        driver.engine.QueueClient.refusal = text
        await driver.press("home", "c")
        await driver.until_screen("ConfirmScreen")
        check(driver, "question")
        await driver.press("a")
        await driver.until_screen("QueueScreen")
        check(driver, "refusal")
        await driver.press("down", "down", "down", "down", "down", "enter")
        await driver.until_screen("LinesScreen")
        check(driver, "in full")


@pytest.mark.parametrize("size", SIZES)
async def test_the_queue_looks_as_it_did(size: str, tmp_path: Path) -> None:
    async with driving(tmp_path, SIZES[size], start=QUEUE) as driver:
        album = Album(driver, size, tmp_path)
        await driver.until_text("▶ running")
        await driver.press("down", "down", "down")
        await album.take("queue")
        await driver.press("down", "down")
        await album.take("queue_failed", "80x24")
        await driver.press("C")
        await driver.until_screen("ConfirmScreen")
        await album.take("queue_cancel", "80x24")
        await driver.press("escape")
        await driver.until_screen("QueueScreen")
        driver.engine.QueueClient.end()
        await driver.until_text("✗ no queue is being served")
        await album.take("queue_lost", "80x24", "120x40")
    assert album.different == []


# State alone


def test_every_state_has_a_sign_of_its_own() -> None:
    states = ["queued", "running", "finished", "failed", "cancelled"]
    entries = [*(entry("e", state, run_id="r") for state in states), entry("e", "running")]
    words = [state_words(each)[0] for each in entries]
    assert [word.split()[1] for word in words] == [*states, "starting"]
    assert len({word[0] for word in words}) == 6


def test_a_reason_of_several_lines_is_one_in_the_table() -> None:
    table = queue_table([entry("e", "failed", reason="cannot start\nbecause\nof this")])
    assert table.rows[0][-1] == ("cannot start …", "bad")


def test_a_moved_entry_takes_its_place_and_the_others_close_ranks() -> None:
    entries = canned_entries()

    def order(moved: QueueEntry) -> list[tuple[str, int]]:
        return [(each.id, each.position) for each in with_moved(entries, moved)[:5]]

    last = entry("e4", "queued", position=1)
    assert order(last) == [("e1", 0), ("e4", 1), ("e2", 2), ("e3", 3), ("e5", 0)]
    first = entry("e2", "queued", position=3)
    assert order(first) == [("e1", 0), ("e3", 1), ("e4", 2), ("e2", 3), ("e5", 0)]


def test_paths_of_exports_begin_where_the_person_is_not_the_server() -> None:
    request = LaunchRequest(exports={"csv": "out/", "json": "", "timeline": "/a/t.html",
                                     "influxdb": "http://h/db"})  # fmt: skip
    found = for_queue(request, {"csv", "json", "timeline"}, "/home/ann")
    assert found.exports == {"csv": "/home/ann/out/", "json": "", "timeline": "/a/t.html",
                             "influxdb": "http://h/db"}  # fmt: skip


# With a real server and a real run

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Visit(Scenario):
    async def run(self, session: Session) -> None:
        await session.get("/json")
        await session.delay("20ms")


class VisitTest(LoadTest):
    services = {"shop": Service("URL")}
    scenarios = [Population(Visit, sessions=2, duration="60s", name="visitors")]
"""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Starts `chaperon serve` for this test's own data folder."""
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path / "home"))
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        command = [sys.executable, "-m", "chaperon_engine.cli", "serve", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=tmp_path,
            env={**os.environ, "CHAPERON_API_TOKEN": "a-token-for-the-tests-0123456789",
                 "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Queue at ")

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.e2e
@pytest.mark.usefixtures("at_once")
async def test_a_real_queue_runs_what_the_form_adds(
    serve: Callable[[], None], tmp_path: Path
) -> None:
    with BundledTarget() as target:
        file = tmp_path / "visit.py"
        file.write_text(SCENARIO.replace("URL", target.url))
        start = Start(request=LaunchRequest(file=str(file), name="VisitTest"))
        app = ChaperonApp(chaperon_engine, start, tmp_path / "ui.json")
        async with app.run_test(size=(80, 24)) as pilot:
            driver = Driver(app, pilot, FakeEngine(), FakeRun())
            await driver.until_text("Enter or F5")
            await driver.press("ctrl+g")
            await driver.until_text("✗ no queue is being served: `chaperon serve`")
            await app.push_screen(QueueScreen())
            await driver.until_text("✗ no queue is being served: `chaperon serve`")
            serve()
            await driver.until_text("The queue is empty.")
            await driver.press("escape", "ctrl+g")
            await driver.until_text("▶ running")
            for place in (1, 2):
                await driver.press("escape", "ctrl+g")
                await driver.until_text(f"· queued, place {place}")
            await driver.press("K")
            await driver.until_text("· queued, place 1")
            await driver.press("home", "enter")
            await driver.until_screen("LiveScreen")
            await driver.until_text("GET /json")
            await driver.press("s")
            await driver.until_screen("ReportScreen")
            await driver.until_text("■ stopped")
            await driver.press("escape", "escape")
            await driver.until_screen("QueueScreen")
            await driver.until_text("✓ finished")
            await driver.press("C", "a")
            await driver.until_text("0 running · 0 waiting · 3 ended")
            await driver.until_text("■ cancelled")

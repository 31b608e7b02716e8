"""Runs and queues on other machines."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from chaperon_engine import Token, UserError
from chaperon_tui.app import Start
from chaperon_tui.main import main
from chaperon_tui.remote import Remote
from tests.tui import canned
from tests.tui.driving import SIZES, driving

WHERE = "192.0.2.10:7700"
PIN = "sha256:" + "ab" * 32


def start(role: str = "observer") -> Start:
    token = Token(role=role, key=bytes(32))  # type: ignore[arg-type]
    remote = Remote("192.0.2.10", 7700, canned.PLAIN.run_id, token, PIN, None)
    return Start(attach=True, run=WHERE, remote=remote)


async def test_an_observer_watches_to_the_end_and_steers_nothing(tmp_path):
    async with driving(tmp_path, SIZES["80x24"], start=start()) as driver:
        await driver.until_screen("LiveScreen")
        assert driver.engine.attached == [
            ("192.0.2.10", 7700, canned.PLAIN.run_id, "observer", PIN)
        ]
        await driver.send_members(role="observer")
        await driver.until_text("observer ·")
        assert "Stop" not in driver.text()
        await driver.press("s", "a")
        assert type(driver.app.screen).__name__ == "LiveScreen"
        await driver.press("w")
        await driver.until_screen("WorkersScreen")
        await driver.until_text("engine's host")
        assert "Drain" not in driver.text()
        await driver.press("d")
        assert type(driver.app.screen).__name__ == "WorkersScreen"
        assert driver.run.asked == []
        await driver.press("escape")
        driver.run.outage = "reconnecting since 21:00:42: connection reset"
        await driver.until_text("RECONNECTING")
        assert "reconnecting since 21:00:42" in driver.text()
        driver.run.outage = None
        await driver.until(lambda: "RECONNECTING" not in driver.text())
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.until_text(f"Its file and journal lie on {WHERE}")
        assert "Start again" not in driver.text()
        await driver.press("w")
        await driver.until_text("lies on the run's own host")
        assert driver.engine.windows == []


async def test_an_operator_steers_and_leaves_without_a_question(tmp_path):
    async with driving(tmp_path, start=start("operator")) as driver:
        await driver.until_screen("LiveScreen")
        await driver.send_members(role="operator")
        await driver.until_text("operator ·")
        await driver.press("s")
        await driver.until(lambda: driver.run.asked == ["stop"])
        await driver.press("escape")
        await driver.until_screen("MenuScreen")
        await driver.until(lambda: driver.run.is_closed)
        assert driver.run.asked == ["stop"]


async def test_a_connection_that_does_not_come_back_offers_no_recovery(tmp_path):
    async with driving(tmp_path, start=start()) as driver:
        await driver.until_screen("LiveScreen")
        driver.run.vanish()
        await driver.until_screen("ConfirmScreen")
        assert "The connection is gone" in driver.text()
        assert canned.PLAIN.run_id in driver.text()
        assert "Recover" not in driver.text()


async def test_a_run_that_cannot_be_reached_ends_the_ui_with_a_sentence(tmp_path, monkeypatch):
    from tests.tui.fakes import FakeEngine

    async def refuse(self, *arguments, **options):
        raise UserError("the certificate is not the one of the pin")

    monkeypatch.setattr(FakeEngine, "attach_remote", refuse)
    async with driving(tmp_path, start=start()) as driver:
        await driver.until(lambda: driver.app._exit)
        assert driver.app.refusal == "the certificate is not the one of the pin"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attach", "h:1"], "--run ID"),
        (["attach", "h:1", "--run", "x"], "--pin sha256"),
        (["attach", "h:1", "--run", "x", "--pin", PIN, "--ca", "f"], "--pin sha256"),
        (["attach", "h:1", "--run", "x", "--pin", PIN, "--cert", "f"], "go with --ca"),
        (["attach", "h:x", "--run", "x", "--pin", PIN], "no address of a run"),
        (["attach", "h:1", "--run", "x", "--pin", PIN], "there is no token"),
        (["attach", "h:1", "--run", "x", "--pin", PIN, "--token-file", "/none"], "cannot be read"),
        (["attach", "--pin", PIN], "go with attach HOST:PORT"),
        (["queue", "--run", "x"], "go with attach HOST:PORT"),
    ],
)
def test_a_wrong_way_to_attach_is_one_sentence(arguments, words, capsys, monkeypatch):
    monkeypatch.delenv("CHAPERON_TOKEN", raising=False)
    assert main(arguments) == 104
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


CODE = """
import sys
from chaperon_tui.remote import take_terminal
print(sys.stdin.readline().strip())
take_terminal()
print(sys.stdin.isatty(), sys.__stdin__.fileno())
"""


def test_the_terminal_takes_the_place_of_the_input_that_brought_the_token():
    pid, terminal = pty.fork()
    if pid == 0:  # the child has this terminal as its own
        done = subprocess.run([sys.executable, "-c", CODE], input=b"token\n", check=False)
        os._exit(done.returncode)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:
        pass  # its other end is closed
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert shown.split() == [b"token", b"True", b"0"]
    assert status == 0


def test_without_a_terminal_the_token_goes_elsewhere():
    done = subprocess.run(
        [sys.executable, "-c", CODE], input="token\n", capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert "give the token in a file or in CHAPERON_TOKEN" in done.stderr


async def test_a_queue_elsewhere_is_watched_and_its_reports_are_fetched(tmp_path):
    start = Start(queue=True, queue_url="https://load.example.com:7080")
    async with driving(tmp_path, start=start) as driver:
        await driver.until_text("of load.example.com")
        server = driver.engine.QueueClient
        assert server.urls == ["https://load.example.com:7080"]
        assert "Add" not in driver.text()
        await driver.press("enter")
        await driver.until_screen("LinesScreen")
        await driver.until_text("It runs on load.example.com")
        await driver.press("escape", "down", "down", "down", "down", "enter")
        await driver.until_screen("ReportScreen")
        await driver.until_text("Its file and journal lie on load.example.com")
        assert server.connections[0].reports == ["run-1"]

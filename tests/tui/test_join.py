"""A launch that waits for agents, and the lines that attach to a run."""

from __future__ import annotations

import shlex
import subprocess

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine import LaunchRequest
from chaperon_tui.raster.cells import text_width
from chaperon_tui.state import form
from chaperon_tui.state.agents import agent_rows, launch_words
from chaperon_tui.state.join import copied_text, shell_lines, waiting_words
from chaperon_tui.widgets.pick import Pick
from tests.tui import canned, canned_members
from tests.tui.driving import SIZES, driving

LISTENING = {"listen": "192.0.2.10:7700", "expect": "3", "start_timeout": "90s",
             "fewer_ok": "yes", "on_loss": "fail"}  # fmt: skip


def read_by_shell(text: str) -> list[str]:
    """The words that a shell makes of it."""
    script = f"set -- {text}\nprintf '%s\\0' \"$@\""
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_join_line_fits_the_screen_and_a_shell_reads_it_as_one(width):
    lines = shell_lines(canned_members.JOIN, width)
    assert all(len(line) == width and line.endswith("\\") for line in lines[:-1])
    assert read_by_shell("\n".join(lines)) == shlex.split(canned_members.JOIN)


def test_at_80_columns_each_option_stands_beside_its_value_while_it_fits():
    lines = shell_lines(canned_members.JOIN, 80)
    assert lines[0].startswith("chaperon worker join 192.0.2.10:7700 --run ")
    assert lines[1] == f"  --pin {canned_members.PIN}\\"


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.text("ab -'\"$\\é/", min_size=1, max_size=90), min_size=1, max_size=4),
    width=st.sampled_from([20, 80]),
)
def test_whatever_stands_in_a_command_a_shell_reads_the_same(words, width):
    lines = shell_lines(shlex.join(["chaperon", *words]), width)
    assert all(text_width(line) <= width for line in lines)
    assert read_by_shell("\n".join(lines)) == ["chaperon", *words]


def test_nothing_hidden_gets_into_the_clipboard():
    assert copied_text("chaperon\nrm -rf \x1b[2J") == r"chaperon\x0arm -rf \x1b[2J"


@pytest.mark.parametrize(
    ("attached", "left_s", "words"),
    [
        ([], 60.0, "Waiting for 3 of 3 agents · 1m left"),
        (["a"], 12.7, "Waiting for 2 of 3 agents · 12 s left"),
        (["a"], 0.2, "Waiting for 2 of 3 agents · the time is up"),
        (["a"], None, "Waiting for 2 of 3 agents"),
        (["a", "b", "c"], 5.0, "All agents are here and get ready; the load begins in a moment"),
    ],
)
def test_what_is_waited_for_is_said_in_words(attached, left_s, words):
    assert waiting_words(canned_members.gathering(*attached), left_s) == words


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("listen", "7700", "no address to listen on"),
        ("listen", "::1:7700", "brackets"),
        ("listen", "h:99999", "no port"),
        ("expect", "-1", "whole number"),
        ("expect", "5000", "4,096"),
        ("expect", "x", "expected a whole number"),
        ("start_timeout", "0s", "above zero"),
        ("start_timeout", "soon", "soon"),
        ("fewer_ok", "perhaps", "yes or no"),
        ("on_loss", "weep", "continue, respread or fail"),
    ],
)
def test_a_wrong_value_of_the_agents_group_is_one_sentence(key, value, words):
    found = form.problems({**LISTENING, key: value})
    assert list(found) == [key]
    assert words in found[key]
    assert found[key].count(". ") == 0


def test_without_listen_nothing_of_the_group_is_looked_at():
    assert form.problems({**LISTENING, "listen": "", "expect": "x"}) == {}
    assert "fill in Listen" in form.problems({"listen": "", "workers": "0"})["workers"]
    assert form.problems({**LISTENING, "workers": "0"}) == {}


@pytest.mark.parametrize("expect", ["", "0"])
def test_a_run_that_only_listens_needs_no_agents(expect):
    watched = {**LISTENING, "expect": expect}
    assert form.problems({**watched, "workers": "1"}) == {}
    assert "Agents" in form.problems({**watched, "workers": "0"})["workers"]
    made = form.request(canned.plan(), LaunchRequest(file="/a.py"), watched)
    assert (made.listen, made.expect, made.on_loss) == ("192.0.2.10:7700", 0, "continue")
    text = "".join(text for row in agent_rows(watched) for text, _ in row)
    assert "nobody is waited for" in text
    assert "needs no agents" in launch_words(watched)
    assert launch_words(LISTENING) == launch_words({}) == "Enter or F5 launches."


def test_the_group_becomes_the_requests_fields():
    plan, base = canned.plan(), LaunchRequest(file="/a.py")
    made = form.request(plan, base, {**LISTENING, "workers": "0"})
    assert (made.listen, made.expect, made.start_timeout_s) == ("192.0.2.10:7700", 3, 90.0)
    assert (made.fewer_ok, made.on_loss, made.workers) == (True, "fail", 0)
    empty = form.request(plan, made, {**LISTENING, "listen": ""})
    assert (empty.listen, empty.expect) == ("", 0)


def test_the_plan_says_what_agents_are_waited_for():
    text = "\n".join("".join(text for text, _ in row) for row in agent_rows(LISTENING))
    for words in (
        "3 agents at",
        "192.0.2.10:7700",
        "without them it begins with fewer",
        "ends as failed",
        "1m30s",
    ):
        assert words in text
    assert agent_rows({"listen": ""}) == []


async def test_the_group_unfolds_when_the_run_listens_and_keys_reach_all_of_it(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_form()
        assert "Also with fewer" not in driver.text()
        driver.field("listen").focus()
        await driver.press(*"127.0.0.1:0")
        await driver.until_text("needs no agents")
        assert "Also with fewer" not in driver.text()
        await driver.press("down", "2")
        await driver.until_text("Also with fewer")
        await driver.press("down", *"9s", "down", "right", "down", "space", "space")
        await driver.until_text("‹ fail ›")
        assert isinstance(driver.app.focused, Pick)
        await driver.press("enter")
        await driver.until_screen("GatheringScreen")
        request = driver.engine.requests[-1]
        assert (request.listen, request.expect, request.start_timeout_s) == ("127.0.0.1:0", 2, 9.0)
        assert (request.fewer_ok, request.on_loss) == (True, "fail")


async def test_a_launch_that_cannot_begin_says_why_in_the_form(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_gathering()
        await driver.gather("north")
        driver.engine.gatherings.put_nowait("2 of 3 agents are missing after 60 s")
        await driver.until_screen("LaunchScreen")
        await driver.until_text("✗ 2 of 3 agents are missing after 60 s")
        await driver.press("ctrl+g")
        await driver.until_text("The queue takes no run that listens")
        assert driver.engine.QueueClient.added == []


async def test_the_load_begins_when_all_are_there_also_below_another_screen(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_gathering()
        await driver.gather()
        await driver.until_text("Nobody has attached yet")
        await driver.gather("north", "south")
        await driver.until_text("✓ north")
        await driver.until_text("Waiting for 1 of 3 agents")
        await driver.press("f1")
        await driver.until_screen("HelpScreen")
        driver.engine.gatherings.put_nowait(None)
        await driver.until(lambda: not driver.engine.is_gathering)
        await driver.press("escape")
        await driver.until_screen("LiveScreen")


async def test_cancelling_asks_and_ends_the_launch(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_gathering()
        for key in ("escape", "ctrl+q"):
            await driver.gather("north")
            await driver.press(key)
            await driver.until_screen("ConfirmScreen")
            await driver.press("w")
            await driver.until_screen("GatheringScreen")
            assert driver.engine.is_gathering
            await driver.press(key)
            await driver.until_screen("ConfirmScreen")
            await driver.press("c")
            await driver.until(lambda: not driver.engine.is_gathering)
            if key == "escape":
                await driver.until_text("✗ Not launched")
                await driver.press("f5")
                await driver.until_screen("GatheringScreen")
                await driver.until(lambda: driver.engine.is_gathering)
        await driver.until(lambda: driver.app._exit)


async def test_the_join_line_is_copied_and_the_token_shown_only_when_asked_for(tmp_path):
    path = tmp_path / "agent.token"
    path.write_text("agent-4f6b\n")
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_gathering()
        await driver.gather(token_file=str(path))
        await driver.until_text("Copy join line")
        assert "agent-4f6b" not in driver.text()
        await driver.press("c")
        await driver.until_said("was sent to")
        assert driver.app.clipboard == canned_members.JOIN
        await driver.press("w")
        assert driver.app.clipboard == canned_members.WATCH
        await driver.press("t")
        await driver.until_text("agent-4f6b")
        await driver.press("t")
        await driver.until(lambda: "agent-4f6b" not in driver.text())
        path.unlink()
        await driver.press("t")
        await driver.until_said("cannot be read")


async def test_a_run_that_goes_shows_its_lines_and_a_viewer_elsewhere_no_token(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_members(role="observer", where="192.0.2.10:7700")
        await driver.until_text("Join line")
        await driver.press("l")
        await driver.until_screen("JoinScreen")
        await driver.until_text("lie on the host where the run was started")
        assert "Token " not in driver.text()
        await driver.press("w")
        assert driver.app.clipboard == canned_members.WATCH


async def test_a_run_without_agents_shows_the_line_with_which_others_watch(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_form()
        driver.field("listen").value = "192.0.2.10:7700"
        await driver.press("f5")
        await driver.until_screen("LiveScreen")
        await driver.until_said("l shows the line")
        assert (driver.engine.requests[-1].listen, driver.engine.requests[-1].expect) == (
            "192.0.2.10:7700", 0,
        )  # fmt: skip
        plain = canned.snapshot(view=driver.run.views[-1])
        driver.run.send(msgspec.structs.replace(plain, attach=canned_members.WATCH))
        await driver.until(lambda: driver.app.screen.store.snapshot)
        await driver.press("l")
        await driver.until_text("how to watch it from elsewhere")
        assert "worker join" not in driver.text()
        assert "Copy join line" not in driver.text()
        assert "Token " not in driver.text()
        await driver.press("w")
        assert driver.app.clipboard == canned_members.WATCH

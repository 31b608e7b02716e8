"""What a person does, by keyboard, over a fake engine."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from textual.widget import Widget
from textual.widgets import Input

from chaperon_engine import LaunchRequest, Plan, SeriesDetail, UserError
from chaperon_tui.app import ChaperonApp, Start
from chaperon_tui.screens import launch as launch_module
from chaperon_tui.screens import series as series_module
from chaperon_tui.screens.live import LiveScreen
from chaperon_tui.widgets.table_view import TableView
from tests.tui import canned, canned_large
from tests.tui.driving import SIZES, driving
from tests.tui.fakes import FakeEngine


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_menu_form_live_report_export_by_keyboard_alone(tmp_path, size):
    async with driving(tmp_path, size) as driver:
        await driver.walk_to_form()
        await driver.press("enter")
        await driver.until_screen("LiveScreen")
        for elapsed in (1.0, 5.0, 30.0):
            await driver.send(elapsed_s=elapsed)
        await driver.until_text("POST /login")
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.press("e")
        await driver.until_screen("ExportScreen")
        await driver.until_text("› csv")
        await driver.press("down", "down", "tab", *"/tmp/out.json", "enter")
        await driver.until_text("✓ Written: /tmp/out.json")
        assert driver.engine.written == [("json", "/tmp/out.json")]
        await driver.press("escape")
        await driver.until_screen("ReportScreen")
        await driver.until_text("✓ Written: json /tmp/out.json")
        assert driver.engine.requests[0].detach


async def test_an_export_that_fails_is_said_in_the_dialog(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_report()
        await driver.press("e")
        await driver.until_text("› csv")
        await driver.press("tab", *"/full/disk", "enter")
        await driver.until_text("the disk is full")
        assert type(driver.app.screen).__name__ == "ExportScreen"


async def test_typing_in_the_menu_searches(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.until_text("SearchTest")
        await driver.press(*"fire")
        await driver.until(lambda: "SearchTest" not in driver.text())
        assert "Firehose" in driver.text()
        await driver.press("escape")
        await driver.until_text("SearchTest")


async def test_a_file_with_a_problem_says_it_and_cannot_be_launched(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.until_text("broken.py")
        await driver.press("down", "down")
        await driver.until_text("expected ':'")
        await driver.press("enter")
        assert type(driver.app.screen).__name__ == "MenuScreen"


async def test_a_wrong_value_is_said_at_once_and_keeps_from_launching(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_form()
        field = next(f for f in driver.app.screen.query(Input) if f.name == "sessions.buyers")
        field.focus()
        await driver.press("end", "x")
        await driver.until_text("expected a whole number")
        await driver.press("enter")
        assert not driver.engine.requests
        await driver.press("backspace", "enter")
        await driver.until_screen("LiveScreen")


async def test_a_refused_launch_is_one_sentence_in_the_form(tmp_path):
    async with driving(tmp_path) as driver:
        driver.engine.refusal = "nothing listens at http://127.0.0.1:7070: start the service"
        await driver.open_form()
        await driver.press("enter")
        await driver.until_text("✗ nothing listens at http://127.0.0.1:7070")
        assert type(driver.app.screen).__name__ == "LaunchScreen"


async def test_the_values_of_the_last_launch_are_offered_again(tmp_path):
    for expected in ("50", "507"):
        async with driving(tmp_path) as driver:
            await driver.open_form()
            field = next(f for f in driver.app.screen.query(Input) if f.name == "sessions.buyers")
            assert field.value == expected
            field.focus()
            await driver.press("end", "7", "enter")
            await driver.until_screen("LiveScreen")
    kept = json.loads((tmp_path / "ui.json").read_text())
    assert kept["launches"]["/home/ann/scenarios/checkout.py:CheckoutTest"]


async def test_a_public_host_is_asked_about_once(tmp_path, monkeypatch):
    async def is_near(host: str) -> bool:
        return host != "shop.example.com"

    monkeypatch.setattr(launch_module, "_is_near", is_near)
    for number in range(2):
        async with driving(tmp_path) as driver:
            await driver.open_form()
            field = driver.app.screen.query(Input).first()
            field.value = "http://shop.example.com"
            await driver.press("enter")
            if number == 0:
                await driver.until_screen("ConfirmScreen")
                assert "shop.example.com" in driver.text()
                await driver.press("n")
                await driver.until_screen("LaunchScreen")
                assert not driver.engine.requests
                await driver.press("enter")
                await driver.until_screen("ConfirmScreen")
                await driver.press("y")
            await driver.until_screen("LiveScreen")


async def test_stop_is_graceful_and_abort_asks_first(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("s")
        await driver.until_text("stopping")
        assert driver.run.asked == ["stop"]
        await driver.press("a")
        await driver.until_screen("ConfirmScreen")
        await driver.press("a")
        await driver.until(lambda: driver.run.asked == ["stop", "abort"])


async def test_pause_holds_the_display_but_not_the_record(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live(elapsed_s=10.0)
        await driver.until_text("10 s of 1m")
        await driver.press("p")
        await driver.until_text("PAUSED")
        await driver.send(elapsed_s=20.0, new_from=10)
        screen = driver.app.screen
        assert isinstance(screen, LiveScreen)
        await driver.until(lambda: screen.store.history.last_s == 19)
        assert "20 s of 1m" not in driver.text()
        await driver.press("p")
        await driver.until_text("20 s of 1m")


async def test_interval_and_whole_run_change_by_a_key_and_the_engine_is_told(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("1.31 ms")
        await driver.press("i")
        await driver.until_text("1.22 ms")
        await driver.until(lambda: driver.run.views[-1].interval)


async def test_the_engine_computes_only_the_rows_that_are_visible(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_live(rows=101)
        await driver.until(lambda: driver.run.views[-1].limit > 5)
        limit = driver.run.views[-1].limit
        await driver.press("end")
        table = driver.app.screen.query_one("#series-table", TableView)
        await driver.send(rows=101)
        await driver.press("end")
        assert table.cursor == 99
        await driver.until(lambda: driver.run.views[-1].offset > 50)
        await driver.press("1")
        await driver.until(lambda: driver.run.views[-1].limit == 0)
        await driver.press("3")
        await driver.until(lambda: driver.run.views[-1].limit == limit)


async def test_series_are_sorted_and_found_by_keys(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("o")
        await driver.until(lambda: driver.run.views[-1].sort == "per_s")
        await driver.press("O")
        await driver.until(lambda: not driver.run.views[-1].descending)
        await driver.press("slash", *"json", "enter")
        await driver.until(lambda: driver.run.views[-1].contains == "json")


async def test_a_key_shows_series_of_all_kinds_live_and_in_the_report(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("POST /login")
        assert "connect shop" not in driver.text()
        await driver.press("f")
        await driver.until(lambda: not driver.run.views[-1].kinds)
        await driver.send()
        await driver.until_text("connect shop")
        await driver.press("f")
        await driver.until(lambda: driver.run.views[-1].kinds)
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        assert "connect shop" not in driver.text()
        await driver.press("f", "end")
        await driver.until_text("connect shop")


async def test_a_click_on_a_title_sorts_and_a_second_one_reverses(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("POST /login")
        x = driver.text().split("\n")[21:]
        row, line = next((n, t) for n, t in enumerate(x) if "p99" in t and "Series" in t)
        offset = (line.index("p99") + 1, 21 + row)
        await driver.pilot.click(offset=offset)
        await driver.until(lambda: driver.run.views[-1].sort == "p99")
        await driver.pilot.click(offset=offset)
        await driver.until(lambda: not driver.run.views[-1].descending)


async def test_every_panel_has_a_number_and_zoom_shows_it_alone(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("5", "z")
        await driver.until(lambda: "Heatmap ─" not in driver.text())
        assert "PID" in driver.text()
        await driver.press("escape")
        await driver.until_text("2 Heatmap ─")


async def test_a_row_of_errors_opens_with_its_traceback(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_live()
        await driver.press("4")
        await driver.until_text("ValueError")
        await driver.press("down", "down", "down", "enter")
        await driver.until_text('raise ValueError("no card")')


async def test_a_finished_run_can_be_started_again(tmp_path):
    async with driving(tmp_path) as driver:
        second = type(driver.run)()
        driver.engine.runs.append(second)
        await driver.open_report()
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        await driver.press("n")
        await driver.until(lambda: len(driver.engine.requests) == 2)
        await driver.until(lambda: driver.run.is_closed)


async def test_a_window_of_the_report_has_its_exact_percentiles(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_report()
        await driver.press("w")
        await driver.until_text("Window 20 s to 40 s")
        await driver.press("left", "full_stop")
        await driver.until_text("Window 19 s to 40 s")
        assert driver.engine.windows[-1] == (19, 40)


async def test_leaving_asks_and_a_detached_run_goes_on(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("ctrl+q")
        await driver.until_screen("LeaveScreen")
        await driver.press("c")
        await driver.until_screen("LiveScreen")
        await driver.press("ctrl+q")
        await driver.until_screen("LeaveScreen")
        await driver.press("l")
        await driver.until(lambda: driver.app._exit)
        assert driver.app.left_running == [driver.run.run_id]
        assert driver.run.asked == []


async def test_stopping_on_the_way_out_waits_for_the_report(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("ctrl+q")
        await driver.until_screen("LeaveScreen")
        await driver.press("s")
        await driver.until(lambda: driver.run.asked == ["stop"])
        assert not driver.app._exit
        driver.run.send(canned.snapshot(state="finished"))
        await driver.until(lambda: driver.app._exit)
        assert driver.app.last_report is not None


async def test_a_report_waits_for_what_lies_above_the_run(tmp_path):
    async with driving(tmp_path) as driver:
        for keys, above in (
            (["enter"], "SeriesScreen"),
            (["f1"], "HelpScreen"),
            (["ctrl+p"], "CommandPalette"),
            (["4", "enter"], "LinesScreen"),
            (["slash"], "PromptScreen"),
        ):
            await driver.open_live()
            await driver.until_text("POST /login")
            live = driver.app.screen
            assert isinstance(live, LiveScreen)
            await driver.press(*keys)
            await driver.until_screen(above)
            await driver.send(state="finished", elapsed_s=60.0)
            await driver.until(lambda live=live: live.report)
            assert type(driver.app.screen).__name__ == above
            await driver.press("escape")
            await driver.until_screen("ReportScreen")
            await driver.press("escape")
            await driver.until(lambda live=live: live.is_active)
        await driver.press("e")
        await driver.until_screen("ReportScreen")


async def test_a_question_about_a_run_that_has_ended_gives_way_to_its_report(tmp_path):
    async with driving(tmp_path) as driver:
        for key, question in (
            ("escape", "LeaveScreen"), ("ctrl+q", "LeaveScreen"), ("a", "ConfirmScreen"),
        ):  # fmt: skip
            await driver.open_live()
            await driver.press(key)
            await driver.until_screen(question)
            await driver.send(state="finished", elapsed_s=60.0)
            await driver.until_screen("ReportScreen")
            assert driver.run.asked == []


async def test_an_engine_that_is_gone_is_said_and_recovery_is_offered(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        driver.run.vanish()
        await driver.until_screen("ConfirmScreen")
        assert "ended without a report" in driver.text()
        await driver.press("r")
        await driver.until_screen("ReportScreen")


async def test_attach_goes_straight_to_the_live_screen_and_from_there_to_the_menu(
    tmp_path, monkeypatch
):
    shown: list[str] = []
    push = ChaperonApp.push_screen
    monkeypatch.setattr(
        ChaperonApp, "push_screen",
        lambda self, screen, *more, **named: (
            shown.append(type(screen).__name__) or push(self, screen, *more, **named)
        ),
    )  # fmt: skip
    async with driving(tmp_path, start=Start(attach=True)) as driver:
        await driver.until_screen("LiveScreen")
        await driver.send()
        await driver.until_text("CheckoutTest")
        assert shown == ["GatheringScreen", "LiveScreen"]
        await driver.press("escape", "l")
        await driver.until_text("◆")
        assert shown[-1] == "MenuScreen"


async def test_while_a_run_is_looked_for_the_screen_says_so_and_can_be_left(tmp_path, monkeypatch):
    async def attach(self, run=None, on_gathering=None):
        await asyncio.Event().wait()

    monkeypatch.setattr(FakeEngine, "attach", attach)
    async with driving(tmp_path, SIZES["80x24"], start=Start(attach=True)) as driver:
        await driver.until_text("Looking for the run on this machine")
        assert "Attaching …" in driver.text()
        assert "Nobody has attached" not in driver.text()
        await driver.press("escape")
        await driver.until_screen("MenuScreen")


async def test_a_file_goes_straight_to_its_form(tmp_path):
    start = Start(request=LaunchRequest(file="/a/checkout.py", name="CheckoutTest"))
    async with driving(tmp_path, start=start) as driver:
        await driver.until_screen("LaunchScreen")
        await driver.until_text("http://127.0.0.1:7070")


async def test_former_runs_open_recover_and_are_removed_after_a_question(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.press("ctrl+r")
        await driver.until_text("killed")
        await driver.press("down", "enter")
        await driver.until_screen("ReportScreen")
        await driver.press("escape")
        await driver.until_screen("RunsScreen")
        await driver.press("end", "enter")
        await driver.until_screen("ConfirmScreen")
        await driver.press("r")
        await driver.until_screen("ReportScreen")
        await driver.press("escape")
        await driver.until_screen("RunsScreen")
        await driver.press("d")
        await driver.until_screen("ConfirmScreen")
        await driver.press("r")
        await driver.until(lambda: driver.engine.removed == ["run-3"])
        await driver.until(lambda: "killed" not in driver.text())


async def test_keys_that_come_before_the_fields_start_nothing(tmp_path, monkeypatch):
    known, pressed = asyncio.Event(), asyncio.Event()
    describe, action_try = FakeEngine.describe, launch_module.LaunchScreen.action_try

    async def slowly(engine: FakeEngine, request: LaunchRequest, *, timeout_s: float = 15) -> Plan:
        await known.wait()
        return await describe(engine, request)

    def last_key(screen: launch_module.LaunchScreen) -> None:
        action_try(screen)
        pressed.set()

    # Before the app starts: the menu asks, too.
    monkeypatch.setattr(FakeEngine, "describe", slowly)
    monkeypatch.setattr(launch_module.LaunchScreen, "action_try", last_key)
    async with driving(tmp_path) as driver:
        await driver.until_text("◆")
        await driver.press("enter")
        await driver.until_screen("LaunchScreen")
        await driver.press("enter", "f5", "ctrl+t")
        await driver.until(pressed.is_set)
        known.set()
        await driver.until(lambda: isinstance(driver.app.screen.focused, Input))
        assert type(driver.app.screen).__name__ == "LaunchScreen"
        assert driver.engine.requests == []


async def test_try_shows_every_exchange_in_full(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_form()
        await driver.press("ctrl+t")
        await driver.until_text("1 of 2 requests failed")
        await driver.press("home")
        await driver.until_text("Content-Type")


async def test_the_palette_offers_what_the_keys_do(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("ctrl+p")
        await driver.until_screen("CommandPalette")
        await driver.press(*"pause")
        await driver.until_text("Hold the display")
        await driver.press("down", "enter")
        await driver.until_text("PAUSED")


async def test_help_names_the_keys_of_the_screen_below(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.press("question_mark")
        await driver.until_text("Stop gracefully")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")


async def test_a_chosen_theme_is_remembered(tmp_path):
    async with driving(tmp_path) as driver:
        driver.app.theme = "nord"
        await driver.until(lambda: (tmp_path / "ui.json").exists())
    async with driving(tmp_path) as driver:
        await driver.until(lambda: driver.app.theme == "nord")


async def test_nothing_is_drawn_when_nothing_changes(tmp_path, monkeypatch):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.send(new_from=42)
        painted: list[str] = []
        plain = TableView.render_line

        def counted(self, y):
            painted.append(str(self.id))
            return plain(self, y)

        monkeypatch.setattr(TableView, "render_line", counted)
        await driver.send(new_from=42)
        await driver.send(new_from=42)
        assert painted == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("/runs/1/run.json is damaged: it was cut off"), "run.json is damaged"),
        (PermissionError(13, "Permission denied", "/runs/1"), "/runs/1 cannot be used: Permission"),
    ],
)
async def test_a_run_that_cannot_be_attached_ends_the_ui_with_one_sentence(
    tmp_path, monkeypatch, error, said
):
    async def attach(self, run=None, on_gathering=None):
        raise error

    monkeypatch.setattr(FakeEngine, "attach", attach)
    async with driving(tmp_path, start=Start(attach=True)) as driver:
        await driver.until(lambda: driver.app._exit)
        assert said in driver.app.refusal
    async with driving(tmp_path) as driver:
        driver.app.attach_to("run-1")
        await driver.until(lambda: driver.app._notifications)
        assert not driver.app._exit


async def test_an_export_to_a_service_asks_for_its_destination_and_options(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_report()
        await driver.press("e")
        await driver.until_text("› csv")
        assert "Options" not in driver.text()
        await driver.press("down")
        await driver.until_text("http://HOST:8086/DATABASE · needed")
        await driver.until_text("token-env=VALUE")
        await driver.press("tab", *"http://127.0.0.1:8086/k6", "tab", *"database", "enter")
        await driver.until_text("'database' is no option such as name=value")
        await driver.press(*"=load", "enter")
        await driver.until_text("✓ Written: http://127.0.0.1:8086/k6")
        assert driver.engine.options == {"database": "load"}


async def test_the_detail_of_a_series_is_final_when_the_run_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(series_module, "REFRESH_S", 0.05)
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("POST /login")
        await driver.press("enter")
        await driver.until_screen("SeriesScreen")
        await driver.until_text("99.9")
        assert "412k requests" not in driver.text()
        driver.run.is_gone = True
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_text("412k requests")
        assert "≥ 1 ms" in driver.text()
        assert "missing" in driver.text()
        await driver.pilot.pause(0.1)
        asked = driver.run.details_asked
        await driver.pilot.pause(0.2)
        assert driver.run.details_asked == asked


async def test_a_series_opened_after_the_engine_has_left_comes_from_the_report(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("POST /login")
        live = driver.app.screen
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("ReportScreen")
        await driver.press("escape")
        await driver.until(lambda: live.is_active)
        driver.run.is_gone = True
        await driver.press("3", "enter")
        await driver.until_screen("SeriesScreen")
        await driver.until_text("The report keeps no histogram.")
        assert "99.999" in driver.text()


async def test_a_series_of_a_report_opens_in_full(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_report()
        await driver.press("down", "enter")
        await driver.until_screen("SeriesScreen")
        await driver.until_text("GET /json?page")
        await driver.until_text("Generator degraded in 12 %")


async def test_a_trend_shows_its_own_unit_and_no_times(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.until_text("POST /login")
        trend = canned_large.rows()[4]
        spectrum = [(50.0, 0.25), (90.0, 4.5), (99.0, 12_345.0)]
        driver.run.detail = SeriesDetail(
            row=trend, spectrum=spectrum, histogram=[(1.0, 5), (10.0, 3)]
        )
        await driver.press("enter")
        await driver.until_text("trend.of.something.4 [points]")
        await driver.until_text("value in points by percentile")
        for wrong in (" ms", " µs", "7.75G requests", "HTTP errors"):
            assert wrong not in driver.text().partition("points")[2], wrong


@pytest.mark.parametrize("size", ["80x24", "160x50"])
@pytest.mark.parametrize("workers", [8, 64])
async def test_very_large_numbers_keep_their_columns(tmp_path, size, workers):
    async with driving(tmp_path, SIZES[size]) as driver:
        await driver.open_live()
        for key in "3456":
            await driver.press(key)
            await driver.pilot.pause()
            view = driver.run.views[-1]
            driver.run.send(canned_large.snapshot(workers_count=workers, view=view))
            await driver.until_text("38.8G sent")
            await driver.pilot.pause()
            text = driver.text()
            assert not re.search(r"\de[+-]?\d|[\d.]…[ │]", text.partition("Series")[2]), text
        await driver.press("5", "end")
        await driver.until(lambda: workers == 8 or driver.run.views[-1].worker_offset)
        view = driver.run.views[-1]
        driver.run.send(canned_large.snapshot(workers_count=workers, view=view))
        await driver.until_text(f"›{workers - 1:4} running")


async def test_defaults_come_back_by_a_key_while_a_field_has_the_focus(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_form()
        await driver.press("end", "x")
        await driver.until_text("7070x")
        await driver.until_text("Reset")
        await driver.press("ctrl+d")
        await driver.until(lambda: "7070x" not in driver.text() and "7070" in driver.text())


async def test_arrow_keys_go_from_field_to_field_in_a_form_that_scrolls(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_form()
        fields = [
            field.name
            for field in driver.app.screen.query(Input)
            if all(each.display for each in (field, *field.ancestors) if isinstance(each, Widget))
        ]
        for name in fields[1:]:
            await driver.press("down")
            assert driver.app.focused.name == name
        await driver.press("up")
        assert driver.app.focused.name == fields[-2]

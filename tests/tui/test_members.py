"""The members of a run: their table, one of them in full, and what can be done with one."""

from __future__ import annotations

import msgspec
import pytest

from chaperon_engine import MembersView
from chaperon_tui.state.member_choice import SORTS, MemberChoice, next_trouble, worst_lag
from chaperon_tui.state.members import (
    COLUMNS,
    count_words,
    line_rows,
    may_be_drained,
    member_lines,
    members_table,
)
from chaperon_tui.state.series import FEW_MEMBERS
from chaperon_tui.state.table import body_row, header_row, widths
from chaperon_tui.widgets.table_view import TableView
from tests.tui import canned_members
from tests.tui.driving import SIZES, driving


def texts(width: int) -> list[str]:
    snapshot = canned_members.snapshot()
    table = members_table(snapshot, member_lines(snapshot))
    rows = [header_row(table, width), *(body_row(table, row, width) for row in table.rows)]
    return ["".join(text for text, _ in row) for row in rows]


def test_hosts_with_several_members_stand_above_them_and_sum_them_up():
    lines = [text.split("  ")[0] or text.split()[0] for text in texts(74)[1:]]
    assert lines[:4] == ["this host", "worker", "worker", "load-2"]
    host = texts(74)[1]
    assert "24.8k" in host
    assert "25 %" in host


@pytest.mark.parametrize(
    ("width", "there", "missing"),
    [
        (74, "Host, member State Cores CPU Lag p99 /s Share RTT", "Behind Clock Python Note"),
        (114, "Share RTT Behind Clock Sessions", "Python Note"),
        (154, "Share RTT Behind Clock Sessions Memory Python Chaperon Note", ""),
    ],
)
def test_narrow_tables_keep_the_important_columns_and_wide_ones_show_all(width, there, missing):
    header = texts(width)[0]
    assert all(word in header for word in there.split())
    assert not any(word in header for word in missing.split())
    assert min(filter(None, widths(COLUMNS, width))) >= 5


def test_each_state_is_a_word():
    text = "\n".join(texts(154))
    for words in ("away", "draining", "no link", "running", "2 members"):
        assert words in text
    snapshot = canned_members.snapshot()
    assert count_words(snapshot) == "4 hosts · 6 members · 1 away · 1 no link · 1 draining"


def test_shares_add_up_and_a_local_worker_has_one():
    column = [each.key for each in COLUMNS].index("share")
    snapshot = canned_members.snapshot()
    lines = member_lines(snapshot)
    cells = members_table(snapshot, lines).rows
    found = [row[column][0] for row, line in zip(cells, lines, strict=True) if line.is_member]
    assert found == ["12 %", "12 %", "25 %", "25 %", "12 %", "12 %"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ["worker 0", "running", "PID 4711", "core 0", "12 % of the sessions"]),
        (2, ["load-2", "shares 2, 3 of 8", "192.0.2.2:40312", "round trip 820 µs",
             "clock offset +86.4k s", "Python 3.11.7", "Chaperon 0.2.0"]),
        (3, ["away", "nothing heard for 17 s", "not connected", "17 frames behind"]),
        (5, ["no link", "■ saturated", "CPU 97 %", "lag p99 18 ms", "worker-7.a-very-long-name"]),
    ],
)  # fmt: skip
def test_one_member_in_full_says_all_that_is_known(number, words):
    snapshot = canned_members.snapshot()
    line = next(line for line in member_lines(snapshot)
                if line.member and line.member.worker == number)  # fmt: skip
    text = "\n".join("".join(text for text, _ in row) for row in line_rows(line, snapshot))
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("state", "may"),
    [("running", True), ("away", True), ("draining", False), ("done", False), ("lost", False),
     ("hung", False), ("starting", False), ("attached", False)],
)  # fmt: skip
def test_only_who_makes_load_can_be_drained(state, may):
    row = canned_members.members()[2]
    assert may_be_drained(msgspec.structs.replace(row, state=state)) is may
    assert not may_be_drained(None)


def test_messages_count_where_a_run_has_no_requests():
    row = msgspec.structs.replace(
        canned_members.members()[2], requests_per_s=0.0, messages_per_s=420.0
    )
    snapshot = canned_members.snapshot(rows=[row])
    table = members_table(snapshot, member_lines(snapshot))
    assert ("420", "") in table.rows[0]


def test_a_run_without_members_says_so():
    snapshot = msgspec.structs.replace(canned_members.snapshot(), workers=[], members=MembersView())
    assert members_table(snapshot, member_lines(snapshot)).empty
    assert count_words(snapshot) == "0 hosts · 0 members"


@pytest.mark.parametrize("size", ["80x24", "120x40"])
async def test_the_newest_reason_of_a_partial_run_stands_on_one_line(tmp_path, size):
    words = "agent west was drained by ann@desk after 41 s and delivered all that it measured"
    async with driving(tmp_path, SIZES[size]) as driver:
        await driver.open_live()
        plain = canned_members.snapshot(view=driver.run.views[-1])
        for reasons in (["worker 1 was killed"], ["worker 1 was killed", f"\x1b[31m{words}"]):
            driver.run.send(msgspec.structs.replace(plain, partial=True, reasons=reasons))
            await driver.until_text(f"Partial{' (2 reasons)' if len(reasons) > 1 else ''}: ")
        line = next(line for line in driver.text().splitlines() if "Partial (2" in line)
        assert "was drained by ann@desk" in line
        assert ("measured" in line) == (size != "80x24")
        assert ("…" in line) == (size == "80x24")


async def test_draining_asks_once_and_tells_the_engine(tmp_path):
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_members()
        await driver.until_text("this host")
        await driver.press("down", "down", "d")
        await driver.until_screen("ConfirmScreen")
        assert "load-2" in driver.text()
        await driver.press("c")
        await driver.until_screen("WorkersScreen")
        assert driver.run.asked == []
        await driver.press("d")
        await driver.until_screen("ConfirmScreen")
        await driver.press("d")
        await driver.until(lambda: driver.run.asked == ["drain 2"])
        await driver.press("home", "d", "end", "up", "d")
        await driver.until_text("drained by ann@desk")
        assert type(driver.app.screen).__name__ == "WorkersScreen"


async def test_the_cursor_stays_on_its_member_when_others_come_and_go(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.send_members()
        await driver.press("5", "end")
        await driver.send_members()
        await driver.until(driver.app.screen.view.worker_at_cursor)
        await driver.press("enter")
        await driver.until_screen("WorkersScreen")
        await driver.send_all_members()
        await driver.until_text("■ saturated")
        table = driver.app.screen.query_one(TableView)
        assert table.cursor == 7
        members = canned_members.members()
        fewer = [members[0], *members[3:]]
        driver.run.send(canned_members.snapshot(view=driver.run.views[-1], rows=fewer))
        await driver.until(lambda: table.cursor == 4)
        await driver.until_text("no link")
        assert driver.run.on_refused is not None
        driver.run.on_refused("load-2 leaves already")
        await driver.until_said("load-2 leaves already")


async def test_a_report_that_is_due_waits_for_the_workers_screen(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_members()
        await driver.press("d")
        await driver.until_screen("ConfirmScreen")
        await driver.send(state="finished", elapsed_s=60.0)
        await driver.until_screen("WorkersScreen")
        await driver.press("escape")
        await driver.until_screen("ReportScreen")
        assert driver.run.asked == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", 8), ("load-3 AWAY", 1), ("east", 1), ("no link", 1), ("this host", 2),
        ("192.0.2.4", 1), ("draining", 1), ("nobody", 0),
    ],
)  # fmt: skip
def test_a_filter_looks_into_hosts_names_addresses_and_states(words, found):
    choice = MemberChoice()
    choice.contains = words
    lines = choice.lines(canned_members.snapshot())
    assert len(lines) == found
    assert not words or all(line.is_member for line in lines)
    assert choice.note(lines) == (f"{found} with '{words}' · " if words else "")


@pytest.mark.parametrize(
    ("sort", "first"),
    [("lag", 5), ("cpu", 5), ("state", 3), ("behind", 3), ("share", 2), ("name", 0), ("trip", 5)],
)
def test_each_column_sorts_the_worst_or_largest_first(sort, first):
    choice = MemberChoice()
    choice.sort_by(sort)
    lines = choice.lines(canned_members.snapshot())
    assert lines[0].members[0].worker == first
    table = members_table(canned_members.snapshot(), lines, sort=sort, descending=True)
    assert any("▼" in text for text, _ in header_row(table, 154))
    choice.sort_by(sort)
    assert choice.lines(canned_members.snapshot())[0].members[0].worker != first


def test_sorting_goes_through_all_columns_and_back_to_the_hosts():
    choice = MemberChoice()
    for sort in SORTS:
        assert choice.sort == sort
        assert len([line for line in choice.lines(canned_members.snapshot()) if line.member]) == 6
        choice.sort_by_next()
    assert choice.sort == ""


def test_the_worst_lag_and_the_next_trouble_are_found_and_searched_from_the_top_again():
    lines = member_lines(canned_members.snapshot())
    worst = worst_lag(lines)
    assert worst is not None
    assert lines[worst].members[0].worker == 5
    found, place = [], 0
    for _ in range(3):
        place = next_trouble(lines, place) or 0
        found.append(lines[place].members[0].worker)
    assert found == [3, 5, 3]
    assert next_trouble(lines[:4], 0) is None
    assert worst_lag([]) is next_trouble([], 0) is None


async def test_among_a_thousand_members_one_is_found_and_only_what_is_seen_is_put_into_words(
    tmp_path, monkeypatch
):
    from chaperon_tui.state import members

    made = []
    cells = members._cells
    monkeypatch.setattr(members, "_cells", lambda *given: made.append(1) or cells(*given))
    many = canned_members.many(1000)
    async with driving(tmp_path, SIZES["80x24"]) as driver:
        await driver.open_live()
        assert driver.run.views[-1].worker_limit == FEW_MEMBERS
        await driver.press("w")
        await driver.send_all_members(rows=many)
        await driver.until_text("1,000 members")
        assert len(made) < 50
        await driver.press("n")
        await driver.until_text("load-666  away")
        await driver.press("m")
        await driver.until_text("load-500  running")
        await driver.press("slash", *"load-99 run", "enter")
        await driver.until_text("11 with 'load-99 run'")
        await driver.press("o", "O")
        await driver.until_text("Host, member")
        assert len(made) < 300
        await driver.press("escape")
        await driver.until_text("1,000 hosts")
        await driver.press("escape")
        await driver.until_screen("LiveScreen")
        await driver.until(lambda: driver.run.views[-1].worker_limit == FEW_MEMBERS)


async def test_the_panel_asks_for_the_page_of_workers_that_is_seen(tmp_path):
    async with driving(tmp_path) as driver:
        await driver.open_live()
        await driver.send_members(rows=canned_members.many(300))
        await driver.until(lambda: driver.run.views[-1].worker_limit == FEW_MEMBERS)
        await driver.press("5", "end")
        await driver.until(lambda: driver.run.views[-1].worker_offset > 250)
        await driver.send_members(rows=canned_members.many(300))
        await driver.until(driver.app.screen.view.worker_at_cursor)
        await driver.press("enter")
        await driver.until_screen("WorkersScreen")
        await driver.send_all_members(rows=canned_members.many(300))
        await driver.until_text("› load-299.example.com")

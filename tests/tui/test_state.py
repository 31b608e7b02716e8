"""What the screens show, as plain data."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import msgspec
import pytest

from chaperon_engine import (
    CheckCount,
    ExportFormat,
    ExportOption,
    HealthView,
    Interval,
    LaunchRequest,
    LoadProfile,
    LogLine,
    MessageSecond,
    MessageTotals,
    Percentiles,
    PopulationPlan,
    Totals,
    UserError,
    View,
)
from chaperon_tui.raster.cells import row_text, row_width
from chaperon_tui.state import charts, form
from chaperon_tui.state.details import detail_of, detail_rows, key_of, outcome_rows
from chaperon_tui.state.errors import error_words, in_words, origin_of
from chaperon_tui.state.exports import launch_hint, options_hint, parse_options
from chaperon_tui.state.figures import (
    health_line,
    percentile,
    progress,
    share,
    show_time,
    show_value,
    tiles,
)
from chaperon_tui.state.history import MAX_STEPS, History
from chaperon_tui.state.hosts import are_near, host_of, is_near
from chaperon_tui.state.memory import (
    Memory,
    is_secret,
    load_memory,
    memory_path,
    remember_launch,
    save_memory,
    without_credentials,
)
from chaperon_tui.state.menu import led_to, population_words, search
from chaperon_tui.state.reports import (
    metrics_table,
    problems_table,
    status_words,
    summary_rows,
    window_rows,
)
from chaperon_tui.state.series import SeriesChoice, calm_rows
from chaperon_tui.state.store import LOG_LINES, RunStore
from chaperon_tui.state.table import Column, Table, body_row, column_at, header_row, widths
from chaperon_tui.state.tables import errors_table, log_time, series_table, workers_table
from chaperon_tui.widgets.bars import StateLine
from tests.tui import canned, canned_large


def test_state_and_raster_load_neither_textual_nor_rich():
    code = (
        "import sys, pkgutil, importlib\n"
        "import chaperon_tui.state, chaperon_tui.raster\n"
        "for package in (chaperon_tui.state, chaperon_tui.raster):\n"
        "    for found in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('textual', 'rich')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


# History and store


def second(number: int, **values: int) -> Interval:
    fields = {"requests": 100, "ok": 99, "failed": 1, "http_errors": 0, "in_flight": 5}
    return Interval(second=number, latency=canned.latency(2.0, 99), heat=[1, 2], **fields | values)


def test_history_takes_each_second_once():
    history = History()
    assert history.extend([second(0), second(1)])
    assert not history.extend([second(0), second(1)])
    assert [step.start_s for step in history.span(None)] == [0, 1]


def test_a_long_run_is_kept_in_bounded_memory_without_losing_a_request():
    history = History()
    history.extend(second(number) for number in range(5000))
    assert len(history.steps) <= MAX_STEPS
    assert sum(step.requests for step in history.steps) == 500_000
    assert history.step_s == 16
    assert all(step.start_s % history.step_s == 0 for step in history.steps)


def test_a_step_of_several_seconds_shows_their_worst_percentile():
    history = History()
    history.extend(second(number) for number in range(MAX_STEPS))
    worst = msgspec.structs.replace(second(MAX_STEPS), latency=canned.latency(50.0, 99))
    history.extend([worst])
    assert history.steps[-1].p99 == worst.latency.p99


def test_the_last_minute_is_shown_second_by_second():
    history = History()
    history.extend(second(number) for number in range(2000))
    assert [step.start_s for step in history.span(60)] == list(range(1940, 2000))


def test_the_log_is_bounded_and_foreign_lines_are_made_visible():
    store = RunStore("run", canned.plan())
    lines = [LogLine(0.0, "info", "w", f"line {n}\x1b[2J") for n in range(LOG_LINES + 50)]
    store.fold(msgspec.structs.replace(canned.snapshot(), logs=lines))
    assert len(store.log) == LOG_LINES
    assert store.log_count == LOG_LINES + 50
    assert store.log[-1].text == f"line {LOG_LINES + 49}\\x1b[2J"


# Figures


@pytest.mark.parametrize(
    ("count", "name", "expected"),
    [
        (0, "p99", "–"),
        (999, "p99", "14.8 ms*"),
        (1000, "p99", "14.8 ms"),
        (19, "p50", "2 ms*"),
        (20, "p50", "2 ms"),
        (5, "max", "44 ms"),
    ],
)
def test_a_percentile_with_fewer_than_ten_samples_above_it_is_marked(count, name, expected):
    assert percentile(canned.latency(2.0, count), name) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 10, "0 %"), (1, 1_000_000, "<0.01 %"), (3, 1000, "0.3 %"), (12, 100, "12 %"),
     (999, 1000, ">99 %"), (5, 0, "0 %"), (10, 10, "100 %")],
)  # fmt: skip
def test_shares_are_never_rounded_to_none_or_all(part, whole, expected):
    assert share(part, whole) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.4, "0 s"), (6.9, "6 s"), (60, "1m"), (90, "1m30s"), (7500, "2h05m")],
)
def test_times_are_whole_seconds(value, expected):
    assert show_time(value) == expected


def test_tiles_show_the_whole_run_or_the_last_second():
    snapshot = canned.snapshot()
    whole, last = tiles(snapshot, interval=False), tiles(snapshot, interval=True)
    assert [tile.title for tile in whole] == [
        "Requests/s", "p50", "p95", "p99", "Failed", "In flight",
    ]  # fmt: skip
    assert (whole[1].value, last[1].value) == ("1.31 ms", "1.22 ms")
    assert whole[4].role == "bad"
    assert whole[5].value == "48"
    assert last[4].value.endswith("/s")


def of_messages(**changes):
    """A run with WebSockets and without requests."""
    second = MessageSecond(
        sent=600, received=590, failed=1, round_trip=canned.latency(2.0, 590), heat=[0, 590]
    )
    return msgspec.structs.replace(
        canned.snapshot(),
        totals=Totals(),
        measured_s=10.0,
        messages=MessageTotals(40, 38, 6_000, 5_900, 2, 29_500, 30_000),
        messages_now=MessageTotals(0, 38, 600, 590),
        round_trip=canned.latency(1.0, 5_900),
        round_trip_now=canned.latency(2.0, 590),
        intervals=[msgspec.structs.replace(canned.intervals(1)[0], messages=second)],
        **changes,
    )


def test_tiles_and_charts_are_about_messages_where_there_are_no_requests():
    snapshot = of_messages()
    whole, last = tiles(snapshot, interval=False), tiles(snapshot, interval=True)
    assert [tile.title for tile in whole] == [
        "Messages/s", "RTT p50", "RTT p95", "RTT p99", "Failed", "Sockets",
    ]  # fmt: skip
    assert (whole[0].value, whole[0].note) == ("1.19k", "6k sent, 5.9k received")
    assert (last[0].value, last[4].value, last[4].role) == ("1.19k", "0/s", "")
    assert (whole[4].value, whole[4].role, whole[5].value) == ("2", "bad", "38")
    store = RunStore("run", canned.plan())
    store.fold(snapshot)
    shown = charts.RunCharts(store)
    assert shown.subject is charts.MESSAGES
    assert [step.requests for step in store.message_history.steps] == [1190]
    assert any("msg/s" in row_text(row) for row in shown.rate(60, 10))


def test_a_run_with_both_has_its_messages_beside_the_requests():
    both = msgspec.structs.replace(of_messages(), totals=canned.snapshot().totals)
    first = tiles(both, interval=True)[0]
    assert (first.title, first.extra) == ("Requests/s", "+1.19k msg/s")
    assert not tiles(canned.snapshot(), interval=True)[0].extra


@pytest.mark.parametrize(
    ("state", "stopping", "expected"),
    [
        ("starting", False, "starting"), ("warmup", False, "warming up"),
        ("running", False, "running"), ("running", True, "stopping"),
        ("draining", False, "draining"), ("finished", True, "complete"),
    ],
)  # fmt: skip
def test_the_state_of_a_run_is_said_in_words(state, stopping, expected):
    store = RunStore("run", canned.plan())
    store.is_stopping = stopping
    store.fold(canned.snapshot(state=state))
    assert progress(store).state == expected


@pytest.mark.parametrize("is_partial", [False, True])
def test_a_partial_run_says_so_as_soon_as_it_is(is_partial):
    store = RunStore("run", canned.plan())
    store.fold(msgspec.structs.replace(canned.snapshot(), partial=is_partial))
    (row,) = StateLine(lambda: (progress(store), "")).paint(80, 1)
    assert (("PARTIAL  ", "warn") in row) == is_partial


def test_progress_counts_sessions_when_only_the_work_decides():
    store = RunStore("run", canned.plan())
    snapshot = msgspec.structs.replace(canned.snapshot(), planned_s=None)
    snapshot.sessions.finished = 25
    store.fold(snapshot)
    assert progress(store).share == 0.5
    assert "25 of 50 sessions" in progress(store).text


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (HealthView(), "● Generator good"),
        (HealthView(verdict="degraded", reason="CPU 91 %", worst="degraded"),
         "▲ Generator degraded: CPU 91 %; latencies may include delays of this machine"),
        (HealthView(verdict="saturated", worst="saturated"), "bottleneck, not the target"),
        (HealthView(worst="saturated", saturated_share=0.12, first_saturated_s=4.0),
         "● Generator good now, was saturated in 12 % of the time, first after 4 s"),
    ],
)  # fmt: skip
def test_the_generators_health_is_said_in_plain_words(health, words):
    store = RunStore("run", canned.plan())
    store.fold(msgspec.structs.replace(canned.snapshot(), health=health))
    assert words in health_line(store).text


def test_a_lost_engine_is_said_in_the_place_of_health():
    store = RunStore("run", canned.plan())
    store.lost = "the engine ended"
    assert "the engine ended" in health_line(store).text
    assert store.is_finished


# Tables

COLUMNS = (
    Column("a", "Name", 0, "left", sort="label"),
    Column("b", "Count", 7, sort="requests"),
    Column("c", "Wide", 6, from_width=40),
)


@pytest.mark.parametrize(
    ("total", "expected"), [(20, [12, 7, 0]), (40, [25, 7, 6]), (5, [1, 7, 0])]
)
def test_columns_share_the_room_and_hide_when_it_is_narrow(total, expected):
    assert widths(COLUMNS, total) == expected


def test_every_row_of_a_table_is_exactly_as_wide_as_the_table():
    table = Table.of(COLUMNS, [(("検索検索検索検索", ""), ("1", ""), ("x", ""))], empty="")
    for total in (5, 12, 20, 40, 80):
        assert row_width(header_row(table, total)) == total
        assert row_width(body_row(table, table.rows[0], total)) == total


def test_the_sorted_column_has_an_arrow():
    table = Table(COLUMNS, sort="requests", descending=True)
    assert "▼Count" in row_text(header_row(table, 30))
    assert "Name ▲" in row_text(header_row(Table(COLUMNS, sort="label", descending=False), 30))


@pytest.mark.parametrize(("x", "key"), [(0, "a"), (11, "a"), (14, "b"), (99, None)])
def test_a_click_finds_its_column(x, key):
    column = column_at(Table(COLUMNS), x, 20)
    assert (column.key if column else None) == key


def test_the_series_table_holds_what_the_view_asked_for():
    view = View(offset=2, limit=3, sort="p99")
    snapshot = canned.snapshot(view=view)
    table = series_table(snapshot, snapshot.series, view)
    assert (table.offset, len(table.rows), table.total) == (2, 3, 9)
    assert table.sort == "p99"


def test_series_of_other_kinds_say_what_they_are():
    table = series_table(canned.snapshot(), canned.series(), View())
    labels = [row[0][0] for row in table.rows]
    assert "call pay" in labels
    assert "connect shop" in labels


def test_failures_stand_beside_percentiles_at_every_width():
    table = series_table(canned.snapshot(), canned.series(), View())
    shown = [c.key for c, w in zip(table.columns, widths(table.columns, 74), strict=True) if w]
    assert {"failed", "p50", "p95", "p99"} <= set(shown)


def test_errors_stand_before_exceptions_before_checks():
    rows = [[text for text, _ in row] for row in errors_table(canned.snapshot()).rows]
    assert [row[1] for row in rows] == [
        "connection lost", "HTTP status 503", "timed out", "ValueError: no card",
        "✗ cart is empty: 2 % failed", "✓ page is json: all passed",
    ]  # fmt: skip


def test_a_check_that_never_failed_is_said_to_have_passed():
    snapshot = msgspec.structs.replace(
        canned.snapshot(), errors=[], exceptions=[], checks=[CheckCount("S", "s", "ok", 5, 0)]
    )
    assert "✓ ok: all passed" in errors_table(snapshot).rows[0][1][0]


@pytest.mark.parametrize(
    ("code", "words"),
    [("http_503", "HTTP status 503"), ("refused", "connection refused"), ("x\x1b", "x\\x1b")],
)
def test_error_classes_are_said_in_words(code, words):
    assert error_words(code) == words


def test_a_busy_worker_is_marked_by_words_and_role():
    rows = workers_table(canned.snapshot(verdict="saturated")).rows
    assert rows[1][2] == ("93 %", "warn")
    assert rows[1][10] == ("■ saturated", "saturated")


def test_outcomes_list_statuses_and_errors():
    text = "\n".join(map(row_text, outcome_rows(canned.detail())))
    assert "HTTP 200" in text
    assert "connection lost" in text


# Charts


def test_charts_of_a_run_without_any_second_are_empty_axes():
    history = History()
    x = charts.time_range(history, 60.0, None, 80)
    for draw in (charts.latency_chart, charts.rate_chart, charts.latency_heatmap):
        assert len(draw([], x, 80, 10)) == 10


def test_the_time_axis_spans_the_plan_then_the_run_then_the_chosen_span():
    history = History()
    history.extend(second(n) for n in range(30))
    assert charts.time_range(history, 60.0, None, 80).high == 60
    history.extend(second(n) for n in range(30, 100))
    assert charts.time_range(history, 60.0, None, 80).high == 100
    assert charts.time_range(history, 60.0, 60, 80).low == 40


# Menu


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["CheckoutTest", "SearchTest", "", "Firehose"]),
        ("fire", ["Firehose"]),
        ("products many", ["SearchTest"]),
        ("SEARCH", ["SearchTest"]),
        ("bundled", ["Firehose"]),
        ("nothing like it", []),
    ],
)
def test_the_menu_finds_entries_by_every_word_typed(text, names):
    assert [entry.name for entry in search(canned.entries(), text)] == names


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (LoadProfile(duration_s=10.0), "50 sessions for 10 s"),
        (LoadProfile(iterations=3), "50 sessions for 3 iterations each"),
        (LoadProfile(shared_iterations=10_000), "50 sessions for 10k iterations together"),
        (LoadProfile(), "50 sessions once"),
        (LoadProfile(duration_s=60.0, ramp_up_s=5.0), "50 sessions for 1m, started over 5 s"),
    ],
)
def test_a_population_is_said_in_words(profile, words):
    population = PopulationPlan(name="a", scenario="A", sessions=50, profile=profile)
    assert population_words(population) == words


# Hosts


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True), ("api.localhost", True), ("127.0.0.1", True), ("::1", True),
        ("10.1.2.3", True), ("192.168.0.9", True), ("fd00::1", True), ("fe80::1%eth0", True),
        ("::ffff:127.0.0.1", True), ("8.8.8.8", False), ("2001:4860:4860::8888", False),
        ("::ffff:8.8.8.8", False), ("example.com", None), ("localhost.example.com", None),
    ],
)  # fmt: skip
def test_only_loopback_and_private_addresses_are_near(host, near):
    assert is_near(host) is near


def test_a_name_is_near_only_if_all_of_its_addresses_are():
    assert are_near(["127.0.0.1", "10.0.0.1"])
    assert not are_near(["127.0.0.1", "8.8.8.8"])
    assert not are_near([])


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://Example.COM.:80/x", "example.com"), ("http://[::1]:9", "::1"), ("nonsense", ""),
     ("http://[::1", "")],
)  # fmt: skip
def test_the_host_of_a_url(url, host):
    assert host_of(url) == host


# Form


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("url.shop", "http://127.0.0.1:7070", ""),
        ("url.shop", "https://[::1]:8443/api", ""),
        ("url.shop", "", "Say where"),
        ("url.shop", "127.0.0.1:80", "begins with http"),
        ("url.shop", "ftp://x", "begins with http"),
        ("url.shop", "http://", "names no host"),
        ("url.shop", "http://h:0", "port"),
        ("url.shop", "http://h:99999", "port"),
        ("url.shop", "http://h/?q=1", "no ?"),
        ("url.shop", "http://h/\x1b", "control"),
        ("sessions.buyers", "50", ""),
        ("sessions.buyers", "10k", ""),
        ("sessions.buyers", "0", "At least one"),
        ("sessions.buyers", "", "how many"),
        ("sessions.buyers", "many", "whole number"),
        ("duration", "1m30s", ""),
        ("duration", "", ""),
        ("duration", "0", "above zero"),
        ("duration", "soon", "500ms, 30s"),
        ("warmup", "5s", ""),
        ("warmup", "-1s", "duration"),
        ("workers", "2", ""),
        ("workers", "257", "At most 256"),
        ("tag", "nightly-1", ""),
        ("tag", "a/b", "letters"),
        ("set.0", "", ""),
        ("set.0", "services.shop.timeout=5s", ""),
        ("set.0", "timeout", "Write a setting"),
        ("out.json", "-", ""),
    ],
)
def test_every_field_is_checked_while_it_is_typed(key, value, problem):
    found = form.problem(key, value)
    assert problem in found
    assert bool(found) == bool(problem)


def test_a_warmup_longer_than_the_run_is_a_problem():
    assert "warmup" in form.problems({"duration": "10s", "warmup": "10s"})
    assert not form.problems({"duration": "10s", "warmup": "9s"})


def values_of(plan, remembered=None, **changes):
    found = {
        field.key: field.value
        for field in form.fields(plan, remembered or {}, [ExportFormat(name="csv", is_file=True)])
    }
    return found | changes


def test_an_untouched_form_launches_the_plan_as_it_is():
    plan, base = canned.plan(), LaunchRequest(file="/a.py", name="T")
    request = form.request(plan, base, values_of(plan))
    assert request == msgspec.structs.replace(base, detach=True)


def test_what_is_typed_is_launched():
    plan, base = canned.plan(), LaunchRequest(file="/a.py", name="T", overrides=["a=1"])
    changes = {
        "url.shop": "http://10.0.0.5", "sessions.buyers": "1k", "duration": "30s", "warmup": "5s",
        "workers": "3", "tag": "x", "set.0": "config.size=5", "out.csv": "-",
    }  # fmt: skip
    request = form.request(plan, base, values_of(plan, **changes))
    assert request.overrides == ["a=1", "config.size=5", "services.shop.base_url=http://10.0.0.5"]
    assert request.sessions == {"buyers": 1000}
    assert (request.duration_s, request.warmup_s, request.workers) == (30.0, 5.0, 3)
    assert (request.tag, request.exports, request.detach) == ("x", {"csv": ""}, True)


def test_remembered_values_are_offered_again():
    plan = canned.plan()
    assert values_of(plan, {"sessions.buyers": "7"})["sessions.buyers"] == "7"


def test_a_demo_puts_its_target_in_place_of_remembered_urls():
    fields = form.fields(canned.plan(), {"url.shop": "http://old"}, [], "http://127.0.0.1:9")
    assert fields[0].value == "http://127.0.0.1:9"


@pytest.mark.parametrize("value", [10.0, 0.5, 60.0, 90.0, 7200.0, 7384.0, 0.0125])
def test_a_duration_in_the_form_means_the_same_as_in_the_plan(value):
    from chaperon_engine import seconds

    assert seconds(form._plain(value)) == value


# Memory


def test_values_of_the_last_launch_survive_a_restart(tmp_path):
    memory, path = Memory(), tmp_path / "deep" / "ui.json"
    remember_launch(memory, "a.py:T", {"sessions.b": "7", "duration": ""})
    memory.hosts.append("example.com")
    save_memory(memory, path)
    again = load_memory(path)
    assert again.launches == {"a.py:T": {"sessions.b": "7"}}
    assert again.hosts == ["example.com"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("set.0", "services.shop.bearer=abc", True), ("set.0", "config.password=x", True),
        ("set.1", "config.api_key=x", True), ("set.0", "services.shop.timeout=5s", False),
        ("url.shop", "http://h", False), ("tag", "x", False),
    ],
)  # fmt: skip
def test_secrets_are_not_remembered(name, value, secret):
    assert is_secret(name, value) is secret


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("http://ann:pw@h:1/x", "http://h:1/x"),
        ("services.a.base_url=https://u@h", "services.a.base_url=https://h"),
        ("ann@example.com", "ann@example.com"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_credentials_in_urls_are_not_remembered(value, kept):
    assert without_credentials(value) == kept


@pytest.mark.parametrize("content", [b"", b"{", b'{"launches": 5}', b"\xff\xfe", b"[1]"])
def test_a_damaged_memory_is_forgotten(tmp_path, content):
    (tmp_path / "ui.json").write_bytes(content)
    assert load_memory(tmp_path / "ui.json") == Memory()


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path):
    (tmp_path / "file").write_text("")
    save_memory(Memory(), tmp_path / "file" / "ui.json")


def test_the_memory_lies_below_the_projects_home():
    assert str(memory_path({"CHAPERON_HOME": "/x"})) == os.path.join("/x", "ui.json")
    assert memory_path({}).name == "ui.json"


# Reports


def test_a_report_says_how_the_run_ended():
    assert status_words(canned.report()) == ("■ stopped, partial", "warn")


def test_the_summary_of_a_report_names_what_matters():
    text = "\n".join(map(row_text, summary_rows(canned.report())))
    for word in ("Failed 427", "HTTP errors 1.24k", "p99.9", "interrupted", "degraded in 12 %"):
        assert word in text


def test_thin_percentiles_of_a_report_are_marked():
    report = canned.report()
    report.metrics[0].service_time_us.thin.append("p99")
    assert metrics_table(report).rows[0][7][0].endswith("*")


def test_failures_stand_beside_the_percentiles_of_a_window():
    from chaperon_engine import Totals, WindowSummary

    summary = WindowSummary(start_s=5, end_s=9, totals=Totals(requests=8, failed=2),
                            latency=Percentiles(), rows=[])  # fmt: skip
    text = "\n".join(map(row_text, window_rows(summary)))
    assert "failed 2" in text
    assert "5 s to 9 s" in text


def test_nearly_equal_series_keep_their_places():
    first = canned.series(count=4)
    rows = [
        msgspec.structs.replace(row, requests=requests)
        for row, requests in zip(first, (1000, 995, 990, 400), strict=True)
    ]
    assert [row.id for row in calm_rows(rows, [2, 1, 0, 3], View())] == [2, 1, 0, 3]
    assert [row.id for row in calm_rows(rows, [3, 2, 1, 0], View())] == [2, 1, 0, 3]
    assert [row.id for row in calm_rows(rows, [], View())] == [0, 1, 2, 3]
    assert [row.id for row in calm_rows(rows, [1, 7], View())] == [0, 1, 2, 3]
    label = View(sort="label", descending=False)
    assert [row.id for row in calm_rows(rows, [2, 1, 0, 3], label)] == [0, 1, 2, 3]


def test_a_run_that_warms_up_shows_the_series_of_its_warm_up():
    choice = SeriesChoice()
    assert choice.look(0, 9, in_warmup=True).warmup
    view = choice.look(0, 9, in_warmup=False)
    assert not view.warmup
    assert "first_byte" not in view.kinds
    choice.all_kinds = True
    view = choice.look(0, 9, in_warmup=False)
    assert view.warmup
    assert view.kinds == ()


def test_the_drain_is_no_drop_of_the_rate():
    history = History()
    seconds = canned.intervals(6)
    seconds[4] = msgspec.structs.replace(seconds[4], requests=600)
    seconds[5] = msgspec.structs.replace(seconds[5], requests=3, phase="drain")
    history.extend(seconds)
    phases = charts.Phases(load_end_s=4.6)
    rates = [phases.rate(step) for step in history.span(None)]
    assert rates[4] == pytest.approx(1000)
    assert rates[5] is None
    assert charts.Phases(load_end_s=4.3).rate(history.span(None)[4]) is None


def test_the_warm_up_is_marked_on_the_axis():
    history = History()
    history.extend(canned.intervals(20))
    x = charts.time_range(history, 20.0, None, 80)
    marked = charts.rate_chart(history.span(None), x, 80, 10, phases=charts.Phases(warmup_s=5.0))
    assert "└┬┅┅┅┅" in row_text(marked[-2])
    assert "┅" not in row_text(charts.rate_chart(history.span(None), x, 80, 10)[-2])


def test_the_report_begins_with_the_main_series():
    report = canned.report()
    warm = msgspec.structs.replace(report.metrics[0], phase="warmup", count=10**9)
    report = msgspec.structs.replace(report, metrics=[warm, *report.metrics])
    labels = [row[0][0] for row in metrics_table(report).rows]
    assert labels[-1] == "call pay"
    assert not [label for label in labels if label.startswith(("connect", "warm-up"))]
    labels = [row[0][0] for row in metrics_table(report, all_kinds=True).rows]
    assert labels[-2:] == ["connect shop", "warm-up POST /login"]


def test_the_plan_shown_is_that_of_the_form():
    plan = led_to(canned.plan(), "http://127.0.0.1:9")
    assert plan.services[0].base_url == "http://127.0.0.1:9"
    typed = {"url.shop": "http://shop", "sessions.buyers": "7", "duration": "5s", "warmup": "x"}
    shown = form.planned(plan, typed)
    assert shown.services[0].base_url == "http://shop"
    assert population_words(shown.populations[0]) == "7 sessions for 5 s, started over 2 s"
    assert shown.warmup_s == 0.0
    elsewhere = led_to(form.planned(canned.plan(), {"url.shop": "http://a"}), "http://b")
    assert elsewhere.services[0].base_url == "http://a"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (12_345, "us", "12.3 ms"),
        (7.5e9, "us", "2h05m"),
        (2048, "B", "2 KiB"),
        (0.25, "points", "0.25"),
        (1234, "points", "1234"),
        (9_999.7, "points", "10k"),
        (93_333_333, "points", "93.3M"),
        (1.2e12, "", "1.2T"),
    ],
)
def test_figures_have_the_unit_of_their_series_and_no_exponent(value, unit, shown):
    assert show_value(value, unit) == shown
    assert len(shown) <= 8


def test_errors_of_a_report_say_where_they_come_from():
    report = canned.report()
    report.metrics[0].errors = {"generator_ports": 7, "timeout_total": 6, "timeout": 5,
                                "cancelled": 4, "its_own": 3}  # fmt: skip
    origins = [row[2][0] for row in problems_table(report).rows]
    for origin in ("generator", "target", "scenario"):
        assert origin in origins
    assert [origin_of(code) for code in report.metrics[0].errors] == [
        "generator", "target", "scenario", "scenario", "target",
    ]  # fmt: skip


def test_a_report_shows_custom_metrics_in_their_own_unit():
    rows = metrics_table(canned_large.report()).rows
    labels = [row[0][0] for row in rows]
    trend = rows[labels.index("trend trend.of.something.4 [points]")]
    assert trend[5][0] == "93.3M "
    counter = rows[labels.index("counter counter.of.something.5")]
    assert counter[5][0] == "1.23T "


def test_a_series_of_a_report_in_full_has_its_percentiles_and_statuses():
    report = canned.report()
    metric = report.metrics[6]
    metric.statuses = {"200": 5, "503": 2}
    detail = detail_of(report, metric)
    assert detail.statuses == {200: 5, 503: 2}
    assert [place for place, _ in detail.spectrum][-3:] == [99.9, 99.99, 99.999]
    assert key_of(metric) == canned.series()[6].key
    text = "\n".join(map(row_text, detail_rows(detail)))
    assert "58.9k requests" in text
    assert "HTTP errors 1.24k" in text


@pytest.mark.parametrize(
    ("at_s", "shown"), [(3.25, "3.2s"), (899.9, "899.9s"), (900, "0:15:00"), (90_061, "25:01:01")]
)
def test_log_times_fit_their_column_in_every_run(at_s, shown):
    assert log_time(at_s) == shown


def test_what_can_be_said_to_an_export_format():
    plain = ExportFormat(name="csv", is_file=True)
    service = ExportFormat(
        name="s3", destination="s3://BUCKET/KEY",
        options=(ExportOption("region"), ExportOption("secret-key", secret=True)),
    )  # fmt: skip
    assert launch_hint(plain).startswith("path, or -")
    assert launch_hint(service) == "s3://BUCKET/KEY, or - for that of your settings; empty: none"
    assert launch_hint(ExportFormat(name="x", problem="not installed")) == "not installed"
    assert options_hint(service) == "region=VALUE  secret-key-env=VALUE"
    assert parse_options(" region=eu  secret-key-env=KEY", service) == {
        "region": "eu", "secret_key_env": "KEY",
    }  # fmt: skip
    with pytest.raises(UserError, match="this format has no options"):
        parse_options("x", plain)


def test_errors_of_the_operating_system_name_the_file():
    assert in_words(PermissionError(13, "Permission denied", "/runs/1")) == (
        "/runs/1 cannot be used: Permission denied"
    )
    assert in_words(UserError("the run is \x1b gone")) == "the run is \\x1b gone"

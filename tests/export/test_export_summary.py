"""The text summary, from reports made by hand."""

from __future__ import annotations

import re

import pytest

from chaperon_engine.export.layout import cell_width
from chaperon_engine.export.summary import render
from chaperon_engine.metrics.model import SessionCounts
from chaperon_engine.metrics.summary import Distribution, ReportHealth, ReportMessages, ReportTotals
from chaperon_engine.runs.report import Report, ReportRun, ReportWorker
from tests.export.canned import DANGEROUS, HOSTILE, distribution, hostile, metric, report


def test_the_summary_names_totals_rate_sessions_and_iterations() -> None:
    text = render(report())
    for part in (
        "CheckoutTest  complete",
        "measured 10 s · warm-up 2 s",
        "Requests    1,003   100.1/s",
        "2 failed (0.199 %)   1 HTTP error (0.0997 %)",
        "0 in flight at the end",
        "50 planned   49 finished   1 timed out",
        "330 completed   4 failed",
    ):
        assert part in text


def test_a_run_of_messages_alone_is_headed_by_them() -> None:
    messages = ReportMessages(
        opened=100, open=3, sent=8_027, received=8_020, failed=7, messages_per_s=4013.04,
        bytes_in=40_100, bytes_out=40_135, round_trip_us=distribution(8_020),
        receive_us=distribution(8_020),
    )  # fmt: skip
    text = render(report(totals=ReportTotals(), messages=messages, metrics=[]), width=100)
    for part in (
        "Messages    8,027 sent   8,020 received   4,013.0/s",
        "39.2 KiB in   39.2 KiB out   round trip p50",
        "waited for each message p50",
        "WebSockets  100 opened   3 open at the end   7 failed connects, sends, receives",
    ):
        assert part in text
    assert "Requests" not in text
    both = render(report(messages=messages), width=100)
    assert "Requests    1,003" in both
    assert "Messages    8,027 sent" in both


def test_series_of_one_label_say_what_tells_them_apart() -> None:
    fields = {"session": "visitors", "service": "target", "method": "", "url": "", "errors": {}}
    fields |= {"http_errors": {}}
    rows = [
        metric(kind="connect", scenario="Visit", **fields),
        metric(kind="connect", scenario="Greet", **fields),
        metric(kind="call", action="run_scenario", name="Greet", **fields),
        metric(kind="call", action="schedule_scenario", name="Greet", **fields),
        metric(kind="call", action="call_traced", name="Greet", **fields),
    ]
    text = render(report(metrics=rows), width=120)
    for label in (
        "connect target (Visit)",
        "connect target (Greet)",
        "run_scenario Greet ",
        "schedule_scenario Greet ",
        "call Greet ",
    ):
        assert text.count(f"  {label}") == 1


def test_every_percentile_has_the_failed_count_beside_it() -> None:
    text = render(report(), width=120)
    line = next(line for line in text.splitlines() if line.startswith("  GET /json "))
    assert line.split()[2:5] == ["1,003", "2", "1"]
    assert "150 µs" in line


def test_thin_percentiles_are_marked_and_the_mark_is_explained() -> None:
    wide = render(report(), width=120)
    assert "11 ms*" in wide
    assert "* fewer than 10 samples above this percentile" in wide
    assert "*" not in render(report(), width=80), "the narrow table has no thin percentile"


def test_warm_up_stands_apart() -> None:
    text = render(report())
    before, _, after = text.partition("Warm-up, not part of the figures above")
    assert "77" not in before
    assert "77 requests in 2 s" in after


def test_errors_are_listed_with_their_origin_most_frequent_first() -> None:
    text = render(report(metrics=[metric(errors={"generator_ports": 5, "timeout_total": 9})]))
    errors = text.partition("Errors\n")[2].splitlines()[1:4]
    assert [line.split()[-3:] for line in errors] == [
        ["timeout_total", "target", "9"],
        ["generator_ports", "generator", "5"],
        ["http_503", "target", "1"],
    ]


def test_checks_and_exceptions_are_shown_with_place_and_one_traceback() -> None:
    text = render(report(), width=100)
    assert "passed  page is json  330 of 330" in text
    assert "FAILED  cheap  1 of 3  KeyError" in text
    assert "4 × KeyError at /home/ann/checkout.py:12 in run (buyers): 'price'" in text
    assert text.count("Traceback (most recent call last)") == 1


@pytest.mark.parametrize(
    ("health", "parts"),
    [
        (ReportHealth(), ["Load generator: good"]),
        (
            ReportHealth(
                verdict="degraded",
                degraded_share=0.25,
                first_degraded_s=3,
                reason="worker 1: CPU 91 %",
            ),
            ["degraded", "for 25 % of the time, first after 3 s", "worker 1: CPU 91 %"],
        ),
        (
            ReportHealth(verdict="saturated", degraded_share=0.5, saturated_share=0.00001),
            ["saturated for < 0.01 % of the time", "more workers or machines"],
        ),
    ],
)
def test_the_generator_states_its_own_health(health: ReportHealth, parts: list[str]) -> None:
    text = render(report(health=health))
    assert all(part in text for part in parts)


def test_a_partial_recovered_run_says_so_and_why() -> None:
    run = ReportRun(
        id="r",
        load_test="T",
        status="aborted",
        partial=True,
        recovered=True,
        reasons=["worker 1 was killed by signal 9"],
        workers=[ReportWorker(worker=1, pid=1, state="lost", missing_latencies=7)],
    )
    text = render(report(run=run))
    assert "T  aborted, partial, recovered" in text
    assert "! worker 1 was killed by signal 9" in text
    assert "7 requests counted whose latency was lost" in text


def test_a_run_without_any_request_has_no_tables() -> None:
    empty = Report(
        run=ReportRun(id="r", load_test="T", status="failed"),
        sessions=SessionCounts(planned=1, failed=1),
        iterations=report().iterations,
        totals=ReportTotals(),
    )
    text = render(empty)
    assert "p50" not in text
    assert "1 planned   0 finished   1 failed" in text


def test_more_series_than_a_table_holds_are_counted() -> None:
    text = render(report(metrics=[metric(url=f"/{number}") for number in range(55)]))
    assert "… 15 more in the report" in text


def test_a_series_without_expected_responses_shows_no_latency() -> None:
    text = render(report(metrics=[metric(service_time_us=Distribution())]))
    line = next(line for line in text.splitlines() if line.startswith("  GET /json "))
    assert line.split()[-4:] == ["-", "-", "-", "-"]


def test_custom_trends_are_shown_in_their_own_unit() -> None:
    trend = metric(kind="trend", unit="items", method="", url="", name="basket")
    text = render(report(metrics=[trend]))
    line = next(line for line in text.splitlines() if "basket [items]" in line)
    assert "µs" not in line
    assert "150" in line


def test_paths_of_files_are_never_cut() -> None:
    path = "/very" * 100 + "/report.json"
    assert f"report      {path}\n" in render(report(), files={"report": path})


def test_colour_only_adds_escape_sequences() -> None:
    colored = render(report(), color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == render(report())


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_hostile_text_neither_acts_nor_breaks_the_layout(text: str, width: int) -> None:
    shown = render(hostile(text), width=width)
    assert not DANGEROUS & (set(shown) - {"\n"})
    shown.encode()
    tables = [line for line in shown.splitlines() if "µs" in line or line.endswith(" count")]
    assert tables
    assert max(map(cell_width, tables)) <= width
    assert len(shown) < 60_000


def test_numbers_that_are_huge_keep_the_table_within_its_width() -> None:
    big = metric(count=123_456_789_012, failed=99_999_999, service_time_us=distribution(10**11))
    lines = render(report(metrics=[big]), width=80).splitlines()
    assert max(cell_width(line) for line in lines if "GET /json" in line) <= 80


def test_unexpected_and_failed_requests_have_times_of_their_own() -> None:
    calm = report()
    calm.totals.unexpected_service_time_us = Distribution(count=7, p50=5000, p95=6000, max=9000)
    calm.totals.failure_time_us = Distribution(count=2, p50=30_000_000, max=30_000_000)
    after = render(calm).partition("Time of the other requests, all together\n")[2]
    lines = after.splitlines()[1:3]
    assert lines[0].split()[:5] == ["unexpected", "status", "7", "5", "ms"]
    assert lines[1].split()[:7] == ["failed,", "until", "it", "failed", "2", "30", "s"]
    assert "other requests" not in render(report())


@pytest.mark.parametrize("width", [40, 47, 59])
def test_narrow_terminals_get_every_figure_in_lines_that_fit(width: int) -> None:
    text = render(report(), width=width, files={"report": "/home/ann/" + "x" * 80})
    *lines, path = text.rstrip().split("\n")
    assert path.endswith("x" * 80)
    assert max(map(cell_width, lines)) <= width
    wide = render(report(), width=80)
    for figure in ("1,003 requests", "p50 150 µs", "p99 1.1 ms", "max 999 ms"):
        assert figure in text
    for word in ("timed out", "stale", "interrupted", "Errors", "Own metrics", "12.5 items"):
        assert (word in text) == (word in wide)


def test_a_long_name_leaves_room_for_the_status() -> None:
    found = report()
    found.run.load_test = "EverythingAtOnceOverAllRegionsTest" * 2
    first, second, *_ = render(found, width=40).split("\n")
    assert cell_width(first) == 40
    assert second == "  complete"


def test_values_of_custom_metrics_are_written_without_an_exponent() -> None:
    rows = [
        metric(kind="trend", unit="points", name="score",
               service_time_us=Distribution(count=3, p50=1_234_567, p95=93_333_333, max=2.5e9)),
        metric(kind="trend", unit="B", name="size",
               service_time_us=Distribution(count=3, p50=2048, p95=4096, max=5 * 2**30)),
        metric(kind="counter", unit="", name="sold", value=12_345_678_901.0),
    ]  # fmt: skip
    text = render(report(metrics=rows), width=120)
    for shown in ("1,234,567", "93.3M", "2.5G", "2 KiB", "5 GiB", "12.3G"):
        assert shown in text

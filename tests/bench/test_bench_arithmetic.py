"""The benchmarks' pure parts: what is read, subtracted, divided and shown."""

from __future__ import annotations

import pytest

from bench.measure import Measurement, Run, RunFailed, difference
from bench.memory import per_session
from bench.server import Status, parse_status, requests_between
from bench.startup import is_painted
from bench.table import comparison, render, summarise

STATUS_PAGE = """Active connections: 65
server accepts handled requests
 130 130 123456
Reading: 0 Writing: 65 Waiting: 0
"""


def a_run(
    requests: int, cpu_s: float, wall_s: float, peak: int = 1, server_cpu_s: float = 0
) -> Run:
    return Run(requests, cpu_s, wall_s, peak, server_cpu_s, others_cpu_s=0.0)


def a_measurement(rate: float, cpu_us: float) -> Measurement:
    return Measurement(rate, cpu_us, 1024**2, 0.5, 0.0)


def test_a_status_page_is_read() -> None:
    assert parse_status(STATUS_PAGE) == Status(active=65, requests=123456)


@pytest.mark.parametrize("page", ["", "404 Not Found", "Active connections: x\n 1 2 3\n"])
def test_what_is_no_status_page_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="not a stub_status page"):
        parse_status(page)


def test_a_reading_of_the_count_does_not_count_itself() -> None:
    assert requests_between(Status(1, 10), Status(1, 11)) == 0
    assert requests_between(Status(1, 10), Status(1, 111)) == 100


def test_the_difference_of_two_runs_has_no_start_up_in_it() -> None:
    start_up_s, start_up_cpu_s = 3.0, 2.0
    short = a_run(1_000, start_up_cpu_s + 0.010, start_up_s + 1, peak=7, server_cpu_s=0.2)
    long = a_run(5_000, start_up_cpu_s + 0.050, start_up_s + 5, peak=9, server_cpu_s=1.0)
    measured = difference(short, long)
    assert measured.requests_per_s == pytest.approx(1_000)
    assert measured.cpu_us_per_request == pytest.approx(10)
    assert measured.peak_bytes == 9
    assert measured.server_busy == pytest.approx(0.2)


def test_a_generator_that_served_nothing_more_has_failed() -> None:
    with pytest.raises(RunFailed, match="no more requests"):
        difference(a_run(10, 1, 1), a_run(10, 2, 5))


def test_ratios_are_taken_inside_each_round() -> None:
    # The machine is ten times slower in the second round: the ratio stays.
    rounds = [
        {"wrk": a_measurement(1000, 10), "other": a_measurement(500, 20)},
        {"wrk": a_measurement(100, 100), "other": a_measurement(50, 200)},
    ]
    rows = summarise(rounds)
    assert rows["other"].requests_ratio == 0.5
    assert rows["other"].cpu_ratio == 2.0
    assert rows["other"].cpu_ratio_range == (2.0, 2.0)
    assert rows["wrk"].cpu_ratio == 1.0


def test_a_round_without_the_reference_gives_no_ratio() -> None:
    rows = summarise([{"other": a_measurement(500, 20)}])
    assert rows["other"].cpu_ratio is None
    assert rows["other"].requests_per_s == 500
    assert "| - |" in comparison(list(rows.values())).replace("  ", "")


def test_a_median_needs_only_the_rounds_that_succeeded() -> None:
    rounds = [{"a": a_measurement(1, 1)}, {}, {"a": a_measurement(3, 3)}]
    assert summarise(rounds)["a"].requests_per_s == 2
    assert summarise(rounds)["a"].rounds == 2


def test_a_table_is_aligned_markdown() -> None:
    assert render(("name", "n"), [("a", "10"), ("long name", "2")]).splitlines() == [
        "| name      |  n |",
        "| --------- | -: |",
        "| a         | 10 |",
        "| long name |  2 |",
    ]


def test_the_memory_of_a_session_is_the_slope_between_two_runs() -> None:
    assert per_session(200, 52_000_000, 2200, 72_000_000) == 10_000
    with pytest.raises(ValueError, match="more sessions"):
        per_session(10, 1, 10, 2)


@pytest.mark.parametrize(
    ("output", "painted"),
    [
        (b"", False),
        (b"scenario", False),
        (b"\x1b[38;2;1;2;3m" * 100, False),
        (b"\x1b]0;scenario\x07" + b"x" * 600, False),
        (b"\x1b[1m" * 200 + b"\x1b[4;5HSce\x1b[0mnarios", True),
    ],
)
def test_the_menu_counts_as_painted_when_its_word_is_drawn(output: bytes, painted: bool) -> None:
    assert is_painted(output) is painted

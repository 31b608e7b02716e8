"""What commands print, from data made by hand."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaperon_engine.cli.attaching import command_lines
from chaperon_engine.cli.listing import show_entries
from chaperon_engine.cli.live import live_line
from chaperon_engine.cli.reports import show_runs
from chaperon_engine.cli.running import _tell_how_to_watch, shown_logs
from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.definition.plan import Entry
from chaperon_engine.export.layout import cell_width, cut, pad, wrap
from chaperon_engine.metrics.model import IterationCounts, LogLine, SessionCounts
from chaperon_engine.metrics.snapshot import (
    HealthView,
    MessageTotals,
    Percentiles,
    Snapshot,
    Totals,
)
from chaperon_engine.runs.listing import RunSummary
from tests.export.canned import DANGEROUS, HOSTILE


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {
        "run_id": "r",
        "load_test": "T",
        "state": "running",
        "elapsed_s": 3.21,
        "planned_s": 10.0,
        "totals": Totals(12_345, 12_300, 5, 7),
        "requests_per_s": 4115.0,
        "latency": Percentiles(),
        "latency_now": Percentiles(count=4000, p50=1234, p99=5678),
        "sessions": SessionCounts(planned=50, started=50),
        "iterations": IterationCounts(),
        "health": HealthView(),
    }
    return Snapshot(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "running 3 s/10 s  12.3k requests  4.12k/s  p50 1.23 ms  p99 5.68 ms  5 failed"
            "  7 HTTP errors  50 sessions",
        ),
        (
            {"planned_s": None, "elapsed_s": 75, "latency_now": Percentiles(), "totals": Totals()},
            "running 1m15s  no requests or messages yet  50 sessions",
        ),
        (
            {
                "elapsed_s": 0.9,
                "requests_per_s": 0.0,
                "latency_now": Percentiles(),
                "sessions": SessionCounts(planned=50),
            },
            "running 1 s/10 s  12.3k requests  5 failed  7 HTTP errors",
        ),
        (
            {"elapsed_s": 9, "requests_per_s": 0.0, "latency_now": Percentiles()},
            "running 9 s/10 s  12.3k requests  0/s  5 failed  7 HTTP errors  50 sessions",
        ),
        (
            {
                "totals": Totals(),
                "requests_per_s": 0.0,
                "latency_now": Percentiles(),
                "messages": MessageTotals(50, 48, 6_000, 5_998, 2),
                "messages_now": MessageTotals(0, 48, 1_000, 1_000),
                "round_trip_now": Percentiles(count=1_000, p50=483, p99=11_600),
            },
            "running 3 s/10 s  12k messages  2k/s  p50 483 µs  p99 11.6 ms  2 failed  48 sockets"
            "  50 sessions",
        ),
        (
            {"messages": MessageTotals(50, 48, 6_000, 6_000)},
            "running 3 s/10 s  12.3k requests  4.12k/s  p50 1.23 ms  p99 5.68 ms  5 failed"
            "  7 HTTP errors  12k messages  0/s  48 sockets  50 sessions",
        ),
        (
            {
                "partial": True,
                "latency_now": Percentiles(),
                "health": HealthView("saturated", "worker 0: CPU 99 %"),
            },
            "running 3 s/10 s  PARTIAL  GENERATOR SATURATED (worker 0: CPU 99 %)  12.3k requests"
            "  4.12k/s  5 failed  7 HTTP errors  50 sessions",
        ),
    ],
)
def test_the_live_line_tells_progress_rate_latency_and_failures(
    changes: dict[str, object], line: str
) -> None:
    if "partial" in changes:
        words = live_line(snapshot(**changes)).split("  ")
        assert sorted(words) == sorted(line.split("  "))
    else:
        assert live_line(snapshot(**changes)) == line


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_rewritten_and_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = FakeTerminal()
    terminal = Terminal(stream)
    terminal.live("x" * 50)
    terminal.live("second")
    terminal.write("above")
    assert stream.getvalue() == f"\r{'x' * 18}…\x1b[K\rsecond\x1b[K\r\x1b[Kabove\n"
    assert terminal.color


def test_without_a_terminal_there_are_plain_lines_and_no_escape_sequences() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.live("one", "red")
    terminal.live("two")
    terminal.clear_live()
    assert stream.getvalue() == "one\ntwo\n"
    assert not terminal.color


def test_no_color_is_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Terminal(FakeTerminal()).color


def test_log_lines_of_scenarios_are_shown_but_not_a_flood() -> None:
    logs = [LogLine(1.5, "output", "worker 0", f"line {number}") for number in range(30)]
    shown = shown_logs([LogLine(0.1, "debug", "engine", "noise"), *logs])
    assert shown[0] == "[1.5 s worker 0] output: line 0"
    assert shown[-1] == "… 10 more lines of the log"
    assert len(shown) == 21


ENTRIES = [
    Entry(
        file="/p/scenarios/shop.py",
        name="ShopTest",
        line=12,
        doc="Buys.\n\nMore.",
        is_load_test=True,
        services={"shop": "http://127.0.0.1:7070"},
    ),
    Entry(file="/b/hello.py", name="Hello", line=3, is_load_test=False, origin="bundled"),
    Entry(file="/p/bad.py", name="", line=7, is_load_test=False, problem="line 7: invalid syntax"),
]


def test_entries_are_a_table_with_problems_below_it() -> None:
    text = show_entries(ENTRIES, Path("/p"), 120, False)
    lines = text.splitlines()
    assert lines[0] == "In this project"
    assert lines[1].split() == ["kind", "services", "description"]
    assert lines[2] == "scenarios/shop.py"
    assert lines[3].split()[:3] == ["ShopTest", "load", "test"]
    assert lines[3].endswith("shop=http://127.0.0.1:7070  Buys.")
    assert lines[5:8:2] == ["Bundled", "/b/hello.py"]
    assert lines[-1] == "! bad.py: line 7: invalid syntax"


def test_an_empty_folder_says_so() -> None:
    assert "No load test or scenario found" in show_entries([], Path("/p"), 80, False)


def test_runs_are_a_table_with_sizes_and_killed_runs_name_recover() -> None:
    one = RunSummary(
        id="20261121-205716-shop-k3f9",
        load_test="ShopTest",
        state="finished",
        started_at="2026-11-21T20:57:16.123+00:00",
        status="complete",
        size_bytes=4096,
        path="/r",
        tag="nightly",
    )
    killed = RunSummary(
        id="20261120-1-x-0000",
        load_test="X",
        state="killed",
        started_at="",
        status="",
        size_bytes=0,
        path="",
    )
    text = show_runs([one, killed], 120, False)
    assert "complete  2026-11-21 20:57:16  nightly  4 KiB" in text
    assert text.endswith("2 runs, 4 KiB, 1 killed: `chaperon recover RUN` makes their reports\n")
    assert show_runs([], 80, False) == "No runs yet.\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_neither_acts_nor_breaks_lines(text: str) -> None:
    entry = Entry(
        file=f"/p/{text}",
        name=text,
        line=1,
        doc=text,
        is_load_test=True,
        services={text: text},
        problem="",
    )
    broken = Entry(file=text, name=text, line=1, is_load_test=False, problem=text)
    run = RunSummary(
        id=text,
        load_test=text,
        state="finished",
        started_at=text,
        status="complete",
        size_bytes=1,
        path=text,
        tag=text,
    )
    line = live_line(snapshot(health=HealthView("degraded", text)))
    (log,) = shown_logs([LogLine(0, "error", text, text)])
    table = show_entries([entry, broken], Path("/q"), 80, False)
    listed = show_runs([run], 80, False)
    for shown in (line, log, table, listed):
        assert not DANGEROUS & (set(shown) - {"\n"})
    assert "\n" not in line + log
    assert cell_width(listed.splitlines()[1]) <= 80
    assert cell_width(table.splitlines()[3]) <= 80


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字漢", 4, "漢…"), ("e\u0301a", 2, "e\u0301a")],
)
def test_wide_and_combining_characters_are_measured_in_columns(
    text: str, width: int, shown: str
) -> None:
    assert cut(text, width) == shown
    assert cell_width(pad(text, width)) == width


def test_text_is_wrapped_at_blanks_and_long_words_stay_whole() -> None:
    assert wrap("aa bb verylongword c", 6, " ") == [" aa bb", " verylongword", " c"]


def test_a_command_to_copy_fits_a_terminal_and_is_one_line_for_programs() -> None:
    command = (
        "chaperon-tui attach 192.0.2.10:7700 --run 20261122-012957-checkout-4b59 "
        f"--pin sha256:{64 * '0'} --token-file '/runs of a --user/observer.token'"
    )
    lines = command_lines(command, 80)
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    assert command_lines(command, None) == [f"  {command}"]
    assert command_lines(command, 500) == [f"  {command}"]


@pytest.mark.parametrize(("attach", "join", "is_told"), [("a", "", True), ("a", "j", False)])
def test_the_line_for_viewers_stands_alone_when_no_agents_were_waited_for(
    attach: str, join: str, is_told: bool
) -> None:
    stream = io.StringIO()
    first = snapshot(attach=attach, join=join)
    client: Any = SimpleNamespace(directory=Path("/runs/r"))
    _tell_how_to_watch(first, client, Terminal(stream))
    assert stream.getvalue() == is_told * (
        "Others watch from their machines with observer.token, and steer with operator.token:\n"
        "  a\n"
        "The token files are here: /runs/r\n"
    )

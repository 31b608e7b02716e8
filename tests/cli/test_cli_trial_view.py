"""How the events of a trial look."""

from __future__ import annotations

import pytest

from chaperon_engine.cli.trying import show_event
from chaperon_engine.export.layout import cell_width
from chaperon_engine.worker.trial_events import (
    TrialCheck,
    TrialEvent,
    TrialException,
    TrialFailure,
    TrialFinished,
    TrialLog,
    TrialRequest,
    TrialResponse,
    TrialStarted,
)

RESPONSE = TrialResponse(
    at_s=0.5,
    number=3,
    session="buyers-0",
    status=200,
    reason="OK",
    expected=True,
    headers=[("Content-Type", "application/json"), ("X-A", "b")],
    body='{"ok": true}\nmore\n',
    body_bytes=18,
    redirects=["302 http://127.0.0.1/old"],
    timings_us={"connect": 200.0, "first_byte": 1100.0, "service": 1200.0, "total": 1500.0},
)


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (
            TrialStarted(load_test="Shop", populations=["a", "b"], services={"web": "http://h"}),
            ["Shop  one session of a, b", "  web=http://h"],
        ),
        (
            TrialRequest(number=1, session="a", service="web", method="GET", url="http://h/"),
            ["  0.000  → 1  GET http://h/"],
        ),
        (
            RESPONSE,
            [
                "  0.500  ← 3  200 OK  1.2 ms (connect 200 µs, first byte 1.1 ms)",
                "          redirect 302 http://127.0.0.1/old",
                "          18 B application/json",
                '          {"ok": true}',
                "          … 1 more line (--full shows all)",
            ],
        ),
        (
            TrialFailure(number=2, session="a", code="refused", origin="target", message="no"),
            ["  0.000  ✗ 2  refused (target): no"],
        ),
        (
            TrialCheck(session="a", name="cheap", passed=False, reason="KeyError"),
            ["  0.000  check FAILED  cheap: KeyError"],
        ),
        (
            TrialException(
                session="a",
                where="run",
                type="KeyError",
                message="'a'",
                file="/x.py",
                line=3,
                traceback="one\n  two\n",
            ),
            [
                "  0.000  ! KeyError at /x.py:3 in run: 'a'",
                "          one",
                "            two",
            ],
        ),
        (TrialLog(level="output", source="a", text="hi"), ["  0.000  output: hi"]),
    ],
)
def test_an_event_is_shown_in_lines(event: TrialEvent, lines: list[str]) -> None:
    assert show_event(event, width=100, color=False).split("\n") == lines


def test_full_shows_heads_and_bodies() -> None:
    shown = show_event(RESPONSE, width=100, color=False, full=True)
    assert "X-A: b" in shown
    assert "          more" in shown


def test_an_unexpected_status_is_told_in_words() -> None:
    event = TrialResponse(number=1, session="a", status=503, reason="", expected=False)
    assert "503  UNEXPECTED" in show_event(event, width=80, color=False)


def test_the_beginning_of_a_body_fits_the_width() -> None:
    event = TrialRequest(
        number=1, session="a", service="w", method="PUT", url="u", body="漢" * 500, body_bytes=1500
    )
    assert max(map(cell_width, show_event(event, width=60, color=False).split("\n"))) <= 60


def test_the_verdict_has_all_counts() -> None:
    event = TrialFinished(
        ok=False,
        verdict="2 checks failed.",
        sessions=1,
        sessions_failed=0,
        iterations=1,
        iterations_failed=0,
        requests=5,
        failed=1,
        http_errors=2,
        checks_passed=3,
        checks_failed=2,
    )
    assert show_event(event, width=80, color=False) == (
        "\n2 checks failed.\n5 requests, 1 failed, 2 HTTP errors; 3 checks passed, 2 failed; "
        "1 iteration, 0 failed"
    )

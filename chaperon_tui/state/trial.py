"""Folds the events of a trial (one session once) into lines, each with its full exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaperon_engine import (
    TrialCheck,
    TrialException,
    TrialFailure,
    TrialFinished,
    TrialLog,
    TrialRequest,
    TrialResponse,
    TrialSocket,
    TrialStarted,
    show_bytes,
    show_us,
    visible,
    visible_block,
)
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.errors import error_words
from chaperon_tui.state.table import Cell, Column, Table, short_path

if TYPE_CHECKING:
    from chaperon_engine import TrialEvent

COLUMNS = (
    Column("at", "At", 7),
    Column("what", "What", 0, "left"),
    Column("outcome", "Outcome", 22, "left"),
    Column("took", "Took", 8),
    Column("size", "Size", 9, from_width=70),
)

_NOT_CLOSED = 1006
"""Close code of a WebSocket that ended without a close frame."""


class TrialStore:
    """Lines of a trial in the order in which they began."""

    def __init__(self) -> None:
        self._lines: list[list[Cell]] = []
        self._details: list[list[Row]] = []
        self._by_number: dict[int, int] = {}
        self._base_urls: list[str] = []
        self.head: Row = (("Starting …", "dim"),)
        self.verdict: Row = ()
        """Set when the trial has ended."""
        self.is_over = False

    def fold(self, event: TrialEvent) -> None:
        """Take in one event."""
        at = f"{event.at_s:.2f}s"
        who = _child(event)
        if isinstance(event, TrialStarted):
            self._base_urls = [url.rstrip("/") for url in event.services.values() if url]
            names = ", ".join(visible(name, 40) for name in event.populations)
            self.head = (("One session of ", "dim"), (names, "value"))
        elif isinstance(event, TrialRequest):
            self._by_number[event.number] = len(self._lines)
            self._add(
                [(at, "dim"),
                 (visible(f"{who}{event.method} {self._short(event.url)}", 200), ""),
                 ("…", "dim"),
                 ("", ""), ("", "")],
                [*_session_row(event.session),
                 *_message("Request", visible(f"{event.method} {event.url}", 1000), event.headers,
                           event.body, event.body_bytes)],
            )  # fmt: skip
        elif isinstance(event, TrialResponse):
            self._answer(event)
        elif isinstance(event, TrialSocket):
            self._message_of_socket(event)
        elif isinstance(event, TrialFailure):
            words = error_words(event.code)
            details: list[Row] = [
                (),
                (("Failure", "heading"),),
                ((f"{words} (origin: {visible(event.origin, 20)})", "bad"),),
                ((visible(event.message), ""),),
            ]
            self._complete(event.number, at, (f"✗ {words}", "bad"), "", "", details)
        elif isinstance(event, TrialCheck):
            outcome = ("✓ passed", "good") if event.passed else ("✗ failed", "bad")
            reason: list[Row] = [((visible(event.reason), "bad"),)] if event.reason else []
            name = visible(event.name, 200)
            self._add([(at, "dim"), (f"{who}check {name}", ""), outcome, ("", ""), ("", "")],
                      [*_session_row(event.session), ((name, "title"),), (outcome,),
                       *reason])  # fmt: skip
        elif isinstance(event, TrialException):
            place = visible(f"{short_path(event.file)}:{event.line}", 120)
            text = visible(f"{event.type}: {event.message}")
            lines = visible_block(event.traceback).split("\n")
            self._add(
                [(at, "dim"), (f"{who}{text}", ""), (f"✗ {place}", "bad"), ("", ""), ("", "")],
                [*_session_row(event.session), ((text, "bad"),),
                 ((f"In {visible(event.where, 20)}, {place}", "dim"),),
                 *(((line, ""),) for line in lines)],
            )  # fmt: skip
        elif isinstance(event, TrialLog):
            text = visible(event.text)
            level = visible(event.level, 12)
            role = {"error": "bad", "warning": "warn"}.get(event.level, "dim")
            self._add([(at, "dim"), (f"{who}{text}", ""), (level, role), ("", ""), ("", "")],
                      [((text, ""),), ((visible(event.source, 60), "dim"),)])  # fmt: skip
        elif isinstance(event, TrialFinished):
            self.is_over = True
            sign, role = ("✓", "good") if event.ok else ("✗", "bad")
            self.verdict = ((f" {sign} {visible(event.verdict)}", role),)

    def fail(self, text: str) -> None:
        """The trial cannot go on; one sentence."""
        self.is_over = True
        self.verdict = ((f" ✗ {visible(text)}", "bad"),)

    def table(self) -> Table:
        """All lines."""
        return Table.of(COLUMNS, [tuple(line) for line in self._lines], empty="No exchange yet.")

    def details(self, index: int) -> list[Row]:
        """One line in full."""
        return self._details[index] if index < len(self._details) else []

    def _add(self, line: list[Cell], details: list[Row]) -> None:
        self._lines.append(line)
        self._details.append(details)

    def _short(self, url: str) -> str:
        """A URL without the base URL of its service, which would leave no room for the path."""
        for base in self._base_urls:
            if url.startswith(f"{base}/"):
                return url[len(base) :]
        return url

    def _answer(self, event: TrialResponse) -> None:
        role = "good" if event.expected else "bad"
        sign = "✓" if event.expected else "✗"
        status = visible(f"{event.status} {event.reason}", 60)
        times = "  ".join(
            f"{visible(name.replace('_', ' '), 20)} {show_us(value)}"
            for name, value in event.timings_us.items()
        )
        details: list[Row] = [(), ((times, "value"),)]
        details += [((f"redirected: {visible(hop)}", "dim"),) for hop in event.redirects]
        details += [(), *_message("Response", status, event.headers, event.body, event.body_bytes)]
        took = event.timings_us.get("service") or event.timings_us.get("total") or 0.0
        self._complete(event.number, f"{event.at_s:.2f}s", (f"{sign} {status}", role),
                       show_us(took), show_bytes(event.body_bytes), details)  # fmt: skip

    def _message_of_socket(self, event: TrialSocket) -> None:
        """A message on a WebSocket, or its end: a line of its own."""
        sign = {"sent": "→", "received": "←"}.get(event.what, "×")
        has_ended = event.what == "ended"
        words = f"closed {event.close_code}" if has_ended else f"{event.what} {event.kind}"
        outcome = (visible(words, 30), "bad" if event.close_code == _NOT_CLOSED else "dim")
        body = visible_block(event.body).split("\n")
        size = "" if has_ended else show_bytes(event.body_bytes)
        self._add(
            [(f"{event.at_s:.2f}s", "dim"),
             (f"{_child(event)}{sign} {event.number}  {body[0]}", ""), outcome, ("", ""),
             (size, "dim")],
            [*_session_row(event.session),
             ((f"WebSocket of exchange {event.number}", "heading"),), (outcome,),
             *(((line, ""),) for line in body)],
        )  # fmt: skip

    def _complete(
        self, number: int, at: str, outcome: Cell, took: str, size: str, details: list[Row]
    ) -> None:
        index = self._by_number.get(number)
        if index is None:
            self._add([(at, "dim"), ("request that was not sent", "dim"), outcome, (took, ""),
                       (size, "dim")], details)  # fmt: skip
            return
        self._lines[index][2:] = [outcome, (took, ""), (size, "dim")]
        self._details[index] += details


def _child(event: TrialEvent) -> str:
    """`[search-0] ` for what a child session did; its id begins with its parent's."""
    session = getattr(event, "session", "") or getattr(event, "source", "")
    child = session.partition("/")[2]
    return f"[{visible(child, 60)}] " if child else ""


def _session_row(session: str) -> list[Row]:
    """Which child it was, in full; nothing for the session that is tried."""
    if "/" not in session:
        return []
    return [(("Child session ", "dim"), (visible(session, 120), "value"))]


def _message(
    title: str, first: str, headers: Sequence[tuple[str, str]], body: str, body_bytes: int
) -> list[Row]:
    rows: list[Row] = [((title, "heading"),), ((first, "title"),)]
    rows += [((f"{visible(name, 80)}: ", "dim"), (visible(value), "")) for name, value in headers]
    if body:
        rows += [(), *(((line, ""),) for line in visible_block(body).split("\n"))]
    if body_bytes:
        rows.append(((f"body of {show_bytes(body_bytes)}", "dim"),))
    return rows

"""Which members of a run are shown, in which order, and where the next trouble is.

With thousands of members most lines are never seen: what is done for each of them here is one
comparison, and they are put into words elsewhere when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from chaperon_engine import Snapshot, WorkerRow, visible
from chaperon_tui.state.members import COLUMNS, Line, here_words, member_lines, state_of

SORTS = ("", *(column.sort for column in COLUMNS if column.sort))
"""Empty: members below their hosts, as they came."""
TROUBLE = ("lost", "hung", "away", "no link")
"""What asks for attention, the worst first."""
_STATES = (*TROUBLE, "draining", "starting", "attached", "preparing", "ready", "running", "done")


class MemberChoice:
    """Order and filter of one table of members, changed by keys."""

    def __init__(self) -> None:
        self.sort = ""
        self.descending = True
        self.contains = ""

    def sort_by(self, sort: str) -> None:
        """By this column, the largest, or the worst, first; the same again: the other way round."""
        if sort == self.sort and sort:
            self.reverse()
        else:
            self.sort, self.descending = sort, sort != "name"

    def sort_by_next(self) -> None:
        """By the column to the right."""
        self.sort_by(SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)])

    def reverse(self) -> None:
        """The other way round."""
        self.descending = not self.descending

    def lines(self, snapshot: Snapshot) -> list[Line]:
        """What is shown of a snapshot. Hosts have lines of their own only while all members stand
        in the order in which they came."""
        words = self.contains.casefold().split()
        if not self.sort and not words:
            return member_lines(snapshot)
        here = here_words(snapshot)
        rows: Sequence[WorkerRow] = snapshot.workers
        if words:
            rows = [row for row in rows if all(word in _hay(row, here) for word in words)]
        if self.sort:
            rows = sorted(rows, key=_VALUES[self.sort], reverse=self.descending)
        return [Line(row.host if row.agent else here, (row,), is_member=True) for row in rows]

    def note(self, lines: Sequence[Line]) -> str:
        """`12 with 'away' · `; empty without a filter."""
        if not self.contains:
            return ""
        return f"{len(lines):,} with {visible(self.contains, 24)!r} · "


def worst_lag(lines: Sequence[Line]) -> int | None:
    """The line of the member whose loop lags most; None when no member is there."""
    places = [
        place for place, line in enumerate(lines)
        if line.member is not None and line.member.state not in ("lost", "done")
    ]  # fmt: skip
    return max(places, key=lambda place: _lag(lines[place])) if places else None


def _lag(line: Line) -> int:
    return line.members[0].lag_p99_us


def next_trouble(lines: Sequence[Line], after: int) -> int | None:
    """The next line below, and then from the top, whose member is away, without its connection,
    lost or hung."""
    below = range(after + 1, len(lines))
    for place in chain(below, range(min(after + 1, len(lines)))):
        member = lines[place].member
        if member is not None and state_of(member) in TROUBLE:
            return place
    return None


def _hay(row: WorkerRow, here: str) -> str:
    """What a filter looks into: names, where it is, what it is doing."""
    if not row.agent:
        return f"{here} worker {row.worker} {row.state}".casefold()
    return f"{row.agent} {row.host} {row.address} {state_of(row)}".casefold()


def _badness(row: WorkerRow) -> int:
    """Of its state; the highest is the worst."""
    state = state_of(row)
    return len(_STATES) - _STATES.index(state) if state in _STATES else 0


def _calm(value: float) -> float:
    """Two digits: neighbours of nearly equal figures do not change places with each second."""
    return float(f"{value:.1e}")


_VALUES: Mapping[str, Callable[[WorkerRow], Any]] = {
    "name": lambda row: (bool(row.agent), row.host, row.agent, row.worker),
    "state": _badness,
    "cpu": lambda row: _calm(row.cpu),
    "lag": lambda row: _calm(row.lag_p99_us),
    "per_s": lambda row: _calm(row.requests_per_s + row.messages_per_s),
    "share": lambda row: len(row.shares),
    "trip": lambda row: -1.0 if row.round_trip_us is None else _calm(row.round_trip_us),
    "behind": lambda row: row.frames_behind,
    "sessions": lambda row: row.active_sessions,
    "rss": lambda row: _calm(row.rss_bytes),
}

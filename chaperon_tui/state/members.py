"""The members of a run: hosts with their workers and agents, as a table and one of them in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from chaperon_engine import Snapshot, WorkerRow, show_bytes, show_count, show_us, visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.figures import SIGNS, share
from chaperon_tui.state.store import OWNER
from chaperon_tui.state.table import Cell, Column, MadeRows, Table

COLUMNS = (
    Column("name", "Host, member", 0, "left", cut_middle=True, sort="name"),
    Column("state", "State", 9, "left", sort="state"),
    Column("cores", "Cores", 5),
    Column("cpu", "CPU", 5, sort="cpu"),
    Column("lag", "Lag p99", 8, sort="lag"),
    Column("per_s", "/s", 6, sort="per_s"),
    Column("share", "Share", 6, sort="share"),
    Column("trip", "RTT", 8, sort="trip"),
    Column("behind", "Behind", 6, from_width=84, sort="behind"),
    Column("offset", "Clock", 9, from_width=94),
    Column("sessions", "Sessions", 8, from_width=110, sort="sessions"),
    Column("rss", "Memory", 9, from_width=126, sort="rss"),
    Column("python", "Python", 8, "left", from_width=134),
    Column("version", "Chaperon", 8, "left", from_width=144),
    Column("note", "Note", 0, "left", from_width=150),
)

_BAD = ("lost", "hung")
_WARN = ("away", "no link", "draining")
_TOLD = ("away", "no link", "draining", "hung", "lost", "done")
_SLOW_CPU, _SLOW_LAG_US = 0.85, 10_000


class Line(NamedTuple):
    """One line of the table: a host with several members, or one member."""

    host: str
    members: tuple[WorkerRow, ...]
    is_member: bool
    is_below: bool = False
    """It stands below the line of its host."""

    @property
    def member(self) -> WorkerRow | None:
        """The one that is meant; None for a host."""
        return self.members[0] if self.is_member else None


def member_lines(snapshot: Snapshot) -> list[Line]:
    """Hosts in the order in which they came, the engine's own first; members below their hosts."""
    hosts: dict[str, list[WorkerRow]] = {}
    for row in snapshot.workers:
        hosts.setdefault(row.host if row.agent else "", []).append(row)
    lines: list[Line] = []
    for host, rows in hosts.items():
        name = host or here_words(snapshot)
        is_below = len(rows) > 1
        if is_below:
            lines.append(Line(name, tuple(rows), is_member=False))
        lines += [Line(name, (row,), is_member=True, is_below=is_below) for row in rows]
    return lines


def here_words(snapshot: Snapshot) -> str:
    """How the engine's own host is called for this viewer."""
    return "this host" if snapshot.role == OWNER else "engine's host"


def members_table(
    snapshot: Snapshot, lines: Sequence[Line], *, sort: str = "", descending: bool = True,
    empty: str = "No member has reported yet.",
) -> Table:  # fmt: skip
    """All lines; only those that are looked at are put into words."""
    total = _shares(snapshot.workers)
    rows = MadeRows(len(lines), lambda place: _cells(lines[place], total))
    return Table(COLUMNS, rows, total=len(lines), sort=sort, descending=descending, empty=empty)


def count_words(snapshot: Snapshot) -> str:
    """`4 hosts · 5 members · 1 away · 1 draining`."""
    rows, count = snapshot.workers, snapshot.members.count
    members = f"{count:,} member{'s' if count != 1 else ''}"
    if len(rows) < count:  # The other rows are on their way.
        return members
    hosts = len({row.host if row.agent else "" for row in rows})
    states = Counter(map(state_of, rows))
    return " · ".join([
        f"{hosts:,} host{'s' if hosts != 1 else ''}", members,
        *(f"{states[state]:,} {state}" for state in _TOLD if states[state]),
    ])  # fmt: skip


def state_of(row: WorkerRow) -> str:
    """What it is doing: the engine's word, and `no link` for who goes on within its lease."""
    if row.agent and not row.is_connected and row.state == "running":
        return "no link"
    return row.state


def state_words(row: WorkerRow) -> Cell:
    """The same to be shown, and the role."""
    state = state_of(row)
    return visible(state, 9), "bad" if state in _BAD else "warn" if state in _WARN else ""


def name_of(row: WorkerRow) -> str:
    """`worker 0` of the engine's host, or the agent's name."""
    return visible(row.agent, 64) if row.agent else f"worker {row.worker}"


def may_be_drained(row: WorkerRow | None) -> bool:
    """It makes load, and nobody has asked it to leave."""
    return row is not None and row.state in ("running", "away")


def drain_rows(row: WorkerRow) -> list[Row]:
    """What a question says before a member is drained."""
    of = f"  {visible(row.host, 80)}" if row.agent else ""
    return [
        ((name_of(row), "value"), (of, "dim")),
        (("It starts no further iteration and leaves within the grace period. What it measured "
          "counts; the run goes on with the others and is marked partial.", ""),),
    ]  # fmt: skip


def _shares(rows: Sequence[WorkerRow]) -> int:
    """A worker of the engine's host has one share, unless it says which."""
    return sum(len(row.shares) if row.agent else max(1, len(row.shares)) for row in rows)


def _cells(line: Line, total: int) -> tuple[Cell, ...]:
    rows = line.members
    row = line.member
    alive = [each for each in rows if each.state not in ("lost", "done")]
    lag = max((each.lag_p99_us for each in alive), default=0)
    cpu = max((each.cpu for each in alive), default=0.0)
    common: tuple[Cell, ...] = (
        (str(sum(each.cores for each in rows)), "dim"),
        (f"{cpu * 100:.0f} %", "warn" if cpu > _SLOW_CPU else ""),
        (show_us(lag), "warn" if lag > _SLOW_LAG_US else ""),
        (show_count(sum(each.requests_per_s + each.messages_per_s for each in rows)), ""),
        (share(_shares(rows), total), ""),
    )
    sessions: tuple[Cell, ...] = (
        (show_count(sum(each.active_sessions for each in rows)), ""),
        (show_bytes(sum(each.rss_bytes for each in rows)), ""),
    )
    if row is None:
        return (
            (visible(line.host, 80), "title"), _host_state(rows), *common, _NONE, _NONE, _NONE,
            *sessions, ("", ""), ("", ""), ("", ""),
        )  # fmt: skip
    return (
        (_label(line, row), ""), state_words(row), *common, *_link_cells(row), *sessions,
        (visible(row.python, 12), "dim"), (visible(row.version, 12), "dim"),
        (visible(row.note), state_words(row)[1]),
    )  # fmt: skip


_NONE: Cell = ("–", "dim")


def _label(line: Line, row: WorkerRow) -> str:
    if line.is_below:
        return f"  {name_of(row)}"
    if not row.agent or f"{row.host}.".startswith(f"{row.agent}."):
        return f"{visible(line.host, 80)}" if row.agent else f"{line.host}, {name_of(row)}"
    return f"{visible(line.host, 80)}, {name_of(row)}"


def _host_state(rows: Sequence[WorkerRow]) -> Cell:
    """The state of all, or how many there are."""
    states = {state_words(row) for row in rows}
    return states.pop() if len(states) == 1 else (f"{len(rows)} members"[:9], "dim")


def _link_cells(row: WorkerRow) -> tuple[Cell, ...]:
    if not row.agent:
        return _NONE, _NONE, _NONE
    trip = _NONE if row.round_trip_us is None else (show_us(row.round_trip_us), "")
    behind = (show_count(row.frames_behind), "warn" if row.frames_behind else "dim")
    offset = _NONE if row.round_trip_us is None else (_offset(row.clock_offset_us), "dim")
    return trip, behind, offset


def _offset(value_us: int) -> str:
    """Monotonic clocks of two machines may lie years apart."""
    sign, size_us = "-" if value_us < 0 else "+", abs(value_us)
    return sign + (show_us(size_us) if size_us < 1e6 else f"{show_count(size_us / 1e6)} s")


def line_rows(line: Line, snapshot: Snapshot) -> list[Row]:
    """One line in full."""
    total = _shares(snapshot.workers)
    row = line.member
    if row is None:
        return [
            ((visible(line.host, 200), "title"),),
            ((f"{len(line.members)} members: ", "dim"),
             (", ".join(map(name_of, line.members)), "")),
        ]  # fmt: skip
    text, role = state_words(row)
    shares = ", ".join(map(str, row.shares[:40])) + (" …" if len(row.shares) > 40 else "")
    part = share(_shares([row]), total)
    sign = SIGNS.get(row.verdict, "●")
    facts: list[tuple[str, list[str]]] = [
        ("Load", [
            f"{show_count(row.requests_per_s + row.messages_per_s)}/s",
            f"{show_count(row.active_sessions)} sessions",
            f"{part} of the sessions" + (f": shares {shares} of {total}" if shares else ""),
        ]),
        ("Machine", [
            f"{sign} {visible(row.verdict, 12)}", f"CPU {row.cpu * 100:.0f} %",
            f"lag p99 {show_us(row.lag_p99_us)}", f"steal {row.steal * 100:.0f} %",
            show_bytes(row.rss_bytes), f"{row.cores} core{'s' if row.cores != 1 else ''}",
        ]),
    ]  # fmt: skip
    if row.agent:
        trip = "unknown" if row.round_trip_us is None else show_us(row.round_trip_us)
        facts += [
            ("Link", [
                visible(row.address, 60) if row.is_connected else "not connected",
                f"round trip {trip}", f"clock offset {_offset(row.clock_offset_us)}",
                f"{show_count(row.frames_behind)} frames behind",
            ]),
            ("Versions", [f"Python {visible(row.python, 20)}",
                          f"Chaperon {visible(row.version, 20)}"]),
        ]  # fmt: skip
    else:
        core = "not pinned" if row.core is None else f"core {row.core}"
        facts.append(("Process", [f"PID {row.pid}", core]))
    of = "" if not row.agent else f"  on {visible(row.host, 120)}"
    rows: list[Row] = [((name_of(row), "title"), (f"  {text}", role or "key"), (of, "dim"))]
    if row.note:
        rows.append(((visible(row.note), role),))
    rows += [((f"{name:<10}", "dim"), (" · ".join(each for each in texts if each), ""))
             for name, texts in facts]  # fmt: skip
    return rows

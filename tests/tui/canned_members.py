"""Runs over several machines: members of all kinds, and what a launch is told while it waits."""

from __future__ import annotations

import msgspec

from chaperon_engine import Gathering, Snapshot, View, WorkerRow
from tests.tui import canned
from tests.tui.canned import PLAIN, WHOLE, Words

PIN = "sha256:" + "fb09c2d4" * 8
TOKEN_FILE = "/home/ann/.local/share/chaperon/runs/20261121-210000-CheckoutTest-a1b2/agent.token"
RUN = "20261121-210000-CheckoutTest-a1b2"
HOW = f"192.0.2.10:7700 --run {RUN} --pin {PIN} --token-file"
JOIN = f"chaperon worker join {HOW} {TOKEN_FILE}"
WATCH = f"chaperon-tui attach {HOW} {TOKEN_FILE.replace('agent', 'observer')}"


def gathering(*attached: str, expected: int = 3, token_file: str = TOKEN_FILE) -> Gathering:
    """What a launch is told."""
    return Gathering(join=JOIN, token_file=token_file, expected=expected, attached=list(attached),
                     attach=WATCH)  # fmt: skip


def members(words: Words = PLAIN) -> list[WorkerRow]:
    """Two workers of the engine's host and four agents: one is away, one draining, one silent."""
    locals_ = [
        WorkerRow(worker=n, pid=4711 + n, state="running", core=n, requests_per_s=12_400.0 - n,
                  active_sessions=6, cpu=0.62, lag_p99_us=310, rss_bytes=48_000_000)
        for n in range(2)
    ]  # fmt: skip

    def agent(number: int, name: str, host: str, shares: list[int], **fields: object) -> WorkerRow:
        known: dict[str, object] = {
            "worker": number, "pid": 0, "state": "running", "core": None,
            "requests_per_s": 11_000.0 + number, "active_sessions": 6 * len(shares), "cpu": 0.5,
            "lag_p99_us": 280, "rss_bytes": 96_000_000, "agent": name, "host": host,
            "address": f"192.0.2.{number}:40312", "cores": len(shares), "shares": shares,
            "round_trip_us": 410 * number, "clock_offset_us": -35 * number, "python": "3.11.7",
            "version": "0.2.0",
        }  # fmt: skip
        return WorkerRow(**(known | fields))  # type: ignore[arg-type]

    return [
        *locals_,
        agent(2, "load-2", "load-2", [2, 3], clock_offset_us=86_400_000_000),
        agent(3, "east", "load-3.example.com", [4, 5], state="away", is_connected=False,
              requests_per_s=0.0, frames_behind=17, note=f"nothing heard for 17 s: {words.reason}",
              cpu=0.0, active_sessions=0),
        agent(4, "west", "load-3.example.com", [6], state="draining", note="drained by ann@desk",
              version="0.1.9"),
        agent(5, words.name, words.host, [7], is_connected=False, frames_behind=3, cpu=0.97,
              lag_p99_us=18_000, verdict="saturated"),
    ]  # fmt: skip


def many(count: int) -> list[WorkerRow]:
    """Agents of which one is away and one lags."""
    plain = members()[2]
    rows = [
        msgspec.structs.replace(
            plain, worker=n, agent=f"load-{n}", host=f"load-{n}.example.com",
            lag_p99_us=200 + n % 7,
            address=f"192.0.2.{n % 250}:40312", shares=[2 * n, 2 * n + 1],
            requests_per_s=9_000.0 + n,
        )
        for n in range(count)
    ]  # fmt: skip
    rows[count * 2 // 3] = msgspec.structs.replace(rows[count * 2 // 3], state="away")
    rows[count // 2] = msgspec.structs.replace(rows[count // 2], lag_p99_us=48_000)
    return rows


def snapshot(words: Words = PLAIN, *, role: str = "owner", **fields: object) -> Snapshot:
    """The canned run with these members."""
    view: View = fields.pop("view", WHOLE)  # type: ignore[assignment]
    rows = fields.pop("rows", None) or members(words)
    return msgspec.structs.replace(
        canned.snapshot(words, view=view), **canned.members_of(rows, view), role=role,
        join=JOIN, attach=WATCH, token_file=TOKEN_FILE if role == "owner" else "", **fields,
    )  # fmt: skip

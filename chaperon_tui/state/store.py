"""Folds the snapshots of one run into what the screens show.

One store a run, owned by the app; screens read it and never change it.
"""

from __future__ import annotations

from collections import deque

from chaperon_engine import LogLine, Plan, Snapshot, visible
from chaperon_tui.state.history import History, message_step

LOG_LINES = 2000
"""Log lines that are kept; older ones are in the run's own log."""


OWNER, OBSERVER = "owner", "observer"


class RunStore:
    """A run as its viewer knows it."""

    def __init__(self, run_id: str, plan: Plan, *, role: str = OWNER, where: str = ""):
        self.run_id = run_id
        self.role = role
        """`owner` on the engine's host; elsewhere `operator` or `observer`, as the token says."""
        self.where = where
        """`HOST:PORT` of the engine on another machine; empty: it runs here."""
        self.plan = plan
        self.snapshot: Snapshot | None = None
        """The newest one."""
        self.history = History()
        """Of HTTP requests."""
        self.message_history = History(message_step)
        """Of what went over WebSockets."""
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        """Texts have passed `visible`."""
        self.log_count = 0
        """Lines that have arrived, also those no longer kept."""
        self.lost = ""
        """Why the engine is gone, one sentence; empty while it is there."""
        self.is_stopping = False
        """A stop was asked for here."""
        self.outage = ""
        """Since when and why the engine cannot be reached, while it is looked for; else empty."""

    def fold(self, snapshot: Snapshot) -> bool:
        """Take in a snapshot; True if it brought new seconds, so that charts have to be drawn."""
        self.snapshot = snapshot
        for line in snapshot.logs:
            self.log_count += 1
            self.log.append(
                LogLine(line.at_s, visible(line.level, 12), visible(line.source, 40),
                        visible(line.text))
            )  # fmt: skip
        self.message_history.extend(snapshot.intervals)
        return self.history.extend(snapshot.intervals)

    @property
    def may_steer(self) -> bool:
        """Stop, abort and drain are this viewer's to ask for."""
        return self.role != OBSERVER

    @property
    def shows_messages(self) -> bool:
        """The run has WebSockets and no HTTP request: tiles and charts are about messages."""
        return self.snapshot is not None and shows_messages(self.snapshot)

    @property
    def is_warming_up(self) -> bool:
        """Nothing is measured yet but the warm-up."""
        state = "starting" if self.snapshot is None else self.snapshot.state
        return self.plan.warmup_s > 0 and state in ("starting", "warmup")

    @property
    def is_finished(self) -> bool:
        """The run has ended, or its engine has."""
        return bool(self.lost) or (self.snapshot is not None and self.snapshot.state == "finished")


def shows_messages(snapshot: Snapshot) -> bool:
    """A run with WebSockets and without HTTP requests."""
    return snapshot.totals.requests == 0 and snapshot.messages.are_there

"""The queue itself: what runs, what waits in which order, what has ended. Pure.

queued ──> running ──> finished | failed | cancelled
  └─────────────────────────────> cancelled

Must not know: how a run is started, files, sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chaperon_engine.client.queue import EntryState, QueueEntry
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError

MAX_WAITING = 1000
MAX_ENDED = 200
"""Ended entries that are kept; the oldest goes first. Their runs stay."""


class QueueFull(UserError):
    """No more entries are taken."""


class NotQueued(UserError):
    """Only what waits can be moved."""


class Item(msgspec.Struct, kw_only=True):
    """An entry that has not ended, with all that is needed to run it."""

    id: str
    name: str
    request: LaunchRequest
    submitted_at: str
    tag: str = ""
    started_at: str = ""
    run_id: str = ""
    cancelled: bool = False
    """Somebody cancelled it while it ran."""

    def entry(self, state: EntryState, *, position: int = 0) -> QueueEntry:
        """As people see it."""
        return QueueEntry(
            id=self.id,
            name=self.name,
            state=state,
            tag=self.tag,
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            run_id=self.run_id,
            position=position,
        )


class Line(msgspec.Struct, kw_only=True):
    """All entries."""

    running: Item | None = None
    waiting: list[Item] = []
    ended: list[QueueEntry] = []
    """The newest first."""

    def scheduled(self) -> list[QueueEntry]:
        """What waits, in its order."""
        return [
            item.entry("queued", position=position) for position, item in enumerate(self.waiting, 1)
        ]

    def find(self, id: str) -> QueueEntry | None:
        """The entry of that id."""
        if self.running is not None and self.running.id == id:
            return self.running.entry("running")
        for position, item in enumerate(self.waiting, 1):
            if item.id == id:
                return item.entry("queued", position=position)
        return next((entry for entry in self.ended if entry.id == id), None)

    def add(self, items: Sequence[Item]) -> None:
        """Append all of them or none. Raises QueueFull."""
        if len(self.waiting) + len(items) > MAX_WAITING:
            raise QueueFull(f"the queue holds {MAX_WAITING} load tests at most: cancel some first")
        self.waiting.extend(items)

    def move(self, id: str, position: int) -> QueueEntry:
        """Put what waits at `position`, from 1; beyond the end is last. Raises NotQueued."""
        for item in self.waiting:
            if item.id == id:
                self.waiting.remove(item)
                self.waiting.insert(position - 1, item)
                return item.entry("queued", position=self.waiting.index(item) + 1)
        raise NotQueued("only a load test that waits can be moved")

    def begin(self, at: str) -> Item | None:
        """The next one runs from now on; None when one runs already or nothing waits."""
        if self.running is not None or not self.waiting:
            return None
        self.running = self.waiting.pop(0)
        self.running.started_at = at
        return self.running

    def put_back(self) -> None:
        """What was to run never began: it is the next again."""
        item = self.running
        if item is not None:
            self.running = None
            item.started_at = item.run_id = ""
            self.waiting.insert(0, item)

    def end(self, state: EntryState, reason: str, at: str) -> QueueEntry | None:
        """What runs has ended."""
        item, self.running = self.running, None
        return None if item is None else self._ended(item, state, reason, at)

    def cancel_waiting(self, at: str, id: str | None = None) -> list[str]:
        """Cancel the one of that id, or all that wait; answers the ids that were cancelled."""
        chosen = [item for item in self.waiting if id is None or item.id == id]
        self.waiting = [item for item in self.waiting if item not in chosen]
        for item in chosen:
            self._ended(item, "cancelled", "cancelled before its start", at)
        return [item.id for item in chosen]

    def _ended(self, item: Item, state: EntryState, reason: str, at: str) -> QueueEntry:
        entry = msgspec.structs.replace(item.entry(state), reason=reason, ended_at=at)
        self.ended = [entry, *self.ended][:MAX_ENDED]
        return entry

"""A queue's server with canned entries; the tests start it, end it and let things happen in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

import msgspec

from chaperon_engine import LaunchRequest, QueueEntry, QueueUnavailable, Report, UserError
from tests.tui.canned import PLAIN, Words, report

HOW = "no queue is being served: `chaperon serve` starts one (it wants a token: `export X=Y`)"


def entry(id: str, state: str, **fields: object) -> QueueEntry:
    """One entry; `fields` over plausible ones."""
    known = {"id": id, "name": "CheckoutTest", "state": state,
             "submitted_at": "2026-11-21T20:00:31.000000Z"}  # fmt: skip
    return msgspec.convert({**known, **fields}, QueueEntry)


def canned_entries(words: Words = PLAIN) -> list[QueueEntry]:
    """One runs, three wait, four have ended, each in another way."""
    at = "2026-11-21T20:{:02}:09.000000Z".format
    return [
        entry("e1", "running", name=words.load_test, tag="nightly", started_at=at(4),
              run_id=words.run_id),
        entry("e2", "queued", name=words.load_test, tag="smoke", position=1, submitted_at=at(1)),
        entry("e3", "queued", name="SearchTest", position=2, submitted_at=at(2)),
        entry("e4", "queued", name="BrowseTheWholeCatalogueTest", tag="release-2026.11",
              position=3, submitted_at=at(3)),
        entry("e5", "finished", name=words.load_test, started_at=at(1), ended_at=at(3),
              run_id="run-1", tag=words.name),
        entry("e6", "failed", name="SearchTest", started_at=at(1), ended_at=at(1),
              reason=f"service 'search' cannot be reached: {words.reason}\nstart it first"),
        entry("e7", "cancelled", name="SearchTest", ended_at=at(0),
              reason="cancelled before its start"),
        entry("e8", "cancelled", name=words.load_test, started_at=at(0), ended_at=at(1),
              run_id="run-2", reason="cancelled while it ran"),
    ]  # fmt: skip


class FakeQueueServer:
    """Also the door to itself: `connect` as the client's class has it."""

    def __init__(self, words: Words = PLAIN):
        self.entries = canned_entries(words)
        self.is_there = True
        self.refusal = ""
        self.asked: list[tuple[object, ...]] = []
        self.added: list[LaunchRequest] = []
        self.attempts = 0
        self.urls: list[str | None] = []
        self.connections: list[FakeQueue] = []

    async def connect(self, url: str | None = None) -> FakeQueue:
        self.attempts += 1
        self.urls.append(url)
        if not self.is_there:
            raise QueueUnavailable(HOW)
        self.connections.append(FakeQueue(self))
        return self.connections[-1]

    def end(self) -> None:
        """The server goes."""
        self.is_there = False
        for queue in self.connections:
            queue.lists.put_nowait(None)

    def become(self, entries: list[QueueEntry]) -> None:
        """Something has happened."""
        self.entries = entries
        for queue in self.connections:
            queue.lists.put_nowait(entries)

    def change(self, id: str, **fields: object) -> None:
        """One entry has changed."""
        self.become([
            msgspec.structs.replace(each, **fields) if each.id == id else each
            for each in self.entries
        ])  # fmt: skip

    def waiting(self) -> list[str]:
        """Ids of what waits, in its order."""
        return [each.id for each in self.entries if each.state == "queued"]

    def ask(self, *what: object) -> None:
        """Refuse, or take note."""
        if self.refusal:
            raise UserError(self.refusal)
        self.asked.append(what)

    def end_entries(self, ids: list[str]) -> None:
        """Cancel these."""
        ended = [
            msgspec.structs.replace(each, state="cancelled", position=0)
            for each in self.entries
            if each.id in ids
        ]
        self._order([each for each in self.entries if each.id not in ids], ended)

    def place(self, id: str, position: int) -> QueueEntry:
        """Re-order what waits."""
        moved = next(each for each in self.entries if each.id == id)
        rest = [each for each in self.entries if each.id != id]
        first = sum(each.state == "running" for each in rest)
        rest.insert(first + position - 1, moved)
        self._order(rest, [])
        return next(each for each in self.entries if each.id == id)

    def _order(self, entries: list[QueueEntry], ended: list[QueueEntry]) -> None:
        waiting = [each for each in entries if each.state == "queued"]
        self.become([
            *(each for each in entries if each.state == "running"),
            *(msgspec.structs.replace(each, position=n) for n, each in enumerate(waiting, 1)),
            *ended,
            *(each for each in entries if each.has_ended),
        ])  # fmt: skip


class FakeQueue:
    """One connection."""

    def __init__(self, server: FakeQueueServer):
        self._server = server
        self.lists: asyncio.Queue[list[QueueEntry] | None] = asyncio.Queue()
        self.is_closed = False
        self.reports: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.is_closed = True

    async def events(self) -> AsyncGenerator[list[QueueEntry], None]:
        yield self._server.entries
        while (entries := await self.lists.get()) is not None:
            yield entries
        raise QueueUnavailable(HOW)

    async def add(self, request: LaunchRequest) -> QueueEntry:
        self._server.ask("add")
        self._server.added.append(request)
        waiting = len(self._server.waiting())
        added = entry(f"added-{waiting}", "queued", position=waiting + 1, tag=request.tag)
        rest = [each for each in self._server.entries if each.has_ended]
        self._server.become([*self._server.entries[: waiting + 1], added, *rest])
        return added

    async def cancel(self, id: str) -> None:
        self._server.ask("cancel", id)
        self._server.end_entries([id])

    async def cancel_queued(self) -> None:
        self._server.ask("cancel_queued")
        self._server.end_entries(self._server.waiting())

    async def cancel_all(self) -> None:
        self._server.ask("cancel_all")
        self._server.end_entries([e.id for e in self._server.entries if not e.has_ended])

    async def move(self, id: str, position: int) -> QueueEntry:
        self._server.ask("move", id, position)
        return self._server.place(id, position)

    async def report(self, run_id: str) -> Report:
        self.reports.append(run_id)
        return report()

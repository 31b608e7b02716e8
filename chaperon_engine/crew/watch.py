"""Are the workers of this host alive, and where do they hang? No I/O, no clock of its own.

A worker that answers no ping hangs: it is located, and killed after a time. Owns what is known of
each worker. Must not know: what the end of a worker means for a run.

Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaperon_engine.crew.events import (
    CrewAction,
    KillWorker,
    LocateHang,
    Say,
    Send,
    WatchLimits,
    WorkerState,
)
from chaperon_engine.protocol.messages import Ping
from chaperon_engine.text import visible


class CrewWatch:
    """Watches the workers of one host."""

    def __init__(self, workers: int, now: float, limits: WatchLimits):
        self.limits = limits
        self.workers = [WorkerState(number, heard_at=now) for number in range(workers)]
        self._seen_at = now
        self._located: set[int] = set()

    @property
    def alive(self) -> list[WorkerState]:
        """Those that are neither done nor lost."""
        return [worker for worker in self.workers if worker.alive]

    def look(self, now: float) -> None:
        """Time has passed. What was long away itself cannot hold silence against workers."""
        if now - self._seen_at > self.limits.blind_after_s:
            for worker in self.workers:
                worker.heard_at += now - self._seen_at
                if worker.hung_at is not None:
                    worker.hung_at += now - self._seen_at
        self._seen_at = now

    def watch(self, now: float, began_at: float) -> list[CrewAction]:
        """Ping, and act on silence; the load began at `began_at`."""
        actions: list[CrewAction] = []
        for worker in self.alive:
            due = int((now - began_at) / self.limits.ping_every_s) + 1
            if due > worker.pinged:
                worker.pinged = due
                actions.append(Send(worker.number, Ping(number=due)))
            silent = now - worker.heard_at
            if worker.hung_at is None and silent > self.limits.hung_after_s:
                worker.hung_at, worker.state = now, "hung"
                worker.note = f"no answer for {silent:.0f} s"
                self._located.discard(worker.number)
                actions.append(Say("warning", f"worker {worker.number} does not answer"))
                actions += self.locate([worker])
            elif (
                worker.hung_at is not None
                and not worker.killed
                and now - worker.hung_at > self.limits.kill_after_s
            ):
                worker.killed = True
                actions.append(KillWorker(worker.number))
        return actions

    def answered(self, worker: WorkerState) -> list[CrewAction]:
        """A worker answered a ping."""
        if worker.state != "hung":
            return []
        worker.state, worker.note, worker.hung_at = "running", "", None
        return [Say("warning", f"worker {worker.number} answers again")]

    def locate(self, workers: Iterable[WorkerState]) -> list[CrewAction]:
        """Ask where these are, once each time they hang."""
        fresh = [worker.number for worker in workers if worker.number not in self._located]
        self._located.update(fresh)
        return [LocateHang(number) for number in fresh]

    def located(self, worker: WorkerState, place: str) -> list[CrewAction]:
        """Where a worker is: `FILE:LINE in FUNCTION`, or empty."""
        if not place or not worker.alive:
            return []
        worker.place = visible(place)
        if worker.hung_at is None:
            return []
        worker.note = f"hangs at {worker.place}"
        return [Say("error", f"worker {worker.number} hangs at {worker.place}")]

    def distrust(self, worker: WorkerState, failure: str) -> list[CrewAction]:
        """A worker failed in the load, or spoke nonsense: it must not go on."""
        worker.killed, worker.failure = True, failure
        return [KillWorker(worker.number)]

    def ended(self, worker: WorkerState) -> None:
        """A worker took leave."""
        worker.state, worker.hung_at = "done", None

    def lost(self, worker: WorkerState, how: str) -> str:
        """A worker's process is gone without having taken leave; why, in words."""
        if worker.failure:
            note = worker.failure
        elif worker.hung_at is not None and worker.killed:
            where = f" at {worker.place}" if worker.place else ""
            note = f"it hung{where} and was killed"
        elif worker.killed:
            note = "it did not end after the abort and was killed"
        else:
            note = how
        worker.state, worker.note = "lost", note
        return note

    def kill_all(self) -> list[CrewAction]:
        """Make an end of whoever lives."""
        actions: list[CrewAction] = []
        for worker in self.alive:
            if not worker.killed:
                worker.killed = True
                actions.append(KillWorker(worker.number))
        return actions

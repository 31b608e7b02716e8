"""The load of one host: its workers, their shares, and the frame of all of them. Sans-I/O.

Shares are one per worker at the start. Those that are taken over later, because their member is
gone, go to the workers with the fewest.

Owns: what is known of the workers, who has which share. Must not know: the coordinator, or why the
load begins and ends.
"""

from __future__ import annotations

from chaperon_engine.agent.events import AgentLimits
from chaperon_engine.agent.merging import FrameMerger
from chaperon_engine.agent.relaying import Relay
from chaperon_engine.crew.events import CrewAction, KillWorker, Say, Send, WorkerState
from chaperon_engine.crew.watch import CrewWatch
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import (
    AbortLoad,
    AcceptedSeries,
    Lease,
    Prepare,
    Release,
    Start,
    StopLoad,
    TakeShares,
    WorkerIdle,
)
from chaperon_engine.protocol.wire import AgentPrepare


class HostLoad:
    """The workers of this host and what they do."""

    def __init__(self, workers: int, now: float, limits: AgentLimits):
        self.watch = CrewWatch(workers, now, limits)
        self.workers = self.watch.workers
        self.relay = Relay(workers)
        self.merger: FrameMerger | None = None
        """Since the start."""
        self.shares: list[int] = []
        """Those of the workers in their order; workers beyond have nothing to do."""
        self.epoch = 0
        """Of the newest shares that were taken over."""
        self._limits = limits
        self._held = [1] * workers
        """How many shares each has."""
        self._prepared_at = 0.0
        self._started_at = 0.0

    @property
    def mine(self) -> list[WorkerState]:
        """Workers that have a share."""
        return self.workers[: len(self.shares)]

    @property
    def able(self) -> list[int]:
        """Workers that can run something for others."""
        return [each.number for each in self.mine if each.state == "running"]

    @property
    def is_over(self) -> bool:
        """Every worker has ended, and the last frame has been taken."""
        return self.merger is not None and self.merger.is_over and not self.watch.alive

    @property
    def is_idle(self) -> bool:
        """The sessions of all workers have ended, and some workers are left."""
        alive = self.watch.alive
        return bool(alive) and all(worker.is_idle for worker in alive)

    def send_all(
        self, message: StopLoad | AbortLoad | AcceptedSeries | Release | Lease
    ) -> list[Send]:
        """Say something to all workers."""
        return [Send(worker.number, message) for worker in self.watch.alive]

    # the beginning

    def prepare(self, message: AgentPrepare, now: float) -> list[Send]:
        """Give each worker its share."""
        self._prepared_at = now
        self.shares = list(message.shares)
        actions: list[Send] = []
        for worker, share in zip(self.workers, self.shares, strict=False):
            worker.state = "starting"
            prepare = Prepare(
                launch=message.launch, workers=message.of, worker=share, seed=message.seed
            )
            actions.append(Send(worker.number, prepare))
        return actions

    def start(
        self, merger: FrameMerger, start_ns: int, lease: Lease, now: float
    ) -> list[CrewAction]:
        """Second 0 is at `start_ns`; workers without a share end."""
        self.merger, self._started_at = merger, start_ns / 1e9
        actions: list[CrewAction] = []
        for worker in self.workers[len(self.shares) :]:
            worker.state = "done"
            actions.append(KillWorker(worker.number))
        for worker in self.mine:
            worker.state = "running"
            worker.heard_at = now
            actions.append(Send(worker.number, Start(start_ns=start_ns)))
            actions.append(Send(worker.number, lease))
        return actions

    # while it runs

    def take_over(self, message: TakeShares) -> list[Send]:
        """Shares whose member is gone; nothing when these were taken over before."""
        able = self.able
        if message.epoch <= self.epoch or not able:
            return []
        self.epoch = message.epoch
        given: dict[int, list[int]] = {}
        for share in message.shares:
            number = min(able, key=lambda each: (self._held[each], each))
            self._held[number] += 1
            given.setdefault(number, []).append(share)
        actions: list[Send] = []
        for number, shares in given.items():
            worker = self.workers[number]
            worker.is_idle, worker.epoch = False, message.epoch
            take = TakeShares(shares=shares, of=message.of, epoch=message.epoch)
            actions.append(Send(number, take))
        return actions

    def idle(self, worker: WorkerState, message: WorkerIdle) -> None:
        """Its sessions have ended, unless shares that it has not heard of are under way to it."""
        worker.is_idle = message.epoch >= worker.epoch

    def take_frame(self, worker: WorkerState, frame: Frame, now: float) -> list[CrewAction]:
        """What a worker measured."""
        if self.merger is None:
            return []
        try:
            self.merger.put(worker.number, frame, now)
        except ValueError as error:
            return self.watch.distrust(worker, str(error))
        worker.had_last_frame = worker.had_last_frame or frame.last
        return []

    def lose(self, worker: WorkerState, how: str, slots: list[list[int]]) -> tuple[str, list[Say]]:
        """Its process is gone in the load: what that means to those who wait for it."""
        if worker.had_last_frame:
            self.watch.ended(worker)
            return "ended before it", []
        assert self.merger is not None
        note = self.watch.lost(worker, how)
        self.merger.lose(worker.number, note, slots)
        return f"was lost: {note}", [Say("error", f"worker {worker.number} was lost: {note}")]

    def locate_slow(self, now: float) -> list[CrewAction]:
        """Before the load: where are workers that are not ready for long?"""
        if now - self._prepared_at <= self._limits.slow_s:
            return []
        return self.watch.locate(each for each in self.mine if each.state == "starting")

    def look_after(self, now: float) -> list[CrewAction]:
        """In the load: do they live?"""
        return self.watch.watch(now, self._started_at)

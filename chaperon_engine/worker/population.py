"""Runs the sessions of one worker's share: starts them on time, ends them in time, counts them.

Shares of members that are gone may be taken over while the load goes on: their sessions begin anew,
with the ramp-up of their population, and count as started once more. Only populations that nothing
but the time ends are taken over; the others would do twice what was done already.

One timer waits for the next start; at each wake everything that is due starts, never early. Must
not know processes, sockets or frames.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import ResolvedTest
from chaperon_engine.http.worker import HttpWorker
from chaperon_engine.metrics.model import WARMUP, IterationCounts, SessionCounts
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.net.ports import Labels
from chaperon_engine.pacing import place
from chaperon_engine.session import LogBook
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.lifecycle import make_session
from chaperon_engine.worker.guests import Guests
from chaperon_engine.worker.iteration import IterationTally, SessionLife
from chaperon_engine.worker.placement import Placement
from chaperon_engine.worker.share import PopulationShare
from chaperon_engine.worker.tasks import TaskWatch

STARTS_PER_TURN: Final = 50
"""Sessions that start before those that have started get a turn of the loop."""
NEAR_END_S: Final = 1.0
"""Before the last second of a population nobody asks the clock whether an iteration may begin. So
when time is up none does, unless one turn of the loop has taken longer than this."""
SERIES_CHECK_S: Final = 0.5
"""How often the recorder is asked whether series must be looked up again."""


class LoadRunner:
    """The sessions of all populations in this worker."""

    def __init__(
        self,
        test: ResolvedTest,
        *,
        worker: int,
        workers: int,
        seed: int,
        recorder: Recorder,
        http: HttpWorker,
        log: LogBook,
        placement: Placement | None = None,
    ) -> None:
        """`placement` says where scheduled scenarios run; without one they run here."""
        self.sessions = SessionCounts()
        self._tally = IterationTally()
        self._test = test
        self._recorder = recorder
        self._http = http
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._series_timer: asyncio.TimerHandle | None = None
        self._stopped = asyncio.Event()
        """No further session starts."""
        self._changed = asyncio.Event()
        """A session has ended."""
        self._generation = recorder.generation
        self._placement = placement or Placement()
        self._contexts = [
            PopulationContext.of(
                population, recorder=recorder, book=log, seed=seed, remote=self._placement
            )
            for population in test.populations
        ]
        self._shares = self._shares_of(worker, workers)
        """Those that were taken over, too."""
        self.sessions.planned = sum(len(share.indices) for share in self._shares)
        self._start_ns: int | None = None
        self._epoch = 0
        self._early: list[tuple[Sequence[int], int]] = []
        """Taken over before the load of this worker began."""
        self._starting: set[asyncio.Task[None]] = set()
        """They start sessions of shares that were taken over."""

    @property
    def iterations(self) -> IterationCounts:
        """Iterations up to now."""
        return self._tally.counts()

    @property
    def passed_init(self) -> int:
        """Sessions whose `init` completed."""
        return sum(share.passed_init for share in self._shares)

    async def run(self, start_ns: int) -> None:
        """Run until every session has ended. `start_ns` is second 0 of the run, monotonic.

        When it returns, no task of session code is pending, apart from code that swallows every
        cancellation: that is given up after a while and said so in the log.
        """
        watch = TaskWatch(self._loop)
        self._log.start_ns = self._start_ns = start_ns
        self._set_timers(start_ns)
        contexts = {share.population.plan.name: share.context for share in self._shares}
        self._placement.open(Guests(contexts, self._http, self._test.modules))
        for shares, of in self._early:
            self._take(shares, of, start_ns)
        try:
            await self._start_sessions(self._shares[: len(self._contexts)], start_ns)
            await self._all_ended()
            while not await self._placement.settle(self._epoch):
                await self._all_ended()
        finally:
            self.abort()
            await self._all_ended()
            for timer in self._timers:
                timer.cancel()
            if self._series_timer is not None:
                self._series_timer.cancel()
            left = await watch.close()
            if left:
                tasks = "1 task" if left == 1 else f"{left} tasks"
                self._log.add("error", "scenarios", f"{tasks} left that ignore their cancellation")

    def take(self, shares: Sequence[int], of: int, epoch: int) -> None:
        """Run the sessions of these shares, too, of `of` in the whole run."""
        self._epoch = epoch
        if self._start_ns is None:
            self._early.append((shares, of))
        else:
            self._take(shares, of, self._start_ns)

    def _take(self, shares: Sequence[int], of: int, start_ns: int) -> None:
        taken = [
            share
            for number in shares
            for share in self._shares_of(number, of)
            if share.population.plan.profile.is_timed and not self._stopped.is_set()
        ]
        for share in taken:
            self._set_end(share, start_ns)
        self._shares += taken
        work = self._start_sessions(taken, max(start_ns, now_ns()))
        task = self._loop.create_task(work, name="taken over")
        self._starting.add(task)
        task.add_done_callback(self._started)
        self._placement.wake()

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._changed.set()
        task.result()

    def _shares_of(self, number: int, of: int) -> list[PopulationShare]:
        """One of the run's shares: its part of each population."""
        shares: list[PopulationShare] = []
        before = 0
        for population, context in zip(self._test.populations, self._contexts, strict=True):
            shares.append(
                PopulationShare(
                    population,
                    context,
                    worker=place(number, before, of),
                    workers=of,
                    sessions=self.sessions,
                    iterations=self._tally,
                    on_end=self._changed.set,
                )
            )
            before += population.plan.sessions
        return shares

    def stop(self, grace_s: float | None) -> None:
        """Start no further session or iteration; running ones get `grace_s` seconds, or with None
        the grace period of their population, then count as interrupted."""
        self._stopped.set()
        for share in self._shares:
            share.stop()
            grace = share.population.plan.graceful_stop_s if grace_s is None else grace_s
            self._after(grace, share.interrupt)

    def abort(self) -> None:
        """Cancel what is in flight; no teardown."""
        self._stopped.set()
        for share in self._shares:
            share.interrupt(skip_teardown=True)
        self._placement.abort()

    async def _all_ended(self) -> None:
        while self._starting or any(share.lives for share in self._shares):
            self._changed.clear()
            await self._changed.wait()

    def _set_timers(self, start_ns: int) -> None:
        elapsed_s = (now_ns() - start_ns) / 1e9
        warmup_s = self._test.plan.warmup_s
        if warmup_s > elapsed_s:
            self._recorder.phase = WARMUP
            self._after(warmup_s - elapsed_s, self._end_warmup)
        for share in self._shares:
            self._set_end(share, start_ns)
        self._check_series()

    def _set_end(self, share: PopulationShare, start_ns: int) -> None:
        elapsed_s = (now_ns() - start_ns) / 1e9
        plan = share.population.plan
        duration_s = plan.profile.duration_s
        if duration_s is None:
            return
        share.end_ns = start_ns + int(duration_s * 1e9)
        calm_s = duration_s - NEAR_END_S - elapsed_s
        if calm_s > 0:
            self._after(calm_s, share.watch_clock)
        else:
            share.watch_clock()
        self._after(duration_s + plan.graceful_stop_s - elapsed_s, share.interrupt)

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(max(0.0, delay_s), action))

    def _end_warmup(self) -> None:
        self._recorder.phase = ""
        self._look_up_again()

    def _check_series(self) -> None:
        if self._recorder.generation != self._generation:
            self._look_up_again()
        self._series_timer = self._loop.call_later(SERIES_CHECK_S, self._check_series)

    def _look_up_again(self) -> None:
        self._generation = self._recorder.generation
        for share in self._shares:
            share.context.forget_series()

    async def _start_sessions(self, shares: Sequence[PopulationShare], start_ns: int) -> None:
        started = 0
        for due_ns, number, index in heapq.merge(
            *(_starts(number, share, start_ns) for number, share in enumerate(shares))
        ):
            # Timers may fire a little early; a session never starts early.
            while not self._stopped.is_set() and (wait_ns := due_ns - now_ns()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), wait_ns / 1e9)
            if self._stopped.is_set():
                return
            if shares[number].is_open():
                self._start(shares[number], index)
                started += 1
                if started % STARTS_PER_TURN == 0:
                    await asyncio.sleep(0)

    def _start(self, share: PopulationShare, index: int) -> None:
        context = share.context
        plan = share.population.plan
        client = self._http.client(
            share.population.services, Labels(plan.scenario, share.population.session_label)
        )
        life = SessionLife(share, make_session(context, index, client))
        share.lives.add(life)
        life.start()


def _starts(number: int, share: PopulationShare, start_ns: int) -> Iterator[tuple[int, int, int]]:
    for due_ns, index in share.starts(start_ns):
        yield due_ns, number, index

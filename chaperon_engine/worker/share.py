"""This worker's share of one population: which sessions, which iterations, until when.

Must not know timers: `population` starts, stops and cuts off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from math import inf
from sys import maxsize

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.resolved import ResolvedPopulation
from chaperon_engine.metrics.model import SessionCounts
from chaperon_engine.pacing import count_share, share, start_offset_s
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.worker.iteration import IN_SESSION, IterationTally, SessionLife


class PopulationShare:
    """The sessions of one population in this worker; the host of their lives."""

    def __init__(
        self,
        population: ResolvedPopulation,
        context: PopulationContext,
        *,
        worker: int,
        workers: int,
        sessions: SessionCounts,
        iterations: IterationTally,
        on_end: Callable[[], None],
    ) -> None:
        """`worker` is the number this worker has in this population's partition."""
        plan, profile = population.plan, population.plan.profile
        self.population = population
        self.context = context
        self.sessions = sessions
        self.iterations = iterations
        self.indices = share(plan.sessions, worker, workers)
        """Of this worker's sessions within the population."""
        self.lives: set[SessionLife] = set()
        """Sessions that have started and not ended."""
        self.task_context = copy_context()
        self.task_context.run(IN_SESSION.set, True)
        self.passed_init = 0
        self.is_stopped = False
        """No further session or iteration starts."""
        self.end_ns: int | None = None
        """When no iteration may start any more; None when only the work decides."""
        self._on_end = on_end
        is_endless = profile.duration_s is not None or profile.shared_iterations is not None
        self._limit = profile.iterations
        if self._limit is None and not is_endless:
            self._limit = 1
        # Workers without a session of this population would keep their iterations for ever.
        taking = min(plan.sessions, workers)
        self._shared_left: int | None = None
        if profile.shared_iterations is not None:
            self._shared_left = (
                count_share(profile.shared_iterations, worker, taking) if worker < taking else 0
            )
        self.open_below = 0
        """Iterations with a smaller number may begin without `admits`."""
        if self._shared_left is None:
            self.open_below = maxsize if self._limit is None else self._limit

    def starts(self, start_ns: int) -> Iterator[tuple[int, int]]:
        """Intended start (monotonic nanoseconds) and index of each session, in order."""
        plan = self.population.plan
        for index in self.indices:
            offset_s = start_offset_s(index, plan.sessions, plan.profile.ramp_up_s)
            yield start_ns + int(offset_s * 1e9), index

    def is_open(self) -> bool:
        """Whether sessions and iterations may still start."""
        return not self.is_stopped and (self.end_ns is None or now_ns() < self.end_ns)

    def watch_clock(self) -> None:
        """The end is near: from now on the clock is asked before each iteration."""
        self.open_below = 0

    def stop(self) -> None:
        """No further iteration starts; pauses end."""
        self.is_stopped = True
        self.open_below = 0
        for life in list(self.lives):
            life.wake()

    def interrupt(self, *, skip_teardown: bool = False) -> None:
        """Cut off every session that is still running."""
        self.stop()
        for life in list(self.lives):
            life.interrupt(skip_teardown=skip_teardown)

    def admits(self, iteration: int) -> bool:
        if self.is_stopped or (self.end_ns is not None and now_ns() >= self.end_ns):
            return False
        if self._limit is not None and iteration >= self._limit:
            return False
        if self._shared_left is not None:
            if self._shared_left == 0:
                return False
            self._shared_left -= 1
        return True

    def remaining_s(self) -> float:
        if self.is_stopped:
            return 0.0
        return inf if self.end_ns is None else max(0.0, (self.end_ns - now_ns()) / 1e9)

    def prepared(self) -> None:
        self.passed_init += 1

    def ended(self, life: SessionLife) -> None:
        self.lives.discard(life)
        self._on_end()

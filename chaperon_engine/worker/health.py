"""How this worker itself is doing: what a generator must know before it accuses its target.

Owns: the samples of one worker. Must not know the limits by which they are judged.
"""

from __future__ import annotations

import asyncio
import gc
import time
from types import TracebackType

from chaperon_engine.metrics.model import HealthSample
from chaperon_engine.platform import (
    core_times,
    open_descriptors,
    process_cpu_ns,
    resident_bytes,
    steal_share,
)
from chaperon_engine.worker.timer import LatenessTimer

LAG_PERIOD_NS = 10_000_000
"""100 samples a second: the 99th percentile is the second worst."""
DESCRIPTORS_EVERY = 5
"""Samples between two counts of the open descriptors: listing thousands takes milliseconds."""


class HealthMonitor:
    """Measures from `__enter__` to `__exit__`; `sample` answers for the time since the last one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, core: int | None):
        self._loop = loop
        self._core = core
        self._late_ns: list[int] = []
        self._gc_began_ns = 0
        self._gc_ns = 0
        self._samples = 0
        self._descriptors = 0
        self._reset()

    def __enter__(self) -> HealthMonitor:
        self._timer = LatenessTimer(self._loop, LAG_PERIOD_NS, self._late_ns.append)
        gc.callbacks.append(self._on_gc)
        self._reset()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.close()
        gc.callbacks.remove(self._on_gc)

    def sample(self) -> HealthSample:
        """The health since the last sample."""
        now_ns, cpu_ns = time.monotonic_ns(), process_cpu_ns()
        elapsed_ns = max(1, now_ns - self._at_ns)
        core = None if self._core is None else core_times(self._core)
        late = sorted(self._late_ns)
        if self._samples % DESCRIPTORS_EVERY == 0:
            self._descriptors = open_descriptors()
        self._samples += 1
        result = HealthSample(
            lag_p99_us=late[-(-len(late) * 99 // 100) - 1] // 1000 if late else 0,
            lag_max_us=late[-1] // 1000 if late else 0,
            cpu=min(1.0, (cpu_ns - self._cpu_ns) / elapsed_ns),
            steal=steal_share(self._core_times, core),
            gc_us=self._gc_ns // 1000,
            rss_bytes=resident_bytes(),
            descriptors=self._descriptors,
        )
        self._reset()
        return result

    def _reset(self) -> None:
        self._at_ns = time.monotonic_ns()
        self._cpu_ns = process_cpu_ns()
        self._core_times = None if self._core is None else core_times(self._core)
        self._gc_ns = 0
        self._late_ns.clear()

    def _on_gc(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_ns += time.monotonic_ns() - self._gc_began_ns

"""The workers of this host as their leader handles them: links, ends, where one hangs. I/O only.

Must not decide: what is heard and noticed goes to whoever leads the crew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from chaperon_engine.crew.hang import innermost_user_frame
from chaperon_engine.crew.links import WorkerLink
from chaperon_engine.protocol.messages import FromWorker, Message, WorkerFailed

TRACE_WAIT_S = 0.2
"""How long a hanging worker has to write down where it is."""
EOF_WAIT_TICKS = 10
"""How many looks after a worker's end its last words may still arrive."""


class WorkerProcess(Protocol):
    """A worker as its parent process can treat it."""

    number: int
    pid: int
    core: int | None

    def reap(self) -> str | None: ...

    def kill(self) -> None: ...

    def ask_where(self) -> None: ...

    def trace(self) -> str: ...


class CrewLeader(Protocol):
    """Who is told what happens to the workers."""

    def worker_said(self, worker: int, message: FromWorker) -> None:
        """What is no message at all comes as a WorkerFailed."""

    def worker_exited(self, worker: int, how: str) -> None:
        """Its process is gone, and all that it said has been told."""

    def hang_located(self, worker: int, place: str) -> None:
        """Answer to `locate`: `FILE:LINE in FUNCTION`, or empty."""


class Crew:
    """The workers of one host."""

    def __init__(self, workers: Sequence[WorkerProcess], leader: CrewLeader):
        self.workers = workers
        self._leader = leader
        self._links = [
            WorkerLink(self._hears(worker.number), self._mistrusts(worker.number))
            for worker in workers
        ]
        self._gone_for: dict[int, int] = {}
        """For how many looks the process of a worker has been known to be gone."""
        self._exits_told: set[int] = set()

    def __len__(self) -> int:
        return len(self.workers)

    def link(self, worker: int) -> WorkerLink:
        """The connection to a worker, for whoever holds the socketpair."""
        return self._links[worker]

    def send(self, worker: int, message: Message) -> None:
        """Say something to one worker."""
        self._links[worker].send(message)

    def send_all(self, message: Message) -> None:
        """Say something to all workers."""
        for link in self._links:
            link.send(message)

    def kill(self, worker: int) -> None:
        """SIGKILL; `worker_exited` follows."""
        self.workers[worker].kill()

    def locate(self, worker: int) -> None:
        """Find out where a worker is; `hang_located` follows."""
        process = self.workers[worker]
        process.ask_where()

        def read() -> None:
            self._leader.hang_located(worker, innermost_user_frame(process.trace()))

        asyncio.get_running_loop().call_later(TRACE_WAIT_S, read)

    def notice_exits(self) -> None:
        """To be called several times a second."""
        for worker, link in zip(self.workers, self._links, strict=True):
            if worker.number in self._exits_told:
                continue
            how = worker.reap()
            if how is None:
                continue
            looks = self._gone_for[worker.number] = self._gone_for.get(worker.number, 0) + 1
            # Its last frame may still be in the socket, and a grandchild may keep that open.
            if link.is_closed or looks > EOF_WAIT_TICKS:
                self._exits_told.add(worker.number)
                self._leader.worker_exited(worker.number, how)

    async def end(self, wait_s: float = 3.0) -> None:
        """Wait a bounded time until all worker processes are gone, then kill what is left."""
        deadline = time.monotonic() + wait_s
        while any(worker.reap() is None for worker in self.workers):
            if time.monotonic() > deadline:
                for worker in self.workers:
                    worker.kill()
            await asyncio.sleep(0.01)
        for link in self._links:
            link.close()

    def _hears(self, worker: int) -> Callable[[FromWorker], None]:
        return lambda message: self._leader.worker_said(worker, message)

    def _mistrusts(self, worker: int) -> Callable[[Exception], None]:
        def distrust(error: Exception) -> None:
            failure = WorkerFailed(message=str(error), user_error=False)
            self._leader.worker_said(worker, failure)

        return distrust

"""Tasks that user code made and left behind: found and ended, so that a run leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any
from weakref import WeakSet

from chaperon_engine.worker.iteration import IN_SESSION

_PATIENCE_S = 1.0


class TaskWatch:
    """Tells tasks of session code from those of the worker, while it is installed.

    A task factory marks the few that are made outside of sessions; everything else that is alive
    at the end was left behind by session code.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outsiders: WeakSet[asyncio.Task[Any]] = WeakSet(asyncio.all_tasks(loop))
        self._former = loop.get_task_factory()
        loop.set_task_factory(self._make)

    async def close(self) -> int:
        """Cancel what session code left behind; how many tasks did not end within a second."""
        self._loop.set_task_factory(self._former)
        strays = asyncio.all_tasks(self._loop) - set(self._outsiders)
        for stray in strays:
            stray.cancel()
        if not strays:
            return 0
        done, pending = await asyncio.wait(strays, timeout=_PATIENCE_S)
        for stray in done:
            # Asked for, or the loop would report an exception that nobody retrieved.
            _ = stray.cancelled() or stray.exception()
        return len(pending)

    def _make(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        if not IN_SESSION.get():
            self._outsiders.add(task)
        return task

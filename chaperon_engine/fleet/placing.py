"""A fleet during one run: placed when the run listens, watched, ended with it.

Owns: the order of these steps, and what the end of an agent means to whoever started the run. Must
not know: how agents are placed, or what a terminal is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.fleet.order import order_of
from chaperon_engine.fleet.protocol import Ended, Fleet, Happening, Note
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.text import visible

TELLING_S = 3.0
"""How long a run whose agent has ended has to say the reason itself."""
END_S = 10.0
"""How long agents may take to end by themselves when the run is over."""
REFUSED_S = 2.0
"""The same when it did not begin."""

Begun = TypeVar("Begun")
Hint = Callable[[str, str], Awaitable[None]]
"""Tells the run that the agent of this name is gone, and why."""


class Placing:
    """One fleet and one run."""

    def __init__(self, fleet: Fleet, say: Callable[[str], None], *, fewer_ok: bool = False):
        """`say` gets lines for people; `fewer_ok`: the run begins without agents that failed."""
        self._fleet = fleet
        self._say = say
        self._fewer_ok = fewer_ok
        self._failed: asyncio.Future[UserError | EngineError] = (
            asyncio.get_running_loop().create_future()
        )
        self._hint: Hint | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._placing: asyncio.Task[None] | None = None

    def gathering(self, gathering: Gathering) -> None:
        """The run listens: place the agents, once."""
        if self._placing is None:
            self._placing = self._begin(self._place(gathering))

    async def guard(self, launching: Coroutine[object, object, Begun]) -> Begun:
        """The outcome of `launching`, or UserError when agents that it waits for cannot come."""
        task = asyncio.ensure_future(launching)
        either: list[asyncio.Future[Any]] = [task, self._failed]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                # An agent that ends because the run was refused is heard before the reason.
                await asyncio.wait({task}, timeout=TELLING_S)
            if task.done():
                return task.result()
            raise self._failed.result()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def begun(self, hint: Hint) -> None:
        """The load has begun: from now on the run hears of ends."""
        self._hint = hint
        if self._failed.done():
            self._say(visible(self._failed.result(), 2000))

    async def close(self) -> None:
        """The run is over or does not begin. Bounded by the fleet."""
        patience_s = END_S if self._hint is not None else REFUSED_S
        self._hint = None
        if self._placing is not None:
            self._placing.cancel()
        await self._fleet.close(patience_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _place(self, gathering: Gathering) -> None:
        try:
            order = order_of(gathering.join, gathering.token_file)
            await self._fleet.place(order, self._happened)
        except (UserError, EngineError) as error:
            self._fail(error)

    def _happened(self, happening: Happening) -> None:
        match happening:
            case Note(text):
                self._say(visible(text, 2000))
            case Ended(ok=True):
                return
            case Ended(name, reason):
                sentence = f"agent {visible(name, 64)} ended: {visible(reason, 2000)}"
                if self._hint is not None:
                    self._say(sentence)
                    self._begin(self._tell(name, reason))
                elif self._fewer_ok:
                    self._say(sentence)
                else:
                    self._fail(UserError(sentence))

    def _fail(self, error: UserError | EngineError) -> None:
        if self._hint is not None:
            self._say(visible(error, 2000))
        elif not self._failed.done():
            self._failed.set_result(error)

    async def _tell(self, name: str, reason: str) -> None:
        # A run that has gone is told by the end of its snapshots.
        with suppress(EngineError, OSError):
            if self._hint is not None:
                await self._hint(name, reason)

    def _begin(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

"""What an action is: the protocol that users implement to add kinds of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from chaperon_engine.actions.call import Stopwatch, traced
from chaperon_engine.errors import SessionAborted, SessionRefused

if TYPE_CHECKING:
    from chaperon_engine.session import Session


class Actionable(Protocol):
    """Something a session can do with `await session.run_action(action)`.

    Its time is measured as a series of kind `call` under its `name`, and what it raises is counted
    there, unless the action has a true attribute `measures_itself` (as `HttpAction` has).
    """

    @property
    def name(self) -> str:
        """Name of its series."""
        ...

    async def run(self, session: Session) -> Any:
        """Do it; the result is what `run_action` returns."""
        ...

    async def abort(self, session: Session) -> None:
        """Clean up after a `run` that was cancelled or aborted half-way; must be quick."""
        ...


async def run_action(session: Session, action: Actionable, stopwatch: Stopwatch) -> Any:
    """Run an action and measure it as it wants; `abort` it when it is cut off."""
    work = action.run(session)
    if not getattr(action, "measures_itself", False):
        work = traced(stopwatch, work)
    try:
        return await work
    except (asyncio.CancelledError, SessionAborted, SessionRefused):
        await action.abort(session)
        raise

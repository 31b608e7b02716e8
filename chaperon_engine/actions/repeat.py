"""Repetition: so many times, or for so long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from chaperon_engine.actions.call import SessionFunction, Stopwatch, call, traced
from chaperon_engine.actions.drive import suspended
from chaperon_engine.clock import now_ns

if TYPE_CHECKING:
    from chaperon_engine.session import Session


async def repeat(
    session: Session,
    function: SessionFunction,
    times: int,
    args: tuple[Any, ...],
    stopwatch: Stopwatch | None = None,
) -> None:
    """Call a function one time after the other; each call is measured if there is a stopwatch."""
    for _ in range(times):
        if stopwatch is None:
            await call(session, function, args)
        else:
            await traced(stopwatch, call(session, function, args))


async def loop(
    session: Session, function: SessionFunction, duration_s: float, args: tuple[Any, ...]
) -> int:
    """Call a function again and again until the time is up; how often it was called.

    No call starts after that; one that runs then is not cut off.
    """
    end = now_ns() + int(duration_s * 1e9)
    calls = 0
    while now_ns() < end:
        calls += 1
        if not await suspended(call(session, function, args)):
            await asyncio.sleep(0)
    return calls

"""Another attempt after an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chaperon_engine.actions.call import SessionFunction, call
from chaperon_engine.errors import InvalidRequest, MissingConfig

if TYPE_CHECKING:
    from chaperon_engine.session import Session

_HOPELESS = (InvalidRequest, MissingConfig)
"""Mistakes in the scenario: they would be the same the next time."""


async def retry_on_error(
    session: Session,
    function: SessionFunction,
    args: tuple[Any, ...],
    retries: int,
    wait_s: Callable[[], float],
) -> Any:
    """The function's result; after an error it gets up to `retries` more attempts.

    Before each of them it waits `wait_s()` seconds. The last error is raised. Invalid requests and
    missing config are raised at once, cancellation and abort always.
    """
    for _ in range(retries):
        try:
            return await call(session, function, args)
        except _HOPELESS:
            raise
        except Exception as error:
            session.log.debug("attempt failed, trying again: %s", error)
        await asyncio.sleep(wait_s())
    return await call(session, function, args)

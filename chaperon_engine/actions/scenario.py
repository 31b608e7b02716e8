"""Walks a scenario with a session: init, run, teardown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaperon_engine.definition.model import Scenario
    from chaperon_engine.session import Session


async def walk(
    scenario: Scenario,
    session: Session,
    *,
    stage: Callable[[Awaitable[None]], Awaitable[None]],
    around_teardown: AbstractContextManager[None],
    on_teardown_error: Callable[[Exception], None],
) -> None:
    """Init, run once, and teardown, also after a failed run; not after a failed or refused init.

    What init and run raise is raised; an error of teardown is only told. Each is awaited through
    `stage`.
    """
    await stage(_done(scenario.init(session)))
    try:
        await stage(_done(scenario.run(session)))
    finally:
        try:
            with around_teardown:
                await stage(_done(scenario.teardown(session)))
        except Exception as error:
            on_teardown_error(error)


async def _done(work: Any) -> None:
    # People forget `async`, or decorate.
    if isawaitable(work):
        await work

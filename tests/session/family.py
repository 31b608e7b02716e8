"""Scenarios made of plain functions, for the tests of child sessions and signals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chaperon_engine import Scenario, Session

Step = Callable[[Session], Awaitable[Any]]


def scenario(
    run: Step, *, init: Step | None = None, teardown: Step | None = None
) -> type[Scenario]:
    """A scenario whose methods are these functions of a session."""
    methods: dict[str, Any] = {}

    def add(name: str, step: Step) -> None:
        async def method(self: Scenario, session: Session) -> None:
            await step(session)

        methods[name] = method

    add("run", run)
    for name, step in (("init", init), ("teardown", teardown)):
        if step is not None:
            add(name, step)
    return type("Family", (Scenario,), methods)


async def forever(child: Session) -> None:
    """A child that ends only when it is ended."""
    await child.delay(3_600)

"""What a fleet is to whoever starts a run with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from chaperon_engine.fleet.order import Order
from chaperon_engine.text import visible


@dataclass(frozen=True)
class Note:
    """Something that a person may want to read."""

    text: str


@dataclass(frozen=True)
class Ended:
    """An agent's process, or whatever stood for it, has ended; it does not begin again."""

    name: str
    """Of the agent."""
    reason: str
    """For people."""
    ok: bool
    """It did its part."""


Happening = Note | Ended


def how_it_ended(status: int, last_words: str) -> str:
    """The end of a process in words. What one says last before it is killed is no reason."""
    if status < 0:
        return f"killed by signal {-status}"
    said = visible(last_words.strip(), 500).removeprefix("chaperon: ").removeprefix("error: ")
    return f"{said} (exit status {status})" if said else f"exit status {status}"


class Fleet(Protocol):
    """Places agents for one run. All it raises is UserError; nothing in it waits without an end."""

    @property
    def agents(self) -> int:
        """How many it places; 0: known after `prepare`."""
        ...

    @property
    def is_watched(self) -> bool:
        """It needs this process as long as the run goes on."""
        ...

    @property
    def start_timeout_s(self) -> float | None:
        """How long agents may take to attach, when a fleet needs more than others."""
        ...

    def plan(self, order: Order) -> str:
        """What it would do, for people; secrets are hidden."""
        ...

    async def prepare(self) -> None:
        """Before there is a run: is what it needs there?"""
        ...

    async def place(self, order: Order, report: Callable[[Happening], None]) -> None:
        """Start the agents and return; what becomes of them is reported."""
        ...

    async def close(self, patience_s: float) -> None:
        """The run is over or does not begin, and agents hear it from the run: wait for their ends
        for so long, then make them."""
        ...

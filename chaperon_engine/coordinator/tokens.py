"""Tokens that were made for one agent each: the first process that shows one owns it. Pure.

What starts agents hands such a token to machinery that more eyes see than it should. Whoever reads
it later has nothing: only the owner, which is known by its `AgentHello.instance`, may come back
with it. Whoever reads it and is faster is seen, for then the agent that was meant is refused.

Must not know: who is admitted. The token that all agents share is none of these.
"""

from __future__ import annotations

from typing import Final

from chaperon_engine.protocol.wire import AgentHello
from chaperon_engine.text import visible

MAX_TOKENS: Final = 8192
"""Whoever has the token of all agents can make as many as he likes."""


class OneTimeTokens:
    """Those of one run that were shown."""

    def __init__(self) -> None:
        self._owners: dict[str, bytes] = {}
        """Instances by the names that the tokens were made for."""
        self._reported: set[str] = set()

    def show(self, name: str, hello: AgentHello) -> str:
        """Somebody has proved the token that was made for `name`. Why it is worth nothing to this
        one; empty: it is its own."""
        if hello.name != name:
            return (
                f"the token of agent {visible(name)!r} is worth nothing to agent "
                f"{visible(hello.name)!r}"
            )
        if name not in self._owners:
            if len(self._owners) >= MAX_TOKENS:
                return f"this run has seen {MAX_TOKENS:,} tokens of agents, and takes no more"
            self._owners[name] = hello.instance
        if self._owners[name] != hello.instance:
            return (
                f"the token of agent {visible(name)!r} was used by another process already: it is "
                "worth something once"
            )
        return ""

    def is_news(self, name: str) -> bool:
        """Whether people have not been told yet that somebody tried; asked once for each try."""
        if name in self._reported or len(self._reported) >= MAX_TOKENS:
            return False
        self._reported.add(name)
        return True

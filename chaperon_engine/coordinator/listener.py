"""The socket for other machines: lets in who proves the run's token, and bounds everybody else.

Owns: accepting, TLS, the handshake's time and size, strangers per address, back-off. Must not
know: what agents and viewers say once they are in; names of agents are judged by who gets the link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaperon_engine.coordinator.certificate import Credentials
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.remote.link import AgentLink, ViewerLink


@dataclass(frozen=True)
class ListenerLimits:
    """What strangers may use."""

    greeting_s: float = 5.0
    """From the connection to the end of the handshake, TLS included."""
    strangers: int = 128
    """At once; when there are more the one that came first must go."""
    strangers_per_address: int = 16
    connections: int = 4096
    """Authenticated ones at once."""


class Listener:
    """Calls `on_agent` and `on_viewer` with each authenticated link, which waits for `begin`."""

    def __init__(
        self,
        *,
        run_id: str,
        secret: RunSecret,
        credentials: Credentials,
        on_agent: Callable[[AgentLink], None],
        on_viewer: Callable[[ViewerLink], None],
        now: Callable[[], float],
        say: Callable[[str, str], None],
        limits: ListenerLimits = ListenerLimits(),
    ): ...

    async def listen(self, host: str, port: int) -> int:
        """Accept connections; gives the port (another one when `port` is 0). Raises UserError."""

    async def close(self) -> None:
        """Accept no more; strangers are dropped, links stay with whom they were given to."""

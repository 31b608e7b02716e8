"""What the clients of one worker process share, whatever they speak: loop, names, TLS contexts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from chaperon_engine.net.dial import Resolver
from chaperon_engine.net.tls import TlsContexts

if TYPE_CHECKING:
    from chaperon_engine.net.allowed import AllowedTargets
    from chaperon_engine.net.ports import RecorderPort


class Beside(Protocol):
    """The shared part of a protocol's clients in a worker."""

    async def close(self) -> None:
        """Aborts every connection."""


class Network:
    """One per worker process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: RecorderPort) -> None:
        self.loop = loop
        self.recorder = recorder
        self.resolver = Resolver(loop)
        self.contexts = TlsContexts()
        self.allowed: AllowedTargets | None = None
        """Where connections may go; None: anywhere. Looked at when a service is first used."""
        self.beside: dict[str, Beside] = {}
        """Clients of other protocols than HTTP, by protocol; they are closed with the network."""

    async def close(self) -> None:
        """Stops asking for names, and closes what stands beside."""
        self.resolver.close()
        for client in self.beside.values():
            await client.close()

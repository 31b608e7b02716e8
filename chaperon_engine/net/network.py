"""What the clients of one worker process share, whatever they speak: loop, names, TLS contexts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chaperon_engine.net.dial import Resolver
from chaperon_engine.net.tls import TlsContexts

if TYPE_CHECKING:
    from chaperon_engine.net.ports import RecorderPort


class Network:
    """One per worker process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: RecorderPort) -> None:
        self.loop = loop
        self.recorder = recorder
        self.resolver = Resolver(loop)
        self.contexts = TlsContexts()

    def close(self) -> None:
        """Stops asking for names."""
        self.resolver.close()

"""The practical floor in Python: a protocol with httptools callbacks on uvloop, and no more.

`httptools_loop.py URL CONNECTIONS SECONDS`. No session, no metric, no deadline: what a client that
does nothing else costs.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request as soon as a reply is complete."""

    transport: Any

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self.data_received = self._parser.feed_data  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self._request)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.transport.write(self._request)


async def main() -> None:
    """Run for the time that the command line says."""
    url, connections, seconds = urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(
            lambda: Connection(request), url.hostname or "", url.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in opened:
        transport.abort()


uvloop.run(main())

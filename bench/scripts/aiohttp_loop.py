"""What a plain loop over aiohttp's client costs: `aiohttp_loop.py URL CONNECTIONS SECONDS`."""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import uvloop


async def ask(session: aiohttp.ClientSession, url: str, until: float) -> None:
    """GET and read, over and over."""
    while time.monotonic() < until:
        async with session.get(url) as reply:
            await reply.read()


async def main() -> None:
    """Run for the time that the command line says."""
    url, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    connector = aiohttp.TCPConnector(limit=connections)
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(ask(session, url, until) for _ in range(connections)))


uvloop.run(main())

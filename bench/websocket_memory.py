"""`python -m bench.websocket_memory`: what one more idle session with an open WebSocket costs.

The private memory of this process with few and with many sessions, each in a task of its own that
waits for a message; what the process needs by itself cancels out. Socket buffers, which belong to
the kernel, are not in it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource

import uvloop

from bench.memory import per_session
from bench.supervisor import private_bytes
from bench.websocket import server
from bench.websocket_client import context_for
from chaperon_engine import Session
from chaperon_engine.net.ports import Labels
from chaperon_engine.session.lifecycle import close, make_session

FEW, MANY = 200, 2_200


async def _measure(url: str) -> float:
    http, context = context_for(url)
    tasks: list[asyncio.Task[object]] = []
    sessions: list[Session] = []
    sizes = []
    for count in (FEW, MANY):
        while len(sessions) < count:
            client = http.client(context.population.services, Labels("Echo", "echo"))
            session = make_session(context, len(sessions), client)
            await session.ws_connect("/")
            sessions.append(session)
            tasks.append(asyncio.create_task(session.ws_recv(timeout=600.0)))
            await asyncio.sleep(0)
        gc.collect()
        sizes.append(private_bytes(os.getpid()))
    for session in sessions:
        close(session)
    await asyncio.gather(*tasks, return_exceptions=True)
    await http.close()
    return per_session(FEW, sizes[0], MANY, sizes[1])


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with server(0) as port:
        cost = uvloop.run(_measure(f"ws://127.0.0.1:{port}"))
    print(f"one idle session with an open WebSocket: {cost / 1024:.1f} KiB")

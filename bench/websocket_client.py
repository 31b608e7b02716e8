"""One measured client: `python -m bench.websocket_client KIND PORT CORE ECHOES CONNECTIONS`.

Each connection sends the same text and waits for the reply that equals it, ECHOES in all. Prints
CPU seconds of the process as the operating system says, and the wall time, without start-up.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import uvloop

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.plan import LoadProfile, PopulationPlan
from chaperon_engine.definition.resolved import (
    ResolvedPopulation,
    ResolvedService,
    SessionSettings,
)
from chaperon_engine.http import HttpWorker
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.net.ports import Labels
from chaperon_engine.session import LogBook
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.lifecycle import close, make_session
from chaperon_engine.ws import WsWorker

if TYPE_CHECKING:
    from chaperon_engine.ws import ConnectOptions
    from chaperon_engine.ws.life import SocketLife
    from chaperon_engine.ws.wire import Wire

TEXT = "a message of some thirty letters"
Walk = Callable[[str, int], Awaitable[None]]


_shared: list[tuple[HttpWorker, PopulationContext]] = []


def context_for(url: str, wire: str = "picows") -> tuple[HttpWorker, PopulationContext]:
    """What all sessions of this process share."""
    if not _shared:
        recorder = Recorder(RunCounters(1).worker(0))
        recorder.begin(now_ns())
        http = HttpWorker(asyncio.get_running_loop(), recorder)
        if wire != "picows":
            from bench import websocket_wires

            made = {
                "websockets": websocket_wires.WebsocketsWire,
                "aiohttp": websocket_wires.AiohttpWire,
            }[wire]
            WsWorker.of(http.network).wire = cast(
                "Callable[[SocketLife, ConnectOptions], Wire]", made
            )
        population = ResolvedPopulation(
            scenario=Scenario,
            plan=PopulationPlan(name="echo", scenario="Echo", sessions=1, profile=LoadProfile()),
            services={"target": ResolvedService(name="target", base_url=url)},
            settings=SessionSettings(),
            config={},
        )
        context = PopulationContext.of(population, recorder=recorder, book=LogBook(), seed=1)
        _shared.append((http, context))
    return _shared[0]


def session_walk(wire: str) -> Walk:
    """The session call of a scenario, with one of the frame layers."""

    async def walk(url: str, echoes: int) -> None:
        http, context = context_for(url, wire)
        labels = Labels("Echo", "echo")
        session = make_session(context, 0, http.client(context.population.services, labels))
        await session.ws_connect("/")
        for _ in range(echoes):
            await session.ws_send(TEXT)
            await session.ws_await_recv(TEXT)
        close(session)

    return walk


async def picows_walk(url: str, echoes: int) -> None:
    """picows bare: a future per echo, nothing measured."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    class Client(WSListener):
        reply: asyncio.Future[str]

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            self.reply.set_result(frame.get_payload_as_utf8_text())

    transport, listener = await ws_connect(Client, url, use_aiofastnet=False)
    client = cast(Client, listener)
    create_future = asyncio.get_running_loop().create_future
    for _ in range(echoes):
        client.reply = reply = create_future()
        transport.send(WSMsgType.TEXT, TEXT)
        assert await reply == TEXT
    transport.disconnect()


async def websockets_walk(url: str, echoes: int) -> None:
    """websockets' asyncio client."""
    from websockets.asyncio.client import connect

    async with connect(url, compression=None) as socket:
        for _ in range(echoes):
            await socket.send(TEXT)
            assert await socket.recv() == TEXT


async def aiohttp_walk(url: str, echoes: int) -> None:
    """aiohttp's client."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        for _ in range(echoes):
            await socket.send_str(TEXT)
            assert await socket.receive_str() == TEXT


WALKS: dict[str, Callable[[], Walk]] = {
    "chaperon": lambda: session_walk("picows"),
    "chaperon on aiohttp": lambda: session_walk("aiohttp"),
    "chaperon on websockets": lambda: session_walk("websockets"),
    "picows bare": lambda: picows_walk,
    "aiohttp bare": lambda: aiohttp_walk,
    "websockets bare": lambda: websockets_walk,
}


async def _run(walk: Walk, url: str, echoes: int, connections: int) -> dict[str, float]:
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.gather(*(walk(url, echoes // connections) for _ in range(connections)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": time.monotonic() - start,
    }


if __name__ == "__main__":
    kind, port, core, echoes, connections = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    url = f"ws://127.0.0.1:{port}"
    print(json.dumps(uvloop.run(_run(WALKS[kind](), url, int(echoes), int(connections)))))

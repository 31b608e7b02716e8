"""One layer of Chaperon at work: `layers.py URL CONNECTIONS LAYER REQUESTS...`.

Each layer does everything that those before it do, and one thing more. `callbacks` and `future`
are bare protocols; from `client` on it is the project's own code, unchanged. `changing` is as
`iterations`, with a server that gives each reply a header field of its own. `worker` adds what a
worker process does each second (health, frames, their encoding), which is why `tick` does only
that: REQUESTS times, after a recording of a thousand requests each.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.plan import LoadProfile, Plan, PopulationPlan, ServicePlan
from chaperon_engine.definition.resolve import ResolvedTest
from chaperon_engine.definition.resolved import (
    ResolvedPopulation,
    ResolvedService,
    SessionSettings,
)
from chaperon_engine.http import HttpWorker, Labels
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import NULL_HTTP, HttpSeries, Recorder
from chaperon_engine.protocol.codec import encode
from chaperon_engine.protocol.messages import WorkerFrame
from chaperon_engine.session import LogBook, Session
from chaperon_engine.worker.health import HealthMonitor
from chaperon_engine.worker.population import LoadRunner
from chaperon_engine.worker.process import GC_THRESHOLDS

_SERVICE = "target"
_REQUESTS_A_TICK = 1000
_SERIES = SeriesKey(kind="http", service=_SERVICE, action="get", method="GET", url="/")

Layer = Callable[[str, int, int], Coroutine[Any, Any, None]]


class _Protocol(asyncio.Protocol):
    """Writes a request, and says when its reply is complete."""

    transport: Any
    on_message_complete: Callable[[], None]

    def __init__(self, url: str) -> None:
        self.request = f"GET / HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n\r\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)


async def _connect(url: str) -> _Protocol:
    at = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(
        lambda: _Protocol(url), at.hostname or "", at.port or 80
    )
    return protocol


async def callbacks(url: str, connections: int, requests: int) -> None:
    """A protocol that writes the next request in the parser's callback."""
    left = requests
    done = asyncio.get_running_loop().create_future()

    def begin(protocol: _Protocol) -> None:
        def complete() -> None:
            nonlocal left
            left -= 1
            if left > 0:
                protocol.transport.write(protocol.request)
            elif not done.done():
                done.set_result(None)

        protocol.on_message_complete = complete

    for _ in range(connections):
        protocol = await _connect(url)
        begin(protocol)
        protocol.parser = httptools.HttpResponseParser(protocol)
        protocol.transport.write(protocol.request)
    await done


async def future(url: str, connections: int, requests: int) -> None:
    """A task for each connection awaits a future for each reply."""
    loop = asyncio.get_running_loop()

    async def session(protocol: _Protocol, count: int) -> None:
        reply: asyncio.Future[None]

        def complete() -> None:
            reply.set_result(None)

        protocol.on_message_complete = complete
        protocol.parser = httptools.HttpResponseParser(protocol)
        for _ in range(count):
            reply = loop.create_future()
            protocol.transport.write(protocol.request)
            await reply

    protocols = [await _connect(url) for _ in range(connections)]
    await asyncio.gather(*(session(each, requests // connections) for each in protocols))


async def client(url: str, connections: int, requests: int) -> None:
    """The client with its limits, deadlines, pools and errors; nothing is recorded."""
    await _ask(url, connections, requests, lambda recorder: NULL_HTTP)


async def recorded(url: str, connections: int, requests: int) -> None:
    """Counters in shared memory, histograms of service time and first byte, statuses, bytes."""
    await _ask(url, connections, requests, lambda recorder: recorder.http(_SERIES))


async def _ask(
    url: str, connections: int, requests: int, series_of: Callable[[Recorder], HttpSeries]
) -> None:
    recorder = Recorder(RunCounters(1).worker(0))
    worker = HttpWorker(asyncio.get_running_loop(), recorder)
    services = {_SERVICE: ResolvedService(name=_SERVICE, base_url=url)}
    series = series_of(recorder)

    async def session(count: int) -> None:
        client = worker.client(services, Labels("layers", "layers"))
        service = client.service(_SERVICE)
        for _ in range(count):
            await client.request(service, "GET", "/", series)
        client.close()

    await asyncio.gather(*(session(requests // connections) for _ in range(connections)))
    await worker.close()


def _looping(requests: int) -> type[Scenario]:
    class Looping(Scenario):
        """All requests of a session in one iteration."""

        async def run(self, session: Session) -> None:
            for _ in range(requests):
                await session.get("/")

    return Looping


class _Iterating(Scenario):
    """One request an iteration."""

    async def run(self, session: Session) -> None:
        await session.get("/")


class _Changing(Scenario):
    """The same, but no reply is like the one before."""

    async def run(self, session: Session) -> None:
        await session.get("/changing")


async def verbs(url: str, connections: int, requests: int) -> None:
    """`session.get("/")` in a loop of the scenario: labels and the session's own verbs."""
    recorder = Recorder(RunCounters(1).worker(0))
    scenario = _looping(requests // connections)
    await _load(_resolved(scenario, url, connections, 1), recorder)


async def iterations(url: str, connections: int, requests: int) -> None:
    """An iteration for each request: admitted, counted, its errors caught."""
    recorder = Recorder(RunCounters(1).worker(0))
    await _load(_resolved(_Iterating, url, connections, requests // connections), recorder)


async def changing(url: str, connections: int, requests: int) -> None:
    """An iteration for each request; each reply has a head of its own and needs the parser."""
    recorder = Recorder(RunCounters(1).worker(0))
    await _load(_resolved(_Changing, url, connections, requests // connections), recorder)


async def worker(url: str, connections: int, requests: int) -> None:
    """Lateness a hundred times a second, health and a frame each second."""
    loop = asyncio.get_running_loop()
    recorder = Recorder(RunCounters(1).worker(0))
    test = _resolved(_Iterating, url, connections, requests // connections)
    with HealthMonitor(loop, None) as health:
        load = loop.create_task(_load(test, recorder))
        while not load.done():
            await asyncio.wait([load], timeout=1.0)
            await _tick(recorder, health)
        await load


async def tick(url: str, connections: int, requests: int) -> None:
    """Only what a worker does each second, `requests` times."""
    recorder = Recorder(RunCounters(1).worker(0))
    series = recorder.http(_SERIES)
    with HealthMonitor(asyncio.get_running_loop(), None) as health:
        for _ in range(requests):
            for number in range(_REQUESTS_A_TICK):
                series.sent(100)
                series.completed(0, 500 * number, 1000 * number, 200, True, 400)
            await _tick(recorder, health)


async def _tick(recorder: Recorder, health: HealthMonitor) -> None:
    collection = recorder.collect(now_ns())
    for _ in collection:
        await asyncio.sleep(0)
    encode(WorkerFrame(frame=collection.frame(0, 0, 0, health=health.sample())))


async def _load(test: ResolvedTest, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    http = HttpWorker(loop, recorder)
    runner = LoadRunner(
        test, worker=0, workers=1, seed=1, recorder=recorder, http=http, log=LogBook()
    )
    start_ns = now_ns()
    recorder.begin(start_ns)
    await runner.run(start_ns)
    await http.close()


def _resolved(
    scenario: type[Scenario],
    url: str,
    sessions: int,
    iterations: int,
) -> ResolvedTest:
    profile = LoadProfile(iterations=iterations)
    plan = PopulationPlan(name="layers", scenario="Layers", sessions=sessions, profile=profile)
    population = ResolvedPopulation(
        scenario=scenario,
        plan=plan,
        services={_SERVICE: ResolvedService(name=_SERVICE, base_url=url)},
        settings=SessionSettings(),
        config={},
    )
    services = [ServicePlan(name=_SERVICE, base_url=url)]
    return ResolvedTest(
        plan=Plan(load_test="Layers", file="", services=services, populations=[plan]),
        services=dict(population.services),
        populations=[population],
    )


LAYERS: dict[str, Layer] = {
    layer.__name__: layer
    for layer in (callbacks, future, client, recorded, verbs, iterations, changing, worker, tick)
}


def main() -> None:
    """Run the layers that the command line names, in turn, each in a process of its own.

    The processes are forked after everything is imported: under valgrind that is what takes time.
    """
    url, connections, *jobs = sys.argv[1:]
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    failed = False
    for name, requests in zip(jobs[::2], jobs[1::2], strict=True):
        pid = os.fork()
        if not pid:
            uvloop.run(LAYERS[name](url, int(connections), int(requests)))
            os._exit(0)
        print(pid, name, requests, flush=True)
        failed |= os.waitpid(pid, 0)[1] != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()

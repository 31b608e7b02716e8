"""A run that may load some addresses only: the worker connects nowhere else."""

from __future__ import annotations

import pytest

from chaperon_engine import RedirectError, Session
from chaperon_engine.errors import InvalidRequest, UserError
from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.serve.targets import origins
from chaperon_engine.worker.preflight import refuse_elsewhere
from tests.session.family import Step, scenario
from tests.session.harness import Bench, Ran, load_test, population
from tests.ws.harness import Peer, RawServer, echoing, ran_to_the_end, serving

ELSEWHERE = "elsewhere.example"
SENTENCE = "is not among the addresses that this run may load"


async def walk(url: str, steps: Step, *patterns: str, **services: str) -> Ran:
    made = population(scenario(steps), services={"api": url, **services})
    bench = Bench(load_test(made))
    bench.http.network.allowed = AllowedTargets(patterns)
    ran = await ran_to_the_end(bench)
    assert not ran.of_kind("dns"), "a name was asked for"
    return ran


async def test_neither_requests_nor_sockets_go_elsewhere() -> None:
    reached: list[str] = []

    async def steps(session: Session) -> None:
        for scheme in ("http", "https"):
            with pytest.raises(InvalidRequest, match=f"^{scheme}://{ELSEWHERE} {SENTENCE}"):
                await session.get(f"{scheme}://{ELSEWHERE}/page")
        with pytest.raises(InvalidRequest, match=f"^https://{ELSEWHERE} {SENTENCE}"):
            await session.ws_connect(f"wss://{ELSEWHERE}/feed")
        await session.ws_connect("/")
        await session.ws_send("here")
        reached.append(await session.ws_recv())

    async with serving(echoing) as url:
        ran = await walk(url, steps)
    assert not ran.exceptions
    assert reached == ["here"]
    assert not ran.exceptions


async def test_a_service_elsewhere_is_of_no_use() -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(
            InvalidRequest, match=f"service other at http://{ELSEWHERE}:81 {SENTENCE}"
        ):
            session.service("other")

    ran = await walk("http://127.0.0.1:9", steps, other=f"http://{ELSEWHERE}:81")
    assert not ran.exceptions


async def test_a_redirect_leads_nowhere_else_even_when_all_are_followed() -> None:
    async def redirecting(peer: Peer) -> None:
        place = f"http://{ELSEWHERE}/x"
        peer.send(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
        await peer.gone()

    async def steps(session: Session) -> None:
        with pytest.raises(
            RedirectError, match=f"redirected to http://{ELSEWHERE}/x: .*{SENTENCE}"
        ):
            await session.get("/", follow="any")

    async with RawServer(redirecting) as server:
        ran = await walk(f"http://127.0.0.1:{server.port}", steps)
    assert not ran.exceptions


def test_a_service_elsewhere_is_refused_before_the_load_begins() -> None:
    test = load_test(population(scenario(lambda session: session.get("/")), url="http://a.example"))
    refuse_elsewhere(test, AllowedTargets(["a.example:80"]))
    with pytest.raises(UserError, match=f"service api at http://a.example {SENTENCE}"):
        refuse_elsewhere(test, AllowedTargets(["a.example:81"]))


def test_the_own_services_of_a_file_are_handed_down_with_their_port() -> None:
    own = origins(["http://a.example/api", "wss://[fd00::1]"])
    handed = AllowedTargets(AllowedTargets(["b.example"]).texts(own))
    for url in ("http://a.example", "https://[fd00::1]:443", "https://b.example:9", "http://[::1]"):
        assert handed.allows(url)
    for url in ("http://a.example:81", "https://a.example", "http://c.example"):
        assert not handed.allows(url)

"""A listener on loopback, agents that dial it, and strangers who say what they like."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from chaperon_engine.coordinator.certificate import Credentials, self_signed
from chaperon_engine.coordinator.door import ListenerLimits
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.protocol.codec import encode
from chaperon_engine.protocol.messages import Message
from chaperon_engine.protocol.token import RunSecret, Token
from chaperon_engine.protocol.wire import (
    Admitted,
    AgentHello,
    FromAgent,
    ToAgent,
    ToStranger,
    to_stranger_decoder,
)
from chaperon_engine.remote.dial import Pin, Trust, dial_as_agent
from chaperon_engine.remote.link import AgentLink, CoordinatorLink, ViewerLink

RUN = "20261121-204512-checkout-a1b2"
ATTACKER = "127.0.0.66"
"""All of 127/8 is this machine, and each address is another peer."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on both loops: engines use uvloop, a user's own programs may not."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - whatever the condition is, it has no event
            await asyncio.sleep(0.005)


class FakeClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Agent:
    """An agent's end of a link: what it heard, and a question to ask."""

    def __init__(self, link: CoordinatorLink):
        self.link = link
        self.heard: asyncio.Queue[ToAgent] = asyncio.Queue()
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        link.begin(self.heard.put_nowait, self.closed.set_result)

    async def ask(self) -> ToAgent:
        """Say hello, give the answer."""
        self.link.send(hello(self.link.name))
        return await asyncio.wait_for(self.heard.get(), 5)


def hello(name: str) -> AgentHello:
    return AgentHello(
        name=name, instance=bytes(16), host="host", cores=2, python="3.11", chaperon="1"
    )


class House:
    """A listener and what came through it."""

    def __init__(self, folder: Path, limits: ListenerLimits, credentials: Credentials):
        self.clock = FakeClock()
        self.secret = RunSecret(os.urandom(32))
        self.credentials = credentials
        self.log: list[str] = []
        self.agents: list[AgentLink] = []
        self.viewers: list[ViewerLink] = []
        self.said: list[FromAgent] = []
        self.ends: list[str] = []
        self.refuse: Callable[[AgentHello], Message | None] = lambda hello: None
        self.listener = Listener(
            run_id=RUN,
            secret=self.secret,
            credentials=credentials,
            on_agent=self._welcome,
            on_viewer=self.viewers.append,
            now=self.clock,
            say=lambda level, text: self.log.append(text),
            limits=limits,
        )
        self.port = 0

    def _welcome(self, link: AgentLink) -> None:
        self.agents.append(link)

        def hear(message: FromAgent) -> None:
            self.said.append(message)
            if isinstance(message, AgentHello):
                farewell = self.refuse(message)
                if farewell is not None:
                    link.close(farewell)
                else:
                    link.send(Admitted(member=len(self.agents), lease_s=15))

        link.begin(hear, self.ends.append)

    async def dial(
        self, name: str = "a", *, token: Token | None = None, trust: Trust | None = None, **how: Any
    ) -> Agent:
        link = await dial_as_agent(
            how.pop("host", "127.0.0.1"),
            how.pop("port", self.port),
            run_id=how.pop("run_id", RUN),
            name=name,
            token=token or self.secret.token("agent"),
            trust=trust or Pin(self.credentials.fingerprint),
            **how,
        )
        return Agent(link)

    async def is_quiet(self) -> None:
        """Wait until no stranger is left."""
        await until(lambda: self.listener.door.strangers == 0)


class Stranger:
    """A TLS connection that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer
        self._decoder = to_stranger_decoder()
        self._heard: list[ToStranger] = []

    async def hear(self) -> ToStranger | None:
        """The next message; None when the other side hung up."""
        while not self._heard:
            try:
                data = await asyncio.wait_for(self.reader.read(65536), 10)
            except OSError:
                return None
            if not data:
                return None
            self._heard += self._decoder.feed(data)
        return self._heard.pop(0)

    def say(self, message: Message | bytes) -> None:
        self.writer.write(message if isinstance(message, bytes) else encode(message))

    async def is_hung_up_on(self) -> None:
        """Wait until the other side ends the connection."""
        while await self.hear() is not None:
            pass

    def leave(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def stranger(port: int, address: str = ATTACKER) -> AsyncIterator[Stranger]:
    """Somebody who speaks TLS and trusts anyone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, local_addr=(address, 0)
    )
    try:
        yield Stranger(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
def limits() -> ListenerLimits:
    """Overridden where a test needs others."""
    return ListenerLimits()


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return self_signed(RUN, tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def house(
    tmp_path: Path, limits: ListenerLimits, credentials: Credentials
) -> AsyncIterator[House]:
    house = House(tmp_path, limits, credentials)
    house.port = await house.listener.listen("127.0.0.1", 0)
    yield house
    await house.listener.close()
    for agent in house.agents:
        agent.abort("the test is over")
    for viewer in house.viewers:
        viewer.abort("the test is over")
    await until(lambda: house.listener.door.friends == 0)
    assert house.listener.door.strangers == 0


@pytest.fixture
async def steady(house: House) -> AsyncIterator[Agent]:
    """An agent that is in before the trouble begins, and must never notice it."""
    agent = await house.dial("steady")
    assert isinstance(await agent.ask(), Admitted)
    yield agent
    assert isinstance(await agent.ask(), Admitted)
    assert not agent.closed.done()
    agent.link.abort("the test is over")

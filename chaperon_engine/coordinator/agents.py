"""The agents' connections as the coordinator handles them: messages in and out, the bundle. I/O.

Must not decide: what is heard goes to whoever leads, by the number of the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from chaperon_engine.coordinator.events import AgentSaid
from chaperon_engine.errors import UserError
from chaperon_engine.protocol.codec import ProtocolError
from chaperon_engine.protocol.messages import Message, Refused
from chaperon_engine.protocol.wire import AgentPing, FromAgent, ToAgent
from chaperon_engine.remote.link import AgentLink
from chaperon_engine.text import visible


class AgentLeader(Protocol):
    """Who is told what agents say."""

    def agent_said(self, said: AgentSaid) -> None: ...

    def agent_gone(self, link: int, reason: str) -> None:
        """The connection has ended, and all that came over it has been told."""

    def cannot_start(self, reason: str) -> None:
        """The test code is not what it was when it was listed."""


class AgentLinks:
    """The connections to agents, numbered in the order in which they came."""

    def __init__(self, leader: AgentLeader, *, hello_s: float):
        """`hello_s`: time until the first message."""
        self._leader = leader
        self._hello_s = hello_s
        self._links: dict[int, AgentLink] = {}
        self._numbers = 0
        self._bundles: dict[int, asyncio.Task[None]] = {}
        self._held: dict[int, list[Message]] = {}
        """What is to be said once the bundle has been sent."""
        self._silent: dict[int, asyncio.TimerHandle] = {}
        self._is_closed = False

    def receive(self, link: AgentLink) -> None:
        """An agent has proved the token; the link belongs to this object from now on."""
        if self._is_closed:
            link.dismiss(Refused(reason="this run is over", user_error=False), self._hello_s)
            return
        number = self._numbers
        self._numbers += 1
        self._links[number] = link
        loop = asyncio.get_running_loop()
        self._silent[number] = loop.call_later(self._hello_s, link.abort, "it said nothing")

        def said(message: FromAgent) -> None:
            silent = self._silent.pop(number, None)
            if silent is not None:
                silent.cancel()
            self._leader.agent_said(AgentSaid(number, message, link.address, link.token_name))

        def closed(reason: str) -> None:
            self._forget(number)
            self._leader.agent_gone(number, reason)

        link.begin(said, closed)

    def tell(self, number: int, message: Message) -> None:
        """Say something; nothing when the connection is gone. While the bundle is under way only
        pings overtake it."""
        link = self._links.get(number)
        if link is None:
            return
        if number in self._bundles and not isinstance(message, AgentPing):
            self._held.setdefault(number, []).append(message)
            return
        try:
            link.send(message)
        except ProtocolError as error:
            link.abort(str(error))

    def tell_all(self, message: Message) -> None:
        """Say something on all connections."""
        for number in list(self._links):
            self.tell(number, message)

    def send_bundle(self, number: int, messages: Iterable[ToAgent]) -> None:
        """Send these one after the other, as fast as the agent takes them."""
        link = self._links.get(number)
        if link is not None:
            self._bundles[number] = asyncio.create_task(self._send_bundle(number, link, messages))

    async def _send_bundle(self, number: int, link: AgentLink, messages: Iterable[ToAgent]) -> None:
        try:
            for message in messages:
                if not link.send(message) or not await link.drained():
                    return
            del self._bundles[number]
            for held in self._held.pop(number, []):
                self.tell(number, held)
        except (UserError, ProtocolError) as error:
            reason = f"the test code cannot be sent: {visible(error)}"
            link.close(Refused(reason=reason))
            self._leader.cannot_start(reason)

    def drop(self, number: int, reason: str, *, user_error: bool) -> None:
        """Hang up, with a sentence if there is one."""
        link = self._links.get(number)
        if link is not None:
            self._forget(number)
            link.close(Refused(reason=reason, user_error=user_error) if reason else None)

    async def close(self) -> None:
        """Hang up on everybody, and on who comes later."""
        self._is_closed = True
        for number in list(self._links):
            self.drop(number, "", user_error=False)
        tasks = list(self._bundles.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, number: int) -> None:
        self._links.pop(number, None)
        self._held.pop(number, None)
        silent = self._silent.pop(number, None)
        if silent is not None:
            silent.cancel()
        task = self._bundles.pop(number, None)
        if task is not None:
            task.cancel()

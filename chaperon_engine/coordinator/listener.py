"""The socket for other machines: lets in who proves the run's token, and bounds everybody else.

Owns: accepting, TLS, the handshake's time and size. `door` decides who may try. Must not know: what
agents and viewers say once they are in; names of agents are judged by who gets the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, cast

from chaperon_engine.coordinator.door import Door, ListenerLimits, Stranger
from chaperon_engine.errors import UserError
from chaperon_engine.platform import watch_connection
from chaperon_engine.protocol.codec import (
    MessageDecoder,
    ProtocolError,
    encode,
    from_client_decoder,
)
from chaperon_engine.protocol.handshake import (
    NONCE_BYTES,
    Accepted,
    Refusal,
    ServerHandshake,
)
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.protocol.wire import from_agent_decoder, from_stranger_decoder
from chaperon_engine.remote.link import SILENT_S, AgentLink, Link, ViewerLink
from chaperon_engine.text import visible

if TYPE_CHECKING:
    # It loads a library for making certificates, which a run on one machine never needs.
    from chaperon_engine.coordinator.certificate import Credentials

BACKLOG: Final = 128
ACCEPTED_AT_ONCE: Final = 16
"""So many connections are looked at before the loop does something else."""
PAUSE_S: Final = 0.02
"""Nobody is let in for so long after a whole batch was turned away: a flood costs no more than
800 looks a second, and what is beyond waits in the kernel, which drops it."""
NO_DESCRIPTORS_PAUSE_S: Final = 1.0
TAKEN_PAUSE_S: Final = 0.2
FAREWELL_S: Final = 1.0
"""How long somebody who is refused has to hear why."""

Said = TypeVar("Said")


class Listener:
    """Calls `on_agent` and `on_viewer` with each authenticated link, which waits for `begin`."""

    def __init__(
        self,
        *,
        run_id: str,
        secret: RunSecret,
        credentials: Credentials,
        on_agent: Callable[[AgentLink], None],
        on_viewer: Callable[[ViewerLink], None],
        now: Callable[[], float],
        say: Callable[[str, str], None],
        takes_agents: bool = True,
        limits: ListenerLimits | None = None,
    ):
        """`now`: monotonic seconds; `say`: a level and a line for the log."""
        self._run_id = run_id
        self._secret = secret
        self._credentials = credentials
        self._on_agent = on_agent
        self._on_viewer = on_viewer
        self._say = say
        self._takes_agents = takes_agents
        self._limits = limits or ListenerLimits()
        self.door = Door(self._limits, now)
        self._sockets: list[socket.socket] = []
        self._guests: dict[Stranger, asyncio.Task[None]] = {}
        self._resuming: set[asyncio.TimerHandle] = set()
        self._now = now
        self._quiet_until = now()
        self._unsaid = 0

    async def listen(self, host: str, port: int, *, wait_s: float = 0.0) -> int:
        """Accept connections; gives the port (another one when `port` is 0). A port that is taken
        is waited for for `wait_s`. Raises UserError."""
        until = self._now() + wait_s
        while True:
            try:
                bound = await self._bind(host, port)
                break
            except (OSError, UnicodeError) as error:
                await self.close()
                is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
                if is_taken and self._now() < until:
                    self._note(f"port {port} is taken: waiting for it")
                    await asyncio.sleep(TAKEN_PAUSE_S)
                    continue
                cause = error.strerror if isinstance(error, OSError) else "that is no host name"
                raise UserError(
                    f"cannot listen on {visible(host)}:{port}: {cause}; --listen takes an address "
                    "of this machine and a free port (a run that has just ended may keep its own "
                    "for 20 s)"
                ) from None
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.add_reader(listening.fileno(), self._accept, listening)
        return bound

    async def _bind(self, host: str, port: int) -> int:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A name with several addresses listens on each, all with the port of the first.
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            self._sockets.append(_listening(family, (address[0], port, *address[2:])))
            port = self._sockets[-1].getsockname()[1]
        return port

    async def close(self) -> None:
        """Accept no more; strangers are dropped, links stay with whom they were given to."""
        loop = asyncio.get_running_loop()
        for timer in self._resuming:
            timer.cancel()
        for listening in self._sockets:
            loop.remove_reader(listening.fileno())
            listening.close()
        self._sockets.clear()
        guests = list(self._guests.values())
        for guest in guests:
            guest.cancel()
        await asyncio.gather(*guests, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        admitted = 0
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors: it stays readable, and asking again at once would spin.
                self._say("warning", f"cannot take connections: {error.strerror}")
                self._pause(listening, NO_DESCRIPTORS_PAUSE_S)
                return
            stranger = self.door.enter(str(peer[0]))
            if stranger is None:
                connection.close()
                continue
            admitted += 1
            where = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
            self._receive(connection, stranger, where)
        if not admitted:
            self._pause(listening, PAUSE_S)

    def _pause(self, listening: socket.socket, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())

        def resume() -> None:
            self._resuming.discard(timer)
            loop.add_reader(listening.fileno(), self._accept, listening)

        timer = loop.call_later(pause_s, resume)
        self._resuming.add(timer)

    def _receive(self, connection: socket.socket, stranger: Stranger, where: str) -> None:
        crowded = self.door.one_too_many()
        if crowded is not None:
            self.door.crowded_out(crowded)
            self._guests[crowded].cancel()
        greeter = _Greeter(
            ServerHandshake(
                self._secret,
                run_id=self._run_id,
                certificate=self._credentials.fingerprint,
                nonce=os.urandom(NONCE_BYTES),
                takes_agents=self._takes_agents,
            )
        )
        task = asyncio.create_task(self._greet(greeter, connection, stranger, where))
        self._guests[stranger] = task

        def part(_: object) -> None:
            # Here and not in the task: one that is cancelled early never begins.
            del self._guests[stranger]
            if not greeter.is_given_away:
                greeter.abort()
                connection.close()
            self.door.failed(stranger)  # unless it is a friend by now, or had to make room

        task.add_done_callback(part)

    async def _greet(
        self, greeter: _Greeter, connection: socket.socket, stranger: Stranger, where: str
    ) -> None:
        try:
            async with asyncio.timeout(self._limits.greeting_s):
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                watch_connection(connection, SILENT_S)
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: greeter,
                    connection,
                    ssl=self._credentials.context,
                    # Beyond ours, which covers the proofs as well.
                    ssl_handshake_timeout=self._limits.greeting_s + 1,
                    ssl_shutdown_timeout=FAREWELL_S,
                )
                outcome = await greeter.outcome
                if isinstance(outcome, Refusal):
                    self._note(f"{where} was refused: {outcome.reason}")
                    await greeter.dismiss(outcome)
                    return
        except (OSError, EOFError, TimeoutError, ProtocolError):
            return  # no TLS, a hang-up, noise, silence: nobody to answer
        self.door.proved(stranger)
        self._introduce(greeter, outcome, where)

    def _introduce(self, greeter: _Greeter, accepted: Accepted, where: str) -> None:
        left = self.door.friend_left
        if accepted.role == "agent":
            self._on_agent(greeter.give_away(from_agent_decoder(), accepted, where, left))
        else:
            self._on_viewer(greeter.give_away(from_client_decoder(), accepted, where, left))

    def _note(self, text: str) -> None:
        """A line for the log, of which strangers can cause one a second and no more."""
        now = self._now()
        if now < self._quiet_until:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} others before)" if self._unsaid else ""
        self._quiet_until, self._unsaid = now + 1, 0
        self._say("warning", text + more)


class _Greeter(asyncio.Protocol):
    """A connection until it is authenticated; takes one frame and no byte more."""

    def __init__(self, handshake: ServerHandshake):
        self._handshake = handshake
        self._decoder = from_stranger_decoder()
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self.outcome: asyncio.Future[Accepted | Refusal] = (
            asyncio.get_running_loop().create_future()
        )
        """Ends in ProtocolError or ConnectionError when there is nobody to talk to."""
        self._heir: asyncio.Protocol | None = None

    @property
    def is_given_away(self) -> bool:
        return self._heir is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(encode(self._handshake.greet()))

    def data_received(self, data: bytes) -> None:
        if self.outcome.done() or self._transport is None:
            return
        try:
            greetings = self._decoder.feed(data)
            if len(greetings) > 1 or (greetings and self._decoder.pending_bytes):
                raise ProtocolError("more than a greeting")
        except ProtocolError as error:
            self.outcome.set_exception(error)
            return
        if not greetings:
            return
        outcome = self._handshake.feed(greetings[0])
        if isinstance(outcome, Accepted) and outcome.reply is not None:
            # What comes now is for the link.
            self._transport.pause_reading()
            self._transport.write(encode(outcome.reply))
        self.outcome.set_result(outcome)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        if self._heir is not None:
            # It was on its way here when the link took over.
            self._heir.connection_lost(error)
        if not self.outcome.done():
            self.outcome.set_exception(ConnectionResetError("left before the greeting"))

    def give_away(
        self,
        decoder: MessageDecoder[Said],
        accepted: Accepted,
        where: str,
        on_lost: Callable[[], None],
    ) -> Link[Said]:
        """The link that looks after the connection from now on."""
        assert self._transport is not None
        link = Link(
            self._transport,
            decoder,
            role=accepted.role,
            name=accepted.name,
            address=where,
            token_name=accepted.token_name,
            max_frame_bytes=accepted.max_frame_bytes,
            on_lost=on_lost,
        )
        self._heir = link
        if self._lost.is_set():
            link.connection_lost(None)
        return link

    async def dismiss(self, refusal: Refusal) -> None:
        """Say why, wait a little until it is heard."""
        if self._transport is not None:
            self._transport.write(encode(refusal.reply))
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._lost.wait()

    def abort(self) -> None:
        """Hang up at once; nobody asks for the outcome any more."""
        if self.outcome.done() and not self.outcome.cancelled():
            self.outcome.exception()  # asked for, so that the loop does not complain
        self.outcome.cancel()
        if self._transport is not None:
            self._transport.abort()


def _listening(family: int, address: tuple[str | int, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening

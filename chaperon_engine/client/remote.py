"""Watch and steer a run on another machine: the way there, and back when the network breaks.

Owns: when to dial again, and for how long. Must not know: how trust is won (`remote.dial`), or what
is said once the way is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.wire import Ears, OnGathering, Outage, Role, welcome_of
from chaperon_engine.clock import SystemClock
from chaperon_engine.errors import ChaperonError, EngineError, UserError
from chaperon_engine.protocol.messages import (
    PROTOCOL_VERSION,
    FromEngine,
    Hello,
    Leave,
    Message,
    SnapshotMessage,
    Subscribe,
    Welcome,
)
from chaperon_engine.protocol.token import Token
from chaperon_engine.protocol.wire import MAX_NAME_CHARS
from chaperon_engine.remote.dial import Authority, Pin, Trust, dial_as_viewer
from chaperon_engine.remote.link import CLOSING_S, EngineLink
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

INSTANCE_BYTES = 16


@dataclass(frozen=True)
class Patience:
    """Times of a viewer, in seconds."""

    greeting_s: float = 10.0
    """From the connection to the engine's first word."""
    first_backoff_s: float = 0.2
    """Before the first try to come back; it doubles with each that fails."""
    longest_backoff_s: float = 5.0
    return_s: float = 600.0
    """How long the engine is looked for before the viewer is told that it is gone."""
    silent_s: float = 15.0
    """Snapshots that do not come for so long mean that the connection is dead, unnoticed."""


async def attach_remote(
    host: str,
    port: int,
    *,
    run_id: str,
    token: Token,
    pin: str | None = None,
    authority: Authority | None = None,
    name: str | None = None,
    on_gathering: OnGathering | None = None,
    patience: Patience | None = None,
) -> RunClient:
    """Connect to a run on another machine that was started with `--listen`; answers when its load
    has begun, and until then tells `on_gathering` how far its agents are.

    `token` is an observer's, who watches, or an operator's, who steers too (`read_token`). Trust
    comes from `pin` (`sha256:...`, as printed by the run) or from an authority of one's own.
    `name` is how the run's record calls this viewer when it steers; default user and host.

    When the network breaks the client comes back by itself, with nothing of the history missing or
    twice; `RunClient.outage` says so meanwhile.

    Raises UserError for what another try would not mend, EngineError otherwise.
    """
    if (pin is None) == (authority is None):
        raise UserError("trust takes either a pin or an authority: give one of them")
    trust: Trust = authority if authority is not None else Pin.parse(pin or "")
    called = _default_name() if name is None else name
    patience = patience or Patience()

    async def dial() -> EngineLink:
        return await dial_as_viewer(
            host, port, run_id=run_id, name=called, token=token, trust=trust,
            timeout_s=patience.greeting_s,
        )  # fmt: skip

    role: Role = "operator" if token.role == "operator" else "observer"
    hello = Hello(protocol=PROTOCOL_VERSION, instance=os.urandom(INSTANCE_BYTES))
    way = await _Way.open(dial, hello, patience, on_gathering)
    wire = RemoteWire(way, dial, hello, role, patience)
    try:
        return RunClient(wire, None)
    except BaseException:
        await wire.close()
        raise


def _default_name() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "viewer"
    return visible(f"{user}@{socket.gethostname()}", MAX_NAME_CHARS)


Dial = Callable[[], Awaitable[EngineLink]]


class _Way:
    """One link, from Hello until it breaks."""

    def __init__(self, link: EngineLink, hello: Hello, on_gathering: OnGathering | None):
        self.link = link
        self.was_heard = asyncio.Event()
        self.gone = asyncio.Event()
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        # Whoever waited for it may have left.
        self.welcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._on_gathering = on_gathering
        self._on_message: Callable[[FromEngine], None] | None = None
        self._on_lost: Callable[[str], None] | None = None
        self._reason = ""
        link.begin(self._hear, self._lose)
        link.send(hello)

    @classmethod
    async def open(
        cls, dial: Dial, hello: Hello, patience: Patience,
        on_gathering: OnGathering | None = None,
    ) -> _Way:  # fmt: skip
        """Dial, and wait for the welcome. Raises UserError, EngineError."""
        way = cls(await dial(), hello, on_gathering)
        try:
            try:
                async with asyncio.timeout(patience.greeting_s):
                    await way.was_heard.wait()
            except TimeoutError:
                raise EngineError(f"the engine at {way.link.address} does not answer") from None
            await way.welcome
        except BaseException:
            way.link.abort("this side gave up")
            raise
        return way

    def follow(
        self, on_message: Callable[[FromEngine], None], on_lost: Callable[[str], None]
    ) -> None:
        """Give out what comes from now on; `on_lost` hears why it broke, once."""
        self._on_message, self._on_lost = on_message, on_lost
        if self.gone.is_set():
            asyncio.get_running_loop().call_soon(on_lost, self._reason)

    def _hear(self, message: FromEngine) -> None:
        self.was_heard.set()
        if self._on_message is not None:
            self._on_message(message)
        elif not self.welcome.done():
            try:
                welcome = welcome_of(message, self._on_gathering)
            except ChaperonError as error:
                self.welcome.set_exception(error)
                return
            if welcome is not None:
                self.welcome.set_result(welcome)

    def _lose(self, reason: str) -> None:
        self._reason = reason
        self.was_heard.set()
        self.gone.set()
        if not self.welcome.done():
            where = self.link.address
            self.welcome.set_exception(EngineError(f"no run at {where} any more: {reason}"))
        if self._on_lost is not None:
            self._on_lost(reason)


class RemoteWire:
    """The way to an engine on another machine, which it finds again when it is lost."""

    def __init__(self, way: _Way, dial: Dial, hello: Hello, role: Role, patience: Patience):
        self.welcome = way.welcome.result()
        self.role: Role = role
        self.where = way.link.address
        self.outage: Outage | None = None
        self._way = way
        self._dial = dial
        self._hello = hello
        self._patience = patience
        self._ears: Ears | None = None
        self._looking: asyncio.Task[None] | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._period_s = 0.0
        """Between snapshots; 0 when none were asked for."""
        self._heard_at = time.monotonic()
        self._is_over = False

    def begin(self, ears: Ears) -> None:
        """See `wire.Wire`."""
        self._ears = ears
        self._way.follow(self._hear, self._lose)
        self._watch()

    async def send(self, message: Message) -> None:
        """See `wire.Wire`."""
        if self.outage is not None:
            raise EngineError(f"{self.where} cannot be reached: {self.outage}")
        if isinstance(message, Subscribe):
            self._period_s = 1 / max(message.rate_hz, 0.1)
            self._heard_at = time.monotonic()
        if not self._way.link.send(message):
            raise EngineError(f"the connection to {self.where} has just been lost")

    async def close(self) -> None:
        """See `wire.Wire`."""
        self._is_over = True
        if self._watching is not None:
            self._watching.cancel()
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._way.link.close(Leave())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S + 1):
                await self._way.gone.wait()

    def _hear(self, message: FromEngine) -> None:
        assert self._ears is not None
        self._heard_at = time.monotonic()
        self._ears.heard(message)
        if isinstance(message, SnapshotMessage) and message.snapshot.state == "finished":
            # The engine waits for this before it leaves.
            self._is_over = True
            self._way.link.close(Leave())
            self._ears.ended(EngineError(f"the run {self.welcome.run_id} is over"))

    def _lose(self, reason: str) -> None:
        if self._is_over or self._ears is None:
            return
        now = SystemClock()
        self.outage = Outage(since=now.label(), since_s=now.monotonic(), reason=visible(reason))
        self._ears.broke(EngineError(f"the connection to {self.where} was lost: {visible(reason)}"))
        self._looking = asyncio.create_task(self._look(self._ears, self.outage))

    def _watch(self) -> None:
        """Notice a connection that is dead although nobody said so."""
        silent_s = max(self._patience.silent_s, 4 * self._period_s)
        silence_s = time.monotonic() - self._heard_at
        if self.outage is None and self._period_s and silence_s > silent_s:
            self._way.link.abort(f"nothing came from it for {show_duration(silent_s)}")
        if not self._is_over:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(self._patience.silent_s / 4, self._watch)

    async def _look(self, ears: Ears, outage: Outage) -> None:
        patience, backoff_s = self._patience, self._patience.first_backoff_s
        while time.monotonic() - outage.since_s < patience.return_s:
            # Viewers that lost one engine together must not come back at one moment.
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(2 * backoff_s, patience.longest_backoff_s)
            try:
                way = await _Way.open(self._dial, self._hello, patience)
            except (ChaperonError, OSError) as error:
                # Even a wrong certificate: a broken network can put anything in between.
                outage = replace(outage, reason=visible(error), tries=outage.tries + 1)
                self.outage = outage
                continue
            self._way, self.outage = way, None
            self._heard_at = time.monotonic()
            way.follow(self._hear, self._lose)
            ears.is_back()
            return
        ears.ended(
            EngineError(
                f"the run {self.welcome.run_id} at {self.where} was not found again within "
                f"{show_duration(patience.return_s)}: {outage.reason}"
            )
        )

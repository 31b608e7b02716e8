"""What lies below a RunClient: the way to its engine, and what is said when that is interrupted.

The unix socket of an engine on this machine. `remote` has the way to one on another. Must not know
what is said over it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.protocol.codec import (
    MessageDecoder,
    ProtocolError,
    encode,
    from_engine_decoder,
)
from chaperon_engine.protocol.messages import (
    PROTOCOL_VERSION,
    FromEngine,
    Gathering,
    Hello,
    Message,
    Refused,
    Welcome,
)
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.text import visible

READ_BYTES = 256 * 1024

Role = Literal["owner", "operator", "observer"]
OnGathering = Callable[[Gathering], None]


@dataclass(frozen=True)
class Outage:
    """The connection to the engine is broken, and is looked for again."""

    since: datetime
    """Wall clock, UTC."""
    since_s: float
    """The same on the monotonic clock."""
    reason: str
    """Of the last failure: one sentence."""
    tries: int = 0
    """How often it was dialled since."""

    def __str__(self) -> str:
        at = self.since.astimezone()
        return f"reconnecting since {at:%H:%M:%S}: {self.reason}"


@dataclass(frozen=True)
class Ears:
    """What a wire calls, in the loop of whoever began it."""

    heard: Callable[[FromEngine], None]
    broke: Callable[[EngineError], None]
    """No answer comes to what was asked; the wire looks for the engine again."""
    is_back: Callable[[], None]
    """The engine is there again and knows nothing of this viewer."""
    ended: Callable[[EngineError], None]
    """Nothing comes any more; called once."""


class Wire(Protocol):
    """The way to an engine that has said Welcome."""

    welcome: Welcome
    role: Role
    where: str
    """`HOST:PORT`; empty on this machine."""

    @property
    def outage(self) -> Outage | None:
        """Set while the connection is broken."""
        ...

    def begin(self, ears: Ears) -> None: ...

    async def send(self, message: Message) -> None:
        """Raises EngineError when it cannot arrive."""
        ...

    async def close(self) -> None: ...


def welcome_of(message: FromEngine, on_gathering: OnGathering | None) -> Welcome | None:
    """The welcome, or None as long as agents are waited for. Raises UserError or EngineError with
    the engine's refusal, and ProtocolError."""
    match message:
        case Welcome():
            return message
        case Gathering():
            if on_gathering is not None:
                on_gathering(message)
            return None
        case Refused(reason=reason, user_error=user_error):
            raise (UserError if user_error else EngineError)(reason)
        case _:
            raise ProtocolError("the engine spoke before its welcome")


class LocalWire:
    """The unix socket in the run's directory."""

    role: Role = "owner"
    where = ""
    outage: Outage | None = None

    def __init__(
        self,
        directory: RunDirectory,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: MessageDecoder[FromEngine],
        welcome: Welcome,
        early: list[FromEngine],
    ):
        self.welcome = welcome
        self._directory = directory
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._early = early
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, directory: RunDirectory, socket: Path, *, lease: bool, on_gathering: OnGathering | None
    ) -> LocalWire:
        """Connect, and wait until the load has begun or the engine says why it will not.

        Raises UserError (with the engine's sentence), EngineError, OSError when nobody listens.
        """
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(encode(Hello(protocol=PROTOCOL_VERSION, lease=lease)))
            decoder = from_engine_decoder()
            while True:
                try:
                    data = await reader.read(READ_BYTES)
                except ConnectionError:
                    data = b""
                if not data:
                    raise EngineError(
                        f"the engine of {directory.id} ended before the start; its log is "
                        f"{directory.log}"
                    )
                for number, message in enumerate(messages := decoder.feed(data)):
                    welcome = welcome_of(message, on_gathering)
                    if welcome is not None:
                        early = messages[number + 1 :]
                        return cls(directory, reader, writer, decoder, welcome, early)
        except BaseException:
            writer.transport.abort()
            raise

    def begin(self, ears: Ears) -> None:
        """See `Wire`."""
        for message in self._early:
            ears.heard(message)
        self._task = asyncio.create_task(self._read(ears), name=f"run {self._directory.id}")

    async def send(self, message: Message) -> None:
        """See `Wire`; what does not arrive is told by the end of what comes."""
        self._writer.write(encode(message))
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def close(self) -> None:
        """See `Wire`."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self, ears: Ears) -> None:
        problem = ""
        try:
            while data := await self._reader.read(READ_BYTES):
                for message in self._decoder.feed(data):
                    ears.heard(message)
        except (OSError, ProtocolError) as error:
            problem = f" ({visible(error)})"
        ears.ended(EngineError(f"{self._how_it_ended()}{problem}"))

    def _how_it_ended(self) -> str:
        name = self._directory.id
        if self._directory.report.exists():
            return f"the engine of {name} has ended: `chaperon report {name}` shows its report"
        return f"the engine of {name} ended without a report: `chaperon recover {name}` makes it"

"""WebSocket actions: the keywords of `ws_connect` checked, and an action as data.

Turns what a scenario writes into the options of the WebSocket client. Must not know how a session
finds series, nor how a socket is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from chaperon_engine.actions.delay import Wait
from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.net.url import Fields
from chaperon_engine.text import visible
from chaperon_engine.units import Duration, byte_size, count, seconds
from chaperon_engine.ws.options import ConnectOptions

if TYPE_CHECKING:
    from chaperon_engine.session import Session

CONNECT_RETRIES: Final = 1
"""How often connecting is tried again after a time-out unless a call says otherwise."""
RETRY_DELAY_S: Final = 3.0
"""Up to so long, at random, between attempts to connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectKeywords:
    """The keywords of `ws_connect` as a scenario writes them; None: as the service says."""

    params: Fields | None = None
    headers: Mapping[str, str] | None = None
    subprotocols: Sequence[str] = ()
    compression: bool | None = None
    timeout: Duration | None = None
    ping_interval: Duration | None = None
    ping_timeout: Duration | None = None
    max_message_bytes: int | str | None = None
    max_queue: int | None = None
    retries: int = CONNECT_RETRIES
    retry_delay: Wait = RETRY_DELAY_S


def options_of(given: ConnectKeywords, service: ResolvedService, *, joined: bool) -> ConnectOptions:
    """The client's options. Raises InvalidRequest that names a keyword."""
    if isinstance(given.subprotocols, str) or not isinstance(given.subprotocols, Sequence):
        raise InvalidRequest("subprotocols must be a list of names")
    if given.headers is not None and not isinstance(given.headers, Mapping):
        raise InvalidRequest("headers must be a dict of names and values")
    compression = given.compression
    if not (compression is None or isinstance(compression, bool)):
        raise InvalidRequest("compression must be True or False")
    interval_s = _seconds(given.ping_interval, "ping_interval")
    ping_timeout_s = _seconds(given.ping_timeout, "ping_timeout")
    return ConnectOptions(
        params=given.params,
        headers=given.headers,
        subprotocols=tuple(given.subprotocols),
        compression=service.ws_compression if compression is None else compression,
        timeout_s=_seconds(given.timeout, "timeout"),
        ping_interval_s=service.ws_ping_interval_s if interval_s is None else interval_s,
        ping_timeout_s=service.ws_ping_timeout_s if ping_timeout_s is None else ping_timeout_s,
        max_message_bytes=_size(given.max_message_bytes, service.ws_max_message_bytes),
        max_queue=_count(given.max_queue, "max_queue", service.ws_max_queue),
        joined=joined,
    )


def timeout_s(timeout: Duration | None) -> float | None:
    """A time-out as seconds. Raises InvalidRequest."""
    if timeout is None or (timeout.__class__ is float and timeout > 0):
        return timeout
    return _seconds(timeout, "timeout")


def retries_of(value: int) -> int:
    """How often to try again. Raises InvalidRequest."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest(
            f"retries must be a whole number of 0 or more, not {visible(repr(value), 80)}"
        )
    return value


def _seconds(duration: Duration | None, name: str) -> float | None:
    if duration is None:
        return None
    try:
        found = seconds(duration, name)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if found <= 0:
        raise InvalidRequest(
            f"{name} must be more than zero seconds, not {visible(repr(duration))}"
        )
    return found


def _size(value: int | str | None, otherwise: int) -> int:
    if value is None:
        return otherwise
    try:
        return byte_size(value, "max_message_bytes")
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _count(value: int | None, name: str, otherwise: int) -> int:
    if value is None:
        return otherwise
    try:
        found = count(value, name)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if found < 1:
        raise InvalidRequest(f"{name} must be at least 1, not {visible(repr(value))}")
    return found


@dataclass(frozen=True)
class WebSocketAction:
    """A WebSocket verb as data: `WebSocketAction("send", ["hello"], {"name": "chat"})`."""

    verb: Literal["connect", "send", "recv", "await_recv", "close"]
    arguments: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    service: str | None = None
    """Default: the session's first service."""

    measures_itself = True

    @property
    def name(self) -> str:
        """Its series are those of the socket."""
        return f"ws_{self.verb}"

    async def run(self, session: Session) -> Any:
        """Do it; what the verb returns."""
        verbs = session if self.service is None else session.service(self.service)
        return await getattr(verbs, f"ws_{self.verb}")(*self.arguments, **self.options)

    async def abort(self, session: Session) -> None:
        """Nothing to do: the session ends its sockets."""

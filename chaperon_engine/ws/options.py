"""What a call may ask for when it opens a WebSocket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaperon_engine.net.url import Fields

MAX_QUEUE_BYTES = 64 * 1024 * 1024
"""Payload that may wait unread on one socket, whatever the number of messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """Options of one connect. Durations in seconds, sizes in bytes."""

    params: Fields | None = None
    """Appended to the query."""
    headers: Mapping[str, str] | None = None
    """Replace the service's headers of the same name."""
    subprotocols: Sequence[str] = ()
    """Offered, the preferred first."""
    compression: bool = False
    """Offer permessage-deflate; messages are compressed when the server accepts it."""
    timeout_s: float | None = None
    """For the whole of connecting; default: the service's."""
    ping_interval_s: float | None = None
    """Between own pings; None sends none."""
    ping_timeout_s: float = 20.0
    """For the pong to an own ping."""
    max_message_bytes: int = 16 * 1024 * 1024
    """Largest message, compressed or not."""
    max_queue: int = 1024
    """Messages that may wait unread."""
    joined: bool = False
    """The path is complete: not below the service's base URL."""


DEFAULTS = ConnectOptions()

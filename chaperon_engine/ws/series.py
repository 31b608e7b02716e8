"""Where one label of WebSockets is recorded: the series of all kinds, found when first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from chaperon_engine.metrics.messages import NULL_MESSAGES, MessageSeries

SocketKind = Literal[
    "ws_close", "ws_connect", "ws_message", "ws_ping", "ws_recv", "ws_round_trip", "ws_send"
]
_KINDS: Final[tuple[SocketKind, ...]] = (
    "ws_close", "ws_connect", "ws_message", "ws_ping", "ws_recv", "ws_round_trip", "ws_send",
)  # fmt: skip


class SocketSeries:
    """The series of all sockets with one label, shared by the sessions of a population.

    A series that nobody uses takes no place: an attribute is None until `of` has found it. Sockets
    outlive a change of phase; `renew` makes them find their series anew.
    """

    __slots__ = ("_find", *_KINDS)

    ws_close: MessageSeries | None
    ws_connect: MessageSeries | None
    ws_message: MessageSeries | None
    ws_ping: MessageSeries | None
    ws_recv: MessageSeries | None
    ws_round_trip: MessageSeries | None
    ws_send: MessageSeries | None

    def __init__(self, find: Callable[[str], MessageSeries]) -> None:
        """`find` gives the series of a kind in the phase of this moment."""
        self._find = find
        self.renew()

    def of(self, kind: SocketKind) -> MessageSeries:
        """The series of a kind."""
        series: MessageSeries | None = getattr(self, kind)
        if series is None:
            series = self._find(kind)
            setattr(self, kind, series)
        return series

    def without_use(self) -> SocketSeries:
        """Records the end of a socket, because its beginning was recorded, and nothing else."""
        return SocketSeries(
            lambda kind: self.of("ws_close") if kind == "ws_close" else NULL_MESSAGES
        )

    def renew(self) -> None:
        """Find every series anew when it is next used."""
        for kind in _KINDS:
            setattr(self, kind, None)


NULL_SERIES = SocketSeries(lambda kind: NULL_MESSAGES)
"""Records nothing."""

"""Where one label of WebSockets is recorded: the series of all kinds, found when first used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from chaperon_engine.metrics.messages import NULL_MESSAGES, MessageSeries


class SocketSeries:
    """The series of all sockets with one label, shared by the sessions of a population.

    Sockets outlive a change of phase; so `renew` makes them find their series anew.
    """

    __slots__ = (
        "_find",
        "ws_close",
        "ws_connect",
        "ws_message",
        "ws_ping",
        "ws_recv",
        "ws_round_trip",
        "ws_send",
    )

    ws_close: MessageSeries
    ws_connect: MessageSeries
    ws_message: MessageSeries
    ws_ping: MessageSeries
    ws_recv: MessageSeries
    ws_round_trip: MessageSeries
    ws_send: MessageSeries

    def __init__(self, find: Callable[[str], MessageSeries]) -> None:
        """`find` gives the series of a kind in the phase of this moment."""
        self._find = find

    def __getattr__(self, kind: str) -> MessageSeries:
        # Only reached while the slot is empty: a series that nobody uses takes no place.
        if kind not in SocketSeries.__slots__:
            raise AttributeError(kind)
        series = self._find(kind)
        setattr(self, kind, series)
        return series

    def without_use(self) -> SocketSeries:
        """Records the end of a socket, because its beginning was recorded, and nothing else."""
        return SocketSeries(lambda kind: self.ws_close if kind == "ws_close" else NULL_MESSAGES)

    def renew(self) -> None:
        """Find every series anew when it is next used."""
        for kind in SocketSeries.__slots__[1:]:
            with suppress(AttributeError):
                delattr(self, kind)


NULL_SERIES = SocketSeries(lambda kind: NULL_MESSAGES)
"""Records nothing."""

"""Exact counts of what the target served, by route and method, and of WebSocket messages.

A request is counted when its handler is entered and its reply's status when the handler is done,
before the last byte is written: whoever has a reply finds it counted. Requests to `/stats` itself
are not counted, nor are bytes that never became a request. Not thread-safe: one loop owns it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
"""Methods counted under their own name; all others together under `(other)`."""


@dataclass(slots=True)
class RouteCounts:
    """What one method of one route has served."""

    requests: int = 0
    """Requests whose handler was entered."""
    done: int = 0
    """Requests whose handler ended, with a reply or without."""
    aborted: int = 0
    """Handlers that ended without a complete reply: the client left, or an error."""
    bytes_in: int = 0
    """Bytes of request bodies."""
    bytes_out: int = 0
    """Bytes of reply bodies, without heads and chunk framing."""
    statuses: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Replies by status code; an upgrade to WebSocket is a 101."""

    def reply(self, status: int, size: int) -> None:
        """Count a complete reply of `size` body bytes."""
        self.done += 1
        self.statuses[status] += 1
        self.bytes_out += size

    def abort(self) -> None:
        """Count a handler that ended without a complete reply."""
        self.done += 1
        self.aborted += 1


@dataclass(slots=True)
class WebSocketCounts:
    """Messages over all WebSockets; pings, pongs and closes are not messages."""

    opened: int = 0
    closed: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def received(self, size: int) -> None:
        """Count a message of `size` payload bytes from a client."""
        self.messages_in += 1
        self.bytes_in += size

    def sent(self, size: int) -> None:
        """Count a message of `size` payload bytes to a client."""
        self.messages_out += 1
        self.bytes_out += size


class Stats:
    """All counts of one target."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], RouteCounts] = {}
        self.websocket = WebSocketCounts()

    def of(self, route: str, method: str) -> RouteCounts:
        """The counts of a route (its pattern, such as `/bytes/{count}`) and method."""
        key = (route, method if method in KNOWN_METHODS else "(other)")
        counts = self._routes.get(key)
        if counts is None:
            counts = self._routes[key] = RouteCounts()
        return counts

    def reset(self) -> None:
        """Start again from zero; what is in flight ends in the old, discarded counts."""
        self._routes.clear()
        self.websocket = WebSocketCounts()

    def document(self) -> dict[str, object]:
        """The reply of `/stats`: totals and the counts by route and method, as plain data."""
        counts = self._routes.values()
        statuses: defaultdict[int, int] = defaultdict(int)
        for entry in counts:
            for status, number in entry.statuses.items():
                statuses[status] += number
        routes: defaultdict[str, dict[str, object]] = defaultdict(dict)
        for (route, method), entry in sorted(self._routes.items()):
            routes[route][method] = {
                "requests": entry.requests,
                "in_flight": entry.requests - entry.done,
                "aborted": entry.aborted,
                "statuses": _by_text(entry.statuses),
                "bytes_in": entry.bytes_in,
                "bytes_out": entry.bytes_out,
            }
        websocket = self.websocket
        return {
            "requests": sum(entry.requests for entry in counts),
            "in_flight": sum(entry.requests - entry.done for entry in counts),
            "aborted": sum(entry.aborted for entry in counts),
            "statuses": _by_text(statuses),
            "bytes_in": sum(entry.bytes_in for entry in counts),
            "bytes_out": sum(entry.bytes_out for entry in counts),
            "websocket": {
                "opened": websocket.opened,
                "open": websocket.opened - websocket.closed,
                "messages_in": websocket.messages_in,
                "messages_out": websocket.messages_out,
                "bytes_in": websocket.bytes_in,
                "bytes_out": websocket.bytes_out,
            },
            "routes": dict(routes),
        }


def _by_text(statuses: dict[int, int]) -> dict[str, int]:
    return {str(status): number for status, number in sorted(statuses.items())}

"""Who may try to prove himself, and how many at once: the decisions of the listener. Pure.

A stranger costs memory for a connection and a millisecond of processor time for TLS. So strangers
are few at once and few a second, fewer still from one address, and an address that fails waits.
Authenticated connections are never touched by what strangers do.

Must not know: sockets. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from chaperon_engine.protocol.backoff import BackOff, network_of

MAX_KNOWN = 4096


@dataclass(frozen=True)
class ListenerLimits:
    """What strangers may use."""

    greeting_s: float = 5.0
    """From the connection to the end of the handshake, TLS included."""
    strangers: int = 128
    """At once; when there are more the one that came first must go, because who has a token needs
    a few milliseconds and who stays is no friend."""
    strangers_per_address: int = 16
    handshakes_per_s: float = 100.0
    """Of addresses that have not proved themselves before: a tenth of a core."""
    burst: int = 200
    """So many may come at one time, after a while without."""
    connections: int = 4096
    """Authenticated ones at once."""


@dataclass(frozen=True)
class Stranger:
    """One connection before it is authenticated."""

    number: int
    address: str
    """IP address of the peer."""
    entered_at: float = 0.0


class Door:
    """Counts strangers and friends. Everybody who entered must be seen to leave, once."""

    def __init__(self, limits: ListenerLimits, now: Callable[[], float]):
        self._limits = limits
        self._now = now
        self._back_off = BackOff(now)
        self._strangers: OrderedDict[int, Stranger] = OrderedDict()
        self._networks: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._friends = 0
        self._numbers = 0
        self._allowance = float(limits.burst)
        self._allowed_at = now()

    @property
    def strangers(self) -> int:
        """Connections now that are not authenticated."""
        return len(self._strangers)

    @property
    def friends(self) -> int:
        """Authenticated connections now."""
        return self._friends

    def enter(self, address: str) -> Stranger | None:
        """Somebody connected; None: hang up without a word."""
        network = network_of(address)
        if (
            self._friends >= self._limits.connections
            or self._networks[network] >= self._limits.strangers_per_address
            or self._back_off.wait_s(address) > 0
            or (network not in self._known and not self._is_within_rate())
        ):
            if not self._networks[network]:
                del self._networks[network]
            return None
        self._numbers += 1
        stranger = Stranger(self._numbers, address, self._now())
        self._strangers[stranger.number] = stranger
        self._networks[network] += 1
        return stranger

    def one_too_many(self) -> Stranger | None:
        """Who must go to make room for the one who entered last."""
        if len(self._strangers) <= self._limits.strangers:
            return None
        return next(iter(self._strangers.values()))

    def failed(self, stranger: Stranger) -> None:
        """It left, or was made to, without having proved itself."""
        if self._leave(stranger):
            self._back_off.failed(stranger.address, began_at=stranger.entered_at)

    def crowded_out(self, stranger: Stranger) -> None:
        """It had to go for no fault of its own."""
        self._leave(stranger)

    def proved(self, stranger: Stranger) -> None:
        """It is a friend from now on, until `friend_left`."""
        if self._leave(stranger):
            self._friends += 1
            network = network_of(stranger.address)
            self._back_off.succeeded(stranger.address)
            self._known[network] = None
            self._known.move_to_end(network)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def friend_left(self) -> None:
        """An authenticated connection is gone."""
        self._friends -= 1

    def _leave(self, stranger: Stranger) -> bool:
        if self._strangers.pop(stranger.number, None) is None:
            return False
        network = network_of(stranger.address)
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]
        return True

    def _is_within_rate(self) -> bool:
        now = self._now()
        gained = (now - self._allowed_at) * self._limits.handshakes_per_s
        self._allowance = min(self._allowance + gained, self._limits.burst)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

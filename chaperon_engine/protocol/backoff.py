"""How long an address must wait after failures to prove itself: 1, 2, 4 ... 60 s. Pure.

The table is bounded; when it is full the address that failed longest ago is forgotten.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_FAILURES = 3
"""Failures of one address that cost nothing: people mistype."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FORGET_AFTER_S = 900.0
MAX_ADDRESSES = 4096


@dataclass
class _Failures:
    count: int
    last_at: float

    @property
    def until(self) -> float:
        """The end of the wait; nothing from that address is looked at before."""
        over = self.count - FREE_FAILURES
        if over <= 0:
            return self.last_at
        return self.last_at + min(FIRST_WAIT_S * 2.0 ** min(over - 1, 30), LONGEST_WAIT_S)


class BackOff:
    """The failures of each address; the wait begins with the fourth."""

    def __init__(self, now: Callable[[], float]):
        """`now`: monotonic seconds."""
        self._now = now
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        """Addresses that are remembered."""
        return len(self._failures)

    def wait_s(self, address: str) -> float:
        """Seconds until something from `address` is looked at again; 0 when it is at once."""
        key = network_of(address)
        found = self._failures.get(key)
        if found is None:
            return 0.0
        now = self._now()
        if now - found.last_at > FORGET_AFTER_S:
            del self._failures[key]
            return 0.0
        return max(0.0, found.until - now)

    def failed(self, address: str, *, began_at: float | None = None) -> None:
        """Somebody at `address` could not prove himself, and had begun at `began_at`.

        Those who began before the last failure count as one with it: when a moment without
        processor time ends the attempts of many agents behind one address, it is one step and not
        the longest wait at once.
        """
        key = network_of(address)
        before = self._failures.pop(key, None)
        if before is not None and began_at is not None and began_at < before.last_at:
            self._failures[key] = before
            return
        count = 1 if before is None else before.count + 1
        self._failures[key] = _Failures(count, self._now())
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Somebody at `address` has proved himself."""
        self._failures.pop(network_of(address), None)


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 host can take addresses from at will."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

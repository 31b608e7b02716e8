"""Leases: whether somebody who owns the run is still there. Pure; times are monotonic seconds.

A lease is held by being connected. When the last holder has gone, the run lives on for a grace
period, in which the same or another holder may come back. A run that nobody ever held a lease on
never expires.
"""

from __future__ import annotations

GRACE_S = 5.0


class Leases:
    """The holders of the leases on one run."""

    def __init__(self, grace_s: float = GRACE_S):
        self._grace_s = grace_s
        self._holders: set[int] = set()
        self._gone_at: float | None = None

    @property
    def holders(self) -> frozenset[int]:
        """Clients that hold a lease now."""
        return frozenset(self._holders)

    def acquire(self, client: int) -> None:
        """`client` holds a lease from now on."""
        self._holders.add(client)
        self._gone_at = None

    def release(self, client: int, now: float) -> None:
        """`client` has gone; nothing happens when it held none."""
        if client in self._holders:
            self._holders.remove(client)
            if not self._holders:
                self._gone_at = now

    def expired(self, now: float) -> bool:
        """Whether the last holder has been gone for longer than the grace period."""
        return self._gone_at is not None and now - self._gone_at >= self._grace_s

    def expect(self, now: float) -> None:
        """A holder is expected but has not come yet: the grace period runs from now."""
        if not self._holders:
            self._gone_at = now

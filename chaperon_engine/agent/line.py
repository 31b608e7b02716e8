"""Is the coordinator there, and when is it looked for again? No I/O, no clock of its own.

    down ── back-off ──> dialling ── opened ──> greeting ── admitted ──> up
     ^                       │                     │                     │
     └───────────────────────┴─────────────────────┴── closed, silence ──┘

Times are monotonic seconds.
"""

from __future__ import annotations

import random
from typing import Literal

from chaperon_engine.agent.events import AgentLimits
from chaperon_engine.protocol.messages import Lease
from chaperon_engine.units import show_duration

DEFAULT_LEASE_S = 15.0
"""As long as no coordinator has said another."""


class Line:
    """The connection to the coordinator."""

    def __init__(self, limits: AgentLimits, now: float, seed: bytes, *, has_begun: bool = False):
        """`seed`: agents that lost their coordinator together must not come back at one moment."""
        self.state: Literal["down", "dialling", "greeting", "up"] = "down"
        self.lease_s = limits.lease_s or DEFAULT_LEASE_S
        self.was_up = False
        """It was admitted once."""
        self.has_begun = has_begun
        """The load has: there is something to deliver, or will be."""
        self._limits = limits
        self._jitter = random.Random(seed)
        self._backoff_s = limits.first_backoff_s
        self._dial_at = now
        self._heard_at = now
        """When the coordinator was last heard, or began to be looked for."""
        self._opened_at = now
        self._confirmed_at = now
        """When this side said what the coordinator is known to have heard last."""
        self._seen_at = now

    @property
    def is_up(self) -> bool:
        """What is told goes somewhere."""
        return self.state == "up"

    @property
    def is_first_try(self) -> bool:
        """No try has failed since the coordinator was last there."""
        return self._backoff_s == self._limits.first_backoff_s

    def look(self, now: float) -> None:
        """Time has passed. Who was away itself cannot hold silence against others; the lease
        ends all the same, for the others go by it."""
        if now - self._seen_at > self._limits.blind_after_s:
            self._heard_at += now - self._seen_at
        self._seen_at = now

    def heard(self, now: float) -> None:
        """The coordinator said something."""
        self._heard_at = now

    def confirmed(self, said_at: float) -> None:
        """The coordinator has heard what was said then."""
        self._confirmed_at = max(self._confirmed_at, said_at)

    def opened(self, now: float) -> None:
        """Both sides have proved the token."""
        self.state, self._opened_at = "greeting", now

    def admitted(self, lease_s: float) -> None:
        """The coordinator takes this agent."""
        self.state, self.was_up = "up", True
        self.confirmed(self._opened_at)
        self.lease_s = self._limits.lease_s or lease_s
        self._backoff_s = self._limits.first_backoff_s

    def closed(self, now: float) -> None:
        """There is no connection: wait, each time longer, before the next try."""
        self.state = "down"
        self._dial_at = now + self._backoff_s * self._jitter.uniform(0.5, 1.0)
        self._backoff_s = min(2 * self._backoff_s, self._limits.longest_backoff_s)

    def dials(self, now: float) -> bool:
        """Whether to dial now; then it is dialling."""
        if self.state != "down" or now < self._dial_at:
            return False
        self.state = "dialling"
        return True

    def is_silent(self, now: float) -> bool:
        """The connection stands and nothing comes: it may be dead unnoticed."""
        since = max(self._heard_at, self._opened_at)
        return self.state in ("greeting", "up") and now - since > self._limits.silent_s

    @property
    def lease(self) -> Lease:
        """Until when the load may go on."""
        return Lease(until_ns=round((self._confirmed_at + self.lease_s) * 1e9))

    def is_lease_over(self, now: float) -> bool:
        """Who was admitted must not go on without being known to have been heard for so long."""
        return self.was_up and now - self._confirmed_at > self.lease_s

    def given_up(self, now: float) -> str:
        """Why the coordinator is looked for no longer, one sentence; empty: it is. Before the load
        a return is a joining anew, for which there is as much time: nothing waits to be delivered,
        and the run does not wait for long either."""
        limits = self._limits
        is_return = self.was_up and self.has_begun
        allowed = max(limits.return_s, self.lease_s) if is_return else limits.join_s
        if now - self._heard_at <= allowed:
            return ""
        gone = f"the coordinator has been gone for {show_duration(allowed)}"
        if self.has_begun:
            return gone
        return f"{gone}, and the load had not begun: there is nothing to deliver to it"

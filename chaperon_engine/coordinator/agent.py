"""One agent as the run's state machine knows it. Plain data.

    attached ── shares handed out ──> preparing ── AgentReady ──> ready ── start ──> running
    running ── nothing heard for lease + margin ──> away ── it returns ──> running
    running, away ── AgentDone ──> done          ── given up, or not to be trusted ──> lost

Times are monotonic seconds of the coordinator, unless a name ends in `_ns`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chaperon_engine.protocol.messages import TakeShares
from chaperon_engine.protocol.wire import AgentHello
from chaperon_engine.text import visible


@dataclass
class Agent:
    """One agent as the state machine sees it. Only state machines write it."""

    number: int
    """Of the member."""
    hello: AgentHello
    """The first one."""
    address: str
    link: int | None
    """Its connection; None: it has none now."""
    state: str = "attached"
    """`attached`, `preparing`, `ready`, `running`, `away`, `done` or `lost`."""
    shares: list[int] = field(default_factory=list)
    """Those it began with."""
    epoch: int = 0
    """Of its frames: that of the shares it began with."""
    taken: list[TakeShares] = field(default_factory=list)
    """Shares that it was given in the load."""
    next_seq: int = 0
    """Of the first frame that is lacking."""
    reported_ns: int = 0
    """End of its latest frame, in the coordinator's clock."""
    heard_at: float = 0.0
    away_since: float | None = None
    """When it was last heard, while it is away."""
    hinted_at: float | None = None
    """When its host was said to be gone, unless it was heard well after that."""
    hint: str = ""
    round_trip_s: float | None = None
    """The shortest so far."""
    offset_ns: int = 0
    """Its monotonic clock minus the coordinator's; known within half of that round trip."""
    start_skew_ns: int | None = None
    """Its second 0 minus the run's."""
    note: str = ""
    has_left: str = ""
    """Why it makes no load any more, though that of the others goes on; empty: it does."""
    has_stopped: bool = False
    """It said so, or nothing is there that could make load."""
    was_handed_over: bool = False
    """Its shares are those of others now."""
    lost_workers: int = 0
    heard_ns: int = 0
    """Its own clock in the latest pong."""
    is_idle: bool = False
    had_last_frame: bool = False
    leaving_since: float | None = None
    """It has sent everything, and its connection ended before its leave."""
    refused_all: bool = False
    pinged_at: float = 0.0
    pings: dict[int, float] = field(default_factory=dict)
    """When unanswered ones were sent."""
    next_ping: int = 0

    def __post_init__(self) -> None:
        self.name = visible(self.hello.name)
        """As people know it, printable."""
        self.host = visible(self.hello.host)
        self.python = visible(self.hello.python)
        self.version = visible(self.hello.chaperon)
        """Of Chaperon there. All of these stand in each snapshot."""

    @property
    def alive(self) -> bool:
        """Something may still come from it."""
        return self.state not in ("done", "lost")

    @property
    def is_linked(self) -> bool:
        """Something can be said to it now."""
        return self.alive and self.link is not None

    @property
    def held(self) -> list[int]:
        """Its shares now."""
        if self.was_handed_over:
            return []
        return [*self.shares, *(share for each in self.taken for share in each.shares)]

    @property
    def taken_epoch(self) -> int:
        """Of the newest shares that it was given in the load; 0 without any."""
        return self.taken[-1].epoch if self.taken else 0

    @property
    def cores_left(self) -> int:
        """Workers of it that live."""
        return max(0, self.hello.cores - self.lost_workers)

    @property
    def round_trip_us(self) -> int | None:
        """The shortest so far."""
        return None if self.round_trip_s is None else round(self.round_trip_s * 1e6)

    def frames_behind(self, now: float) -> int:
        """Ticks that went by without their frames."""
        if self.state not in ("running", "away") or not self.reported_ns:
            return 0
        return max(0, int(now - self.reported_ns / 1e9) - 1)

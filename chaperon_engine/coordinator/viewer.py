"""One viewer of a run: what it may, what it looks at, and what of the run it has had.

The same for a viewer on this host and for one over TLS; they differ in their wire and their rights.
A slow viewer gets the newest snapshot when it has taken the last one, never a queue. Must not know
how a snapshot is made, or who else watches.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from chaperon_engine.metrics.snapshot import SeriesDetail, Snapshot, View, WindowSummary
from chaperon_engine.protocol.codec import ProtocolError
from chaperon_engine.protocol.messages import (
    PROTOCOL_VERSION,
    AbortRun,
    DrainMember,
    FromClient,
    GetSeries,
    GetWindow,
    Hello,
    Leave,
    Message,
    NodeDied,
    Refused,
    SeriesReply,
    SnapshotMessage,
    StopRun,
    Subscribe,
    Welcome,
    WindowReply,
)

HELLO_TIMEOUT_S = 5.0
MAX_RATE_HZ = 4.0
MAX_BUFFER_BYTES = 8 * 1024 * 1024
"""A viewer that asks and does not read loses its connection when this much waits for it."""

ViewerRole = Literal["owner", "operator", "observer"]
"""owner: the user of this host; operator: watches and steers from elsewhere; observer: watches."""

_STEERING = {
    StopRun: "stop this run",
    AbortRun: "abort this run",
    DrainMember: "drain a member of this run",
}


class Seen:
    """Who one viewer is, and what of the run's history it has had."""

    def __init__(self, role: ViewerRole = "owner") -> None:
        self.role = role
        self.intervals = 0
        """Number of intervals."""
        self.logs = 0
        """Number of log lines since the run began."""


class RunView(Protocol):
    """The run as viewers may see and steer it."""

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        """The run now; advances `seen`."""
        ...

    def series_detail(self, series: int) -> SeriesDetail | None: ...

    def window_summary(
        self, start_s: int, end_s: int, *, with_rows: bool
    ) -> WindowSummary | None: ...

    def stop(self, by: str) -> None: ...

    def abort(self, by: str) -> None: ...

    def drain(self, member: int, by: str) -> str:
        """Empty, or a sentence why that cannot be done."""
        ...

    def node_died(self, name: str, reason: str) -> None: ...


class Wire(Protocol):
    """The connection below a viewer."""

    @property
    def waiting_bytes(self) -> int:
        """What was sent and the viewer has not taken yet, as far as this side can know."""
        ...

    @property
    def is_closing(self) -> bool: ...

    def send(self, message: Message) -> None: ...

    def finish(self) -> None:
        """Nothing more will be sent; the viewer hangs up when it has read everything."""
        ...

    def close(self) -> None:
        """Hang up once what was sent has gone."""
        ...

    def abort(self, reason: str) -> None:
        """Hang up at once."""
        ...


@dataclass
class Allowance:
    """How much work a viewer on another machine may make: so much at once, so much a second."""

    burst: float = 200.0
    per_s: float = 50.0
    left: float = 200.0
    at: float = 0.0

    def takes(self, cost: float, now: float) -> bool:
        """Whether there is so much left, which is then gone."""
        self.left = min(self.burst, self.left + max(0.0, now - self.at) * self.per_s)
        self.at = now
        if self.left < cost:
            return False
        self.left -= cost
        return True


WINDOW_COST = 25.0
"""A window sums up many seconds; other questions cost one."""


class Host(Protocol):
    """Who looks after all viewers."""

    @property
    def is_over(self) -> bool:
        """The run has ended: who looks at it now sees it for the last time."""
        ...

    def greet(self, viewer: Viewer, hello: Hello) -> None: ...

    def may_read(self, viewer: Viewer) -> bool:
        """Whether the run's journal may be read for this viewer now."""
        ...


class Viewer:
    """Speaks with one viewer."""

    def __init__(
        self, number: int, host: Host, run: RunView, wire: Wire, *, role: ViewerRole, by: str
    ):
        """`by`: how the run's record names this viewer when it steers."""
        self.number = number
        self.role = role
        self.said_hello = False
        self.instance = b""
        """The same on each connection of a viewer that comes back; empty: it does not."""
        self._host = host
        self._run = run
        self._wire = wire
        self._by = by
        self._seen = Seen(role)
        self._view: View | None = None
        self._period_s = 1 / MAX_RATE_HZ
        self._due_at = 0.0
        self._said_last = False
        self.has_left = False
        """It said so, or is there on another connection."""
        self._allowance = None if role == "owner" else Allowance()
        loop = asyncio.get_running_loop()
        self._hello_timer = loop.call_later(HELLO_TIMEOUT_S, wire.abort, "it said no hello")

    @property
    def looks(self) -> bool:
        """It asked for snapshots."""
        return self._view is not None

    @property
    def may_return(self) -> bool:
        """It comes back for what it watches when its connection breaks."""
        return bool(self.instance) and self.looks and not self.has_left

    # what the wire says

    def hear(self, message: FromClient, now: float) -> None:
        """Do what it asks."""
        if self._wire.is_closing:
            return
        try:
            if not self.said_hello:
                self._greet(message)
            elif self._is_allowed(message, now):
                self._obey(message, now)
        except ProtocolError as error:
            self.misunderstood(error)

    def misunderstood(self, error: ProtocolError) -> None:
        """What it said is no message of this conversation."""
        self.answer(Refused(reason=str(error), user_error=False))

    def has_gone(self) -> None:
        """The connection is closed."""
        self._hello_timer.cancel()

    def _greet(self, message: FromClient) -> None:
        if not isinstance(message, Hello):
            raise ProtocolError("the first message must be Hello")
        self._hello_timer.cancel()
        self.said_hello = True
        if self.role != "owner":  # on this host a connection that ends has been ended
            self.instance = message.instance
        if message.protocol != PROTOCOL_VERSION:
            self.answer(
                Refused(
                    reason=f"this run speaks protocol {PROTOCOL_VERSION}, the viewer "
                    f"{message.protocol}: use the same version of Chaperon for both"
                )
            )
            return
        self._host.greet(self, message)

    def _is_allowed(self, message: FromClient, now: float) -> bool:
        cost = WINDOW_COST if isinstance(message, GetWindow) else 1.0
        if self._allowance is not None and not self._allowance.takes(cost, now):
            raise ProtocolError("more questions than a viewer may ask in so short a time")
        if self.role == "observer" and type(message) in _STEERING:
            self.send(
                Refused(
                    reason=f"an observer may not {_STEERING[type(message)]}: attach with the "
                    "operator's token"
                )
            )
            return False
        return True

    def _obey(self, message: FromClient, now: float) -> None:
        match message:
            case StopRun():
                self._run.stop(self._by)
            case AbortRun():
                self._run.abort(self._by)
            case DrainMember(member=member):
                if refusal := self._run.drain(member, self._by):
                    self.send(Refused(reason=refusal))
            case NodeDied(name=name, reason=reason) if self.role == "owner":
                self._run.node_died(name, reason)
            case GetSeries(request=request, series=series):
                self.send(SeriesReply(request=request, detail=self._run.series_detail(series)))
            case GetWindow(request=request, start_s=start, end_s=end):
                with_rows = self._host.may_read(self)
                summary = self._run.window_summary(start, end, with_rows=with_rows)
                self.send(WindowReply(request=request, summary=summary))
            case Subscribe():
                self._subscribe(message, now)
            case Leave():
                self.has_left = True
            case _:
                raise ProtocolError(f"{type(message).__name__} out of turn")

    def _subscribe(self, message: Subscribe, now: float) -> None:
        self._view = message.view
        self._seen.intervals = max(self._seen.intervals, message.had_intervals)
        self._seen.logs = max(self._seen.logs, message.had_logs)
        # `not (x > 0)` also catches NaN, which compares false with everything.
        rate_hz = message.rate_hz
        rate_hz = 0.1 if not rate_hz > 0.1 else min(rate_hz, MAX_RATE_HZ)
        self._period_s = 1 / rate_hz
        self._due_at = now
        if self._host.is_over:
            self.publish_last()

    # what it is told

    def answer(self, answer: Welcome | Refused) -> None:
        """Welcome, or a refusal that ends the connection."""
        self.send(answer)
        if isinstance(answer, Refused):
            self._wire.close()

    def send(self, message: Message) -> None:
        if self._wire.is_closing or self._said_last:
            return
        if self._wire.waiting_bytes > MAX_BUFFER_BYTES:
            self._wire.abort("it does not read what it is sent")
            return
        try:
            self._wire.send(message)
        except ProtocolError as error:
            # It takes less than that, which it said itself.
            self._wire.abort(str(error))

    def publish(self, now: float) -> None:
        """Send the newest snapshot if its time has come and the last one was taken."""
        if self._view is None or now < self._due_at or self._wire.is_closing:
            return
        if self._wire.waiting_bytes > 0:
            return
        self._due_at = max(self._due_at + self._period_s, now)
        self.send(SnapshotMessage(snapshot=self._run.snapshot(self._view, self._seen)))

    def publish_last(self) -> None:
        """The final snapshot goes to every viewer, whatever its rate, and nothing after it.

        The viewer closes first: a request of its own that met a closed socket would take along
        what it has not read yet.
        """
        if self._said_last:
            return
        if self._view is not None:
            self.send(SnapshotMessage(snapshot=self._run.snapshot(self._view, self._seen)))
        self._said_last = True
        if not self._wire.is_closing:
            self._wire.finish()

    def abort(self) -> None:
        """Hang up at once."""
        self._wire.abort("the run is over")

    def supersede(self) -> None:
        """It is there on another connection: this one died unnoticed."""
        self.has_left = True
        self._wire.abort("it came back on another connection")

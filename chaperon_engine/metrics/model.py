"""The words of measurement: series keys, what a worker sends each tick, counts. Plain data.

Definitions, the same everywhere:

requests      requests sent: redirect hops and retries included
ok            complete valid responses, whatever their status
failed        requests without a complete valid response
http_errors   complete responses whose status the call did not expect (part of `ok`)
in_flight     sent - ok - failed
service time  from handing the first byte of the request to an established connection until the
              last byte of the body is parsed, in microseconds
first byte    from the same start until the first byte of the reply; of a reply in one piece until
              that is parsed

WebSockets, per socket label; opened = closed (ws_close: ok + failed) + still open:

upgrade        from the upgrade request on an established connection until its reply is complete
ws_connect     a whole `ws_connect`: names, TCP, TLS and upgrade; statuses are those of the replies
ws_send        from `ws_send` until the message is handed to the connection; bytes are payload
ws_message     messages that arrived complete and valid, read by the scenario or not; bytes likewise
ws_recv        how long `ws_recv` and `ws_await_recv` waited until the message they return arrived
ws_round_trip  from the last `ws_send` until the arrival of what the next `ws_await_recv` matched
ws_ping        from an own ping until its pong
ws_close       how long closing took; statuses are close codes, 1006 for no closing handshake
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaperon_engine.text import encodable

# What a frame can say at all. Lists that are longer are refused before they are read: two bytes of
# a message can become hundreds in memory. What depends on the run is checked by `frames`.

MAX_BUCKET_BYTES = 2 * 28_672
"""Of the buckets of a histogram."""
MAX_COUNT_BYTES = 8 * 28_672
"""Of their counts."""
MAX_CLASSES = 10_000
"""Statuses, or error classes, of one series in one interval."""
MAX_IN_FRAME = 262_144
"""Series, checks or exceptions in one frame."""
MAX_LOG_LINES = 10_000
MAX_LOST = 4_096

MAX_LABEL_CHARS = 4_096
"""Of one text in a series key, or of a check's name. Longer ones are cut where they are recorded,
so that labels that begin alike become one series."""
MAX_TAGS = 64
"""Of a series."""
MAX_TEXT_CHARS = 65_536
"""Of any other text in a frame."""

HTTP = "http"
"""Kind of the only series that totals merge.

The other timed kinds: `call`, `connect`, `dns`, `tls`, `upgrade`, `first_byte`, `pool_wait`, and
those of WebSockets; the kinds of custom metrics: `counter`, `gauge`, `rate`, `trend`.
"""

MESSAGE_KINDS = frozenset(
    {"ws_connect", "ws_send", "ws_message", "ws_recv", "ws_round_trip", "ws_ping", "ws_close"}
)
"""Kinds of a WebSocket: durations with bytes and codes."""

COUNTED_KINDS = frozenset({"ws_message"})
"""Those of them that count and record no distribution."""

TIMED_KINDS = MESSAGE_KINDS | {
    "call", "connect", "dns", "tls", "upgrade", "first_byte", "pool_wait", "trend",
}  # fmt: skip
"""Kinds that record a distribution and count no requests."""

VALUE_KINDS = frozenset({"counter", "gauge", "rate"})
"""Kinds that record a number and no distribution."""

CUSTOM_KINDS = VALUE_KINDS | {"trend"}
"""Kinds of custom metrics, whose unit is the user's."""

WHOLE_UNITS = frozenset({"us", "B"})
"""Units whose values are whole numbers; those of other units are recorded in thousandths."""

OTHER = "(other)"
"""Name of the series into which keys beyond the cap are folded."""

WARMUP = "warmup"
"""Phase of series that were recorded before the measured window."""


class SeriesKey(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True
):
    """What makes a series: equal keys are one series in all workers."""

    kind: str
    unit: str = "us"
    scenario: str = ""
    session: str = ""
    """Session name: the population's name."""
    service: str = ""
    action: str = ""
    """Action as the scenario calls it: `get`, `call_traced`, ..."""
    method: str = ""
    url: str = ""
    """Path with query as sent (without query if the config skips it); empty when named."""
    name: str = ""
    """`name=` of the call, name of a traced function or of a custom metric."""
    tags: Annotated[tuple[tuple[str, str], ...], Meta(max_length=MAX_TAGS)] = ()
    phase: str = ""
    """Empty for the measured run, or `warmup`."""

    @property
    def label(self) -> str:
        """Shortest text that says which series this is, for tables."""
        what = self.name or self.url
        return f"{self.method} {what}" if self.method else what

    @property
    def measured(self) -> SeriesKey:
        """The same series of the measured run: what counts towards the cap."""
        return msgspec.structs.replace(self, phase="") if self.phase else self

    @property
    def scale(self) -> int:
        """What a value of this unit is multiplied with in a histogram, which has whole numbers."""
        return 1000 if self.kind == "trend" and self.unit not in WHOLE_UNITS else 1

    @property
    def encodable(self) -> SeriesKey:
        """This key; or, when scenario code gave it labels that a frame cannot carry (half a
        surrogate pair, a number, a megabyte), one whose labels are text that says the same."""
        given = {name: getattr(self, name) for name in ("action", "method", "url", "name", "unit")}
        changed = {name: text for name in given if (text := _label(given[name])) != given[name]}
        tags = tuple((_label(name), _label(value)) for name, value in self.tags[:MAX_TAGS])
        if not changed and tags == self.tags:
            return self
        return msgspec.structs.replace(self, **changed, tags=tags)

    @property
    def other(self) -> SeriesKey:
        """The series that takes this key's place beyond the cap: one per kind and phase."""
        unit = "" if self.kind in CUSTOM_KINDS else "us"
        return SeriesKey(kind=self.kind, unit=unit, name=OTHER, phase=self.phase)

    @property
    def is_other(self) -> bool:
        """It is such a series, and not one that a person gave this name."""
        return self.name == OTHER and self == self.other


def _label(text: object) -> str:
    """A label that a frame can carry."""
    label = encodable(text)
    return label if len(label) <= MAX_LABEL_CHARS else label[: MAX_LABEL_CHARS - 1] + "…"


class HistogramDelta(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A sparse histogram of one interval, in HDR bucket layout (1 us to 24 h, 3 digits).

    Its numbers are packed as words, little endian: `interval` makes them, `histogram` adds up those
    of many intervals without looking at each.
    """

    buckets: Annotated[bytes, Meta(max_length=MAX_BUCKET_BYTES)]
    """Indices of the buckets in use, ascending, two bytes each."""
    counts: Annotated[bytes, Meta(max_length=MAX_COUNT_BYTES)]
    """How many values each of them holds, at least 1; one, two, four or eight bytes each, which
    follows from the length."""
    sum_us: int = 0
    min_us: int = 0
    max_us: int = 0
    saturated: int = 0
    """How many values were out of range and recorded at the border."""


class SeriesDelta(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What one series recorded in one interval; kinds other than `http` use what fits."""

    id: int
    """Number of the series within its worker (announced in `Frame.new_series`)."""
    sent: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    expected: HistogramDelta | None = None
    """Service time of complete responses with an expected status; the only one of other kinds."""
    unexpected: HistogramDelta | None = None
    """Service time of complete responses with an unexpected status."""
    failures: HistogramDelta | None = None
    """Time from send until the failure."""
    statuses: Annotated[dict[int, int], Meta(max_length=MAX_CLASSES)] = {}
    errors: Annotated[dict[str, int], Meta(max_length=MAX_CLASSES)] = {}
    """Failures by error class (`errors.ActionError.code`)."""
    retries: int = 0
    """Second sends after a stale keep-alive connection (part of `sent`)."""
    value_sum: float = 0.0
    """counter: increase; gauge: last value; rate: number of true values (`ok` counts all)."""
    unexpected_statuses: Annotated[dict[int, int], Meta(max_length=MAX_CLASSES)] = {}
    """Statuses of the `http_errors`, a part of `statuses`."""

    @property
    def expected_count(self) -> int:
        """How many values `expected` holds, if the series has a distribution."""
        return self.ok - self.http_errors


class SessionCounts(msgspec.Struct):
    """Sessions, cumulative since the start of the run."""

    planned: int = 0
    started: int = 0
    finished: int = 0
    """Ended in the planned way."""
    failed: int = 0
    """Refused in `init`, aborted, or `init` raised."""
    timed_out: int = 0
    interrupted: int = 0
    """Still running when the grace period ended."""

    @property
    def active(self) -> int:
        """Started and not ended."""
        return self.started - self.finished - self.failed - self.timed_out - self.interrupted


class IterationCounts(msgspec.Struct):
    """Iterations, cumulative since the start of the run."""

    started: int = 0
    completed: int = 0
    failed: int = 0
    interrupted: int = 0

    @property
    def running(self) -> int:
        """Started and not ended."""
        return self.started - self.completed - self.failed - self.interrupted


class CheckCount(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One named check, cumulative."""

    scenario: str
    session: str
    name: str
    passed: int = 0
    failed: int = 0
    reason: str = ""
    """Why it failed the first time: the exception, or empty for a plain False."""


class ExceptionGroup(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Exceptions of user code of one type from one place, cumulative."""

    type: str
    file: str
    line: int
    count: int
    message: str
    """Message of the first one."""
    traceback: str
    """Of the first one; only frames of user code, several lines."""
    where: str = "run"
    """`init`, `run`, `child`, `teardown` or `check`."""
    session: str = ""


class LogLine(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One line of a run's log."""

    at_s: float
    """Seconds since the start of the run."""
    level: str
    """`debug`, `info`, `warning`, `error`, or `output` for what user code printed."""
    source: str
    """Worker and session, or `engine`."""
    text: str


class HealthSample(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The generator's own health in one worker over one tick."""

    lag_p99_us: int = 0
    """99th percentile of the event loop's lateness."""
    lag_max_us: int = 0
    cpu: float = 0.0
    """Share of one core that the worker used, 0 to 1."""
    steal: float = 0.0
    """Share of time that the hypervisor took from this core, 0 to 1."""
    gc_us: int = 0
    """Time that garbage collection took."""
    rss_bytes: int = 0
    descriptors: int = 0


class FrameTotals(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Cumulative sums over all `http` series of a worker (warm-up apart), for conservation."""

    sent: int = 0
    ok: int = 0
    failed: int = 0
    http_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class LostWorker(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A worker of an agent died: what its shared counters know beyond its last frame."""

    worker: int
    """Its share of the sessions."""
    note: str
    """Why, in words."""
    series: Annotated[list[SeriesDelta], Meta(max_length=MAX_IN_FRAME)] = []
    """Requests of which nothing is known but that they were counted: counts, and nothing else.
    The ids are those of the frame."""


class Frame(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a worker, or an agent for all of its workers, sends each tick.

    Sum of deltas (and of what lost workers had counted) = `totals`; checked at each application.
    """

    worker: int
    epoch: int
    seq: int
    """Starts at 0, no gaps."""
    start_ns: int
    """Monotonic, of the interval."""
    end_ns: int
    new_series: Annotated[list[tuple[int, SeriesKey]], Meta(max_length=MAX_IN_FRAME)] = []
    deltas: Annotated[list[SeriesDelta], Meta(max_length=MAX_IN_FRAME)] = []
    totals: FrameTotals = msgspec.field(default_factory=FrameTotals)
    sessions: SessionCounts = msgspec.field(default_factory=SessionCounts)
    iterations: IterationCounts = msgspec.field(default_factory=IterationCounts)
    checks: Annotated[list[CheckCount], Meta(max_length=MAX_IN_FRAME)] = []
    """Only those that changed, cumulative values."""
    exceptions: Annotated[list[ExceptionGroup], Meta(max_length=MAX_IN_FRAME)] = []
    """Only those that changed, cumulative values."""
    logs: Annotated[list[LogLine], Meta(max_length=MAX_LOG_LINES)] = []
    dropped_logs: int = 0
    health: HealthSample = msgspec.field(default_factory=HealthSample)
    folded_keys: int = 0
    """Distinct keys that this worker had to fold into `(other)` itself, cumulative."""
    last: bool = False
    """The worker will send no further frame."""
    lost: Annotated[list[LostWorker], Meta(max_length=MAX_LOST)] = []
    """Of an agent: workers whose end became known in this tick."""

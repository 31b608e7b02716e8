"""What `chaperon try` tells, line by line: one session with every exchange. Plain data.

All foreign text (URLs, heads, bodies, reasons, log lines) has passed `text.visible` already.
"""

from __future__ import annotations

import msgspec

MAX_BODY_CHARS = 2048
"""So much of a body is shown."""


class TrialMessage(msgspec.Struct, tag=True, tag_field="event", frozen=True, kw_only=True):
    """Base of all events; the tag is the class name."""

    at_s: float = 0.0
    """Seconds since the trial began."""


class TrialStarted(TrialMessage, frozen=True, kw_only=True):
    """The file is loaded; sessions begin."""

    load_test: str
    populations: list[str]
    """Names; one session of each is run."""
    services: dict[str, str]
    """Base URLs by name."""


class TrialRequest(TrialMessage, frozen=True, kw_only=True):
    """A request is about to be sent."""

    number: int
    """Of the exchange, from 1; its response or failure has the same."""
    session: str
    service: str
    method: str
    url: str
    headers: list[tuple[str, str]] = []
    body: str = ""
    """The beginning of the body; empty when there is none or it is streamed."""
    body_bytes: int = 0


class TrialResponse(TrialMessage, frozen=True, kw_only=True):
    """A complete reply; for a streamed one, its head."""

    number: int
    session: str
    status: int
    reason: str
    expected: bool
    """Whether the status is one that the call expected."""
    headers: list[tuple[str, str]] = []
    body: str = ""
    """The beginning of the body; empty when it was discarded or is streamed."""
    body_bytes: int = 0
    redirects: list[str] = []
    """`302 http://...` of each hop on the way here."""
    timings_us: dict[str, float] = {}
    """wait, dns, connect, tls, first_byte, service, total; as `Response.timings`."""


class TrialSocket(TrialMessage, frozen=True, kw_only=True):
    """A message went out or came in on a WebSocket, or it ended."""

    number: int
    """Of the exchange that opened it."""
    session: str
    what: str
    """`sent`, `received` or `ended`."""
    kind: str
    """`text`, `binary` or `close`."""
    body: str = ""
    """The beginning of the message, or why it ended."""
    body_bytes: int = 0
    close_code: int = 0
    """Of the end; 1006 without a close frame."""


class TrialFailure(TrialMessage, frozen=True, kw_only=True):
    """A request got no complete valid reply, or must not be sent."""

    number: int
    session: str
    code: str
    """Error class, as it is counted."""
    origin: str
    """Whose fault it is: target, generator or scenario."""
    message: str


class TrialCheck(TrialMessage, frozen=True, kw_only=True):
    """One result of a check."""

    session: str
    name: str
    passed: bool
    reason: str = ""


class TrialException(TrialMessage, frozen=True, kw_only=True):
    """User code raised, or the session was refused or aborted."""

    session: str
    where: str
    """`init`, `run`, `teardown` or `check`."""
    type: str
    message: str
    file: str
    line: int
    traceback: str


class TrialLog(TrialMessage, frozen=True, kw_only=True):
    """A log line, or what user code printed (level `output`)."""

    level: str
    source: str
    text: str


class TrialFinished(TrialMessage, frozen=True, kw_only=True):
    """The last event: the verdict."""

    ok: bool
    """Every session finished, no iteration, request or WebSocket failed, every check passed."""
    verdict: str
    """One sentence."""
    sessions: int
    sessions_failed: int
    iterations: int
    iterations_failed: int
    requests: int
    failed: int
    http_errors: int
    checks_passed: int
    checks_failed: int
    sockets: int = 0
    """WebSockets that a scenario asked for."""
    sockets_failed: int = 0
    """Those in which something failed."""
    messages_sent: int = 0
    messages_received: int = 0


class TrialRefused(TrialMessage, frozen=True, kw_only=True):
    """The file cannot be used. The client raises it as a UserError."""

    message: str
    path: str | None = None
    line: int | None = None


TrialEvent = (
    TrialStarted
    | TrialRequest
    | TrialResponse
    | TrialSocket
    | TrialFailure
    | TrialCheck
    | TrialException
    | TrialLog
    | TrialFinished
)
"""What a front door sees."""

TrialLine = TrialEvent | TrialRefused
"""What the child writes."""

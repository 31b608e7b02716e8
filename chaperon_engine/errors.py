"""The exceptions of Chaperon, in one tree.

ChaperonError
├── UserError                     bad input of a person: one sentence, exit code 104
├── InvalidRequest                an argument of an action that must not be sent (also a ValueError)
├── MissingConfig                 a required config or assigned value is absent (also a KeyError)
├── ActionError                   an action could not be completed; has a `code` and an `origin`
│   ├── DnsError                  dns
│   ├── ConnectionRefused         refused
│   ├── ConnectionLost            reset
│   ├── ConnectFailed             connect (unreachable network, no route, anything else before TLS)
│   ├── RequestTimeout
│   │   ├── ConnectTimeout        timeout_connect
│   │   ├── TlsTimeout            timeout_tls
│   │   ├── FirstByteTimeout      timeout_first_byte
│   │   ├── TotalTimeout          timeout_total
│   │   ├── UpgradeTimeout        timeout_upgrade (no reply to a WebSocket's upgrade)
│   │   ├── MessageTimeout        timeout_message (no, or no fitting, message of a WebSocket)
│   │   ├── PongTimeout           timeout_pong
│   │   └── CloseTimeout          timeout_close (a closing handshake without an answer)
│   ├── TlsError                  tls (handshake failed)
│   │   └── TlsVerificationError  tls_verification
│   ├── ProtocolViolation         protocol (a reply that is not HTTP, or bytes nobody asked for)
│   ├── BodyCutShort              body_cut_short
│   ├── TooLarge                  too_large (header bytes, header count, body, decoded body)
│   ├── DecodeError               decode (content coding or charset that cannot be decoded)
│   ├── RedirectError             redirect (too many, or to a place that is not allowed)
│   ├── UpgradeRefused            ws_refused (an answer to a WebSocket's upgrade that is not 101)
│   ├── WebSocketClosed           ws_closed (by the server, with a close code), has `close_code`
│   ├── WebSocketNotOpen          ws_not_open (closed by the scenario, or never opened), scenario
│   ├── MessageBacklog            ws_backlog (more unread messages than allowed), origin scenario
│   ├── ActionCancelled           cancelled (the scenario cancelled the call), origin scenario
│   ├── GeneratorExhausted        generator_ports, generator_descriptors, generator_memory,
│   │                             origin generator
│   ├── CheckedTimeout            timeout (a wait in the scenario that ran out), origin scenario
│   └── ScheduleFailed            schedule_failed, schedule_refused, schedule_lost,
│                                 origin scenario
└── EngineError                   the run cannot go on, or a peer process broke the protocol

Two more are control flow and derive from BaseException, so that an `except Exception` in a
scenario does not swallow them: SessionRefused and SessionAborted.

Foreign exceptions (OSError, ssl.SSLError, HttpParserError ...) are mapped to these where they are
caught first; nothing above the `http` layer knows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

Origin = Literal["target", "generator", "scenario"]

EXIT_OK = 0
EXIT_EXPORT_FAILED = 1
EXIT_THRESHOLDS_FAILED = 99
EXIT_BAD_INPUT = 104
EXIT_INTERRUPTED = 105
EXIT_NO_SESSION = 107


class ChaperonError(Exception):
    """Everything that Chaperon raises on purpose."""


class UserError(ChaperonError):
    """Bad input of a person. `message` is one sentence: what is wrong, where, what to do.

    `path` and `line` name the place in the user's own file when there is one.
    """

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None):
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.line = line

    def __str__(self) -> str:
        if self.path is None:
            return self.message
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


class InvalidRequest(ChaperonError, ValueError):
    """An action was called with an argument that must not be sent; the message names it."""


class MissingConfig(ChaperonError, KeyError):
    """A required config or assigned value is absent; the message names the key."""

    def __str__(self) -> str:
        return str(self.args[0])


class EngineError(ChaperonError):
    """The run cannot go on, or a peer process broke the protocol."""


class ActionError(ChaperonError):
    """An action could not be completed.

    `code` is the error class under which it is counted; `origin` says whose fault it is. Only
    errors with origin `target` speak against the system under test.
    """

    code: str = "action"
    origin: ClassVar[Origin] = "target"


class DnsError(ActionError):
    """The host name could not be resolved."""

    code = "dns"


class ConnectionRefused(ActionError):
    """The target refused the TCP connection."""

    code = "refused"


class ConnectionLost(ActionError):
    """The target closed or reset the connection before any byte of the reply."""

    code = "reset"


class ConnectFailed(ActionError):
    """The TCP connection failed for another reason than refusal or time-out."""

    code = "connect"


class RequestTimeout(ActionError):
    """A deadline of the request passed; the subclass says which."""

    code = "timeout"


class ConnectTimeout(RequestTimeout):
    """The TCP connection was not established in time."""

    code = "timeout_connect"


class TlsTimeout(RequestTimeout):
    """The TLS handshake did not end in time."""

    code = "timeout_tls"


class FirstByteTimeout(RequestTimeout):
    """No byte of the reply arrived in time."""

    code = "timeout_first_byte"


class TotalTimeout(RequestTimeout):
    """The reply was not complete in time."""

    code = "timeout_total"


class TlsError(ActionError):
    """The TLS handshake failed."""

    code = "tls"


class TlsVerificationError(TlsError):
    """The target's certificate could not be verified."""

    code = "tls_verification"


class ProtocolViolation(ActionError):
    """The reply is not valid HTTP, or bytes arrived that no request had asked for."""

    code = "protocol"


class BodyCutShort(ActionError):
    """The connection ended before the announced end of the reply."""

    code = "body_cut_short"


class TooLarge(ActionError):
    """The reply passed a limit on header bytes, header count, body or decoded body."""

    code = "too_large"


class DecodeError(ActionError):
    """The body's content coding or charset could not be decoded."""

    code = "decode"


class RedirectError(ActionError):
    """A redirect led too far, or to a place that is not allowed."""

    code = "redirect"


class UpgradeTimeout(RequestTimeout):
    """A WebSocket was not open in time: the connection stood, the upgrade got no reply."""

    code = "timeout_upgrade"


class MessageTimeout(RequestTimeout):
    """No message, or none that fits, arrived on a WebSocket in time."""

    code = "timeout_message"


class PongTimeout(RequestTimeout):
    """An own ping got no pong in time."""

    code = "timeout_pong"


class CloseTimeout(RequestTimeout):
    """The server did not answer a closing handshake in time."""

    code = "timeout_close"


class UpgradeRefused(ActionError):
    """The target answered a WebSocket's upgrade with a `status` other than 101."""

    code = "ws_refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class WebSocketClosed(ActionError):
    """The target closed the WebSocket with `close_code` and `reason`; 1005: without a code."""

    code = "ws_closed"

    def __init__(self, message: str, close_code: int, reason: str) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.reason = reason


class WebSocketNotOpen(ActionError):
    """The scenario uses a WebSocket that it has closed, or never opened."""

    code = "ws_not_open"
    origin = "scenario"


class MessageBacklog(ActionError):
    """More messages arrived than may wait unread; the WebSocket was given up."""

    code = "ws_backlog"
    origin = "scenario"


class ActionCancelled(ActionError):
    """The scenario cancelled the call; recorded, never raised to the scenario."""

    code = "cancelled"
    origin = "scenario"


class CheckedTimeout(ActionError):
    """A wait in the scenario ran out of its time."""

    code = "timeout"
    origin = "scenario"


class GeneratorExhausted(ActionError):
    """This machine ran out of ports, descriptors or memory; `code` says of which."""

    code = "generator"
    origin = "generator"

    def __init__(
        self,
        code: Literal["generator_ports", "generator_descriptors", "generator_memory"],
        message: str,
    ):
        super().__init__(message)
        self.code = code


class ScheduleFailed(ActionError):
    """A scheduled scenario failed, was not begun, or was lost with its worker: `code` says it."""

    code = "schedule"
    origin = "scenario"

    def __init__(self, kind: Literal["failed", "refused", "lost"], message: str):
        super().__init__(message)
        self.code = f"schedule_{kind}"


class SessionRefused(BaseException):
    """`session.refuse(reason)`: the session is reported failed and its `run` is skipped."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class SessionAborted(BaseException):
    """`session.abort(reason)`: the rest of the session's actions are skipped."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason

"""How a WebSocket is opened: dialled, upgraded, measured, and refused with its class.

Owns what is sent in the upgrade and what its reply must say beyond what the library checks. Must
not know messages.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from picows import WSHandshakeError

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionCancelled,
    ActionError,
    ConnectionLost,
    InvalidRequest,
    ProtocolViolation,
    RedirectError,
    TooLarge,
    UpgradeRefused,
    UpgradeTimeout,
)
from chaperon_engine.net.dial import dial
from chaperon_engine.net.fields import check_token, header_fields
from chaperon_engine.net.headers import Headers, parse_head, reason_phrase
from chaperon_engine.text import visible
from chaperon_engine.ws.deflate import OFFER, Deflate

if TYPE_CHECKING:
    from chaperon_engine.net.cookies import CookieJar
    from chaperon_engine.ws.life import SocketLife
    from chaperon_engine.ws.options import ConnectOptions
    from chaperon_engine.ws.target import WsTarget
    from chaperon_engine.ws.wire import Wire

_OWN_FIELDS = frozenset(
    {
        "connection",
        "upgrade",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |\r|$)")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_BODY_SHOWN = 200


class Phases(NamedTuple):
    """What opening took, in nanoseconds."""

    dns_ns: int = 0
    connect_ns: int = 0
    tls_ns: int = 0
    upgrade_ns: int = 0
    total_ns: int = 0


async def open_socket(
    socket: SocketLife,
    make_wire: Callable[[SocketLife, ConnectOptions], Wire],
    cookies: CookieJar,
    options: ConnectOptions,
) -> None:
    """Connects a socket. Raises InvalidRequest before anything is sent, or an ActionError."""
    target = socket.target
    fields = upgrade_fields(target, socket.path, cookies, options)
    timeout_s = target.timeout_s if options.timeout_s is None else options.timeout_s
    start = now_ns()
    wire = make_wire(socket, options)
    socket.attach(wire)
    opening = _Opening(socket, wire, cookies)
    try:
        async with asyncio.timeout(timeout_s):
            await opening.run(fields, start)
    except BaseException as error:
        failure = opening.failure(error, timeout_s)
        upgrade_ns = wire.upgrade_ns
        socket.give_up()
        now = now_ns()
        if upgrade_ns:
            target.series("upgrade").failed(upgrade_ns, failure.code)
        socket.series.of("ws_connect").broke(now - start, failure.code, opening.status)
        if isinstance(error, ActionError):
            raise
        if isinstance(error, (TimeoutError, WSHandshakeError)):
            raise failure from None
        raise
    phases = opening.phases
    socket.series.of("ws_connect").ended(phases.total_ns, 101)
    socket.phases = phases


def upgrade_fields(
    target: WsTarget, path: str, cookies: CookieJar, options: ConnectOptions
) -> list[tuple[str, str]]:
    """The header fields of the upgrade beyond those of the protocol. Raises InvalidRequest."""
    fields = {name: field for name, field in target.fields.items() if name != "accept"}
    if options.headers:
        fields.update(header_fields(options.headers))
    for name in _OWN_FIELDS & fields.keys():
        raise InvalidRequest(
            f"headers: {fields[name][0]} is set by the client itself; leave it out"
        )
    pairs = list(fields.values())
    sent = cookies.header(target.address, path)
    if sent:
        pairs.append(("Cookie", sent.decode("utf-8", "replace")))
    if options.subprotocols:
        for subprotocol in options.subprotocols:
            check_token(subprotocol, "subprotocols:")
        pairs.append(("Sec-WebSocket-Protocol", ", ".join(options.subprotocols)))
    if options.compression:
        pairs.append(("Sec-WebSocket-Extensions", OFFER))
    return pairs


class _Opening:
    """One socket on its way to being open."""

    def __init__(self, socket: SocketLife, wire: Wire, cookies: CookieJar) -> None:
        self._socket = socket
        self._wire = wire
        self._cookies = cookies
        self.status = 0
        """Of the reply."""
        self.phases = Phases()

    async def run(self, fields: list[tuple[str, str]], start: int) -> None:
        socket, wire = self._socket, self._wire
        target = socket.target
        dialled = await dial(target, wire.begin(fields))
        await wire.upgraded()
        if not wire.is_upgraded:
            raise ConnectionLost(
                f"{target.where} ended the connection in the upgrade: {socket.about}"
            )
        upgrade_ns = wire.upgrade_ns
        target.series("upgrade").record_ns(upgrade_ns)
        self.phases = Phases(*dialled, upgrade_ns, now_ns() - start)
        self._store_cookies(wire.reply)

    def _store_cookies(self, headers: Headers) -> None:
        for value in headers.all("set-cookie"):
            self._cookies.store(value, self._socket.target.address, self._socket.path)

    def failure(self, error: BaseException, timeout_s: float) -> ActionError:
        """The class under which an end of opening is counted."""
        about = self._socket.about
        if isinstance(error, ActionError):
            return error
        if isinstance(error, WSHandshakeError):
            return self._refusal(error)
        if isinstance(error, TimeoutError):
            return UpgradeTimeout(f"not open within {timeout_s:g} s: {about}")
        return ActionCancelled(f"the call was given up: {about}")

    def _refusal(self, error: WSHandshakeError) -> ActionError:
        about = self._socket.about
        raw = getattr(error, "raw_header", None) or b""
        found = _STATUS_LINE.match(raw)
        if "exceed" in str(error) or "more than" in str(error):
            return TooLarge(f"the head of the reply is too large ({visible(error)}): {about}")
        if found is None:
            return ProtocolViolation(f"the reply to the upgrade is not HTTP/1.1: {about}")
        self.status = status = int(found[1])
        if status == 101:
            return ProtocolViolation(f"the upgrade failed ({visible(error)}): {about}")
        headers = Headers(parse_head(raw))
        self._store_cookies(headers)
        if status in _REDIRECTS:
            place = visible(headers.get("location", "nowhere"))
            return RedirectError(f"redirected to {place}, connect there: {about}")
        reason = reason_phrase(raw + b"\r\n")
        words = visible(f"{status} {reason}".strip())
        body = getattr(error, "raw_body", None) or b""
        said = visible(body[: 4 * _MAX_BODY_SHOWN].decode("utf-8", "replace"), _MAX_BODY_SHOWN)
        tail = f" ({said})" if said.strip() else ""
        return UpgradeRefused(f"the server answered {words}, not 101: {about}{tail}", status)


def agree(
    reply: Headers, subprotocols: tuple[str, ...], compression: bool
) -> tuple[str, Deflate | None]:
    """Subprotocol and compression of a reply. Raises ProtocolViolation for what was not offered."""
    chosen = reply.all("sec-websocket-protocol")
    if len(chosen) > 1 or (chosen and chosen[0] not in subprotocols):
        raise ProtocolViolation(
            f"the server chose the subprotocol {visible(', '.join(chosen))}, which was not offered"
        )
    answer = reply.get("sec-websocket-extensions", "")
    if not answer:
        return (chosen[0] if chosen else ""), None
    if not compression:
        raise ProtocolViolation(f"the server agreed to an extension not offered: {visible(answer)}")
    return (chosen[0] if chosen else ""), Deflate(answer)

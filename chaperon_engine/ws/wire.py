"""The frame layer of one socket: picows underneath, whole messages above.

picows parses and builds frames and checks masks, opcodes, lengths and close payloads; here is what
it leaves to its user: fragments, reserved bits, compression, control frames and UTF-8. Must not
know what becomes of a message.

picows is told to use our connected socket by its protocol class, because its own `ws_connect`
would measure TLS and upgrade as one. It says what it refuses to a logger only (and to a future
that nobody could bound the wait for): `_Complaints` stands where it expects one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from picows import WSAutoPingStrategy, WSListener, WSMsgType
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import ActionError, ProtocolViolation, TooLarge
from chaperon_engine.net.headers import Headers
from chaperon_engine.text import visible
from chaperon_engine.ws.deflate import Deflate
from chaperon_engine.ws.opening import agree

if TYPE_CHECKING:
    from picows import WSFrame, WSTransport, WSUpgradeRequest, WSUpgradeResponse

    from chaperon_engine.net.dial import Wire as Dialling
    from chaperon_engine.ws.life import SocketLife
    from chaperon_engine.ws.options import ConnectOptions

TEXT = WSMsgType.TEXT
BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG
_CLOSE = WSMsgType.CLOSE

PROTOCOL_ERROR = 1002
INVALID_TEXT = 1007
TOO_BIG = 1009
_NO_CODE = 1005
_NOT_SENT = frozenset({1004, _NO_CODE, 1006})
_READ_BUFFER = 2048


class Wire(WSListener):
    """Frames of one socket. How a message is sent is told with `opened`."""

    __slots__ = (
        "_answered_ns",
        "_compression",
        "_deflate",
        "_fields",
        "_is_packed",
        "_is_text",
        "_max_bytes",
        "_pieces",
        "_protocol",
        "_reply",
        "_socket",
        "_subprotocols",
        "is_upgraded",
        "transport",
    )

    def __init__(self, socket: SocketLife, options: ConnectOptions) -> None:
        self._socket = socket
        self._max_bytes = options.max_message_bytes
        self._compression = options.compression
        self._subprotocols = tuple(options.subprotocols)
        self._deflate: Deflate | None = None
        self._pieces: bytearray | None = None
        """The fragments of a message that is not complete; None between messages."""
        self._is_text = False
        self._is_packed = False
        self._protocol: Any = None
        self._fields: list[tuple[str, str]] = []
        self._answered_ns = 0
        self.transport: WSTransport | None = None
        self.is_upgraded = False
        self._reply: list[tuple[str, str]] = []

    # Opening.

    def begin(self, fields: list[tuple[str, str]]) -> Dialling:
        """What is to be dialled; it sends the upgrade as soon as it is connected."""
        target = self._socket.target
        self._fields = fields
        self._protocol = _Protocol(
            target.address.host_header,
            self._socket.path,
            True,  # client side
            self._answered,
            _Complaints(self),
            True,  # disconnect on exception
            None,  # our deadline ends the handshake
            False,
            0.0,
            0.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # answering pings without a bound would let a server fill our memory
            self._max_bytes,
            fields,
            _READ_BUFFER,
        )
        return self._protocol  # type: ignore[no-any-return]

    async def upgraded(self) -> None:
        """Waits for the reply to the upgrade, or the end of the connection. Raises what `_answered`
        does, and WSHandshakeError."""
        await self._protocol.wait_until_handshake_complete()

    @property
    def reply(self) -> Headers:
        """Header fields of the reply to the upgrade."""
        return Headers(self._reply)

    @property
    def upgrade_ns(self) -> int:
        """How long the upgrade took, or has taken so far; 0: it has not begun."""
        begun: int = 0 if self._protocol is None else self._protocol.begun_ns
        return begun and (self._answered_ns or now_ns()) - begun

    def _answered(self, request: WSUpgradeRequest, response: WSUpgradeResponse) -> Wire:
        self._answered_ns = now_ns()
        self._reply = list(response.headers.items())
        subprotocol, self._deflate = agree(self.reply, self._subprotocols, self._compression)
        self.transport = transport = self._protocol.transport
        transmit = transport.send if self._deflate is None else self._send_packed
        self._socket.opened(subprotocol, self._deflate is not None, transmit)
        return self

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.is_upgraded = True
        # An idle socket would keep both heads for its life.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._fields.clear()

    # Out.

    def _send_packed(self, kind: WSMsgType, payload: bytes) -> None:
        """Sends one message as one compressed frame."""
        transport, deflate = self.transport, self._deflate
        assert transport is not None
        assert deflate is not None
        transport.send(kind, deflate.compress(payload), True, True)

    def ping(self, payload: bytes) -> None:
        """Sends a ping."""
        if self.transport is not None:
            self.transport.send_ping(payload)

    def close(self, code: int, reason: str = "") -> None:
        """Sends a close frame; code 1005 sends one without a code."""
        if self.transport is None:
            return
        if code == _NO_CODE:
            self.transport.send(_CLOSE, None)
        else:
            self.transport.send_close(code, reason.encode())  # type: ignore[arg-type]

    def abort(self) -> None:
        """Ends the connection at once."""
        transport = self.transport
        if transport is None and self._protocol is not None:
            transport = self._protocol.transport
        if transport is not None:
            transport.underlying_transport.abort()
        self._pieces = None

    def end_of_file(self) -> None:
        """Closes the connection after what is written has left."""
        if self.transport is not None:
            self.transport.disconnect()

    def pause_writing(self) -> None:
        self._socket.pause()

    def resume_writing(self) -> None:
        self._socket.resume()

    # In.

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            kind = frame.msg_type
            if (
                kind is TEXT
                and frame.fin
                and self._pieces is None
                and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            ):
                self._socket.arrived(frame.get_payload_as_utf8_text(), frame.payload_size)
            elif frame.rsv2 or frame.rsv3 or (frame.rsv1 and not self._may_be_packed(kind)):
                raise ProtocolViolation("a frame has a reserved bit set")
            elif kind is _PING:
                self._answer(frame)
            elif kind is _PONG:
                self._socket.ponged(frame.get_payload_as_bytes())
            elif kind is _CLOSE:
                self._closed(frame)
            else:
                self._data(kind, frame)
        except UnicodeDecodeError:
            self._refuse(ProtocolViolation("a text message is not UTF-8"), INVALID_TEXT)
        except TooLarge as error:
            self._refuse(error, TOO_BIG)
        except ActionError as error:
            self._refuse(error, PROTOCOL_ERROR)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None
        self._protocol = None
        self._pieces = None
        socket = self._socket
        socket.worker.loop.call_soon(_look_at, transport)
        socket.lost()

    def _may_be_packed(self, kind: WSMsgType) -> bool:
        return self._deflate is not None and kind in (TEXT, BINARY)

    def _data(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A binary or compressed message, or a fragment."""
        payload = frame.get_payload_as_bytes()
        if kind is _CONTINUATION:
            if self._pieces is None:
                raise ProtocolViolation("a continuation frame continues nothing")
            self._pieces += payload
            if len(self._pieces) > self._max_bytes:
                raise TooLarge(f"a message passes {self._max_bytes} bytes")
            if not frame.fin:
                return
            payload = bytes(self._pieces)
            self._pieces = None
        else:
            if self._pieces is not None:
                raise ProtocolViolation("a message begins inside another one")
            self._is_text, self._is_packed = kind is TEXT, bool(frame.rsv1)
            if not frame.fin:
                self._pieces = bytearray(payload)
                return
        if self._is_packed:
            assert self._deflate is not None
            payload = self._deflate.inflate(payload, self._max_bytes)
        self._socket.arrived(payload.decode() if self._is_text else payload, len(payload))

    def _answer(self, frame: WSFrame) -> None:
        # A server that pings and does not read gets no answer until it has read.
        if not self._socket.is_paused and self.transport is not None:
            self.transport.send_pong(frame.get_payload_as_bytes())

    def _closed(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
        if payload and not is_close_code(code):
            raise ProtocolViolation(f"a close frame has the code {code}, which must not be sent")
        self._socket.close_received(code, payload[2:].decode())

    def _refuse(self, error: ActionError, code: int) -> None:
        self._socket.fail(error, code)

    def complained(self, words: object) -> None:
        """picows has refused a frame, and is about to end the connection by itself."""
        handshake = None if self.transport is None else self.transport.close_handshake
        if handshake is not None and handshake.recv is not None:
            # Nothing counts after a close frame. picows has not delivered that yet, and would
            # answer it with a code of its own if it were not answered here.
            self.close(cast("int", handshake.recv.code))
            return
        known = isinstance(words, tuple) and len(words) == 2
        code, text = cast("tuple[int, object]", words) if known else (0, words)
        error: ActionError
        if code == TOO_BIG:
            error = TooLarge(f"a message passes {self._max_bytes} bytes")
        else:
            error = ProtocolViolation(f"the server broke the protocol: {visible(text)}")
        # A turn later: picows still delivers the frame before the one it refused.
        fail = partial(self._socket.fail, error, int(code), is_said=True)
        self._socket.worker.loop.call_soon(fail)


def is_close_code(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455, 7.4)."""
    return (1000 <= code <= 1014 and code not in _NOT_SENT) or 3000 <= code < 5000


class _Protocol(WSProtocol):  # type: ignore[misc]
    """That of picows, with the moment in which it sends the upgrade."""

    __slots__ = ("begun_ns",)

    def __init__(self, *settings: object) -> None:
        super().__init__(*settings)
        self.begun_ns = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.begun_ns = now_ns()
        super().connection_made(transport)


class _Complaints:
    """Stands where picows expects a logger."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, *words: object) -> None:
        pass

    info = log = warning = debug

    def error(self, message: str, *words: object) -> None:
        self._wire.complained(words[0] if words else message)

    def exception(self, message: str, *words: object) -> None:
        self._wire.complained(message)


def _look_at(transport: WSTransport) -> None:
    """Looks at the error that picows keeps for who waits, or the loop would report it as lost."""
    waiting = transport.wait_disconnected()
    try:
        waiting.send(None)
    except Exception:  # StopIteration, or the error that the socket has reported already
        return
    waiting.close()

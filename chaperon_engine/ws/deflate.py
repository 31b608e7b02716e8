"""permessage-deflate (RFC 7692) of one socket: what is offered, what was agreed, the codec.

Small windows are asked for: two full ones take 300 KiB for each socket. Pure.
"""

from __future__ import annotations

import re
import zlib

from chaperon_engine.errors import ProtocolViolation, TooLarge
from chaperon_engine.text import visible

_WINDOW_BITS = 12
_MEMORY_LEVEL = 5
_TAIL = b"\x00\x00\xff\xff"
_BITS = re.compile(r"8|9|1[0-5]")

OFFER = (
    f"permessage-deflate; server_max_window_bits={_WINDOW_BITS}; "
    f"client_max_window_bits={_WINDOW_BITS}"
)
"""The value of Sec-WebSocket-Extensions."""


class Deflate:
    """Compresses and inflates the messages of one socket."""

    __slots__ = ("_deflate", "_forgets_in", "_forgets_out", "_in_bits", "_inflate", "_out_bits")

    def __init__(self, answer: str) -> None:
        """`answer` is the server's extension header. Raises ProtocolViolation."""
        self._in_bits = 15
        self._out_bits = _WINDOW_BITS
        self._forgets_in = self._forgets_out = False
        name, *parameters = [part.strip() for part in answer.split(";")]
        if name != "permessage-deflate" or "," in answer:
            raise _unacceptable(answer)
        seen: set[str] = set()
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            key, value = key.strip(), value.strip().strip('"')
            if key in seen:
                raise _unacceptable(answer)
            seen.add(key)
            if key == "server_no_context_takeover" and not value:
                self._forgets_in = True
            elif key == "client_no_context_takeover" and not value:
                self._forgets_out = True
            elif key == "server_max_window_bits" and _BITS.fullmatch(value):
                self._in_bits = int(value)
            elif key == "client_max_window_bits" and _BITS.fullmatch(value):
                self._out_bits = min(int(value), _WINDOW_BITS)
            else:
                raise _unacceptable(answer)
        if self._out_bits == 8:  # zlib has no such window, and 9 would break the agreement.
            raise _unacceptable(answer)
        self._deflate = self._compressor()
        self._inflate = zlib.decompressobj(-max(self._in_bits, 9))

    def compress(self, payload: bytes) -> bytes:
        """A whole message as it goes on the wire."""
        codec = self._deflate
        packed = codec.compress(payload) + codec.flush(zlib.Z_SYNC_FLUSH)
        if self._forgets_out:
            self._deflate = self._compressor()
        return packed[:-4]

    def inflate(self, packed: bytes, limit: int) -> bytes:
        """A whole message as it was. Raises TooLarge past `limit` bytes, or ProtocolViolation."""
        codec = self._inflate
        try:
            payload = codec.decompress(packed + _TAIL, limit + 1)
        except zlib.error as error:
            raise ProtocolViolation(
                f"a compressed message cannot be inflated: {visible(error)}"
            ) from None
        if len(payload) > limit or codec.unconsumed_tail:
            raise TooLarge(f"an inflated message passes {limit} bytes")
        if self._forgets_in or codec.eof:
            self._inflate = zlib.decompressobj(-max(self._in_bits, 9))
        return payload

    def _compressor(self) -> zlib._Compress:
        return zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self._out_bits, _MEMORY_LEVEL
        )


def _unacceptable(answer: str) -> ProtocolViolation:
    return ProtocolViolation(f"the server agreed to an extension not offered: {visible(answer)}")

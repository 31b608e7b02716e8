"""Request bodies that are sent while they are made: what they have in common, and async iterables.

Must not know connections: the client writes the pieces and minds backpressure.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

from chaperon_engine.errors import InvalidRequest


class UploadBody(Protocol):
    """A request body in pieces."""

    @property
    def length(self) -> int | None:
        """Exact size in bytes; None: sent chunked."""

    @property
    def replayable(self) -> bool:
        """Whether it can be sent a second time."""

    def pieces(self) -> AsyncIterator[bytes]:
        """What goes on the wire, chunk framing included."""


class IterableBody:
    """An async iterable of bytes, sent chunked as it yields. Can be sent once only."""

    length = None
    replayable = False

    def __init__(self, source: AsyncIterable[bytes], *, compress: bool) -> None:
        self._source = source
        self._compress = compress

    async def pieces(self) -> AsyncIterator[bytes]:
        codec = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16) if self._compress else None
        async for piece in self._source:
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise InvalidRequest(f"body yielded {type(piece).__name__} instead of bytes")
            data = bytes(piece) if codec is None else codec.compress(piece)
            # An empty chunk would end the body.
            if data:
                yield b"%x\r\n%b\r\n" % (len(data), data)
        rest = codec.flush() if codec is not None else b""
        yield (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"

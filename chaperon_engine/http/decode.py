"""Content codings of replies: gzip, deflate, br, zstd; in bounded steps, with a cap. Pure.

8 KB of zstd can stand for 256 MiB: no step of a decoder may produce more than a few megabytes
before the cap is checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

from chaperon_engine.errors import DecodeError, TooLarge
from chaperon_engine.http.headers import Headers
from chaperon_engine.http.rules import Rules
from chaperon_engine.text import visible

ACCEPT_ENCODING = "gzip, deflate, br, zstd"

STEP_BYTES = 64 * 1024
"""Output of one step of a decoder that can be told so."""
_ZSTD_INPUT = 128
"""Input of one step of zstd, which cannot: a block of 4 bytes may stand for 128 KiB."""
_ZSTD_WINDOW = 64 * 1024 * 1024
_MAX_CODINGS = 3


class _Coding(Protocol):
    def steps(self, data: bytes) -> Iterator[bytes]:
        """Decodes more input; each piece is bounded. Raises the library's own error."""

    @property
    def ended(self) -> bool:
        """Whether the coded data is complete."""


class _Zlib:
    """gzip (several members too) and deflate, which servers send with or without zlib's head."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._codec = zlib.decompressobj(wbits)
        self._first = True

    def steps(self, data: bytes) -> Iterator[bytes]:
        if self._first and self._wbits == zlib.MAX_WBITS and data:
            self._first = False
            if data[0] & 0x0F != 8:
                self._codec = zlib.decompressobj(-zlib.MAX_WBITS)
        while data:
            if self._codec.eof:
                self._codec = zlib.decompressobj(self._wbits)
            yield self._codec.decompress(data, STEP_BYTES)
            data = self._codec.unconsumed_tail or self._codec.unused_data
        while piece := self._drain():
            yield piece

    def _drain(self) -> bytes:
        return b"" if self._codec.eof else self._codec.decompress(b"", STEP_BYTES)

    @property
    def ended(self) -> bool:
        return self._codec.eof


class _Brotli:
    def __init__(self) -> None:
        self._codec = brotli.Decompressor()

    def steps(self, data: bytes) -> Iterator[bytes]:
        piece = self._codec.process(data, output_buffer_limit=STEP_BYTES)
        while piece:
            yield piece
            if self._codec.is_finished():
                return
            piece = self._codec.process(b"", output_buffer_limit=STEP_BYTES)

    @property
    def ended(self) -> bool:
        return bool(self._codec.is_finished())


class _Zstd:
    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._codec = self._context.decompressobj()

    def steps(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_INPUT):
            part = data[start : start + _ZSTD_INPUT]
            while part:
                if self._codec.eof:
                    self._codec = self._context.decompressobj()
                yield self._codec.decompress(part)
                part = self._codec.unused_data

    @property
    def ended(self) -> bool:
        return bool(self._codec.eof)


_CODINGS: dict[str, Callable[[], _Coding]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}
_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


class Decoder:
    """Undoes the codings of one body, in the reverse of the order in which they were applied."""

    def __init__(self, names: list[str], max_decoded_bytes: int) -> None:
        if len(names) > _MAX_CODINGS:
            raise DecodeError(f"the reply has {len(names)} content codings, {_MAX_CODINGS} at most")
        self._codings: list[tuple[str, _Coding]] = []
        for name in reversed(names):
            make = _CODINGS.get(name)
            if make is None:
                raise DecodeError(f"the reply has the unknown content coding {visible(name)}")
            self._codings.append((name, make()))
        self._left = max_decoded_bytes
        self._limit = max_decoded_bytes

    def steps(self, data: bytes) -> Iterator[bytes]:
        """Decodes more input, piece by piece. Raises DecodeError or TooLarge."""
        for piece in self._through(0, data):
            self._left -= len(piece)
            if self._left < 0:
                raise TooLarge(f"the decoded body of the reply passes {self._limit} bytes")
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises DecodeError when the coded data is not complete."""
        for name, coding in self._codings:
            if not coding.ended:
                raise DecodeError(f"the {name} body of the reply ends too early")

    def _through(self, level: int, data: bytes) -> Iterator[bytes]:
        if level == len(self._codings):
            yield data
            return
        name, coding = self._codings[level]
        steps = coding.steps(data)
        while True:
            try:
                piece = next(steps, None)
            except _ERRORS as error:
                raise DecodeError(
                    f"the body of the reply is not valid {name}: {visible(error)}"
                ) from None
            if piece is None:
                return
            yield from self._through(level + 1, piece)


def decoder_for(headers: Headers, rules: Rules) -> Decoder | None:
    """A decoder for a reply's Content-Encoding; None when there is nothing to undo."""
    names = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
    names = [name for name in names if name and name != "identity"]
    return Decoder(names, rules.max_decoded_bytes) if names else None


def decode_body(body: bytes, headers: Headers, rules: Rules) -> bytes:
    """A complete body without its codings. Raises DecodeError or TooLarge."""
    if not body:
        return body
    decoder = decoder_for(headers, rules)
    if decoder is None:
        return body
    decoded = b"".join(decoder.steps(body))
    decoder.finish()
    return decoded

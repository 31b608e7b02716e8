"""Framing: a u32 length (big endian) and that many bytes of msgpack, a tagged union. Sans-I/O.

Owns: encoding, the incremental decoder, the cap on a frame's length. Must not know: sockets, or
what a message makes anybody do. Bytes come from other processes and are not trusted: whatever is
not a valid message of the expected union raises `ProtocolError`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from chaperon_engine.errors import EngineError
from chaperon_engine.protocol.messages import (
    MAX_FRAME_BYTES,
    FromClient,
    FromEngine,
    FromWorker,
    Message,
    ToWorker,
)

HEADER_BYTES = 4

Received = TypeVar("Received")
"""The union of messages that one side of a conversation may send."""


class ProtocolError(EngineError):
    """A peer sent what is no message of this conversation; the connection must end."""


_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """One message as a frame. Raises ProtocolError when it is longer than the cap."""
    buffer = bytearray(HEADER_BYTES)
    _ENCODER.encode_into(message, buffer, HEADER_BYTES)
    length = len(buffer) - HEADER_BYTES
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"{type(message).__name__} of {length:,} bytes is over the cap")
    buffer[:HEADER_BYTES] = length.to_bytes(HEADER_BYTES, "big")
    return bytes(buffer)


class MessageDecoder(Generic[Received]):
    """Bytes in, in pieces of any size; messages out. After an error it must not be fed again."""

    def __init__(self, union: Any, *, max_frame_bytes: int = MAX_FRAME_BYTES):
        self._decoder = msgspec.msgpack.Decoder(union)
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Received]:
        """The messages that `data` completes. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        messages: list[Received] = []
        position = 0
        while len(buffer) - position >= HEADER_BYTES:
            length = int.from_bytes(buffer[position : position + HEADER_BYTES], "big")
            if length > self._max_frame_bytes:
                raise ProtocolError(f"a frame of {length:,} bytes is over the cap")
            end = position + HEADER_BYTES + length
            if len(buffer) < end:
                break
            messages.append(self._decode(bytes(buffer[position + HEADER_BYTES : end])))
            position = end
        del buffer[:position]
        return messages

    def _decode(self, body: bytes) -> Received:
        try:
            message: Received = self._decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError, MemoryError) as error:
            raise ProtocolError(f"not a message of this conversation: {error}") from None
        return message


def to_worker_decoder() -> MessageDecoder[ToWorker]:
    """For a worker: what the coordinator says."""
    return MessageDecoder(ToWorker)


def from_worker_decoder() -> MessageDecoder[FromWorker]:
    """For the coordinator: what a worker says."""
    return MessageDecoder(FromWorker)


def from_client_decoder() -> MessageDecoder[FromClient]:
    """For the engine: what a client says. Its messages are short."""
    return MessageDecoder(FromClient, max_frame_bytes=64 * 1024)


def from_engine_decoder() -> MessageDecoder[FromEngine]:
    """For a client: what the engine says."""
    return MessageDecoder(FromEngine)

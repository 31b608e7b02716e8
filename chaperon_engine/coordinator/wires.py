"""The connections below viewers: the unix socket of this host, and TLS links to other machines.

Must not know: what a viewer may ask, or what it is told.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from typing import Protocol, cast

from chaperon_engine.coordinator.viewer import Viewer, Wire
from chaperon_engine.protocol.codec import ProtocolError, encode, from_client_decoder
from chaperon_engine.protocol.messages import Message
from chaperon_engine.remote.link import ViewerLink


class Reception(Protocol):
    """Who takes connections of this host."""

    def admit(self, wire: Wire) -> Viewer | None:
        """A viewer for a new connection; None: there is no room."""
        ...

    def remove(self, viewer: Viewer) -> None: ...

    def now(self) -> float: ...


class UnixWire(asyncio.Protocol):
    """One connection to the unix socket."""

    def __init__(self, reception: Reception):
        self._reception = reception
        self._decoder = from_client_decoder()
        self._viewer: Viewer | None = None

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self._transport = cast(asyncio.Transport, transport)
        if _is_ours(self._transport):
            self._viewer = self._reception.admit(self)
        if self._viewer is None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        viewer = self._viewer
        if viewer is None or self.is_closing:
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolError as error:
            viewer.misunderstood(error)
            return
        for message in messages:
            viewer.hear(message, self._reception.now())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._viewer is not None:
            self._reception.remove(self._viewer)

    # what the viewer calls: see `viewer.Wire`

    @property
    def waiting_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def send(self, message: Message) -> None:
        self._transport.write(encode(message))

    def finish(self) -> None:
        self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()

    def abort(self, reason: str) -> None:
        self._transport.abort()


class LinkWire:
    """An authenticated link to another machine."""

    def __init__(self, link: ViewerLink):
        self._link = link

    @property
    def waiting_bytes(self) -> int:
        return self._link.waiting_bytes

    @property
    def is_closing(self) -> bool:
        return self._link.is_closed

    def send(self, message: Message) -> None:
        self._link.send(message)

    def finish(self) -> None:
        """TLS has no half that could be closed: the last snapshot says that it is the last."""

    def close(self) -> None:
        self._link.close()

    def abort(self, reason: str) -> None:
        self._link.abort(reason)


def _is_ours(transport: asyncio.Transport) -> bool:
    """Whether the peer is this user (or root). The directory's mode says the same again."""
    peer = transport.get_extra_info("socket")
    if not sys.platform.startswith("linux") or peer is None:
        return True
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (os.getuid(), 0)

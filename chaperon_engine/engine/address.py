"""`HOST:PORT` as people write it. Pure."""

from __future__ import annotations

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

WILDCARDS = frozenset({"0.0.0.0", "::"})
"""Addresses that mean every address of this machine: nobody can dial them."""


def address_of(text: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT` or `[HOST]:PORT`. Raises UserError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UserError(
            f"{visible(text)!r} is ambiguous: put the address of IPv6 in brackets, as in [::1]:7700"
        )
    if not colon or not host:
        raise UserError(
            f"{visible(text)!r} is no address to listen on: write HOST:PORT, such as "
            "192.0.2.10:7700, and port 0 for any free one; 0.0.0.0 listens on all addresses"
        )
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UserError(f"{visible(port)!r} in {visible(text)!r} is no port: it is 0 to 65535")
    return host, int(port)

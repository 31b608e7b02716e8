"""Which hosts may be loaded without a question: this machine and private networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """Host of a URL in lower case without brackets; empty if there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def is_near(host: str) -> bool | None:
    """True for loopback and private addresses, False for public ones, None for other names."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or address.is_private or address.is_link_local


def are_near(addresses: Iterable[str]) -> bool:
    """True if there are addresses and all of them are loopback or private."""
    known = list(addresses)
    return bool(known) and all(is_near(address) is True for address in known)

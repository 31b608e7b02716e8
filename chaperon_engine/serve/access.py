"""Who may come in: the token, and where a browser was sent from.

Pure. Must not know: HTTP servers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from chaperon_engine.client.queue_place import TOKEN_USER


class Token:
    """The secret, kept as a digest so that comparing takes the same time for any guess."""

    def __init__(self, token: str):
        self._digest = _digest(token.encode())

    def admits(self, authorization: str | None) -> bool:
        """Whether the header `Authorization` has it: `Basic` with chaperon:TOKEN, or `Bearer`."""
        user, secret = _credentials(authorization or "")
        same_user = hmac.compare_digest(_digest(user), _digest(TOKEN_USER.encode()))
        same_secret = hmac.compare_digest(_digest(secret), self._digest)
        return same_user and same_secret


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _credentials(authorization: str) -> tuple[bytes, bytes]:
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return TOKEN_USER.encode(), rest.encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(rest, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return b"", b""
        return user, secret
    return b"", b""


class Names:
    """The names under which this server may be called.

    A web page can make a browser send requests here under a name of its own that it points at this
    machine (DNS rebinding), but never under an address or under a name that is ours.
    """

    def __init__(self, names: Iterable[str]):
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    def is_ours(self, host: str | None) -> bool:
        """Whether the header `Host` names this server."""
        name = _host_name(host or "")
        if name is None:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True

    def allows_origin(self, origin: str | None, site: str | None, own: str) -> bool:
        """Whether a request may come from where its `Origin` and `Sec-Fetch-Site` say; `own` is
        scheme://host of the request itself. No browser, no such header."""
        if origin is not None and origin.lower() != own.lower():
            return False
        return site in (None, "same-origin", "none")


def _host_name(host: str) -> str | None:
    if not host or not host.isascii() or any(char in host for char in "/@\\?# \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - looked at for the ValueError of a port that is none
    except ValueError:
        return None
    return parts.hostname

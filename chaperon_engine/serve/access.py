"""Who may come in: the token, what happens after wrong ones, and where a browser was sent from.

Pure but for the clock that is handed in. Must not know: HTTP servers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from chaperon_engine.client.queue_place import TOKEN_USER
from chaperon_engine.clock import Clock

FREE_FAILURES = 3
"""Wrong tokens from one address that cost nothing: people mistype."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FORGET_AFTER_S = 900.0
MAX_ADDRESSES = 4096


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


@dataclass
class _Failures:
    count: int
    last_at: float

    @property
    def until(self) -> float:
        """The end of the wait; nothing from that address is looked at before."""
        over = self.count - FREE_FAILURES
        if over <= 0:
            return self.last_at
        return self.last_at + min(FIRST_WAIT_S * 2.0 ** min(over - 1, 30), LONGEST_WAIT_S)


class BackOff:
    """How long an address must wait after wrong tokens: 1, 2, 4 ... 60 s from the fourth on.

    The table is bounded; when it is full the address that failed longest ago is forgotten.
    """

    def __init__(self, clock: Clock):
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until a token from `address` is looked at again; 0 when it is at once."""
        found = self._failures.get(_network(address))
        if found is None:
            return 0.0
        now = self._clock.monotonic()
        if now - found.last_at > FORGET_AFTER_S:
            del self._failures[_network(address)]
            return 0.0
        return max(0.0, found.until - now)

    def failed(self, address: str) -> None:
        """A wrong token came from `address`."""
        key = _network(address)
        before = self._failures.pop(key, None)
        count = 1 if before is None else before.count + 1
        self._failures[key] = _Failures(count, self._clock.monotonic())
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """The right token came from `address`."""
        self._failures.pop(_network(address), None)


def _network(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 host can take addresses from at will."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


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

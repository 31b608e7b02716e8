"""Which addresses load may be aimed at when not all are. Pure.

Must not know: where the addresses come from, nor DNS: a name is allowed by what it is called.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from chaperon_engine.errors import InvalidRequest, UserError
from chaperon_engine.net.url import Origin, split_url
from chaperon_engine.text import visible

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PATTERN = re.compile(
    r"(?:(?P<scheme>https?|wss?)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\](?:/\d+)?|[A-Za-z0-9_.*?-]+(?:/\d+)?)"
    r"(?::(?P<port>\d+|\*))?/?"
)


@dataclass(frozen=True)
class Pattern:
    """One `--allow-target`: `[SCHEME://]HOST[:PORT]`; the host may have `*`, or be a network."""

    text: str
    scheme: str
    """`http` or `https` (so ws and wss); empty: either."""
    host: str
    """A name in lower case, perhaps with `*` and `?`; empty when it is a network."""
    network: _Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises UserError with an example."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise UserError(_wrong(text))
        host = match["host"].lower()
        network: _Network | None = None
        try:
            network = ipaddress.ip_network(host.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            if "/" in host or "[" in host:
                raise UserError(_wrong(text)) from None
        port = None if match["port"] in (None, "*") else int(match["port"])
        if port is not None and not 0 < port < 65536:
            raise UserError(_wrong(text))
        scheme = {"ws": "http", "wss": "https"}.get(match["scheme"] or "", match["scheme"] or "")
        name = "" if network is not None else host.rstrip(".")
        return cls(text, scheme, name, network, port)

    def matches(self, origin: Origin) -> bool:
        """Whether this pattern allows that address."""
        if self.scheme and self.scheme != origin.scheme:
            return False
        if self.port is not None and self.port != origin.port:
            return False
        try:
            address = ipaddress.ip_address(origin.host)
        except ValueError:
            address = None
        if self.network is not None:
            return address is not None and address in self.network
        return fnmatch.fnmatchcase(origin.host.rstrip("."), self.host)


def _exactly(origin: Origin) -> str:
    """The pattern of this origin and no other: with the port, also where it is the scheme's."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{origin.scheme}://{host}:{origin.port}"


def _wrong(text: str) -> str:
    return (
        f"--allow-target {visible(text, 100)!r} is no pattern of addresses; write HOST, HOST:PORT, "
        "*.example.com, https://HOST or a network such as 10.1.0.0/16"
    )


LOOPBACK = tuple(Pattern.parse(text) for text in ("127.0.0.0/8", "[::1]", "localhost"))
"""What is allowed without being said."""


class AllowedTargets:
    """Loopback and what the operator allows."""

    def __init__(self, patterns: Iterable[str] = ()):
        """Raises UserError for what is no pattern."""
        self._patterns = (*LOOPBACK, *(Pattern.parse(text) for text in patterns))

    def allows(self, url: str, own: frozenset[Origin] = frozenset()) -> bool:
        """Whether load may be aimed at `url`; `own` are the services of the file itself.

        What is no URL that the clients would take is not allowed either.
        """
        try:
            origin, _ = split_url(url, "base_url")
        except InvalidRequest:
            return False
        return origin in own or self.allows_origin(origin)

    def allows_origin(self, origin: Origin) -> bool:
        """Whether load may be aimed at this origin."""
        return any(pattern.matches(origin) for pattern in self._patterns)

    def check(self, origin: Origin, service: str) -> None:
        """Raises InvalidRequest when load must not be aimed at this origin of a service."""
        if not self.allows_origin(origin):
            place = visible(origin)
            where = place if service == place else f"service {visible(service)} at {place}"
            raise InvalidRequest(
                f"{where} is not among the addresses that this run may load; "
                "the operator of its queue allows more with --allow-target"
            )

    def texts(self, own: frozenset[Origin] = frozenset()) -> list[str]:
        """What `AllowedTargets` takes, to allow the same and `own`."""
        return [*(pattern.text for pattern in self._patterns), *sorted(map(_exactly, own))]

"""Which addresses somebody outside may aim load at. Pure.

Must not know: where the addresses come from, nor DNS: a name is allowed by what it is called.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaperon_engine.errors import InvalidRequest, UserError
from chaperon_engine.net.url import Origin, split_url
from chaperon_engine.text import visible

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PATTERN = re.compile(
    r"(?:(?P<scheme>https?|wss?)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\](?:/\d+)?|[A-Za-z0-9_.*?-]+(?:/\d+)?)"
    r"(?::(?P<port>\d+|\*))?/?"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}")
_FILES = ("ca_file", "cert_file", "key_file")
MAX_DEPTH = 32


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
        self._patterns = (*LOOPBACK, *(Pattern.parse(text) for text in patterns))

    def allows(self, url: str, own: frozenset[Origin] = frozenset()) -> bool:
        """Whether load may be aimed at `url`; `own` are the services of the file itself.

        What is no URL that the clients would take is not allowed either.
        """
        try:
            origin, _ = split_url(url, "base_url")
        except InvalidRequest:
            return False
        return origin in own or any(pattern.matches(origin) for pattern in self._patterns)


def origins(urls: Iterable[str]) -> frozenset[Origin]:
    """The origins of URLs; what is no URL is left out."""
    found = set()
    for url in urls:
        try:
            found.add(split_url(url, "base_url")[0])
        except InvalidRequest:
            continue
    return frozenset(found)


def urls_within(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(where, URL) of every text below `value` that has a URL in it, at any depth, keys as well.

    A setting, a population's config or a scenario's own key: whatever a URL is called, a scenario
    may aim at it. Only a space ends a URL: other signs some clients skip, and aim elsewhere.
    """
    for where, text in _texts(value, path, 0):
        for match in _SCHEME.finditer(text):
            yield where, text[match.start() :].partition(" ")[0]


def files_within(value: Any, path: str, *, inside: str = "") -> Iterator[str]:
    """Where below `value` a TLS setting names a file."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            where = f"{path}.{key}"
            if inside == "tls" and key in _FILES:
                yield where
            yield from files_within(item, where, inside=str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from files_within(item, f"{path}[{number}]", inside=inside)


def _texts(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        raise UserError(f"{visible(path, 100)} is nested too deeply")
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]", depth + 1)

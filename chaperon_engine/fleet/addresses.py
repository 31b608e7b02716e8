"""Names of hosts and addresses of schedulers as people write them. Pure.

A host's name becomes an argument of `ssh`, and may be put into commands by its configuration
(`%h`): it has letters, digits and little else, and never looks like an option.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

MAX_NAME = 64
"""Of an agent."""
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}"
_HOST = re.compile(
    rf"(?:(?P<user>{_NAME})@)?(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>{_NAME}))(?::(?P<port>\d+))?"
)


@dataclass(frozen=True)
class Host:
    """A host that ssh reaches."""

    text: str
    """As it was written."""
    destination: str
    """`[USER@]HOST` for ssh."""
    port: int | None

    @property
    def name(self) -> str:
        """Of its agent."""
        return self.text if len(self.text) <= MAX_NAME else self.text[: MAX_NAME - 1] + "…"


def hosts_of(text: str) -> list[Host]:
    """The hosts of `HOST,[USER@]HOST:PORT,...`, each once. Raises UserError."""
    found: list[Host] = []
    for word in text.split(","):
        host = _host_of(word)
        if any(each.text == host.text or each.name == host.name for each in found):
            raise UserError(f"--fleet names {visible(word, 100)} twice: a host has one agent")
        found.append(host)
    return found


def _host_of(word: str) -> Host:
    match = _HOST.fullmatch(word)
    wrong = f"--fleet: {visible(word, 100)!r} is no host for ssh"
    if word.startswith("-") or "@-" in word:
        raise UserError(f"{wrong}: a name that begins with `-` would be an option")
    if match is None:
        raise UserError(
            f"{wrong}: write ssh://HOST,USER@HOST,HOST:PORT with letters, digits, `.`, `_` and "
            "`-`; an address of IPv6 goes in brackets"
        )
    host = match["host"] or match["ipv6"]
    if match["ipv6"] and not _is_ipv6(match["ipv6"]):
        raise UserError(f"{wrong}: {visible(host, 60)} is no address of IPv6")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"{wrong}: a port is 1 to 65535")
    return Host(word, f"{match['user']}@{host}" if match["user"] else host, port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def scheduler_of(text: str) -> str:
    """`tls://HOST:PORT` or `tcp://HOST:PORT` of what follows `dask://`. Raises UserError: also for
    a connection without TLS that would leave this machine."""
    scheme, mark, rest = text.rpartition("://")
    scheme = scheme if mark else "tcp"
    wrong = f"--fleet: {visible(text, 100)!r} is no address of a dask scheduler"
    how = "write dask://tls://HOST:PORT, or dask://HOST:PORT for one on this machine"
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if scheme not in ("tcp", "tls") or not host or not port or parts.netloc != rest:
        raise UserError(f"{wrong}: {how}")
    if "@" in rest or not re.fullmatch(r"[A-Za-z0-9_.:-]+", host) or host.startswith("-"):
        raise UserError(f"{wrong}: {how}")
    if scheme == "tcp" and not is_loopback(host):
        raise UserError(
            f"--fleet: the dask scheduler {visible(host, 100)} would be spoken to without TLS, and "
            "whoever listens could take part in the run and run code on its hosts: start it with "
            "certificates, and write dask://tls://HOST:PORT"
        )
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nothing that is said to it leaves this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

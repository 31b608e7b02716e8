"""Opens connections: name resolution, TCP and TLS, each measured apart.

Must not know what is spoken on them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import (
    ActionError,
    ConnectFailed,
    ConnectTimeout,
    DnsError,
    TlsTimeout,
)
from chaperon_engine.net.faults import not_connected, not_resolved, not_secured, own_limit
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.net.endpoint import Endpoint

DNS_TTL_S = 60.0
"""How long addresses of a name are believed."""

Address = tuple[int, Any]
"""Address family and what `connect` takes."""


class Wire(Protocol):
    """The asyncio protocol of a connection to be; it keeps the transport that it gets."""

    @property
    def transport(self) -> object:
        """None until the connection is made."""


class Dialled(NamedTuple):
    """What a new connection took, in nanoseconds."""

    dns_ns: int
    connect_ns: int
    tls_ns: int


class Resolver:
    """Addresses of host names, asked for once per worker and minute."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    def known(self, host: str, port: int) -> list[Address] | None:
        """Addresses that need no question: of a literal, or believed from before."""
        entry = self._known.get((host, port))
        if entry is not None and entry[0] > self._loop.time():
            return entry[1]
        literal = _literal(host, port)
        if literal is not None:
            self._known[host, port] = (float("inf"), [literal])
            return [literal]
        return None

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Addresses of a name in the order to try them. Raises DnsError or GeneratorExhausted."""
        key = (host, port)
        task = self._asking.get(key)
        if task is None:
            # A task of its own: the one who asked first may be cancelled while others wait.
            task = self._asking[key] = self._loop.create_task(self._ask(host, port))
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stops asking."""
        for task in self._asking.values():
            task.cancel()

    async def _ask(self, host: str, port: int) -> list[Address]:
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise not_resolved(error, host) from None
        addresses: list[Address] = []
        for family, _, _, _, address in found:
            if (family, address) not in addresses:
                addresses.append((family, address))
        if not addresses:
            raise DnsError(f"the host name {visible(host)} has no address")
        return addresses

    def _asked(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            self._known[key] = (self._loop.time() + DNS_TTL_S, task.result())


async def dial(endpoint: Endpoint, wire: Wire) -> Dialled:
    """Connects `wire`, an asyncio protocol. Raises ActionError.

    When it raises and `wire` has its transport already, who called must abort that.
    """
    start = now_ns()
    kind = "dns"
    network = endpoint.network
    try:
        async with asyncio.timeout(endpoint.connect_timeout_s):
            addresses = network.resolver.known(endpoint.host, endpoint.port)
            dns_ns = 0
            if addresses is None:
                addresses = await network.resolver.resolve(endpoint.host, endpoint.port)
                dns_ns = now_ns() - start
                endpoint.series("dns").record_ns(dns_ns)
            kind, start = "connect", now_ns()
            sock = await _connect_any(endpoint, addresses)
    except TimeoutError:
        error: ActionError = ConnectTimeout(
            f"no connection to {endpoint.where} within {endpoint.connect_timeout_s:g} s"
        )
        endpoint.series(kind).failed(now_ns() - start, error.code)
        raise error from None
    except ActionError as failure:
        endpoint.series(kind).failed(now_ns() - start, failure.code)
        raise
    connect_ns = now_ns() - start
    endpoint.series("connect").record_ns(connect_ns)
    try:
        if endpoint.tls is None:
            await network.loop.create_connection(lambda: _protocol(wire), sock=sock)
            return Dialled(dns_ns, connect_ns, 0)
        start = now_ns()
        await _secure(endpoint, wire, sock, start)
    except BaseException:
        if wire.transport is None:
            sock.close()
        raise
    tls_ns = now_ns() - start
    endpoint.series("tls").record_ns(tls_ns)
    return Dialled(dns_ns, connect_ns, tls_ns)


def _protocol(wire: Wire) -> asyncio.Protocol:
    return cast("asyncio.Protocol", wire)


async def _secure(endpoint: Endpoint, wire: Wire, sock: socket.socket, start: int) -> None:
    error: ActionError
    try:
        async with asyncio.timeout(endpoint.tls_timeout_s):
            await endpoint.network.loop.create_connection(
                lambda: _protocol(wire),
                sock=sock,
                ssl=endpoint.tls,
                server_hostname=endpoint.server_name,
                # Ours ends first; the loop's own would not tell a time-out from a lost connection.
                ssl_handshake_timeout=endpoint.tls_timeout_s + 5,
            )
        return
    except TimeoutError:
        error = TlsTimeout(
            f"no TLS handshake with {endpoint.where} within {endpoint.tls_timeout_s:g} s"
        )
    except (OSError, ssl.SSLError, EOFError, ValueError) as failure:
        error = not_secured(failure, endpoint.where)
    endpoint.series("tls").failed(now_ns() - start, error.code)
    raise error from None


async def _connect_any(endpoint: Endpoint, addresses: list[Address]) -> socket.socket:
    """A connected socket to the first address that answers."""
    failure: ActionError | None = None
    for family, address in addresses:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            failure = own_limit(error) or not_connected(error, endpoint.where)
            continue
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await endpoint.network.loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = not_connected(error, endpoint.where)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or ConnectFailed(f"{endpoint.where} has no address")


def _literal(host: str, port: int) -> Address | None:
    bare, _, zone = host.partition("%")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if address.version == 4:
        return socket.AF_INET, (host, port)
    try:
        scope = socket.if_nametoindex(zone) if zone else 0
    except OSError:
        return None
    return socket.AF_INET6, (bare, port, 0, scope)

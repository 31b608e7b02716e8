"""Before the load: one connection to each service, so that a typing error costs no run.

Must not know: sessions, metrics. Nothing is sent beyond the TLS handshake, nothing is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from urllib.parse import urlsplit

from chaperon_engine.definition.resolved import ResolvedService, ResolvedTest
from chaperon_engine.errors import InvalidRequest, UserError
from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.net.url import split_url
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

MAX_WAIT_S = 10.0
"""A service that needs longer to accept a connection is not reachable, whatever its time-outs."""


def refuse_elsewhere(test: ResolvedTest, allowed: AllowedTargets) -> None:
    """Raises UserError for a service that this run must not load."""
    for population in test.populations:
        for service in population.services.values():
            if service.base_url:
                what = f"the base_url of service {visible(service.name)}"
                try:
                    allowed.check(split_url(service.base_url, what)[0], service.name)
                except InvalidRequest as error:
                    raise UserError(str(error)) from None


async def check_services(test: ResolvedTest) -> None:
    """Connect to every service that a population uses. Raises UserError that names the first
    service which cannot be reached, its URL and the reason."""
    found: dict[tuple[str, str], ResolvedService] = {}
    for population in test.populations:
        for service in population.services.values():
            found.setdefault((service.name, service.base_url), service)
    results = await asyncio.gather(
        *(_reach(service) for service in found.values()), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _reach(service: ResolvedService) -> None:
    wait_s = min(service.connect_timeout_s + service.tls_timeout_s, MAX_WAIT_S)
    try:
        async with asyncio.timeout(wait_s):
            await _connect(service)
    except TimeoutError:
        raise _unreachable(service, f"no answer within {show_duration(wait_s)}") from None
    except ssl.SSLCertVerificationError as error:
        raise _unreachable(
            service, f"its certificate is not trusted ({error.verify_message})"
        ) from None
    except ssl.SSLError as error:
        raise _unreachable(service, f"the TLS handshake failed ({error.reason})") from None
    except socket.gaierror as error:
        raise _unreachable(service, f"its name cannot be resolved ({error.strerror})") from None
    except ConnectionRefusedError:
        raise _unreachable(service, "the connection was refused") from None
    except (OSError, ValueError) as error:
        raise _unreachable(service, str(error)) from None


async def _connect(service: ResolvedService) -> None:
    url = urlsplit(service.base_url)
    secure = url.scheme in ("https", "wss")
    port = url.port or (443 if secure else 80)
    host = url.hostname or ""
    if not secure:
        _, writer = await asyncio.open_connection(_ascii(host), port)
    else:
        _, writer = await asyncio.open_connection(
            _ascii(host),
            port,
            ssl=_tls_context(service),
            server_hostname=service.tls.server_name or _ascii(host),
        )
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _tls_context(service: ResolvedService) -> ssl.SSLContext:
    tls = service.tls
    context = ssl.create_default_context(cafile=None if tls.ca_file is None else str(tls.ca_file))
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _unreachable(service: ResolvedService, reason: str) -> UserError:
    return UserError(
        f"service {visible(service.name)} at {visible(service.base_url)} cannot be reached: "
        f"{visible(reason)}; start it, correct its URL, or skip this check with --no-preflight"
    )

"""Maps what sockets, TLS and resolvers raise to the errors of Chaperon. Pure.

`where` is already fit for a terminal.
"""

from __future__ import annotations

import errno
import socket
import ssl

from chaperon_engine.errors import (
    ActionError,
    ConnectFailed,
    ConnectionRefused,
    ConnectTimeout,
    DnsError,
    GeneratorExhausted,
    TlsError,
    TlsVerificationError,
)
from chaperon_engine.text import visible


def own_limit(error: OSError) -> GeneratorExhausted | None:
    """The limit of this machine that the error speaks of, if it does."""
    if error.errno == errno.EADDRNOTAVAIL:
        return GeneratorExhausted(
            "generator_ports", "this machine has no free local port for another connection"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return GeneratorExhausted(
            "generator_descriptors", "this machine allows no further open files (see ulimit -n)"
        )
    if error.errno in (errno.ENOMEM, errno.ENOBUFS):
        return GeneratorExhausted(
            "generator_memory", "this machine has no memory for another connection"
        )
    return None


def not_resolved(error: Exception, host: str) -> ActionError:
    """The error for a host name without an address."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        limit = own_limit(error)
        if limit is not None:
            return limit
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DnsError(f"the host name {visible(host)} cannot be resolved: {visible(why)}")


def not_connected(error: OSError, where: str) -> ActionError:
    """The error for a TCP connection that could not be made."""
    limit = own_limit(error)
    if limit is not None:
        return limit
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(f"{where} refused the connection")
    if isinstance(error, TimeoutError):
        return ConnectTimeout(f"{where} did not answer before the system gave up")
    return ConnectFailed(f"{where} cannot be reached: {visible(error.strerror or error)}")


def not_secured(error: Exception, where: str) -> ActionError:
    """The error for a TLS handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        return TlsVerificationError(f"the certificate of {where} is not accepted: {visible(why)}")
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        limit = own_limit(error)
        if limit is not None:
            return limit
    return TlsError(f"the TLS handshake with {where} failed: {visible(tls_reason(error))}")


def tls_reason(error: Exception) -> str:
    """Why TLS failed, in words; foreign text."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, (ConnectionError, EOFError)):
        return "the server closed the connection"
    return str(error) or type(error).__name__

"""TLS contexts: one for each different setting in a worker, because loading authorities is slow."""

from __future__ import annotations

import ssl

from chaperon_engine.definition.model import Tls
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible


class TlsContexts:
    """Makes and keeps the contexts of one worker."""

    def __init__(self) -> None:
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    def context(self, tls: Tls, service: str) -> ssl.SSLContext:
        """The context for these settings. Raises UserError that names the service and file."""
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = _make(tls, service)
        return context


def _make(tls: Tls, service: str) -> ssl.SSLContext:
    place = f"the tls setting of service {visible(service)}"
    try:
        context = ssl.create_default_context(cafile=None if tls.ca_file is None else tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"{place}: the authorities in {visible(tls.ca_file)} cannot be read: {_why(error)}"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        try:
            # A password would be asked for on the terminal, which a worker does not have.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                f"{place}: the client certificate {visible(tls.cert_file)} or its key cannot be "
                f"read: {_why(error)}"
            ) from None
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return visible((error.reason or "not a valid PEM file").replace("_", " ").lower())
    return visible(error.strerror or error)

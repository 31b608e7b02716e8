"""Maps what connections and the parser raise in an exchange to the errors of Chaperon. Pure.

`about` is already fit for a terminal.
"""

from __future__ import annotations

import ssl

from httptools import HttpParserError

from chaperon_engine.errors import ActionError, ConnectionLost, ProtocolViolation, TlsError
from chaperon_engine.net.faults import own_limit, tls_reason
from chaperon_engine.text import visible


def reply_lost(error: Exception | None, about: str) -> ActionError:
    """The error for a connection that ended before any byte of the reply."""
    if isinstance(error, ssl.SSLError):
        # TLS 1.3: a server that wants a client certificate says so after our handshake is done.
        return TlsError(
            f"the server ended TLS without a reply: {visible(tls_reason(error))}: {about}"
        )
    if isinstance(error, OSError):
        limit = own_limit(error)
        if limit is not None:
            return limit
    how = "closed" if error is None else "reset"
    return ConnectionLost(f"the connection was {how} before any byte of the reply: {about}")


def invalid_reply(error: Exception, about: str) -> ActionError:
    """The error for a reply that the parser, or a check of ours inside it, refused."""
    if isinstance(error.__context__, ActionError):
        cause = error.__context__
        return type(cause)(f"{cause}: {about}")
    if isinstance(error, HttpParserError):
        return ProtocolViolation(f"the reply is not valid HTTP ({visible(error)}): {about}")
    raise error

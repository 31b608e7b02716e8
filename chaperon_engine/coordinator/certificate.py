"""What a coordinator shows to who dials: a certificate of its own, or one of the user's authority.

Owns: keys, TLS settings, the pin, the join line. Must not know: connections.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """A server's side of TLS 1.3."""

    context: ssl.SSLContext
    fingerprint: bytes
    """SHA-256 of the certificate in DER form."""
    is_pinned: bool
    """Whoever dials must know the fingerprint: no authority signed it."""

    @property
    def pin(self) -> str:
        """`sha256:` and the fingerprint in hexadecimal."""


def self_signed(run_id: str, folder: Path) -> Credentials:
    """A new key and certificate for one run. The key is never on disk in the clear; `folder` is
    private and holds it encrypted for a moment."""


def of_authority(certificate: Path, key: Path | None, client_ca: Path | None) -> Credentials:
    """A certificate of the user's own (PEM); with `client_ca` clients must show one that this
    authority signed. Raises UserError."""


def join_line(host: str, port: int, run_id: str, credentials: Credentials, token_file: str) -> str:
    """The command that attaches another machine; `token_file` as it is called there."""

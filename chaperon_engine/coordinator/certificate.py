"""What a coordinator shows to who dials: a certificate of its own, or one of the user's authority.

Owns: keys, TLS settings, the pin, the join line. Must not know: connections.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

VALID = timedelta(days=30)
"""Whoever pins a certificate does not ask; clocks of two machines may differ by days."""
_FIRST_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Credentials:
    """A server's side of TLS 1.3."""

    context: ssl.SSLContext
    fingerprint: bytes
    """SHA-256 of the certificate in DER form."""
    is_pinned: bool
    """Whoever dials must know the fingerprint: no authority signed it."""
    is_mutual: bool = False
    """Whoever dials must show a certificate."""

    @property
    def pin(self) -> str:
        """`sha256:` and the fingerprint in hexadecimal."""
        return f"sha256:{self.fingerprint.hex()}"


def self_signed(run_id: str, folder: Path) -> Credentials:
    """A new key and certificate for one run. The key is never on disk in the clear: Python takes
    keys from files only, so `folder`, a private one, holds it encrypted for a moment.

    Raises OSError.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, run_id[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    password = secrets.token_bytes(32).hex()
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
    )
    context = _context()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".listener-") as file:
        file.write(certificate.public_bytes(Encoding.PEM) + private)
        file.flush()
        context.load_cert_chain(file.name, password=password)
    der = certificate.public_bytes(Encoding.DER)
    return Credentials(context, hashlib.sha256(der).digest(), is_pinned=True)


def of_authority(certificate: Path, key: Path | None, client_ca: Path | None) -> Credentials:
    """A certificate of the user's own (PEM); with `client_ca` clients must show one that this
    authority signed. Raises UserError."""
    context = _context()
    try:
        first = _FIRST_BLOCK.search(certificate.read_bytes())
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise UserError(
            f"the certificate {visible(certificate)} with its key "
            f"{visible(key or certificate)} cannot be used: {_cause(error)}"
        ) from None
    if first is None:
        raise UserError(f"{visible(certificate)} holds no certificate in PEM form")
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise UserError(
                f"the authority {visible(client_ca)} cannot be used: {_cause(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    der = ssl.PEM_cert_to_DER_cert(first[0].decode("ascii", "replace"))
    return Credentials(context, hashlib.sha256(der).digest(), False, client_ca is not None)


def join_line(host: str, port: int, run_id: str, credentials: Credentials, token_file: str) -> str:
    """The command that attaches another machine; `token_file` as it is called there."""
    words = ["chaperon", "worker", "join", *_how(host, port, run_id, credentials)]
    return shlex.join([*words, "--token-file", token_file])


def attach_line(
    host: str, port: int, run_id: str, credentials: Credentials, token_file: str
) -> str:
    """The command with which others watch; `token_file` as it is called there."""
    words = ["chaperon-tui", "attach", *_how(host, port, run_id, credentials)]
    return shlex.join([*words, "--token-file", token_file])


def _how(host: str, port: int, run_id: str, credentials: Credentials) -> list[str]:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    trust = ["--pin", credentials.pin] if credentials.is_pinned else ["--ca", "FILE"]
    if credentials.is_mutual:
        trust += ["--cert", "FILE", "--key", "FILE"]
    return [place, "--run", run_id, *trust]


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a return is a new handshake: it costs milliseconds, once
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal of a process that may have none.
    raise ValueError("the key is encrypted; give one without a password")


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is not a matching pair in PEM form"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return visible(error)

"""Errors in plain words: refusals, and the error classes of a run and whose fault they are."""

from __future__ import annotations

from functools import cache

from chaperon_engine import ActionError, visible

_ERROR_WORDS = {
    "dns": "name not resolved",
    "refused": "connection refused",
    "reset": "connection lost",
    "connect": "connection failed",
    "timeout_connect": "timed out connecting",
    "timeout_tls": "timed out in TLS handshake",
    "timeout_first_byte": "timed out waiting for first byte",
    "timeout_total": "timed out",
    "timeout": "wait in scenario timed out",
    "tls": "TLS handshake failed",
    "tls_verification": "certificate not verified",
    "protocol": "not valid HTTP",
    "body_cut_short": "body cut short",
    "too_large": "reply too large",
    "decode": "body cannot be decoded",
    "redirect": "redirect refused",
    "cancelled": "cancelled by scenario",
    "generator_ports": "this machine: out of ports",
    "generator_descriptors": "this machine: out of descriptors",
    "generator_memory": "this machine: out of memory",
}


def error_words(code: str) -> str:
    """An error class in plain words."""
    if code.startswith("http_"):
        return f"HTTP status {visible(code[5:], 10)}"
    return _ERROR_WORDS.get(code) or visible(code, 60)


def in_words(error: Exception) -> str:
    """A refusal as one sentence; errors of the operating system name the file."""
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename} cannot be used" if error.filename else "this did not work"
        return visible(f"{what}: {error.strerror}")
    return visible(error)


def origin_of(code: str) -> str:
    """`target`, `generator` or `scenario`: where an error class comes from.

    What stands behind the first word of a code may be a detail: `generator_ports`.
    """
    origins = _origins()
    return origins.get(code) or origins.get(code.partition("_")[0], "target")


@cache
def _origins() -> dict[str, str]:
    """By code, from the tree of errors; a class below another keeps its own code."""
    origins: dict[str, str] = {}
    pending = [ActionError]
    while pending:
        kind = pending.pop()
        origins.setdefault(kind.code, kind.origin)
        pending.extend(kind.__subclasses__())
    return origins

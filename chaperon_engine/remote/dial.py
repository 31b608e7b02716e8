"""Dials a coordinator on another machine: TCP, TLS, its certificate, then the proofs.

Owns: the order in which trust is won, time-outs, and the sentence for each way it can fail. Must
not know: what is said afterwards, or when to try again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chaperon_engine.errors import EngineError
from chaperon_engine.protocol.token import Token
from chaperon_engine.remote.link import CoordinatorLink, EngineLink


@dataclass(frozen=True)
class Pin:
    """Trust the one certificate with this SHA-256 (of its DER form), whoever signed it."""

    sha256: bytes

    @classmethod
    def parse(cls, text: str) -> Pin:
        """`sha256:` and 64 hexadecimal digits. Raises UserError."""


@dataclass(frozen=True)
class Authority:
    """Trust certificates for the coordinator's host name that this authority signed."""

    ca: Path
    """PEM file."""
    certificate: Path | None = None
    """Own certificate for mutual TLS, PEM; it is shown only to a coordinator that is trusted."""
    key: Path | None = None
    """Its private key; None: it is in the same file."""


Trust = Pin | Authority


class DialError(EngineError):
    """No connection now: worth another try later. What is not worth one is a UserError."""


async def dial_as_agent(
    host: str, port: int, *, run_id: str, name: str, token: Token, trust: Trust,
    timeout_s: float = 10.0,
) -> CoordinatorLink:
    """An authenticated link, which waits for `begin`; say AgentHello first.

    Raises UserError for what another try would not mend (certificate, token, run, versions), else
    DialError.
    """


async def dial_as_viewer(
    host: str, port: int, *, run_id: str, name: str, token: Token, trust: Trust,
    timeout_s: float = 10.0,
) -> EngineLink:
    """As `dial_as_agent`, with the token of an observer or an operator; say Hello first."""

"""How two that do not know each other prove that both have a role's token. Sans-I/O.

It runs inside TLS, after whoever dialled has checked the certificate:

    coordinator                                     client
    ServerGreeting(run, nonce)             ──>      checks protocol and run
    checks protocol, name, proof           <──      ClientGreeting(role, name, nonce, proof)
    ServerProof(proof)                     ──>      checks the proof, speaks

A proof is an HMAC with the token over everything that both must agree on: direction, protocol,
role, run, certificate, both nonces, name. So it is worth nothing on another connection (nonces),
to another server (certificate), in the other direction (label), or for another role (token); and
the token, of 256 random bits, cannot be guessed from it. An agent may hold the token that all
agents share, or the one that was made for its name: both are tried.

Owns: the order of messages and what each must prove. Must not know: sockets, time, who may be
refused for other reasons. Each state machine serves one connection and one attempt.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Literal

from chaperon_engine.protocol.token import RunSecret, Token
from chaperon_engine.protocol.wire import (
    WIRE_VERSION,
    ClientGreeting,
    Denied,
    Role,
    ServerGreeting,
    ServerProof,
    ToStranger,
)
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

NONCE_BYTES = 32
NO_AGENTS = "this run takes no agents: it was started without --expect, and is only watched"


@dataclass(frozen=True)
class Accepted:
    """Both sides have proved themselves."""

    role: Role
    name: str
    max_frame_bytes: int
    """Longest frame that the other side takes."""
    reply: ServerProof | None = None
    """What the coordinator sends now; None for the client, which speaks next."""
    token_name: str = ""
    """The agent's name that the coordinator's peer proved a token of, one made for that name alone;
    empty: the token that all of its role share."""


@dataclass(frozen=True)
class Refusal:
    """The connection must end; nothing that the other side says is believed."""

    reason: str
    """One sentence for a person."""
    cause: Literal["version", "proof", "run", "role", "denied", "order"]

    @property
    def reply(self) -> Denied:
        """What the coordinator says before it hangs up."""
        return Denied(reason=self.reason)


class ServerHandshake:
    """The coordinator's side."""

    def __init__(
        self, secret: RunSecret, *, run_id: str, certificate: bytes, nonce: bytes,
        takes_agents: bool = True,
    ):  # fmt: skip
        """`certificate`: SHA-256 of the own certificate (DER); `nonce`: 32 fresh random bytes.
        Without `takes_agents` nobody has their token, and who asks is told so."""
        self._secret = secret
        self._takes_agents = takes_agents
        self._run_id = run_id
        self._certificate = certificate
        self._nonce = nonce
        self._is_over = False

    def greet(self) -> ServerGreeting:
        """What to say first."""
        return ServerGreeting(
            protocol=WIRE_VERSION, version=__version__, run_id=self._run_id, nonce=self._nonce
        )

    def feed(self, message: ClientGreeting) -> Accepted | Refusal:
        """Judge the only message that a stranger may send."""
        if self._is_over:
            return Refusal("a second greeting on one connection", "order")
        self._is_over = True
        if message.protocol != WIRE_VERSION:
            return Refusal(
                _versions(WIRE_VERSION, __version__, message.protocol, message.version), "version"
            )
        if message.name != visible(message.name) or not message.name.strip():
            return Refusal("a name must be printable characters", "order")
        if message.role == "agent" and not self._takes_agents:
            return Refusal(NO_AGENTS, "role")
        token = self._secret.token(message.role)
        tokens = {"": token}
        if token.role == "agent":
            tokens[message.name] = token.of_agent(message.name)
        proved: _Proofs | None = None
        token_name = ""
        for name, each in tokens.items():
            proofs = _Proofs(
                each,
                message.name,
                self._run_id,
                self._certificate,
                self._nonce,
                message.nonce,
            )
            if hmac.compare_digest(message.proof, proofs.of("client")):
                proved, token_name = proofs, name
        if proved is None:
            return Refusal(
                f"that is not the {message.role} token of run {self._run_id}: take the token file "
                "that this run printed",
                "proof",
            )
        return Accepted(
            message.role,
            message.name,
            message.max_frame_bytes,
            ServerProof(proof=proved.of("server")),
            token_name,
        )


class ClientHandshake:
    """The side of an agent or a viewer, which has checked the certificate already."""

    def __init__(self, token: Token, *, name: str, run_id: str, certificate: bytes, nonce: bytes):
        """`certificate`: SHA-256 of the coordinator's certificate as this side saw it;
        `nonce`: 32 fresh random bytes; an empty `run_id` takes any run."""
        self._token = token
        self._name = name
        self._run_id = run_id
        self._certificate = certificate
        self._nonce = nonce
        self._greeting: ServerGreeting | None = None
        self._proofs: _Proofs | None = None
        self._is_over = False

    def feed(self, message: ToStranger) -> ClientGreeting | Accepted | Refusal:
        """The reply to send, or how the handshake ended."""
        if self._is_over:
            return Refusal("the coordinator speaks out of turn", "order")
        if isinstance(message, Denied):
            answer: ClientGreeting | Accepted | Refusal = Refusal(visible(message.reason), "denied")
        elif isinstance(message, ServerGreeting) and self._greeting is None:
            answer = self._introduced(message)
        elif isinstance(message, ServerProof) and self._greeting and self._proofs:
            answer = self._proved(message, self._greeting, self._proofs)
        else:
            answer = Refusal("the coordinator speaks out of turn", "order")
        self._is_over = not isinstance(answer, ClientGreeting)
        return answer

    def _introduced(self, message: ServerGreeting) -> ClientGreeting | Refusal:
        if message.protocol != WIRE_VERSION:
            reason = _versions(message.protocol, message.version, WIRE_VERSION, __version__)
            return Refusal(reason, "version")
        if self._run_id and message.run_id != self._run_id:
            return Refusal(
                f"that is run {visible(message.run_id)}, not {self._run_id}: "
                "take the join line that the run printed",
                "run",
            )
        self._greeting = message
        self._proofs = _Proofs(
            self._token,
            self._name,
            message.run_id,
            self._certificate,
            message.nonce,
            self._nonce,
        )
        return ClientGreeting(
            protocol=WIRE_VERSION,
            version=__version__,
            role=self._token.role,
            name=self._name,
            nonce=self._nonce,
            proof=self._proofs.of("client"),
        )

    def _proved(
        self, message: ServerProof, greeting: ServerGreeting, proofs: _Proofs
    ) -> Accepted | Refusal:
        if not hmac.compare_digest(message.proof, proofs.of("server")):
            return Refusal(
                "the coordinator does not have the run's token, so it is not the one to join: "
                "compare the join line with what the run printed",
                "proof",
            )
        return Accepted(self._token.role, self._name, greeting.max_frame_bytes)


@dataclass(frozen=True)
class _Proofs:
    """What both sides must agree on."""

    token: Token
    name: str
    run_id: str
    certificate: bytes
    server_nonce: bytes
    client_nonce: bytes

    def of(self, side: Literal["client", "server"]) -> bytes:
        parts = (
            b"chaperon handshake",
            side.encode(),
            str(WIRE_VERSION).encode(),
            self.token.role.encode(),
            self.run_id.encode(),
            self.certificate,
            self.server_nonce,
            self.client_nonce,
            self.name.encode(),
        )
        # Lengths stand before the parts: no two different lists give the same bytes.
        said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self.token.key, said, "sha256")


def _versions(server: int, server_version: str, client: int, client_version: str) -> str:
    return (
        f"the coordinator speaks protocol {server} (Chaperon {visible(server_version)}), this "
        f"side {client} (Chaperon {visible(client_version)}): install the same version of Chaperon "
        "on both machines"
    )

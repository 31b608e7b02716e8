"""Dials a coordinator on another machine: TCP, TLS, its certificate, then the proofs.

Owns: the order in which trust is won, time-outs, and the sentence for each way it can fail. Must
not know: what is said afterwards, or when to try again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.platform import watch_connection
from chaperon_engine.protocol.codec import (
    MessageDecoder,
    ProtocolError,
    encode,
    from_engine_decoder,
)
from chaperon_engine.protocol.handshake import NONCE_BYTES, Accepted, ClientHandshake
from chaperon_engine.protocol.token import Token
from chaperon_engine.protocol.wire import (
    MAX_NAME_CHARS,
    ClientGreeting,
    to_agent_decoder,
    to_stranger_decoder,
)
from chaperon_engine.remote.link import SILENT_S, CoordinatorLink, EngineLink, Link
from chaperon_engine.text import visible

DIAL_TIMEOUT_S = 10.0
_PIN = re.compile(r"sha256:([0-9a-fA-F]{64})")
_CERTIFICATE_REASONS = ("CERTIFICATE", "UNKNOWN_CA")
"""In the alerts with which a coordinator refuses a client's certificate."""

Said = TypeVar("Said")


@dataclass(frozen=True)
class Pin:
    """Trust the one certificate with this SHA-256 (of its DER form), whoever signed it."""

    sha256: bytes

    @classmethod
    def parse(cls, text: str) -> Pin:
        """`sha256:` and 64 hexadecimal digits. Raises UserError."""
        found = _PIN.fullmatch(text.strip())
        if found is None:
            raise UserError(
                f"{visible(text, 80)!r} is no pin: write `sha256:` and the 64 digits of the join "
                "line"
            )
        return cls(bytes.fromhex(found[1]))


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
    host: str,
    port: int,
    *,
    run_id: str,
    name: str,
    token: Token,
    trust: Trust,
    timeout_s: float = DIAL_TIMEOUT_S,
) -> CoordinatorLink:
    """An authenticated link, which waits for `begin`; say AgentHello first.

    Raises UserError for what another try would not mend (certificate, token, run, versions), else
    DialError. An agent that had been in before may try again all the same: a partition can put
    anything in between.
    """
    if token.role != "agent":
        raise UserError(f"that is an {token.role}'s token: joining a run takes its agent's token")
    call = _Call(host, port, run_id, name, token, trust)
    return await call.dial(to_agent_decoder(), timeout_s)


async def dial_as_viewer(
    host: str,
    port: int,
    *,
    run_id: str,
    name: str,
    token: Token,
    trust: Trust,
    timeout_s: float = DIAL_TIMEOUT_S,
) -> EngineLink:
    """As `dial_as_agent`, with the token of an observer or an operator; say Hello first."""
    if token.role == "agent":
        raise UserError(
            "that is an agent's token: watching a run takes its observer's or operator's token"
        )
    call = _Call(host, port, run_id, name, token, trust)
    return await call.dial(from_engine_decoder(), timeout_s)


class _Call:
    """One attempt."""

    def __init__(self, host: str, port: int, run_id: str, name: str, token: Token, trust: Trust):
        if not name.strip() or len(name) > MAX_NAME_CHARS or visible(name) != name:
            raise UserError(
                f"the name {visible(name)!r} must be 1 to {MAX_NAME_CHARS} printable characters"
            )
        self._host = host
        self._port = port
        self._run_id = run_id
        self._name = name
        self._token = token
        self._trust = trust
        self._where = f"[{host}]:{port}" if ":" in host else f"{visible(host)}:{port}"

    async def dial(self, decoder: MessageDecoder[Said], timeout_s: float) -> Link[Said]:
        context = self._context()
        greeter = _Greeter(self._handshake)
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connect()
                try:
                    await self._secure(greeter, connection, context, timeout_s)
                except BaseException:
                    connection.close()
                    raise
                accepted = await greeter.outcome
                return greeter.give_away(decoder, accepted, self._where)
        except TimeoutError:
            raise DialError(f"no answer from {self._where} within {timeout_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise UserError(
                f"the certificate of {self._where} is not to be trusted: "
                f"{visible(error.verify_message)}; it must be signed by {self._ca} for that name"
            ) from None
        except ssl.SSLError as error:
            raise self._not_secured(error) from None
        except (OSError, EOFError) as error:
            if greeter.is_unwelcome and isinstance(self._trust, Authority):
                # The alert that says so is lost: asyncio hangs up without having sent it.
                raise self._not_trusted() from None
            raise DialError(
                f"{self._where} hung up before this side could prove itself"
                f"{_reason(error)}; a coordinator does so for up to a minute after failed attempts"
            ) from None
        except ProtocolError:
            raise UserError(
                f"what answers at {self._where} is no coordinator of Chaperon"
            ) from None
        finally:
            if not greeter.is_given_away:
                greeter.abort()

    @property
    def _ca(self) -> str:
        return visible(self._trust.ca) if isinstance(self._trust, Authority) else ""

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        trust = self._trust
        if isinstance(trust, Pin):
            # The pin takes the place of names and authorities; it is checked before we speak.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            context.load_verify_locations(trust.ca)
        except (OSError, ValueError) as error:
            raise UserError(
                f"the authority {visible(trust.ca)} cannot be used{_reason(error)}: it must be a "
                "PEM file of certificates"
            ) from None
        if trust.certificate is not None:
            try:
                context.load_cert_chain(trust.certificate, trust.key, password=_no_password)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"the certificate {visible(trust.certificate)} cannot be used"
                    f"{_reason(error)}: it and its key, without a password, must be PEM files"
                ) from None
        return context

    async def _connect(self) -> socket.socket:
        """A connected socket to the first address that answers."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DialError(
                f"the host name {visible(self._host)} could not be resolved{_reason(error)}"
            ) from None
        failure: OSError | None = None
        for family, kind, _, _, address in found:
            connection = socket.socket(family, kind)
            try:
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                watch_connection(connection, SILENT_S)
                await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise DialError(
            f"no connection to {self._where}{_reason(failure)}: does the run listen there?"
        )

    async def _secure(
        self,
        greeter: _Greeter,
        connection: socket.socket,
        context: ssl.SSLContext,
        timeout_s: float,
    ) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: greeter,
            sock=connection,
            ssl=context,
            server_hostname=self._host,
            # Beyond ours, which covers the proofs as well.
            ssl_handshake_timeout=timeout_s + 1,
            ssl_shutdown_timeout=1.0,
        )

    def _handshake(self, certificate: bytes) -> ClientHandshake:
        """The proofs to exchange with who showed this certificate (DER). Raises UserError."""
        fingerprint = hashlib.sha256(certificate).digest()
        trust = self._trust
        if isinstance(trust, Pin) and not hmac.compare_digest(fingerprint, trust.sha256):
            raise UserError(
                f"the certificate of {self._where} is not the one of the join line (its pin is "
                f"sha256:{fingerprint.hex()}): another run listens there, or somebody is in "
                "between; nothing was sent"
            )
        return ClientHandshake(
            self._token,
            name=self._name,
            run_id=self._run_id,
            certificate=fingerprint,
            nonce=os.urandom(NONCE_BYTES),
        )

    def _not_trusted(self) -> UserError:
        return UserError(
            f"{self._where} wants a certificate that it trusts: give --cert and --key, signed by "
            "the authority that the run was told"
        )

    def _not_secured(self, error: ssl.SSLError) -> UserError | DialError:
        reason = str(error.reason or "")
        if any(word in reason for word in _CERTIFICATE_REASONS) and "ALERT" in reason:
            return self._not_trusted()
        if reason in ("", "UNEXPECTED_EOF_WHILE_READING"):
            return DialError(f"{self._where} hung up during the TLS handshake")
        return UserError(
            f"{self._where} does not speak TLS 1.3 as a coordinator does ({visible(reason)}): is "
            "it the port of the join line?"
        )


class _Greeter(asyncio.Protocol):
    """A connection until both sides have proved themselves; then it is a link's."""

    def __init__(self, introduce: Callable[[bytes], ClientHandshake]):
        self._introduce = introduce
        self._decoder = to_stranger_decoder()
        self._handshake: ClientHandshake | None = None
        self._transport: asyncio.Transport | None = None
        self._heir: asyncio.Protocol | None = None
        self._is_lost = False
        self._was_greeted = False
        self.outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        """Ends in UserError, ProtocolError, OSError (ssl.SSLError) otherwise."""

    @property
    def is_given_away(self) -> bool:
        return self._heir is not None

    @property
    def is_unwelcome(self) -> bool:
        """TLS was complete for this side, and the other hung up without a greeting."""
        return self._is_lost and self._handshake is not None and not self._was_greeted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without deriving from it.
        self._transport = cast(asyncio.Transport, transport)
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            self._handshake = self._introduce(shown or b"")
        except UserError as error:
            self._fail(error)

    def data_received(self, data: bytes) -> None:
        if self.outcome.done() or self._handshake is None or self._transport is None:
            return
        try:
            for message in self._decoder.feed(data):
                self._was_greeted = True
                answer = self._handshake.feed(message)
                if isinstance(answer, ClientGreeting):
                    self._transport.write(encode(answer))
                elif isinstance(answer, Accepted):
                    self._transport.pause_reading()
                    self.outcome.set_result(answer)
                else:
                    self._fail(UserError(answer.reason))
                    return
            if self.outcome.done() and self._decoder.pending_bytes:
                raise ProtocolError("more than a proof")
        except ProtocolError as error:
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        if self._heir is not None:
            # It was on its way here when the link took over.
            self._heir.connection_lost(error)
        else:
            self._fail(error or ConnectionResetError("it closed the connection"))

    def give_away(
        self, decoder: MessageDecoder[Said], accepted: Accepted, where: str
    ) -> Link[Said]:
        """The link that looks after the connection from now on."""
        assert self._transport is not None
        link = Link(
            self._transport,
            decoder,
            role=accepted.role,
            name=accepted.name,
            address=where,
            max_frame_bytes=accepted.max_frame_bytes,
        )
        self._heir = link
        if self._is_lost:
            link.connection_lost(None)
        return link

    def abort(self) -> None:
        """Hang up at once; nobody asks for the outcome any more."""
        if self.outcome.done() and not self.outcome.cancelled():
            self.outcome.exception()  # asked for, so that the loop does not complain
        self.outcome.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
        if self._transport is not None:
            self._transport.abort()


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal of a process that may have none.
    raise ValueError("the key is encrypted")


def _reason(error: Exception | None) -> str:
    """` (REASON)` in the words of the system, or nothing."""
    said = error.strerror if isinstance(error, OSError) else None
    return f" ({visible(said)})" if said else ""

"""The tokens of a run: who has one proves a role without ever sending it. Pure.

A run has one secret of 256 bits that never leaves the coordinator's memory. Each role's token is
derived from it one-way; the observer's from the operator's, because who may steer may watch:

    secret ─┬─> agent
            └─> operator ──> observer

So nobody who holds a token can make another role's from it, but an operator an observer's. From the
agents' token one can be made that is worth something to the agent of one name only: what is handed
to machinery that starts agents, and may be seen by more eyes than it should. In text
a token names its role, which spares people a riddle when they take the wrong file.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field
from typing import get_args

from chaperon_engine.errors import UserError
from chaperon_engine.protocol.wire import Role

SECRET_BYTES = 32
_TEXT = re.compile(r"chaperon-([a-z]+)-([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Token:
    """A role's key. Its text is a secret: `repr` does not show it."""

    role: Role
    key: bytes = field(repr=False)
    """32 bytes."""

    @property
    def text(self) -> str:
        """`chaperon-ROLE-` and the key in URL-safe base64: what stands in a token file."""
        encoded = base64.urlsafe_b64encode(self.key).rstrip(b"=").decode()
        return f"chaperon-{self.role}-{encoded}"

    def of_agent(self, name: str) -> Token:
        """One that proves the role to the run for the agent of this name and for no other."""
        if self.role != "agent":
            raise ValueError(f"tokens of the {self.role} role are not made for names")
        label = b"chaperon token 1 agent named " + name.encode()
        return Token("agent", hmac.digest(self.key, label, "sha256"))

    @classmethod
    def parse(cls, text: str) -> Token:
        """The token of a text, white space around it ignored. Raises UserError, which does not
        repeat the text."""
        found = _TEXT.fullmatch(text.strip())
        for role in get_args(Role):
            if found is not None and found[1] == role:
                try:
                    return cls(role, base64.urlsafe_b64decode(found[2] + "="))
                except binascii.Error:
                    break
        raise UserError(
            "that is not a token of Chaperon, which begins with `chaperon-agent-`, "
            "`chaperon-observer-` or `chaperon-operator-` and 43 characters follow: copy the whole "
            "line of the token file"
        )


class RunSecret:
    """The secret of one run, in the coordinator."""

    def __init__(self, secret: bytes):
        """`secret`: 32 random bytes of the operating system."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a run's secret has {SECRET_BYTES} bytes")
        operator = _derived(secret, "operator")
        self._tokens: dict[Role, Token] = {
            "agent": Token("agent", _derived(secret, "agent")),
            "operator": Token("operator", operator),
            "observer": Token("observer", _derived(operator, "observer")),
        }

    def token(self, role: Role) -> Token:
        """The token to hand to who shall have this role."""
        return self._tokens[role]


def observer_of(operator: Token) -> Token:
    """The observer's token that an operator may pass on."""
    if operator.role != "operator":
        raise ValueError(f"an {operator.role} cannot make an observer's token")
    return Token("observer", _derived(operator.key, "observer"))


def _derived(key: bytes, role: str) -> bytes:
    return hmac.digest(key, b"chaperon token 1 " + role.encode(), "sha256")

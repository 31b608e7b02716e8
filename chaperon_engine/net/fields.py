"""Header fields of a request, checked, and as they go on the wire. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.text import visible

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN_FIELDS = frozenset({"content-length", "transfer-encoding"})

HeaderFields = dict[str, tuple[str, str]]
"""Lower-case name to name as written and value: the last of a name wins."""


def header_fields(headers: Mapping[str, Any], what: str = "headers") -> HeaderFields:
    """Checked header fields. Raises InvalidRequest that names the field."""
    fields: HeaderFields = {}
    for name, value in headers.items():
        check_token(name, f"{what}: the name")
        lower = name.lower()
        if lower in _OWN_FIELDS:
            raise InvalidRequest(f"{what}: {name} is set by the client itself; leave it out")
        if not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidRequest(
                    f"{what}: the value of {name} must be text, not {type(value).__name__}"
                )
            value = str(value)
        check_value(value, f"{what}: the value of {name}")
        fields[lower] = (name, value.strip(" \t"))
    return fields


def check_token(text: object, what: str) -> None:
    """Raises InvalidRequest unless the text is a token of HTTP."""
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise InvalidRequest(f"{what} '{visible(text)}' is not a token of HTTP")


def check_value(text: str, what: str) -> None:
    """Raises InvalidRequest when the text cannot be the value of a header field."""
    if _BAD_VALUE.search(text):
        raise InvalidRequest(f"{what} contains a control character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} contains half a surrogate pair") from None


def basic_credentials(user_and_password: tuple[str, str]) -> str:
    """The value of Authorization for a user and password."""
    user, password = user_and_password
    if ":" in user:
        raise InvalidRequest("basic_auth: the user name contains a colon")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def bearer_credentials(token: str) -> str:
    """The value of Authorization for a token."""
    check_value(token, "bearer")
    return f"Bearer {token}"


def encode_head(method: str, path: str, fields: HeaderFields) -> bytes:
    """Request line and fields, each with CRLF; the empty line is not included."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.values()]
    return ("\r\n".join(lines) + "\r\n").encode()

"""URLs as they go on the wire: origins, hosts, paths, queries. Pure.

Every refusal is an InvalidRequest that names the argument: nothing illegal reaches a socket.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

import idna

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.text import visible

Fields = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""Names and values; a list as a value repeats the name, None leaves it out."""

DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
# What may stand in a path and query as it is; `%` only before two hex digits.
_ENCODE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]")


class Origin(NamedTuple):
    """Scheme, host and port: where credentials stay."""

    scheme: str
    """http or https."""
    host: str
    """Lower-case ASCII name, or an IP literal without brackets."""
    port: int

    @property
    def host_header(self) -> str:
        """Host as in the Host header: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}"


def split_url(url: str, what: str) -> tuple[Origin, str]:
    """Origin and the rest (path and query, not encoded, without fragment) of an absolute URL."""
    refuse_control(url, what)
    shown = visible(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"{what} {shown} is not a URL: {visible(error)}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not host:
        raise InvalidRequest(f"{what} {shown} must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(f"{what} has credentials: give them as basic_auth")
    if port == 0:
        raise InvalidRequest(f"{what} {shown} has the port 0")
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    return Origin(scheme, ascii_host(host, what), port or DEFAULT_PORTS[scheme]), rest


def ascii_host(host: str, what: str) -> str:
    """A host name in the form of DNS (IDNA), lower case; IP literals as they are."""
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise InvalidRequest(f"{what}: {visible(host)} is not an IPv6 address") from None
        return host
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidRequest(
                f"{what}: {visible(host)} is not a host name: {visible(error)}"
            ) from None
    host = host.lower()
    if len(host) > 254 or not _HOST.fullmatch(host):
        raise InvalidRequest(f"{what}: {visible(host)} is not a host name")
    return host


def refuse_control(text: str, what: str) -> None:
    """Raises InvalidRequest when the text holds CR, LF, NUL or another control character."""
    if not isinstance(text, str):
        raise InvalidRequest(f"{what} must be text, not {type(text).__name__}")
    if _CONTROL.search(text):
        raise InvalidRequest(f"{what} {visible(text)} contains a control character")


def encode_path(path: str, what: str = "path") -> str:
    """Path and query percent-encoded; what is already encoded is kept, a fragment is cut off."""
    refuse_control(path, what)
    path = path.partition("#")[0]
    if not path.startswith("/"):
        if path and not path.startswith("?"):
            raise InvalidRequest(f"{what} {visible(path)} must begin with /")
        path = "/" + path
    try:
        return _ENCODE.sub(_percent, path)
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} {visible(path)} contains half a surrogate pair") from None


def with_params(path: str, params: Fields) -> str:
    """An encoded path with more parameters in its query."""
    encoded = encode_fields(params, "params")
    if not encoded:
        return path
    if "?" not in path:
        return f"{path}?{encoded}"
    return path + encoded if path.endswith(("?", "&")) else f"{path}&{encoded}"


def encode_fields(fields: Fields, what: str) -> str:
    """Names and values as in a query or form; lists repeat the name, None leaves it out."""
    pairs: Iterable[tuple[str, Any]] = fields.items() if isinstance(fields, Mapping) else fields
    encoded: list[str] = []
    try:
        for name, value in pairs:
            values = value if isinstance(value, (list, tuple)) else (value,)
            encoded.extend(
                f"{quote_plus(str(name))}={quote_plus(_field(one, name, what))}"
                for one in values
                if one is not None
            )
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} contains half a surrogate pair") from None
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{what} must be a dict or a list of (name, value) pairs") from None
    return "&".join(encoded)


def _field(value: Any, name: object, what: str) -> str | bytes:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (Mapping, set, frozenset)):
        raise InvalidRequest(
            f"{what}: the value of {visible(name)} is a {type(value).__name__}, not a text"
        )
    return str(value)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())

"""The cookies of one session: RFC 6265 without a list of public suffixes.

Two rules are stricter than the RFC, because cookies must not leave the origin: a cookie without a
Domain goes back to the port it came from only (80 and 443 count as one, for sites that redirect to
TLS), and a Domain of one label is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.net.url import Origin

MAX_COOKIES = 300
"""In one session; the oldest goes first."""
MAX_COOKIE_BYTES = 4096
"""Name and value of one cookie; larger ones are ignored, as browsers do."""
_MAX_HEADERS_KEPT = 64
_FOREVER = float("inf")

PlainCookie = tuple[bytes, bytes, str, str, int | None, bool, float]
"""Name, value, domain, path, port, secure and expiry of a cookie."""

_BAD = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IP = re.compile(r"[\d.]+|.*:.*")


class Cookie:
    """One cookie with the rules of where it goes."""

    __slots__ = ("domain", "expires_s", "name", "path", "port", "secure", "value")

    def __init__(self, name: str, value: str, domain: str, path: str) -> None:
        self.name = name
        self.value = value
        self.domain = domain
        self.path = path
        self.port: int | None = None
        """The only port it goes to; None: it has a Domain and goes to all of its hosts."""
        self.secure = False
        self.expires_s = _FOREVER
        """Wall clock, because Expires is."""

    @property
    def key(self) -> tuple[str, str, str, int | None]:
        """A cookie replaces another of the same key."""
        return self.name, self.domain, self.path, self.port

    def goes_to(self, origin: Origin, path: str) -> bool:
        """Whether it belongs into a request for this path (without query)."""
        if self.secure and origin.scheme != "https":
            return False
        if self.port is not None:
            if self.domain != origin.host or self.port != _port_group(origin):
                return False
        elif not _domain_matches(origin.host, self.domain):
            return False
        return _path_matches(path, self.path)


class CookieJar:
    """Cookies of one session. `count` is 0 while there is nothing to send: the fast path."""

    __slots__ = ("_cookies", "_headers", "count")

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str, int | None], Cookie] = {}
        self._headers: dict[tuple[Origin, str], tuple[float, bytes]] = {}
        """Values of the Cookie field already put together, and until when they are right."""
        self.count = 0

    def store(self, set_cookie: str, origin: Origin, path: str) -> None:
        """Takes one Set-Cookie value of a reply to a request for `path`; bad ones are ignored."""
        cookie = _parse(set_cookie, origin, path)
        if cookie is not None:
            self._put(cookie)

    def set(self, name: str, value: str, origin: Origin) -> None:
        """Adds a cookie by hand, for all paths of an origin. Raises InvalidRequest."""
        for text, what in ((name, "name"), (value, "value")):
            if not isinstance(text, str) or _BAD.search(text) or ";" in text:
                raise InvalidRequest(f"cookie: the {what} {visible(text)} must not be sent")
        if not name or "=" in name:
            raise InvalidRequest(f"cookie: {visible(name)!r} cannot be a name")
        cookie = Cookie(name, value, origin.host, "/")
        cookie.port = _port_group(origin)
        self._put(cookie)

    def header(self, origin: Origin, path: str) -> bytes:
        """Value of the Cookie field for a request; empty when there is none to send."""
        known = self._headers.get((origin, path))
        if known is not None and (known[0] == _FOREVER or known[0] > time.time()):
            return known[1]
        now = time.time()
        bare = path.partition("?")[0]
        fitting: list[Cookie] = []
        for cookie in list(self._cookies.values()):
            if cookie.expires_s <= now:
                self._remove(cookie)
            elif cookie.goes_to(origin, bare):
                fitting.append(cookie)
        fitting.sort(key=lambda cookie: -len(cookie.path))
        text = "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)
        value = text.encode("utf-8", "surrogateescape")
        until = min((cookie.expires_s for cookie in fitting), default=_FOREVER)
        if len(self._headers) >= _MAX_HEADERS_KEPT:
            self._headers.clear()
        self._headers[origin, path] = until, value
        return value

    def clear(self) -> None:
        """Forgets every cookie."""
        self._cookies.clear()
        self._headers.clear()
        self.count = 0

    def copy(self) -> CookieJar:
        """The same cookies in a jar of their own."""
        jar = CookieJar()
        jar._cookies = dict(self._cookies)
        jar.count = self.count
        return jar

    def dump(self) -> list[PlainCookie]:
        """The cookies as plain data, for a jar in another process."""
        return [
            (
                cookie.name.encode("utf-8", "surrogateescape"),
                cookie.value.encode("utf-8", "surrogateescape"),
                cookie.domain,
                cookie.path,
                cookie.port,
                cookie.secure,
                cookie.expires_s,
            )
            for cookie in self._cookies.values()
        ]

    def load(self, cookies: Iterable[PlainCookie]) -> None:
        """Add what `dump` gave."""
        for name, value, domain, path, port, secure, expires_s in cookies:
            cookie = Cookie(
                name.decode("utf-8", "surrogateescape"),
                value.decode("utf-8", "surrogateescape"),
                domain,
                path,
            )
            cookie.port, cookie.secure, cookie.expires_s = port, secure, expires_s
            self._put(cookie)

    def __len__(self) -> int:
        return self.count

    def as_dict(self) -> dict[str, str]:
        """Values by name, for looking at; of several with one name the newest."""
        return {cookie.name: cookie.value for cookie in self._cookies.values()}

    def _put(self, cookie: Cookie) -> None:
        if cookie.expires_s <= time.time():
            self._cookies.pop(cookie.key, None)
        else:
            self._cookies[cookie.key] = cookie
            if len(self._cookies) > MAX_COOKIES:
                del self._cookies[next(iter(self._cookies))]
        self._headers.clear()
        self.count = len(self._cookies)

    def _remove(self, cookie: Cookie) -> None:
        del self._cookies[cookie.key]
        self._headers.clear()
        self.count = len(self._cookies)


def _parse(text: str, origin: Origin, request_path: str) -> Cookie | None:
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name or len(name) + len(value) > MAX_COOKIE_BYTES:
        return None
    if _BAD.search(name) or _BAD.search(value):
        return None
    # Bytes were read as Latin-1; they go back as they came.
    raw = value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    name = name.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    cookie = Cookie(name, raw, origin.host, _default_path(request_path))
    cookie.port = _port_group(origin)
    max_age: float | None = None
    for attribute in attributes:
        key, _, argument = attribute.partition("=")
        key, argument = key.strip().lower(), argument.strip()
        if key == "secure":
            cookie.secure = True
        elif key == "path" and argument.startswith("/"):
            cookie.path = argument
        elif key == "max-age" and re.fullmatch(r"-?\d{1,12}", argument):
            max_age = time.time() + int(argument)
        elif key == "expires":
            cookie.expires_s = _expires(argument, cookie.expires_s)
        elif key == "domain" and argument and not _set_domain(cookie, argument, origin):
            return None
    if max_age is not None:
        cookie.expires_s = max_age
    if cookie.secure and origin.scheme != "https":
        return None
    return cookie


def _set_domain(cookie: Cookie, argument: str, origin: Origin) -> bool:
    domain = argument.removeprefix(".").lower()
    if domain == origin.host:
        if not _IP.fullmatch(domain) and "." in domain:
            cookie.port = None
        return True
    if "." not in domain or _IP.fullmatch(origin.host) or not _domain_matches(origin.host, domain):
        return False
    cookie.domain, cookie.port = domain, None
    return True


def _expires(text: str, otherwise: float) -> float:
    try:
        return parsedate_to_datetime(text.replace("-", " ")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return otherwise


def _port_group(origin: Origin) -> int:
    return 80 if origin.port == 443 else origin.port


def _domain_matches(host: str, domain: str) -> bool:
    return host == domain or (host.endswith("." + domain) and not _IP.fullmatch(host))


def _path_matches(path: str, cookie_path: str) -> bool:
    if not path.startswith(cookie_path):
        return False
    return (
        len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"
    )


def _default_path(request_path: str) -> str:
    directory = request_path.partition("?")[0].rpartition("/")[0]
    return directory or "/"

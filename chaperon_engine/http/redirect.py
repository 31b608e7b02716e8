"""The rules of redirects: whether, where to, with which method and which options. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from chaperon_engine.errors import InvalidRequest, RedirectError
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.rules import REDIRECTS
from chaperon_engine.net.url import Origin, encode_path, split_url
from chaperon_engine.text import visible

_KEEPS_METHOD = frozenset({307, 308})
_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})
"""Header fields of a call that may go to another origin."""
_OF_BODY = frozenset({"content-type", "content-language", "content-encoding"})


class Hop(NamedTuple):
    """The request that a redirect asks for."""

    origin: Origin
    path: str
    """Path and query as they will be sent."""
    method: str
    keeps_body: bool


def next_hop(status: int, method: str, location: str | None, url: str) -> Hop | None:
    """What a reply to a request for `url` asks for; None when it is no redirect.

    301, 302 and 303 become GET (HEAD stays HEAD; for 301 and 302 so do the other methods without
    a body to lose, as browsers do); 307 and 308 keep method and body. Raises RedirectError for a
    Location that cannot be followed.
    """
    if status not in REDIRECTS or not location:
        return None
    # Servers send UTF-8 here, which was read as Latin-1.
    text = location.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        joined = urljoin(url, text)
        if urlsplit(joined).scheme not in ("http", "https"):
            raise RedirectError(f"{visible(url)} redirects to {visible(text)}, which is not http")
        origin, rest = split_url(joined, "Location")
        path = encode_path(rest, "Location")
    except (InvalidRequest, ValueError) as error:
        raise RedirectError(
            f"{visible(url)} redirects to a bad address: {visible(error)}"
        ) from None
    if status in _KEEPS_METHOD:
        return Hop(origin, path, method, True)
    keeps = method in ("GET", "HEAD") or (status != 303 and method not in ("POST", "PUT", "PATCH"))
    return Hop(origin, path, method if keeps else "GET", False)


def options_for(options: RequestOptions, *, keeps_body: bool, same_origin: bool) -> RequestOptions:
    """The options of a call as they hold for its next hop."""
    changes: dict[str, object] = {"params": None}
    drop: set[str] = set()
    if not keeps_body:
        changes.update(body=None, json=..., form=None, multipart=None, gzip=False)
        drop |= _OF_BODY
    headers = options.headers
    if not same_origin:
        # A header of the scenario's own may be a credential too: only the harmless go on.
        changes.update(basic_auth=None, bearer=None)
    if headers:
        changes["headers"] = {
            name: value
            for name, value in headers.items()
            if name.lower() not in drop
            and (
                same_origin
                or name.lower() in _HARMLESS
                or (keeps_body and name.lower() in _OF_BODY)
            )
        }
    return replace(options, **changes)  # type: ignore[arg-type]

"""Requests: the keywords of the HTTP verbs, and a request as data.

Turns what a scenario writes into the options of the HTTP client. Must not know how a session finds
series, nor how a request is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.options import Body, Part, RequestOptions
from chaperon_engine.http.response import Response
from chaperon_engine.http.rules import Expect
from chaperon_engine.net.url import Fields
from chaperon_engine.text import visible
from chaperon_engine.units import Duration, seconds

if TYPE_CHECKING:
    from chaperon_engine.session import Session

Decoding = bool | Literal["json"] | Callable[[Response], Any]
ResultCallback = Callable[..., Any]
"""`(session, result)`, a function or a coroutine function."""


class RequestKeywords(TypedDict, total=False):
    """What every HTTP verb of a session takes besides the path."""

    params: Fields | None
    """Appended to the query; a list as a value repeats its name, None leaves it out."""
    headers: Mapping[str, str] | None
    """Replace the service's headers of the same name."""
    json: Any
    """Sent as JSON."""
    form: Fields | None
    """Sent as application/x-www-form-urlencoded."""
    body: Body | None
    """Sent as it is; an async iterable is sent chunked."""
    multipart: Mapping[str, Part | Sequence[Part]] | None
    """Sent as multipart/form-data; `FilePart` for files."""
    gzip: bool
    """Compress the body that is sent."""
    decode: Decoding
    """True: ask for a compressed reply and undo it. "json" or a function of the response: what
    `with_result` gets in place of the response."""
    read: bool
    """False: count the reply's body and throw it away."""
    stream: bool
    """Return after the reply's head; read on with `async for piece in response.chunks()`."""
    expect: Expect | None
    """Statuses that do not count as HTTP errors; default: below 400."""
    follow: bool | Literal["any"]
    """Redirects: to configured services only (default), anywhere ("any"), or not at all."""
    max_redirects: int | None
    timeout: Duration | None
    """For the whole call; default: the service's."""
    first_byte_timeout: Duration | None
    max_body_bytes: int | None
    auth: tuple[str, str] | str | None
    """User and password, or a bearer token, in place of the service's credentials."""
    name: str
    """Name of the series, in place of the URL."""
    tags: Mapping[str, object]
    """Make a series of their own."""
    with_result: ResultCallback | None
    """Called with the session and the response when it is there."""


_PASSED_ON = frozenset(
    (
        *("params", "headers", "json", "form", "body", "multipart", "gzip", "read", "stream"),
        *("expect", "follow", "max_redirects", "max_body_bytes"),
    )
)
_OWN = frozenset(("decode", "timeout", "first_byte_timeout", "auth", "name", "tags", "with_result"))
_LABELS_ONLY = frozenset(("name", "tags", "with_result"))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_expectation(value: object) -> bool:
    return isinstance(value, int) or callable(value) or (
        isinstance(value, Collection) and not isinstance(value, (str, bytes))
    )  # fmt: skip


def _is_credentials(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


_KINDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "headers": (lambda value: isinstance(value, Mapping), "a dict of names and values"),
    "multipart": (lambda value: isinstance(value, Mapping), "a dict of names and parts"),
    "tags": (lambda value: isinstance(value, Mapping), "a dict of names and values"),
    "expect": (_is_expectation, "a status, a collection of them or a function of the status"),
    "follow": (lambda value: value is True or value is False or value == "any", "True, False or "
               "'any'"),
    "decode": (lambda value: isinstance(value, bool) or value == "json" or callable(value),
               "True, False, 'json' or a function of the response"),
    "auth": (_is_credentials, "a token, or a pair of user and password"),
    "max_redirects": (_is_count, "a whole number, zero or more"),
    "max_body_bytes": (_is_count, "a whole number of bytes, zero or more"),
    "with_result": (callable, "a function of the session and the response"),
}  # fmt: skip
"""Keywords whose value would otherwise fail late, or be misread, and what they take."""


def options_of(keywords: RequestKeywords) -> RequestOptions | None:
    """The client's options; None when the keywords ask the client for nothing.

    Raises InvalidRequest naming an unknown keyword or a value that cannot be.
    """
    for name, value in keywords.items():
        if name in _KINDS and value is not None and not _KINDS[name][0](value):
            kind = _KINDS[name][1]
            raise InvalidRequest(f"{name} must be {kind}, not {visible(repr(value), 80)}")
    if _LABELS_ONLY.issuperset(keywords):
        return None
    chosen: dict[str, Any] = {}
    for name, value in keywords.items():
        if name in _PASSED_ON:
            chosen[name] = value
        elif name not in _OWN:
            raise InvalidRequest(_unknown(name))
    if keywords.get("decode") is True:
        chosen["decode"] = True
    for name in ("timeout", "first_byte_timeout"):
        duration: Any = keywords.get(name)
        if duration is not None:
            chosen[f"{name}_s"] = _seconds(duration, name)
    auth = keywords.get("auth")
    if isinstance(auth, str):
        chosen["bearer"] = auth
    elif auth is not None:
        chosen["basic_auth"] = auth
    return RequestOptions(**chosen)


def result_of(response: Response, decode: Decoding) -> Any:
    """What `with_result` gets. Raises DecodeError when the reply is not the JSON it should be."""
    if decode == "json":
        return response.json()
    return decode(response) if callable(decode) else response


def _seconds(duration: Duration, name: str) -> float:
    try:
        return seconds(duration, name)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _PASSED_ON | _OWN, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"a request has no option {name!r}{hint}"


@dataclass(frozen=True)
class HttpAction:
    """A request as data: `await session.run_action(HttpAction("GET", "/", {"name": "home"}))`."""

    method: str
    path: str
    options: RequestKeywords = field(default_factory=RequestKeywords)
    service: str | None = None
    """Default: the session's first service."""

    measures_itself = True

    @property
    def name(self) -> str:
        """Its series is that of the request."""
        return self.options.get("name") or self.path

    async def run(self, session: Session) -> Response:
        """Send it."""
        verbs = session if self.service is None else session.service(self.service)
        return await verbs.request(self.method, self.path, **self.options)

    async def abort(self, session: Session) -> None:
        """Nothing to do: a request that is cancelled drops its connection itself."""

"""What a call may ask for beyond method and path."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chaperon_engine.http.ports import SeriesFor
from chaperon_engine.http.rules import Expect
from chaperon_engine.net.url import Fields


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a multipart upload, read from disk in pieces while it is sent."""

    path: str | Path
    filename: str | None = None
    """Name told to the server; default: the file's own."""
    content_type: str = "application/octet-stream"


Part = str | bytes | FilePart
"""A part of a multipart body: text, bytes, or a file."""

Body = bytes | str | AsyncIterable[bytes]
"""A request body; an async iterable is sent chunked as it yields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """Options of one call. At most one of `body`, `json`, `form` and `multipart` is given."""

    params: Fields | None = None
    """Appended to the query."""
    headers: Mapping[str, str] | None = None
    """Replace the service's headers of the same name; an empty dict changes nothing."""
    body: Body | None = None
    json: Any = ...
    """Sent as JSON; `...` means none, because None is a JSON value."""
    form: Fields | None = None
    """Sent as application/x-www-form-urlencoded."""
    multipart: Mapping[str, Part | Sequence[Part]] | None = None
    """Sent as multipart/form-data."""
    gzip: bool = False
    """Compress the body."""
    decode: bool = False
    """Ask for gzip, deflate, br or zstd and undo it."""
    read: bool = True
    """False: count the reply's body and throw it away."""
    stream: bool = False
    """Return after the reply's head; read the body with `response.chunks()`."""
    expect: Expect | None = None
    """Statuses that do not count as HTTP errors; default: below 400."""
    follow: bool | Literal["any"] = True
    """Redirects: to configured services only, anywhere ("any"), or not at all."""
    max_redirects: int | None = None
    """Default: the service's."""
    timeout_s: float | None = None
    """Whole call; default: the service's."""
    first_byte_timeout_s: float | None = None
    max_body_bytes: int | None = None
    basic_auth: tuple[str, str] | None = None
    """In place of the service's credentials."""
    bearer: str | None = None
    """In place of the service's credentials."""
    joined: bool = False
    """The path is complete: the path of the base URL does not stand before it."""
    series_for: SeriesFor | None = None
    """Series of redirect hops; default: the client's `series_for`, else the call's own series."""

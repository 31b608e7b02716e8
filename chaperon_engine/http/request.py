"""A call's method, path and options turned into bytes. Refuses what must not be sent. Pure."""

from __future__ import annotations

import base64
import gzip as gzip_codec
import re
from collections.abc import AsyncIterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.decode import ACCEPT_ENCODING
from chaperon_engine.http.headers import NO_FACTS, NO_HEAD
from chaperon_engine.http.multipart import MultipartBody
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.upload import IterableBody, UploadBody
from chaperon_engine.http.url import encode_fields, encode_path, with_params
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN_FIELDS = frozenset({"content-length", "transfer-encoding"})

HeaderFields = dict[str, tuple[str, str]]
"""Lower-case name to name as written and value: the last of a name wins."""


class Prepared:
    """A request ready to be sent, as often as wanted when its body allows it."""

    __slots__ = (
        "body", "head", "method", "origin", "path", "rules", "tail", "usual_facts", "usual_head",
        "wire",
    )  # fmt: skip

    def __init__(
        self,
        origin: str,
        method: str,
        path: str,
        head: bytes,
        content: bytes,
        rules: Rules,
        body: UploadBody | None = None,
    ) -> None:
        self.origin = origin
        """Scheme, host and port."""
        self.method = method
        self.path = path
        """Path and query as sent."""
        self.head = head
        """Request line and fields, without the empty line."""
        self.tail = b"\r\n" + content
        self.wire = head + self.tail
        self.rules = rules
        self.body = body
        """What follows `wire`, when it does not fit in memory."""
        self.usual_head = NO_HEAD
        """The head of the last reply whose connection lives on; the next is likely the same."""
        self.usual_facts = NO_FACTS

    def with_cookies(self, cookies: bytes) -> bytes:
        """`wire` with a Cookie field."""
        return b"%bCookie: %b%b" % (self.head, cookies, b"\r\n" + self.tail)


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
        raise InvalidRequest(f"{what} {visible(text)!r} is not a token of HTTP")


def check_value(text: str, what: str) -> None:
    """Raises InvalidRequest when the text cannot be the value of a header field."""
    if _BAD_VALUE.search(text):
        raise InvalidRequest(f"{what} contains a control character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} contains half a surrogate pair") from None


def check_method(method: object) -> None:
    """Raises InvalidRequest when the method must not be sent."""
    check_token(method, "method")
    if method == "CONNECT":
        raise InvalidRequest("method CONNECT is not supported")


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


def prepare(target: Target, method: str, path: str) -> Prepared:
    """A bare request to a path below the target's base URL."""
    check_method(method)
    sent_path = encode_path(target.prefix + path)
    fields = target.fields
    if method in _BODY_EXPECTED:
        fields = {**fields, "content-length": ("Content-Length", "0")}
    head = encode_head(method, sent_path, fields)
    return Prepared(target.origin, method, sent_path, head, b"", target.rules(method))


def prepare_with(
    target: Target, method: str, path: str, options: RequestOptions, *, joined: bool = False
) -> Prepared:
    """A request with options. `joined`: the path is complete already (a redirect)."""
    check_method(method)
    sent_path = encode_path(path if joined else target.prefix + path)
    if options.params is not None:
        sent_path = with_params(sent_path, options.params)
    fields = dict(target.fields)
    if options.basic_auth is not None:
        fields["authorization"] = ("Authorization", basic_credentials(options.basic_auth))
    if options.bearer is not None:
        fields["authorization"] = ("Authorization", bearer_credentials(options.bearer))
    if options.decode:
        fields["accept-encoding"] = ("Accept-Encoding", ACCEPT_ENCODING)
    content, body, content_type = _body(options)
    if content_type:
        fields["content-type"] = ("Content-Type", content_type)
    if options.headers:
        fields.update(header_fields(options.headers))
    if options.gzip and (content is not None or body is not None):
        fields["content-encoding"] = ("Content-Encoding", "gzip")
    if body is not None and body.length is None:
        fields["transfer-encoding"] = ("Transfer-Encoding", "chunked")
    elif body is not None:
        fields["content-length"] = ("Content-Length", str(body.length))
    elif content is not None or method in _BODY_EXPECTED:
        fields["content-length"] = ("Content-Length", str(len(content or b"")))
    head = encode_head(method, sent_path, fields)
    rules = _rules(target, method, options, fields, body)
    return Prepared(target.origin, method, sent_path, head, content or b"", rules, body)


def _body(options: RequestOptions) -> tuple[bytes | None, UploadBody | None, str]:
    """Content in memory or to be streamed, and its type."""
    given = [name for name in ("body", "form", "multipart") if getattr(options, name) is not None]
    if options.json is not ...:
        given.append("json")
    if len(given) > 1:
        raise InvalidRequest(f"{' and '.join(given)} are given: a request has one body")
    if options.multipart is not None:
        if options.gzip:
            raise InvalidRequest("gzip cannot be combined with multipart")
        upload = MultipartBody(options.multipart)
        return None, upload, upload.content_type
    if isinstance(options.body, AsyncIterable):
        return None, IterableBody(options.body, compress=options.gzip), ""
    content, content_type = _content(options)
    if content is not None and options.gzip:
        content = gzip_codec.compress(content, 6, mtime=0)
    return content, None, content_type


def _content(options: RequestOptions) -> tuple[bytes | None, str]:
    if options.json is not ...:
        return _json(options.json), "application/json"
    if options.form is not None:
        form = encode_fields(options.form, "form").encode("ascii")
        return form, "application/x-www-form-urlencoded"
    body = options.body
    if body is None:
        return None, ""
    if isinstance(body, str):
        try:
            return body.encode(), "text/plain; charset=utf-8"
        except UnicodeEncodeError:
            raise InvalidRequest("body contains half a surrogate pair") from None
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), ""
    raise InvalidRequest(
        f"body must be bytes, text or an async iterable of bytes, not {type(body).__name__}"
    )


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise InvalidRequest(f"json cannot be encoded: {visible(error)}") from None


def _rules(
    target: Target,
    method: str,
    options: RequestOptions,
    fields: HeaderFields,
    body: UploadBody | None,
) -> Rules:
    shared = target.rules(method)
    timeout_ns = shared.timeout_ns if options.timeout_s is None else int(options.timeout_s * 1e9)
    first_ns = shared.first_byte_ns
    if options.first_byte_timeout_s is not None:
        first_ns = int(options.first_byte_timeout_s * 1e9)
    limit = options.max_body_bytes
    return replace(
        shared,
        timeout_ns=timeout_ns,
        first_byte_ns=first_ns,
        max_body_bytes=shared.max_body_bytes if limit is None else limit,
        expect=options.expect,
        follows=bool(options.follow) and options.max_redirects != 0 and target.max_redirects > 0,
        read=options.read,
        stream=options.stream,
        decode=options.decode,
        retry=shared.retry and (body is None or body.replayable),
        close=shared.close or "close" in fields.get("connection", ("", ""))[1].lower(),
    )

"""A call's method, path and options turned into bytes. Refuses what must not be sent. Pure."""

from __future__ import annotations

import gzip as gzip_codec
from collections.abc import AsyncIterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.decode import ACCEPT_ENCODING
from chaperon_engine.http.multipart import MultipartBody
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.upload import IterableBody, UploadBody
from chaperon_engine.http.usual import NO_REPLY
from chaperon_engine.net.fields import (
    HeaderFields,
    basic_credentials,
    bearer_credentials,
    check_token,
    encode_head,
    header_fields,
)
from chaperon_engine.net.url import encode_fields, encode_path, with_params
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class Prepared:
    """A request ready to be sent, as often as wanted when its body allows it."""

    __slots__ = (
        "body", "head", "method", "origin", "path", "rules", "tail", "usual", "wire",
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
        self.usual = NO_REPLY
        """The last reply that another may be like."""

    def with_cookies(self, cookies: bytes) -> bytes:
        """`wire` with a Cookie field."""
        return b"%bCookie: %b%b" % (self.head, cookies, b"\r\n" + self.tail)


def check_method(method: object) -> None:
    """Raises InvalidRequest when the method must not be sent."""
    check_token(method, "method")
    if method == "CONNECT":
        raise InvalidRequest("method CONNECT is not supported")


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

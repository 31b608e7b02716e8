"""What handlers share: prebuilt heads, JSON replies, refusals, and numbers from requests."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

TEXT_HEAD = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/plain; charset=utf-8"}))
JSON_HEAD = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
BYTES_HEAD = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/octet-stream"}))

_encode = msgspec.json.encode


class Refused(Exception):
    """A request that cannot be served as asked; becomes a plain-text reply."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def json_reply(document: Any, status: int = 200) -> web.Response:
    """A reply with `document` as JSON."""
    return web.Response(status=status, body=_encode(document), headers=JSON_HEAD)


def text_reply(text: str, status: int = 200) -> web.Response:
    """A plain-text reply."""
    return web.Response(status=status, body=text.encode(), headers=TEXT_HEAD)


def whole_number(what: str, text: str, low: int, high: int) -> int:
    """`text` as a whole number from `low` to `high`; refused with 400 otherwise."""
    # The length is bounded before int(), whose cost is quadratic.
    if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) is None:
        raise Refused(400, f"{what} must be a whole number from {low} to {high}")
    number = int(text)
    if not low <= number <= high:
        raise Refused(400, f"{what} must be from {low} to {high}")
    return number


def query_number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """The whole number that the query gives for `name`, or `default`."""
    text = request.query.get(name)
    return default if text is None else whole_number(name, text, low, high)


def json_body(body: bytes, what: str) -> Any:
    """The request's body as plain data; refused with 400 when it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, f"{what} must be JSON: {error}") from None

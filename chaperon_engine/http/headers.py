"""What the client asks of the head of every reply."""

from __future__ import annotations

from chaperon_engine.http.rules import REDIRECTS
from chaperon_engine.net.headers import Headers, parse_head, reason_phrase

__all__ = ["NO_FACTS", "HeadFacts", "Headers", "ends_with_connection", "parse_head",
           "read_facts", "reason_phrase"]  # fmt: skip


class HeadFacts:
    """What the client asks of every head; equal heads say the same."""

    __slots__ = ("fields", "is_special", "keeps_alive", "status")

    def __init__(self, status: int, fields: int, keeps_alive: bool, is_special: bool) -> None:
        self.status = status
        self.fields = fields
        """How many header fields there are."""
        self.keeps_alive = keeps_alive
        """Whether the connection may be used again, if the body does not end with it."""
        self.is_special = is_special
        """Whether the reply may be a redirect or set a cookie."""


NO_FACTS = HeadFacts(0, 0, False, False)

_CONNECTION = b"\r\nconnection:"
_SET_COOKIE = b"\r\nset-cookie:"


def read_facts(head: bytes) -> HeadFacts | None:
    """The facts of a raw head that has passed the HTTP parser; None: it is not HTTP/1.x.

    The parser also takes line ends before a reply, other protocols and other versions. Some servers
    send a head of its own with each reply, so that this is on the hot path: the few names that
    matter are searched in the whole head, which is much faster than to look at each field.
    """
    code = head[9:12]
    if not head.startswith(b"HTTP/1.") or not code.isdigit() or head[8:9] != b" ":
        return None
    status = int(code)
    if status < 200:
        return None
    lower = head.lower()
    connection = b""
    for rest in lower.split(_CONNECTION)[1:]:
        connection += rest.partition(b"\r\n")[0] + b","
    # `find`, because `in` first takes the bytes for a number, and drops the error of that.
    if head.startswith(b"HTTP/1.0"):
        keeps_alive = connection.find(b"keep-alive") >= 0
    else:
        keeps_alive = connection.find(b"close") < 0
    is_special = status in REDIRECTS or lower.find(_SET_COOKIE) >= 0
    # The status line and the empty line are none.
    return HeadFacts(status, head.count(b"\r\n") - 2, keeps_alive, is_special)


def ends_with_connection(head: bytes) -> bool:
    """Whether the end of the connection is the end of the body."""
    headers = Headers(parse_head(head))
    coding = headers.get("transfer-encoding")
    if coding is not None:
        return not coding.lower().rstrip().endswith("chunked")
    return "content-length" not in headers

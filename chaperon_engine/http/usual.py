"""Replies that need no parser: they are like one that has been parsed.

Owns what makes a reply alike: the same bytes, the same head with another body, or a head that
differs in the values of fields that mean nothing to the client. Must not know connections.
"""

from __future__ import annotations

import re
from typing import Final

from chaperon_engine.http.headers import NO_FACTS, HeadFacts

_LONGEST_KEPT: Final = 4096
"""Bytes of a reply that is kept whole; of a longer one only the head is."""

_LENGTH: Final = b"content-length"
_FRAMING: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
     b"upgrade")
)  # fmt: skip
"""Fields that say where a reply ends or what becomes of the connection: they must be the same."""
_BODILESS: Final = frozenset((204, 304))
"""Statuses whose replies end with their head whatever Content-Length says."""


class UsualReply:
    """A complete valid reply whose head gives the length of its body.

    Whatever begins with the same head and has the same size is, for any parser, a complete reply as
    well: so it need not be parsed.
    """

    __slots__ = ("content", "head", "is_special", "size", "status", "wire")

    def __init__(self, head: bytes, content: bytes, wire: bytes, facts: HeadFacts) -> None:
        self.head = head
        self.content = content
        """The body of `wire`."""
        self.size = len(wire)
        self.wire = wire
        """The whole reply; empty when it is too long to keep."""
        self.status = facts.status
        self.is_special = facts.is_special
        if self.size > _LONGEST_KEPT:
            self.content = self.wire = b""


NO_REPLY: Final = UsualReply(b"", b"", b"", NO_FACTS)
"""What no reply is like: none is empty."""


class HeadShape:
    """Heads with the same status line and fields, whose values are free where they mean nothing.

    Servers put a request's number, a duration or a new cookie into each head. The parser has seen
    one of the shape; from the others they differ within field values, where they have none but the
    characters that the parser takes there, and in the digits of Content-Length.
    """

    __slots__ = ("facts", "match")

    def __init__(self, pattern: bytes, facts: HeadFacts) -> None:
        self.match = re.compile(pattern).match
        """Matches the head; group 1 is the length of the body."""
        self.facts = facts


def shape_of(head: bytes, facts: HeadFacts) -> HeadShape | None:
    """The shape of a raw head that has passed the parser; None: each such head must be parsed."""
    status_line, *lines = head[:-4].split(b"\r\n")
    if facts.status in _BODILESS or not facts.keeps_alive:
        return None
    pattern = [re.escape(status_line)]
    lengths = 0
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower == _LENGTH:
            lengths += 1
            pattern.append(re.escape(name) + rb":[ \t]*+(0|[1-9][0-9]{0,8})")
        elif lower in _FRAMING:
            pattern.append(re.escape(line))
        elif not value.strip():
            # An empty value may be the begin of a folded one.
            return None
        else:
            pattern.append(re.escape(name) + rb":[\t -~\x80-\xff]++")
    return HeadShape(rb"\r\n".join((*pattern, rb"\r\n")), facts) if lengths == 1 else None

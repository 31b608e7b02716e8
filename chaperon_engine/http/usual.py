"""The reply that a request got last, as far as it tells what the next one will be."""

from __future__ import annotations

from typing import Final

from chaperon_engine.http.headers import NO_FACTS, HeadFacts

_LONGEST_KEPT: Final = 4096
"""Bytes of a reply that is kept whole; of a longer one only the head is."""


class UsualReply:
    """A complete valid reply whose head gives the length of its body.

    Whatever begins with the same head and has the same size is, for any parser, a complete reply as
    well: so it need not be parsed.
    """

    __slots__ = ("content", "head", "is_special", "size", "status", "wire")

    def __init__(self, head: bytes, content: bytes, facts: HeadFacts) -> None:
        self.head = head
        self.content = content
        """The body of `wire`."""
        self.size = len(head) + len(content)
        self.wire = head + content
        """The whole reply; empty when it is too long to keep."""
        self.status = facts.status
        self.is_special = facts.is_special
        if self.size > _LONGEST_KEPT:
            self.content = self.wire = b""


NO_REPLY: Final = UsualReply(b"", b"", NO_FACTS)
"""What no reply is like: none is empty."""

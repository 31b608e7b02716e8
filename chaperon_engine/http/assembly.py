"""A reply that is put together from what arrives, with the parser's judgement on it.

Owns what a connection knows of the reply in the making: its head, its body so far, the limits on
both, interim replies before it. Must not know series, futures, or what becomes of the reply.

The parser is asked for as little as possible, because a callback into Python costs as much as the
parsing of the whole reply:

- Header fields are not collected by callbacks: the raw head is kept, and parsed when somebody
  looks. This also takes away the parser's quadratic cost for a header value in many pieces.
- The callbacks are methods of lists (`ReplySink`), which all connections to a target share: what
  the parser says is taken over before it hears of another connection.
- What a head says (`HeadFacts`) is remembered: most replies of a load test have one of a few heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from httptools import HttpResponseParser

from chaperon_engine.errors import BodyCutShort, ProtocolViolation, TooLarge
from chaperon_engine.http.faults import invalid_reply
from chaperon_engine.http.headers import NO_FACTS, HeadFacts, ends_with_connection, read_facts
from chaperon_engine.http.pool import list_for_one

if TYPE_CHECKING:
    from chaperon_engine.http.response import Response
    from chaperon_engine.http.rules import Rules
    from chaperon_engine.http.service import Target

_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class ReplySink:
    """What a parser says of the bytes that it is being fed.

    `begin` and `complete` hold a permit each: the parser takes one at the begin of a reply, and the
    other at its end. So the first byte of a reply that nobody asked for raises IndexError inside
    the parser. Between two feeds both permits are there, and no piece of a body.
    """

    __slots__ = ("begin", "complete", "on_body", "on_message_begin", "on_message_complete",
                 "pieces")  # fmt: skip

    def __init__(self) -> None:
        self.begin: list[None] = list_for_one()
        self.complete: list[None] = list_for_one()
        self.pieces: list[bytes] = list_for_one()
        """Body, as the parser hands it out."""
        self.on_body = self.pieces.append
        self.on_message_begin = self.begin.pop
        self.on_message_complete = self.complete.pop
        self.take()

    def take(self) -> Sequence[bytes]:
        """The pieces of a body; renews the permits that were taken."""
        if not self.begin:
            self.begin.append(None)
        if not self.complete:
            self.complete.append(None)
        pieces = tuple(self.pieces)
        self.pieces.clear()
        return pieces


class Assembly:
    """The reply in the making on one connection; at rest while `received` is 0.

    `feed` until it says that the reply is complete, then `reset`. After an error the connection is
    of no further use, and neither is this.
    """

    __slots__ = (
        "_body_bytes", "_feed", "_has_begun", "_pieces", "_raw", "_sink", "_target", "facts",
        "has_extra", "head", "is_known", "piece", "received",
    )  # fmt: skip

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sink = target.sink
        self.received = 0
        """Bytes of this reply, interim replies included."""
        self.head = b""
        """Empty until the head is complete; ends in an empty line."""
        self.facts: HeadFacts = NO_FACTS
        """What the head says."""
        self.is_known = False
        """The head, to the byte, has come before: it will come again."""
        self.piece = b""
        """Body of this read."""
        self.has_extra = False
        """More came than the reply."""
        self._raw = b""
        """Bytes received until the head is known."""
        self._has_begun = False
        """The parser has seen the begin of the reply."""
        self._body_bytes = 0
        self._pieces: list[bytes] | None = None
        """Body of earlier reads that is kept; None for a reply that came in one."""
        self._new_parser()

    def _new_parser(self) -> None:
        self._feed = HttpResponseParser(self._sink).feed_data

    def feed(self, data: bytes, rules: Rules, response: Response) -> bool:
        """Takes what arrived; whether the reply is complete.

        Raises ActionError: the reply is invalid, or passes a limit.
        """
        if not self.head:
            self._raw += data
        self.received += len(data)
        if self._has_begun:
            self._sink.begin.pop()
        return self._parse(data, rules, response)

    def end(self, error: Exception | None, response: Response) -> None:
        """The connection has ended. Raises BodyCutShort unless that completes the reply."""
        if not self.head or error is not None or not ends_with_connection(self.head):
            where = "body" if self.head else "head"
            raise BodyCutShort(
                f"the connection ended in the {where} of the reply: {response.about}"
            )
        self.piece = b""

    def keep(self) -> None:
        """The body of this read will be wanted when the reply is complete."""
        if self.piece:
            if self._pieces is None:
                self._pieces = []
            self._pieces.append(self.piece)

    @property
    def body(self) -> bytes:
        """All of the body that was kept, and that of this read."""
        if self._pieces is None:
            return self.piece
        return b"".join((*self._pieces, self.piece))

    @property
    def is_repeatable(self) -> bool:
        """Whether the same bytes would be the same reply again: its head gives its length."""
        return self.received == len(self.head) + self._body_bytes

    def reset(self, *, after_head: bool) -> None:
        """The next reply begins; `after_head`: this was one to HEAD."""
        self.received = self._body_bytes = 0
        self.head = self._raw = self.piece = b""
        self._has_begun = False
        self._pieces = None
        if after_head:
            # A Content-Length in its reply leaves the parser waiting for a body.
            self._new_parser()

    def _parse(self, data: bytes, rules: Rules, response: Response) -> bool:
        sink = self._sink
        refusal: Exception | None = None
        try:
            self._feed(data)
        except Exception as error:
            refusal = error
        is_complete = not sink.complete
        self._has_begun = not sink.begin
        pieces = sink.take()
        if refusal is not None and not is_complete:
            raise invalid_reply(refusal, response.about)
        # What is refused after the end is not ours (or follows an interim reply).
        self.has_extra = refusal is not None
        if not self.head:
            if is_complete and self._raw.startswith(_INTERIM):
                return self._skip_interim(rules, response)
            if not self._take_head(rules, response):
                if is_complete:
                    raise _not_http(response)
                return False
        if rules.is_head:
            self.has_extra = self.has_extra or bool(pieces)
            return True
        self.piece = piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._body_bytes += len(piece)
        if self._body_bytes > rules.max_body_bytes:
            raise TooLarge(f"the body of the reply passes {rules.max_body_bytes} bytes")
        return is_complete

    def _skip_interim(self, rules: Rules, response: Response) -> bool:
        """What has arrived begins with a complete interim reply: parse on after it."""
        raw = self._raw
        start = 0
        while raw.startswith(_INTERIM, start):
            if raw.startswith(b"01", start + 10):
                raise ProtocolViolation(f"the server switched protocols (101): {response.about}")
            end = raw.find(b"\r\n\r\n", start)
            if end < 0:
                break
            start = end + 4
        self._raw = rest = raw[start:]
        if self.received - len(rest) > rules.max_header_bytes:
            raise _too_large_head(rules)
        self._new_parser()
        return self._parse(rest, rules, response)

    def _take_head(self, rules: Rules, response: Response) -> bool:
        """Cuts the head out of what has arrived. False: it is not complete."""
        raw = self._raw
        end = raw.find(b"\r\n\r\n") + 4
        if (self.received - len(raw) + end if end > 3 else self.received) > rules.max_header_bytes:
            raise _too_large_head(rules)
        if end <= 3:
            return False
        head = raw[:end]
        facts = self._target.facts.get(head)
        self.is_known = facts is not None
        if facts is None:
            facts = read_facts(head)
            if facts is None:
                raise _not_http(response)
            if facts.fields > rules.max_headers:
                raise TooLarge(f"the reply has more than {rules.max_headers} header fields")
            self._target.remember(head, facts)
        self.head = head
        self.facts = facts
        self._raw = b""
        return True


def _not_http(response: Response) -> ProtocolViolation:
    return ProtocolViolation(f"the reply is not HTTP/1.x: {response.about}")


def _too_large_head(rules: Rules) -> TooLarge:
    return TooLarge(f"the head of the reply passes {rules.max_header_bytes} bytes")

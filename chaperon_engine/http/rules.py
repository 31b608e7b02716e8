"""What one call demands of its reply: deadlines, limits, what becomes of the body."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

Expect = int | Collection[int] | Callable[[int], bool]
"""Statuses that a call expects: one, several, or a predicate on the status."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(slots=True, kw_only=True)
class Rules:
    """Shared by all calls that ask for nothing special; a call with options has its own.

    Never changed once made; not frozen, because that would make them slow to build.
    """

    timeout_ns: int
    """From the call until the last byte of the reply."""
    first_byte_ns: int
    """From the request sent until the first byte of the reply."""
    max_header_bytes: int
    max_headers: int
    max_body_bytes: int
    """Of the body as transferred, before decoding."""
    max_decoded_bytes: int
    expect: Expect | None = None
    """None: statuses below 400."""
    follows: bool = False
    """Redirects are followed, and so are no surprise."""
    read: bool = True
    """False: the body is counted and thrown away."""
    stream: bool = False
    """The call returns after the head; the body is handed over piece by piece."""
    decode: bool = False
    """Undo gzip, deflate, br and zstd."""
    is_head: bool = False
    """The reply has no body whatever its head announces."""
    retry: bool = False
    """May be sent again when the kept-alive connection turns out to be closed."""
    close: bool = False
    """The connection is not used again."""
    is_plain: bool = field(init=False)
    """Nothing special is asked: the fast path."""

    def __post_init__(self) -> None:
        self.is_plain = (
            self.read
            and self.expect is None
            and not (self.stream or self.decode or self.is_head or self.close)
        )

    def expects(self, status: int) -> bool:
        """Whether the status is one that the call expects."""
        expect = self.expect
        if expect is None:
            return status < 400
        if self.follows and status in REDIRECTS:
            return True
        if isinstance(expect, int):
            return status == expect
        if callable(expect):
            return bool(expect(status))
        return status in expect

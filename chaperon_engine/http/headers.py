"""Header fields of a reply: a case-insensitive view over the raw head, built when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaperon_engine.http.rules import REDIRECTS

Pairs = list[tuple[str, str]]


def parse_head(head: bytes) -> Pairs:
    """The fields of a raw head (status line, fields, CRLF after each) in the order received.

    The head has passed the HTTP parser, so that every line has a colon and ends in CRLF.
    """
    pairs: Pairs = []
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            pairs.append((name, value.strip(" \t")))
    return pairs


def reason_phrase(head: bytes) -> str:
    """The text after the status code, as the server sent it: foreign text, often empty."""
    line = head[: head.find(b"\r\n")].decode("latin-1")
    parts = line.split(" ", 2)
    return parts[2].strip() if len(parts) == 3 else ""


class Headers(Mapping[str, str]):
    """Header fields by name, ignoring case. Several fields of one name are joined by a comma;
    `all` has them one by one (needed for Set-Cookie)."""

    __slots__ = ("_by_name", "pairs")

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        """Names and values in the order and spelling received."""
        by_name: dict[str, list[str]] = {}
        for name, value in pairs:
            by_name.setdefault(name.lower(), []).append(value)
        self._by_name = by_name

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._by_name[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name

    def all(self, name: str) -> list[str]:
        """Values of all fields of this name, in the order received."""
        return list(self._by_name.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"


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
NO_HEAD = b"\0"
"""What no reply begins with."""


def read_facts(head: bytes) -> HeadFacts | None:
    """The facts of a raw head that has passed the HTTP parser; None: it is not HTTP/1.x.

    The parser also takes line ends before a reply, other protocols and other versions.
    """
    code = head[9:12]
    if not head.startswith(b"HTTP/1.") or not code.isdigit() or head[8:9] != b" ":
        return None
    status = int(code)
    if status < 200:
        return None
    headers = Headers(parse_head(head))
    connection = headers.get("connection", "").lower()
    if head.startswith(b"HTTP/1.0"):
        keeps_alive = "keep-alive" in connection
    else:
        keeps_alive = "close" not in connection
    is_special = status in REDIRECTS or "set-cookie" in headers
    return HeadFacts(status, len(headers.pairs), keeps_alive, is_special)


def ends_with_connection(head: bytes) -> bool:
    """Whether the end of the connection is the end of the body."""
    headers = Headers(parse_head(head))
    coding = headers.get("transfer-encoding")
    if coding is not None:
        return not coding.lower().rstrip().endswith("chunked")
    return "content-length" not in headers

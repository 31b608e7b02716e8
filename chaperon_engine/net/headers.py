"""Header fields of a reply: a case-insensitive view over the raw head, built when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

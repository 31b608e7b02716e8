"""A strict parser of InfluxDB's line protocol, from its published grammar: what a server reads.

Stricter than servers are: a backslash in a key or tag must escape something or stand before an
ordinary character, where all versions of InfluxDB read it as itself. Spaces of other widths than
the ordinary one separate nothing and are taken, as servers do.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

Value = int | float | str | bool

_INTEGER = re.compile(r"-?\d+i")
_FLOAT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_BOOLEANS = {"t": True, "true": True, "f": False, "false": False}


class Malformed(ValueError):
    """A line that is not line protocol."""


@dataclass(frozen=True)
class Point:
    """One line."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int


def parse(body: bytes) -> list[Point]:
    """The points of a body, in which every line ends with a newline."""
    text = body.decode()
    if not text.endswith("\n"):
        raise Malformed("the last line has no end")
    return [parse_line(line) for line in text[:-1].split("\n")]


def parse_line(line: str) -> Point:
    """One point."""
    if not line or line.startswith(("#", " ")):
        raise Malformed(f"no point: {line[:40]!r}")
    measurement, at = _word(line, 0, ", ", escaped=", ")
    if not measurement or measurement.startswith("_"):
        raise Malformed("a bad measurement")
    tags: dict[str, str] = {}
    while line[at] == ",":
        key, at = _word(line, at + 1, "=", escaped=",= ")
        value, at = _word(line, at + 1, ", ", escaped=",= ")
        if not key or not value or key.startswith("_") or key == "time" or key in tags:
            raise Malformed(f"a bad tag {key!r}={value!r}")
        tags[key] = value
    fields: dict[str, Value] = {}
    while True:
        key, at = _word(line, at + 1, "=", escaped=",= ")
        value, at = _field(line, at + 1)
        if not key or key.startswith("_") or key == "time" or key in fields:
            raise Malformed(f"a bad field {key!r}")
        fields[key] = value
        if at >= len(line):
            raise Malformed("no time")
        if line[at] == " ":
            break
        if line[at] != ",":
            raise Malformed(f"{line[at]!r} behind a field")
    if not re.fullmatch(r"-?\d+", line[at + 1 :]):
        raise Malformed(f"a bad time {line[at + 1 :]!r}")
    return Point(measurement, tags, fields, int(line[at + 1 :]))


def _word(line: str, at: int, ends: str, escaped: str) -> tuple[str, int]:
    """The text up to one of `ends`, and where that stands."""
    found = ""
    while at < len(line):
        char = line[at]
        if char == "\\":
            following = line[at + 1 : at + 2]
            if following and following in escaped:
                found, at = found + following, at + 2
                continue
            if not following or following in '\\,= "':
                raise Malformed("a backslash that parsers read differently")
        elif char in ends:
            return found, at
        elif char in escaped:
            raise Malformed(f"{char!r} is not escaped in {line[:80]!r}")
        if not char.isprintable() and unicodedata.category(char) != "Zs":
            raise Malformed(f"a control character {char!r}")
        found, at = found + char, at + 1
    raise Malformed(f"the line ends within {found[:40]!r}")


def _field(line: str, at: int) -> tuple[Value, int]:
    if line[at : at + 1] == '"':
        found, at = "", at + 1
        while at < len(line):
            if line[at] == '"':
                return found, at + 1
            if line[at] == "\\" and line[at + 1 : at + 2] in ('"', "\\"):
                at += 1
            found, at = found + line[at], at + 1
        raise Malformed("a text without end")
    end = min((i for i in (line.find(",", at), line.find(" ", at)) if i >= 0), default=len(line))
    word = line[at:end]
    if _INTEGER.fullmatch(word):
        if not -(2**63) <= int(word[:-1]) < 2**63:
            raise Malformed(f"{word} is too large")
        return int(word[:-1]), end
    if _FLOAT.fullmatch(word):
        return float(word), end
    if word in _BOOLEANS:
        return _BOOLEANS[word], end
    raise Malformed(f"a bad value {word!r}")

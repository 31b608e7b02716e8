"""Finds the line of a key in a TOML or JSON text, which their parsers do not tell.

Only for texts that a parser has already taken: what is no valid text gives some line or none, but
never an exception. Must not know what a key means.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from chaperon_engine.definition.problems import Keys

Language = Literal["toml", "json"]

_TOKEN = re.compile(
    r'''
      (?P<string> """(?:[^\\]|\\.)*?"{3,5} | "(?:[^"\\\n]|\\.)*"
                | \'\'\'.*?\'{3,5}         | '[^'\n]*' )
    | (?P<newline> \n )
    | (?P<mark> [\[\]{},.=:] )
    | (?P<word> [^\s\[\]{},.=:\#"']+ )
    | (?P<comment> \#[^\n]* )
    ''',
    re.DOTALL | re.VERBOSE,
)


class Lines:
    """The lines of the keys in one text. Reads the text when it is asked for the first time."""

    def __init__(self, text: str, language: Language) -> None:
        self._text = text
        self._language = language

    def __call__(self, keys: Keys) -> int | None:
        """The line where the key (or list item) at the end of this way down stands.

        The way may lead further than the text does: then the line of the nearest key above, and
        None when not even the first key is there.
        """
        node = self._root
        for key in keys:
            child = node.children.get(key)
            if child is None:
                break
            node = child
        return node.line or None

    def of_word(self, word: str) -> int | None:
        """The line of the first value that is this bare word."""
        found = (line for _, token, line in _tokens(self._text) if token == word)
        return next(found, None)

    @cached_property
    def _root(self) -> _Node:
        if self._language == "json":
            return _read_json(self._text)
        return _read_toml(self._text)


class _Node:
    """A key or list item: its line and what is below it."""

    __slots__ = ("_children", "last_table", "line")

    def __init__(self, line: int) -> None:
        self.line = line
        self.last_table: _Node | None = None
        """Set by each `[[name]]`: keys below the name belong to its last item."""
        self._children: dict[str | int, _Node] | None = None

    @property
    def children(self) -> dict[str | int, _Node]:
        # Most nodes are plain values and never have a child.
        if self._children is None:
            self._children = {}
        return self._children

    def child(self, key: str | int, line: int) -> _Node:
        """The child of that name, made at `line` when it is new."""
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = _Node(line)
        return found

    def table(self) -> _Node:
        """Where keys below this name go."""
        return self.last_table or self


@dataclass
class _Open:
    """A list or a table in braces that has not ended yet."""

    node: _Node
    is_list: bool
    index: int = 0


class _Values:
    """Follows keys and values, token by token, through lists and tables in braces.

    What stands in braces is read alike in JSON and TOML. A stack, not recursion: a text may be
    nested as deep as its parser lets it.
    """

    def __init__(self, decode: Callable[[str], str], *, replaces: bool) -> None:
        """`decode` takes a quoted key; `replaces`: a repeated key starts anew (JSON)."""
        self.root = _Node(0)
        self.table = self.root
        """Where keys outside of all braces go."""
        self.way: list[tuple[str, int]] = []
        """The parts of the key that is being read, each with its line."""
        self.target: _Node | None = None
        """Whose value is being read; None while a key is."""
        self.open: list[_Open] = []
        self._decode = decode
        self._replaces = replaces

    def feed(self, kind: str, token: str, line: int) -> None:
        if self.target is None:
            self._in_key(kind, token, line)
        elif token == ",":
            self._next()
        elif token in ("]", "}"):
            self._close()
        else:
            self._in_value(token, line)

    def _in_key(self, kind: str, token: str, line: int) -> None:
        if kind in ("string", "word"):
            name = self._decode(token) if kind == "string" else token
            self.way.append((name, line))
        elif token in ("=", ":") and self.way:
            node = self.open[-1].node if self.open else self.table
            self.target = self._down(node)
        elif token == "}":
            self._close()

    def _down(self, node: _Node) -> _Node:
        for name, line in self.way[:-1]:
            node = node.child(name, line).table()
        name, line = self.way[-1]
        self.way.clear()
        if self._replaces:
            node.children.pop(name, None)
        return node.child(name, line)

    def _in_value(self, token: str, line: int) -> None:
        node = self.target
        if self.open and self.open[-1].is_list:
            node = self.open[-1].node.child(self.open[-1].index, line)
        if node is not None and token in ("[", "{"):
            self.open.append(_Open(node, is_list=token == "["))
            self.target = node if token == "[" else None

    def _next(self) -> None:
        if self.open and self.open[-1].is_list:
            self.open[-1].index += 1
        elif self.open:
            self.target = None

    def _close(self) -> None:
        self.way.clear()
        if self.open:
            self.target = self.open.pop().node


def _read_json(text: str) -> _Node:
    values = _Values(_json_key, replaces=True)
    values.target = values.root
    for kind, token, line in _tokens(text):
        if kind != "newline":
            values.feed(kind, token, line)
    return values.root


def _read_toml(text: str) -> _Node:
    values = _Values(_toml_key, replaces=False)
    brackets = 0  # Opened at the beginning of this line: 1 for [table], 2 for [[table]].
    for kind, token, line in _tokens(text + "\n"):
        if kind == "newline" and not values.open:
            if brackets and values.way:
                values.table = _header(values.root, values.way, is_item=brackets == 2)
            values.way.clear()
            values.target = None
            brackets = 0
        elif token == "[" and not values.open and values.target is None:
            brackets += 1
        elif kind != "newline":
            values.feed(kind, token, line)
    return values.root


def _header(root: _Node, way: list[tuple[str, int]], *, is_item: bool) -> _Node:
    """The node that the lines below `[way]` or `[[way]]` belong to."""
    node = root
    for name, line in way[:-1]:
        node = node.child(name, line).table()
    name, line = way[-1]
    node = node.child(name, line)
    if is_item:
        node.last_table = node.child(len(node.children), line)
        return node.last_table
    node.line = line  # Its own header says more than `[name.below]` before it.
    return node


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and line of each token; comments and blanks left out."""
    line, counted = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        kind = match.lastgroup or ""
        if kind != "comment":
            yield kind, match[0], line


def _json_key(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _toml_key(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    try:
        return str(tomllib.loads(f"key = {token}")["key"])
    except (tomllib.TOMLDecodeError, RecursionError):
        return token

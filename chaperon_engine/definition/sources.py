"""Config as text: `--set a.b=value`, and files in TOML or JSON. Gives plain nested tables.

Knows nothing of the meaning of a key, but for which values are text however they look.
"""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from chaperon_engine.definition.lines import Lines
from chaperon_engine.definition.problems import Place
from chaperon_engine.definition.settings import TEXT_KEYS
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Larger config files and load tests as data are refused."""

_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_LONG_NUMBER = "a number has thousands of digits"  # The parsers' last other reason.
_PLAIN_TYPES = (bool, int, float, str, list, dict)


@dataclass(frozen=True)
class Document:
    """A table and where it was written; the place knows the lines of its keys."""

    table: dict[str, Any]
    place: Place


def parse_override(override: str) -> tuple[tuple[str, ...], Any]:
    """The path and value of one `--set` argument. Raises UserError.

    The value is TOML (`5`, `true`, `[1, 2]`, `{a = 1}`, `"5"`); what is not TOML is text.
    """
    split = _split_at_equals(override)
    if split is None:
        raise UserError(f"--set '{visible(override, 80)}' has no '='; write --set key=value")
    key, value = split
    path = _path(key)
    if path is None:
        raise UserError(
            f"--set '{visible(override, 80)}' has no valid key; write --set a.b=value, "
            'and quote parts that have a dot in them: --set a."b.c"=value'
        )
    parsed = _value(value.strip())
    if not isinstance(parsed, str | list | dict) and _is_text(path):
        parsed = value.strip()
    return path, parsed


def overrides_as_table(overrides: Sequence[str]) -> dict[str, Any]:
    """All `--set` arguments as one nested table; the last wins. Raises UserError."""
    table: dict[str, Any] = {}
    for override in overrides:
        path, value = parse_override(override)
        inner = table
        for part in path[:-1]:
            below = inner.get(part)
            if not isinstance(below, dict):
                below = inner[part] = {}
            inner = below
        inner[path[-1]] = value
    return table


def read_document(path: Path, what: str) -> Document:
    """The table in a TOML or JSON file. Raises UserError with file and line."""
    if path.suffix.lower() not in (".toml", ".json"):
        raise UserError(f"{what} must be a .toml or .json file", path=path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{what} is not a regular file", path=path)
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{what} does not exist", path=path) from None
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}", path=path) from None
    if len(raw) > MAX_FILE_BYTES:
        raise UserError(f"{what} is larger than {MAX_FILE_BYTES // 2**20} MiB", path=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{what} is not UTF-8 text", path=path, line=line) from None
    try:
        if path.suffix.lower() == ".toml":
            table, lines = _toml(text), Lines(text, "toml")
        else:
            table, lines = _json(text), Lines(text, "json")
    except RecursionError:
        raise UserError(f"{what} is nested too deeply", path=path) from None
    except UserError as error:
        raise UserError(error.message, path=path, line=error.line) from None
    return Document(table, Place(path.name, path, lines))


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _TOML_PLACE.search(message)
        line = text.count("\n") + 1
        if place is not None:
            message = message[: place.start()]
            line = int(place[1]) if place[1] else line
        raise UserError(f"no valid TOML: {visible(message)}", line=line) from None
    except ValueError:
        raise UserError(f"no valid TOML: {_LONG_NUMBER}") from None


def _json(text: str) -> dict[str, Any]:
    try:
        table = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UserError(f"no valid JSON: {visible(error.msg)}", line=error.lineno) from None
    except _NoJson as error:
        line = Lines(text, "json").of_word(error.word)
        raise UserError(f"no valid JSON: {error.word} is not a JSON value", line=line) from None
    except ValueError:
        raise UserError(f"no valid JSON: {_LONG_NUMBER}") from None
    if not isinstance(table, dict):
        raise UserError("no valid config: the outermost value must be an object {...}", line=1)
    return table


class _NoJson(ValueError):
    """A word that Python would read as JSON, but nobody else."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def _refuse_constant(word: str) -> NoReturn:
    raise _NoJson(word)


def _split_at_equals(override: str) -> tuple[str, str] | None:
    """Cut at the first `=` outside of quotes."""
    quote = ""
    for index, char in enumerate(override):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "=":
            return override[:index], override[index + 1 :]
    return None


def _path(key: str) -> tuple[str, ...] | None:
    if not key.isprintable():
        return None
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except (tomllib.TOMLDecodeError, RecursionError):
        # Names of populations and services may have letters that TOML wants quoted.
        parts = tuple(part.strip() for part in key.split("."))
        return None if "" in parts or "'" in key or '"' in key else parts
    path: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None  # The key was a comment or the head of a table.
        ((part, table),) = table.items()
        path.append(part)
    return tuple(path)


def _value(text: str) -> Any:
    if "\n" in text or ("#" in text and text[:1] not in "\"'[{"):
        return text  # TOML would take the rest for a comment, or for further keys.
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table.get("value")
    if (
        not isinstance(value, _PLAIN_TYPES)
        or value != value
        or value in (float("inf"), -float("inf"))
    ):
        return text  # Dates, nan and inf are no config values.
    return value


def _is_text(path: tuple[str, ...]) -> bool:
    is_own = path[0] == "config" or (path[0] == "populations" and path[2:4] == ("config",) * 2)
    is_below_text = len(path) > 1 and path[-2] in ("headers", "basic_auth")
    return not is_own and (path[-1] in TEXT_KEYS or is_below_text)

"""What a request names that it may not: addresses, wherever in it they are, and files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chaperon_engine.errors import InvalidRequest, UserError
from chaperon_engine.net.url import Origin, split_url
from chaperon_engine.text import visible

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}")
_FILES = ("ca_file", "cert_file", "key_file")
MAX_DEPTH = 32


def origins(urls: Iterable[str]) -> frozenset[Origin]:
    """The origins of URLs; what is no URL is left out."""
    found = set()
    for url in urls:
        try:
            found.add(split_url(url, "base_url")[0])
        except InvalidRequest:
            continue
    return frozenset(found)


def urls_within(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(where, URL) of every text below `value` that has a URL in it, at any depth, keys as well.

    A setting, a population's config or a scenario's own key: whatever a URL is called, a scenario
    may aim at it. Only a space ends a URL: other signs some clients skip, and aim elsewhere.
    """
    for where, text in _texts(value, path, 0):
        for match in _SCHEME.finditer(text):
            yield where, text[match.start() :].partition(" ")[0]


def files_within(value: Any, path: str, *, inside: str = "") -> Iterator[str]:
    """Where below `value` a TLS setting names a file."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            where = f"{path}.{key}"
            if inside == "tls" and key in _FILES:
                yield where
            yield from files_within(item, where, inside=str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from files_within(item, f"{path}[{number}]", inside=inside)


def _texts(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        raise UserError(f"{visible(path, 100)} is nested too deeply")
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]", depth + 1)

"""Addresses of servers, as people write them. Pure.

Owns: that no password is in one, nor in what is said of a wrong one.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from chaperon_engine import units
from chaperon_engine.export.files import ExportError
from chaperon_engine.text import visible


def http_address(text: str, what: str, form: str) -> SplitResult:
    """The parts of an http or https URL without credentials, query and fragment.

    `what` and `form` are for the sentence of the `ExportError`, which never shows more of `text`
    than scheme, host and path.
    """
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(char.isspace() or not char.isprintable() for char in text):
        raise ExportError(f"{what} is {_shown(text)!r}, expected {form}")
    if "@" in parts.netloc:
        raise ExportError(
            f"{what} has credentials in it, which other programs can see: leave away what stands "
            f"before the @ and say it in another way ({_shown(text)})"
        )
    if parts.query or parts.fragment:
        raise ExportError(
            f"{what} has a query, which is not needed: settings are options of the exporter "
            f"({_shown(text)})"
        )
    return parts


def positive_seconds(text: str, what: str) -> float:
    """A duration of more than nothing; raises `ExportError`."""
    try:
        value = units.seconds(text, what)
    except ValueError as error:
        raise ExportError(visible(error)) from None
    if not value:
        raise ExportError(f"{what} must be more than 0 s")
    return value


def whole_number(text: str, what: str, limit: int) -> int:
    """A number from 0 to `limit`; raises `ExportError`."""
    try:
        value = units.count(text, what)
    except ValueError as error:
        raise ExportError(visible(error)) from None
    if value > limit:
        raise ExportError(f"{what} must be at most {limit}, not {value}")
    return value


def _shown(text: str) -> str:
    without_query = re.split(r"[?#]", text, maxsplit=1)[0]
    scheme, slashes, rest = without_query.rpartition("://")
    # A password may hold a slash: everything before the last @ goes.
    return visible(f"{scheme}{slashes}{rest.rpartition('@')[2]}", 200)

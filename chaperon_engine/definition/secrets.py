"""What must not be shown: the `Secret` type, names that mean a secret, and plain data without them.

Everything that leaves the process of the user's code as plain data passes `plain` first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|token|secret|api_?key|authorization|bearer|basic_auth|credential"
    r"|cookie|private_key"
)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MAX_DEPTH = 12
_MAX_ITEMS = 100
_MAX_NODES = 5_000
_MAX_TEXT = 2_000


class Secret(str):
    """A string that is shown as `***` in plans, reports and `repr`; usable as any other string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"


def is_secret_name(name: str) -> bool:
    """Whether a key of this name is taken to hold a secret: password, token, api_key, ..."""
    return _SECRET_NAME.search(name.lower().replace("-", "_").replace(" ", "_")) is not None


def plain(value: Any) -> Any:
    """`value` as plain data that may be shown: JSON types only, secrets as `***`.

    Functions become `<function name>`, other objects `<Type>`. Deep, long and very large values are
    cut and say so: a plan is for people, the sessions have the whole.
    """
    return _Plain().convert(value, 0)


class _Plain:
    def __init__(self) -> None:
        self.nodes = 0

    def convert(self, value: Any, depth: int) -> Any:
        self.nodes += 1
        if isinstance(value, Secret):
            return MASK
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            # JSON libraries keep 64 bits.
            return int(value) if -(2**63) <= value < 2**63 else "<large int>"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(value)
        if isinstance(value, str):
            return _plain_text(value)
        if depth >= _MAX_DEPTH or self.nodes >= _MAX_NODES:
            return "…"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            items = [self.convert(item, depth + 1) for item in islice(value, _MAX_ITEMS)]
            if len(value) > _MAX_ITEMS:
                items.append(f"… {len(value) - _MAX_ITEMS} more")
            return items
        if isinstance(value, PurePath):
            return str(value)
        if callable(value):
            return f"<function {getattr(value, '__name__', type(value).__name__)}>"
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, item in islice(value.items(), _MAX_ITEMS):
            name = _plain_text(str(key))
            hidden = is_secret_name(name) and item is not None
            shown[name] = MASK if hidden else self.convert(item, depth + 1)
        if len(value) > _MAX_ITEMS:
            shown["…"] = f"{len(value) - _MAX_ITEMS} more"
        return shown


def _plain_text(text: str) -> str:
    shown = _URL_CREDENTIALS.sub(MASK, text[: _MAX_TEXT + 1])
    if len(shown) > _MAX_TEXT:
        shown = shown[:_MAX_TEXT] + "…"
    # Lone surrogates cannot be written as UTF-8.
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")

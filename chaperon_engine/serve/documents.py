"""What is sent as JSON: structs as objects with their field names, whatever their own encoding.

Snapshots travel to the UI as arrays, for speed; people with curl want names. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

UNSHOWN = ("unkept_report", "report_path", "role", "join", "attach", "token_file")
"""Fields of a snapshot that are for this machine alone."""


def as_objects(value: Any) -> Any:
    """`value` with every struct in it as a table of its fields."""
    if isinstance(value, msgspec.Struct):
        return {
            name: as_objects(getattr(value, name))
            for name in value.__struct_fields__
            if name not in UNSHOWN
        }
    if isinstance(value, list | tuple):
        return [as_objects(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): as_objects(item) for key, item in value.items()}
    return value


def encode(value: Any) -> bytes:
    """`value` as JSON."""
    return msgspec.json.encode(as_objects(value))


def event(name: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))

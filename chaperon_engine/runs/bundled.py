"""What both ends of a bundle agree on: names that may travel, how much, and digests. Pure."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

MAX_NAME_BYTES = 255
"""Of each part of a name."""
MAX_DEPTH = 32


@dataclass(frozen=True)
class BundleLimits:
    """How much may travel."""

    file_bytes: int = 64 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    files: int = 5_000


def checked_name(name: str) -> str:
    """The name, when it is one that may be unpacked anywhere. Raises UserError."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        sizes = [0]
    if (
        not all(0 < size <= MAX_NAME_BYTES for size in sizes)
        or len(parts) > MAX_DEPTH
        or any(part in (".", "..") for part in parts)
        or not name.isprintable()
        or "\\" in name
    ):
        raise UserError(
            f"the file name {visible(name, 200)!r} cannot travel to other machines: rename the "
            "file, or leave it out with a line in .chaperonignore"
        )
    return name


class Names:
    """No two names may be one file on any machine: not in other letters, not file and folder."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}
        """As they are written, by how they compare."""

    def add(self, name: str) -> None:
        """Raises UserError."""
        same = _folded(name)
        taken = same in self._files or same in self._folders
        for parent in PurePosixPath(name).parents:
            written = str(parent)
            if written != ".":
                folded = _folded(written)
                taken = taken or folded in self._files
                taken = taken or self._folders.setdefault(folded, written) != written
        if taken:
            raise UserError(
                f"the file name {visible(name, 200)!r} is twice there, or differs from another in "
                "capital letters alone: rename one of them"
            )
        self._files.add(same)


def digest_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Of a whole bundle: names and digests of its files."""
    whole = hashlib.sha256()
    for name, digest in sorted(files):
        whole.update(f"{name}\0".encode() + digest)
    return whole.digest()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

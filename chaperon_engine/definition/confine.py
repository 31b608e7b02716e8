"""The rule for load tests as plain data: they name no file outside of their folder."""

from __future__ import annotations

from pathlib import Path


def inside(folder: Path, name: str | Path) -> Path | None:
    """The file that `name`, written in `folder`, means: absolute, all links followed.

    None when it is not below `folder`, by whatever way: `..`, an absolute path or a link.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # A loop of links, a NUL, half a character.
        return None
    return path if path.is_relative_to(root) else None

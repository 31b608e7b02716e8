"""What the UI remembers between launches: last values, hosts that were allowed, the theme.

One JSON file in the user's configuration folder (or below `CHAPERON_HOME`). No secrets: values
whose name speaks of one are left out, and so is user information in URLs.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
from platformdirs import user_config_path

_SECRET = re.compile(
    r"pass|secret|token|auth|bearer|cookie|credential|api_?key|private|session_?id|signature", re.I
)
_MAX_LAUNCHES = 50
_MAX_BYTES = 1_000_000


class Memory(msgspec.Struct, kw_only=True):
    """The content of the file."""

    launches: dict[str, dict[str, str]] = {}
    """Values of the launch form by `FILE:NAME`, the latest last."""
    hosts: list[str] = []
    """Hosts outside of private networks that the person has allowed."""
    theme: str = ""


def memory_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file lies."""
    home = environ.get("CHAPERON_HOME")
    return Path(home) / "ui.json" if home else user_config_path("chaperon") / "ui.json"


def load_memory(path: Path) -> Memory:
    """What was remembered; nothing if the file is missing or not ours."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Memory)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Memory()


def save_memory(memory: Memory, path: Path) -> None:
    """Write it whole or not at all. A folder that cannot be written is no reason to fail."""
    with contextlib.suppress(OSError, UnicodeError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ui-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(memory)))
            Path(name).replace(path)
        except (OSError, UnicodeError):
            Path(name).unlink(missing_ok=True)
            raise


def remember_launch(memory: Memory, key: str, values: Mapping[str, str]) -> None:
    """Keep the values of a launch, secrets left out; the oldest launches are forgotten."""
    memory.launches.pop(key, None)
    memory.launches[key] = {
        name: without_credentials(value)
        for name, value in values.items()
        if value and not is_secret(name, value)
    }
    while len(memory.launches) > _MAX_LAUNCHES:
        del memory.launches[next(iter(memory.launches))]


def is_secret(name: str, value: str) -> bool:
    """The name of the value, or of the setting in `a.b=value`, speaks of a secret."""
    setting = value.split("=", 1)[0] if "=" in value and name.startswith("set.") else ""
    return bool(_SECRET.search(name) or _SECRET.search(setting))


def without_credentials(value: str) -> str:
    """A URL without `user:password@`; any other value as it is."""
    if "://" not in value or "@" not in value:
        return value
    prefix, separator, url = "", "", value
    if "=" in value.split("://", 1)[0]:
        prefix, separator, url = value.partition("=")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return prefix + separator + urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

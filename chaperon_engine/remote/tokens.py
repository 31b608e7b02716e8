"""Tokens on disk and on their way in: a private file, standard input, an environment variable.

Never on a command line, which every user of a machine can read. Must not know what a token proves.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from chaperon_engine.errors import UserError
from chaperon_engine.protocol.token import Token
from chaperon_engine.runs.files import write_atomic
from chaperon_engine.text import visible

VARIABLE = "CHAPERON_TOKEN"
_MAX_BYTES = 4096


def write_token(directory: Path, token: Token) -> Path:
    """Write `ROLE.token`, mode 0600, into a private directory. Raises OSError."""
    path = directory / f"{token.role}.token"
    write_atomic(path, f"{token.text}\n".encode())
    return path


def read_token(source: str | None) -> Token:
    """The token of a file, of standard input (`-`), or of CHAPERON_TOKEN (None). Raises UserError.

    A file that others than its owner may read is refused. The variable is removed from this
    process's environment, so that no child gets it.
    """
    if source is None:
        text, where = os.environ.pop(VARIABLE, ""), f"the environment variable {VARIABLE}"
        if not text:
            raise UserError(
                f"there is no token: give `--token-file FILE` (`-` for standard input), or set "
                f"{VARIABLE}"
            )
    elif source == "-":
        text, where = _from_input(), "standard input"
    else:
        text, where = _from_file(Path(source).expanduser()), f"the token file {visible(source)}"
    try:
        return Token.parse(text)
    except UserError as error:
        raise UserError(f"{where}: {error.message}") from None


def _from_input() -> str:
    try:
        if sys.stdin.isatty():
            return getpass.getpass("Token: ")
        return sys.stdin.readline(_MAX_BYTES)
    except (OSError, EOFError, UnicodeDecodeError):
        return ""


def _from_file(path: Path) -> str:
    try:
        # Not to hang on a pipe that somebody put there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(
                    f"the token file {visible(path)} is no ordinary file: give `-` and send the "
                    "token to standard input"
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise UserError(
                    f"the token file {visible(path)} can be read by others: "
                    "`chmod 600` it; if others had a look, start the run anew"
                )
            return file.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise UserError(
            f"the token file {visible(path)} cannot be read: {error.strerror}"
        ) from None

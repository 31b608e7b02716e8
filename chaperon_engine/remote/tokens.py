"""Tokens on disk and on their way in: a private file, standard input, an environment variable.

Never on a command line, which every user of a machine can read.
"""

from __future__ import annotations

from pathlib import Path

from chaperon_engine.protocol.token import Token

VARIABLE = "CHAPERON_TOKEN"


def write_token(directory: Path, token: Token) -> Path:
    """Write `ROLE.token`, mode 0600, into a private directory. Raises OSError."""


def read_token(source: str | None) -> Token:
    """The token of a file, of standard input (`-`), or of CHAPERON_TOKEN (None). Raises UserError.

    A file that others than its owner may read is refused.
    """

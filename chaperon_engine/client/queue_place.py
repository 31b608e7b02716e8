"""Where a queue is: the files of this user's server, its socket, and the token of an HTTP client.

queue/                0700, below the user's data folder (`CHAPERON_HOME` overrides it)
    queue.json        the queue itself, see `serve.store`
    server.lock       locked as long as a server lives, holds its pid
    server.sock       where this user's own programs connect, without a token
    inputs/<id>/      what came with an entry as data and is needed as a file

Must not know: what is in the queue.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path

from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import MAX_SOCKET_PATH, home
from chaperon_engine.text import visible

TOKEN_VARIABLE = "CHAPERON_API_TOKEN"
TOKEN_FILE_VARIABLE = "CHAPERON_API_TOKEN_FILE"
TOKEN_USER = "chaperon"
"""The user of basic authentication; the token is the password."""
MIN_TOKEN_LENGTH = 16
MAX_TOKEN_LENGTH = 512


def queue_folder() -> Path:
    """The folder of this user's queue."""
    return home() / "queue"


def make_private(folder: Path) -> Path:
    """Make `folder` if it is missing; raises UserError unless it is this user's alone (0700)."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{visible(folder)} cannot be made: {error.strerror}") from None
    check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """Raise UserError unless `folder` is this user's alone, and OSError when it is not there."""
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.getuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise UserError(
            f"{visible(folder)} must be a folder of this user alone: `chmod 700` it, or remove it"
        )


def queue_socket() -> Path:
    """Where the server listens for its owner: in the queue's folder, or, when that path is too
    long for a unix socket, in a private folder below the system's temporary one.

    Which folder that is decides who may connect: check it with `check_private`.
    """
    here = queue_folder() / "server.sock"
    if len(os.fsencode(here)) <= MAX_SOCKET_PATH:
        return here
    digest = hashlib.sha256(os.fsencode(here)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"chaperon-{os.getuid()}" / f"queue-{digest}.sock"
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise UserError(f"{path} is too long for a unix socket: set TMPDIR to a shorter path")
    return path


def is_ours(peer: socket.socket | None) -> bool:
    """Whether this user (or root) is at the other end of a unix socket. The folder's mode says the
    same again, and alone where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return True
    if peer is None:
        return False
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (os.getuid(), 0)


def read_token(file: str | Path | None = None) -> str | None:
    """The token in `file`, in the file that the environment names, or in the environment.

    None when there is none of them; raises UserError when it cannot be one.
    """
    file = file or os.environ.get(TOKEN_FILE_VARIABLE) or None
    if file is None:
        given = os.environ.get(TOKEN_VARIABLE)
        return None if not given else check_token(given, TOKEN_VARIABLE)
    path = Path(file).expanduser()
    try:
        with path.open("rb") as source:
            raw = source.read(MAX_TOKEN_LENGTH + 2)
    except OSError as error:
        raise UserError(
            f"the token file {visible(path)} cannot be read: {error.strerror}"
        ) from None
    return check_token(raw.decode("latin-1").strip("\r\n"), f"the token file {visible(path)}")


def check_token(token: str, where: str) -> str:
    """`token`, when it can be one; raises UserError, which never shows it."""
    if not MIN_TOKEN_LENGTH <= len(token) <= MAX_TOKEN_LENGTH:
        raise UserError(
            f"the token in {where} has {len(token)} characters; use {MIN_TOKEN_LENGTH} to "
            f"{MAX_TOKEN_LENGTH}, such as `openssl rand -hex 24` prints"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"the token in {where} must be ASCII letters, digits and signs, no spaces")
    return token

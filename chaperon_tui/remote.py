"""A run on another machine, as it is named on the command line; the token is read before the UI
has the terminal."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaperon_engine import UserError, visible

if TYPE_CHECKING:
    from chaperon_engine import Authority, Token

OPTIONS = ("run_id", "pin", "token_file", "ca", "cert", "key")


@dataclass(frozen=True)
class Remote:
    """What it takes to attach over the network."""

    host: str
    port: int
    run_id: str
    token: Token
    """Never shown."""
    pin: str | None
    authority: Authority | None

    @property
    def where(self) -> str:
        """`HOST:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def add_options(parser: ArgumentParser) -> None:
    """The options of `attach HOST:PORT`."""
    group = parser.add_argument_group("attach HOST:PORT, a run on another machine")
    group.add_argument("--run", dest="run_id", metavar="ID", help="the run's id")
    group.add_argument("--pin", metavar="sha256:...", help="of the run's certificate")
    group.add_argument(
        "--token-file", metavar="FILE",
        help="the observer's or operator's token, - for standard input; else CHAPERON_TOKEN",
    )  # fmt: skip
    group.add_argument("--ca", metavar="FILE", help="an authority of your own instead of the pin")
    group.add_argument("--cert", metavar="FILE", help="with --ca: your certificate")
    group.add_argument("--key", metavar="FILE", help="with --cert: its key")


def is_address(text: str | None) -> bool:
    """`HOST:PORT`, not a run's id."""
    return text is not None and ":" in text


def remote_of(options: Namespace) -> Remote:
    """What `attach HOST:PORT` and its options name. Reads the token; raises UserError."""
    # Who watches a run of this machine needs neither TLS nor tokens.
    from chaperon_engine import Authority, address_of, read_token

    try:
        host, port = address_of(options.run)
    except UserError:
        raise UserError(
            f"{visible(options.run, 100)!r} is no address of a run: write HOST:PORT, as in the "
            "line that the run showed"
        ) from None
    if not options.run_id:
        raise UserError("attach HOST:PORT wants --run ID: the line that the run showed has it")
    if (options.pin is None) == (options.ca is None):
        raise UserError("attach HOST:PORT wants --pin sha256:..., or --ca FILE instead of it")
    if options.ca is None and (options.cert or options.key):
        raise UserError("--cert and --key go with --ca: a run with a pin asks for no certificate")
    authority = None
    if options.ca is not None:
        authority = Authority(_path(options.ca), *map(_path_or_none, (options.cert, options.key)))
    token = read_token(options.token_file)
    if options.token_file == "-":
        take_terminal()
    return Remote(host, port, options.run_id, token, options.pin, authority)


def take_terminal() -> None:
    """Put the terminal in the place of the standard input that brought the token, so that keys come
    from it. Raises UserError where there is none."""
    if sys.stdin.isatty():
        return
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise UserError(
            "the UI needs a terminal, and standard input brought the token; give the token in a "
            "file or in CHAPERON_TOKEN"
        ) from None
    os.dup2(terminal, 0)
    os.close(terminal)


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _path_or_none(text: str | None) -> Path | None:
    return None if text is None else _path(text)

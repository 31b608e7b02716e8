"""`chaperon target`, `chaperon serve` and `chaperon version`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from chaperon_engine.errors import EXIT_OK, UserError
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

if TYPE_CHECKING:
    from chaperon_engine.serve.server import Settings


def target(arguments: Namespace) -> int:
    """Serve until Ctrl-C."""
    from chaperon_engine.target import serve

    def ready(url: str) -> None:
        print(f"Target at {url} (Ctrl-C ends it); its exact counts: {url}/stats", flush=True)

    serve(arguments.host, arguments.port, on_ready=ready)
    return EXIT_OK


def serve(arguments: Namespace) -> int:
    """Keep the queue until Ctrl-C or SIGTERM."""
    import uvloop

    settings = _settings(arguments)
    _log_to(logging.INFO if not arguments.quiet else logging.WARNING)
    uvloop.run(_serve(settings))
    return EXIT_OK


async def _serve(settings: Settings) -> None:
    from chaperon_engine.serve.server import QueueServer

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with await QueueServer.start(settings) as server:
        after = "is stopped then" if settings.end_run else "goes on then"
        print(f"Queue at {server.url} (Ctrl-C ends it; a run that is running {after})", flush=True)
        await ended.wait()


def _settings(arguments: Namespace) -> Settings:
    from chaperon_engine.client.queue_place import TOKEN_VARIABLE, read_token
    from chaperon_engine.net.allowed import AllowedTargets
    from chaperon_engine.serve.admission import checked_folders
    from chaperon_engine.serve.options import find_parser
    from chaperon_engine.serve.server import DEFAULT_HOST, DEFAULT_PORT, Settings

    token = read_token(arguments.token_file)
    if token is None:
        raise UserError(
            f"a server needs a token: `export {TOKEN_VARIABLE}=$(openssl rand -hex 24)`, or "
            "--token-file with a file that holds one"
        )
    # What starts runs hands its environment on, and scenarios have no business with the token.
    os.environ.pop(TOKEN_VARIABLE, None)
    port = arguments.port
    if port is None:
        port = _port_of_environment(DEFAULT_PORT)
    return Settings(
        token=token,
        folders=checked_folders(arguments.folder),
        host=arguments.host or os.environ.get("CHAPERON_IP") or DEFAULT_HOST,
        port=port,
        names=arguments.allow_host,
        targets=AllowedTargets(arguments.allow_target),
        parser=find_parser(arguments.option_parser),
        exports=_exports(arguments.allow_export),
        tls_cert=_path(arguments.tls_cert),
        tls_key=_path(arguments.tls_key),
        end_run=arguments.end_run,
    )


def _port_of_environment(otherwise: int) -> int:
    text = os.environ.get("CHAPERON_PORT", "")
    if not text:
        return otherwise
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise UserError(f"CHAPERON_PORT is {visible(text, 60)!r}, expected a port from 0 to 65535")
    return int(text)


def _exports(values: list[str]) -> dict[str, str]:
    from chaperon_engine import export

    found: dict[str, str] = {}
    for value in values:
        format, _, destination = value.partition("=")
        found[format] = export.find(format).absolute(destination)
    export.check(found)
    return found


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser().absolute()


def _log_to(level: int) -> None:
    """One line for each request and each change of a test, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("chaperon.serve")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def version(arguments: Namespace) -> int:
    """Print the version."""
    print(f"chaperon {__version__}")
    return EXIT_OK

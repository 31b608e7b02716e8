"""`chaperon target` and `chaperon version`."""

from __future__ import annotations

from argparse import Namespace

from chaperon_engine.errors import EXIT_OK
from chaperon_engine.version import __version__


def target(arguments: Namespace) -> int:
    """Serve until Ctrl-C."""
    from chaperon_engine.target import serve

    def ready(url: str) -> None:
        print(f"Target at {url} (Ctrl-C ends it); its exact counts: {url}/stats", flush=True)

    serve(arguments.host, arguments.port, on_ready=ready)
    return EXIT_OK


def version(arguments: Namespace) -> int:
    """Print the version."""
    print(f"chaperon {__version__}")
    return EXIT_OK

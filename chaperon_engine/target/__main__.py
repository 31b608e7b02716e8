"""`python -m chaperon_engine.target`: the target as a child process.

Prints one line of JSON, `{"url": ..., "pid": ...}`, when it accepts connections.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from chaperon_engine.errors import EXIT_BAD_INPUT, UserError
from chaperon_engine.target.server import serve


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="chaperon_engine.target", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (0: a free one)")
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="end when standard input is closed, so that it never outlives its owner",
    )
    options = parser.parse_args()

    def announce(url: str) -> None:
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)

    try:
        serve(
            options.host,
            options.port,
            on_ready=announce,
            stop_with_stdin=options.exit_with_stdin,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())

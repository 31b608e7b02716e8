"""`python -m tests.ws.autobahn --python PYTHON2.7 --site FOLDER`: the suite against this client.

FOLDER is what `PYTHON2.7 -m pip install --target FOLDER autobahntestsuite==25.10.1` made.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
from pathlib import Path

import uvloop

from tests.ws.autobahn import conversations
from tests.ws.autobahn.run import run_suite, table


def main() -> None:
    """Runs cases, prints how they ended, and keeps their conversations if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.ws.autobahn", description=__doc__)
    parser.add_argument("--python", required=True, help="a Python 2.7")
    parser.add_argument("--site", required=True, help="the folder with the suite")
    parser.add_argument("--cases", default=".*", help="regular expression of their names")
    parser.add_argument("--keep", action="store_true", help="write conversations.json anew")
    given = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        results = uvloop.run(
            run_suite(given.python, given.site, port, Path(folder) / "results", given.cases)
        )
    print(table(results))
    if given.keep:
        print(f"{conversations.save(results)} conversations kept")


main()

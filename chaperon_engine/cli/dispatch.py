"""From arguments to a command, and from what it raises to a sentence and an exit code.

Must not know what any command does.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from chaperon_engine.cli.arguments import parse
from chaperon_engine.errors import (
    EXIT_BAD_INPUT,
    EXIT_EXPORT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ChaperonError,
    UserError,
)
from chaperon_engine.text import visible_block

_COMMANDS = {
    "run": "running:run",
    "quick": "quick:quick",
    "try": "trying:try_once",
    "list": "listing:list_entries",
    "target": "serving:target",
    "serve": "serving:serve",
    "worker": "joining:worker",
    "report": "reports:report",
    "runs": "reports:runs",
    "recover": "reports:recover",
    "version": "serving:version",
}
"""Module and function of each command."""

_MAX_MESSAGE = 2000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    if sys.stdout is None:
        # Closed by who started us (`>&-`); a command must work all the same.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark instead of a crash.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    command = arguments[0] if arguments else ""
    try:
        code = _run(parse(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has gone (`| head`). Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED if command in ("run", "quick") else EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_OK
    except Exception as error:
        if debug:
            raise
        return _explain(error)
    return code


def _run(arguments: Namespace) -> int:
    module, _, name = _COMMANDS[arguments.command].partition(":")
    command = getattr(importlib.import_module(f"chaperon_engine.cli.{module}"), name)
    code: int = command(arguments)
    return code


def _explain(error: Exception) -> int:
    """Say on standard error what is wrong; never a traceback."""
    if isinstance(error, UserError):
        # Told by its name: importing the exporters for this costs as much as the command itself.
        code = EXIT_EXPORT_FAILED if type(error).__name__ == "ExportError" else EXIT_BAD_INPUT
        message = str(error)
    elif isinstance(error, ChaperonError):
        code, message = EXIT_EXPORT_FAILED, str(error)
    else:
        code = EXIT_EXPORT_FAILED
        kind = type(error).__name__
        message = f"unexpected {kind}: {error} (--debug shows where; please report this)"
    print(f"chaperon: {visible_block(message, limit=_MAX_MESSAGE)}", file=sys.stderr)
    return code

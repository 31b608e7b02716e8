"""`chaperon-tui`: arguments, the check for a terminal, and what is printed at the end.

The toolkit is imported only when a screen will be shown: without a terminal it would write escape
codes and hang.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import chaperon_engine
from chaperon_engine import (
    EXIT_BAD_INPUT,
    EXIT_EXPORT_FAILED,
    EXIT_INTERRUPTED,
    ChaperonError,
    UserError,
    __version__,
    visible,
)
from chaperon_tui.remote import OPTIONS, add_options, is_address, remote_of

if TYPE_CHECKING:
    from chaperon_engine import LaunchRequest
    from chaperon_tui.app import Start

_EPILOG = """examples:
  chaperon-tui                      choose from ./scenarios, your own folder, the bundled ones
  chaperon-tui checkout.py          launch form of a file (FILE:NAME for one of several)
  chaperon-tui http://127.0.0.1/    launch form for one URL
  chaperon-tui attach [RUN]         show a run that is going
  chaperon-tui attach HOST:PORT --run ID --pin sha256:... --token-file FILE
                                    the same on another machine: the run shows this line
  chaperon-tui queue [URL]          show the queue of `chaperon serve`, here or elsewhere
  chaperon-tui --demo               with the bundled target to shoot at
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{visible(message)}; see chaperon-tui --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the UI; answers the exit code."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f"chaperon-tui: {visible(error, 2000)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except ChaperonError as error:
        print(f"chaperon-tui: {visible(error, 2000)}", file=sys.stderr)
        return EXIT_EXPORT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _main(argv: list[str]) -> int:
    parser = _Parser(
        prog="chaperon-tui",
        description="Load tests with a screen. `chaperon` is the same without one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", metavar="FILE[:NAME] | URL | attach | queue")
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN | HOST:PORT | URL",
        help="for attach: id or its beginning, or where it is; for queue: its URL",
    )
    add_options(parser)
    parser.add_argument("--demo", action="store_true", help="start the bundled target as well")
    parser.add_argument("--version", action="version", version=f"chaperon-tui {__version__}")
    options = parser.parse_args(argv)
    if options.run is not None and options.what not in ("attach", "queue"):
        raise UserError(f"one argument too many: {visible(options.run, 60)!r}")
    remote = None
    if options.what == "attach" and is_address(options.run):
        remote = remote_of(options)
    elif any(getattr(options, name) is not None for name in OPTIONS):
        raise UserError("--run, --pin, --token-file and the like go with attach HOST:PORT")
    if not _has_terminal():
        if options.demo:
            from chaperon_tui.demo import run_demo

            return run_demo()
        raise UserError(
            "the UI needs a terminal; without one use `chaperon run FILE` or `chaperon --help`"
        )
    from chaperon_tui.app import Start

    if options.demo:
        from chaperon_tui.target import BundledTarget

        with BundledTarget() as target:
            return _show(Start(target_url=target.url))
    if options.what == "attach":
        return _show(Start(attach=True, run=options.run, remote=remote))
    if options.what == "queue":
        return _show(Start(queue=True, queue_url=options.run))
    if options.what:
        return _show(Start(request=request_for(options.what)))
    return _show(Start())


def request_for(what: str) -> LaunchRequest:
    """What a FILE, FILE:NAME or URL stands for. Raises UserError."""
    if "://" in what:
        return chaperon_engine.url_request(what)
    path, name = what, ""
    if not Path(what).exists() and ":" in what:
        path, _, name = what.rpartition(":")
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise UserError(
            f"{visible(path)} does not exist; give a scenario file or a URL with http://"
        )
    return chaperon_engine.LaunchRequest(file=str(file), name=name or None, detach=True)


def _has_terminal() -> bool:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _show(start: Start) -> int:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.state.memory import memory_path

    app = ChaperonApp(chaperon_engine, start, memory_path())
    app.run()
    if app.refusal:
        raise UserError(app.refusal)
    report = app.last_report
    if report is not None:
        width = shutil.get_terminal_size().columns
        color = "NO_COLOR" not in os.environ
        print(chaperon_engine.render_summary(report, width=width, color=color), end="")
    for run in app.left_running:
        shown = visible(run, 80)
        if start.remote is None:
            print(f"{shown} goes on; `chaperon-tui attach {shown}` shows it.")
        else:
            print(f"{shown} goes on at {visible(start.remote.where, 80)}.")
    return app.return_code or 0

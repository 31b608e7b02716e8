"""The `chaperon` command: everything without a screen.

Owns: commands, options, terminal output, exit codes. Must not know how a run is executed. Modules
of commands are imported when they are needed: `chaperon --help` must be there at once.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit code. `argv` is without the program's name."""
    from chaperon_engine.cli.dispatch import main as dispatch

    return dispatch(argv)

"""How others come to a run, for people: lines to copy, and who has attached.

Must not know how a run is executed, or how agents are started.
"""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path

from chaperon_engine.cli.terminal import Terminal
from chaperon_engine.export.layout import plural
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.text import visible


class GatheringShown:
    """How to attach machines, and which have attached, while a run waits for them."""

    def __init__(self, terminal: Terminal, *, print_token: bool, until: float):
        """`until`: when the start waits no longer, by the wall clock; about, for it is a label."""
        self._terminal = terminal
        self._print_token = print_token
        self._until = f"{datetime.fromtimestamp(until):%H:%M:%S}"
        self._shown: Gathering | None = None
        self.placed = 0
        """So many are started by a fleet."""

    def show(self, gathering: Gathering) -> None:
        """Write what is new."""
        before = set() if self._shown is None else set(self._shown.attached)
        if self._shown is None:
            self._terminal.write(self._how(gathering))
        self._shown = gathering
        now = set(gathering.attached)
        here = f"{len(now)} of {gathering.expected}"
        for name in sorted(now - before):
            self._terminal.write(f"agent {visible(name, 64)} attached ({here})")
        for name in sorted(before - now):
            self._terminal.write(f"agent {visible(name, 64)} left ({here})")

    def _how(self, gathering: Gathering) -> str:
        tokens = Path(gathering.token_file)
        others = gathering.expected - self.placed
        if not others:
            return (
                f"Waiting for {plural(self.placed, 'agent')} of the fleet.\n"
                f"The start waits until {self._until} (--start-timeout)."
            )
        and_fleet = f", and {self.placed} of the fleet" if self.placed else ""
        lines = [
            f"Waiting for {plural(others, 'agent')}{and_fleet}. On each machine, with its copy of "
            "the token file:",
            *command_lines(gathering.join, self._terminal.columns),
        ]
        if self._print_token:
            try:
                token = tokens.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                token = f"cannot be read: {visible(error)}"
            lines.append(f"  token: {visible(token)}")
        lines += [
            watch_lines(gathering.attach, tokens.parent, self._terminal),
            f"The start waits until {self._until} (--start-timeout).",
        ]
        return "\n".join(lines)


def watch_lines(attach: str, tokens: Path, terminal: Terminal) -> str:
    """How others watch a run; `tokens` is the folder of its token files."""
    lines = [
        "Others watch from their machines with observer.token, and steer with operator.token:",
        *command_lines(attach, terminal.columns),
        f"The token files are here: {visible(tokens, 2000)}",
    ]
    return "\n".join(lines)


def command_lines(command: str, width: int | None) -> list[str]:
    """A command to copy. On a terminal of `width` columns it is broken before options, in such a
    way that a shell takes it as one; None: one line, for programs that read it."""
    command = visible(command, 2000)
    if width is None:
        return [f"  {command}"]
    lines: list[str] = []
    for words in _options(shlex.split(command)):
        option = shlex.join(words)
        if not lines:
            lines.append(f"  {option}")
        elif len(lines[-1]) + len(f" {option} \\") <= width:
            lines[-1] += f" {option}"
        else:
            lines[-1] += " \\"
            # A pin and a backslash are 79 columns: there is no room to indent it.
            lines.append(option)
    return lines


def _options(words: list[str]) -> list[list[str]]:
    """The words of a command, each option with its value on its own."""
    groups: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    return groups

"""How machines and people attach to a run: commands that can be copied, the token, who is here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from chaperon_engine import Gathering, visible
from chaperon_tui.raster.cells import Row, pad, text_width
from chaperon_tui.state.figures import show_time

_INDENT = "  "
_MAX_TOKEN_BYTES = 4096
MAX_COMMAND = 8000
"""Characters of a command that are shown and copied."""


def shell_lines(command: str, width: int) -> list[str]:
    r"""The command in lines that a shell reads as one, whoever copies them from the screen.

    Each line but the last ends in a backslash in its last cell: nothing can stand behind it, and
    neither a blank nor a frame gets into what is copied.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    room = max(width - 1, 8)
    lines: list[str] = []
    here = ""
    for option in _options(words):
        text = " ".join(map(shlex.quote, option))
        if here and text_width(f"{here} {text}") <= room:
            here += f" {text}"
        elif text_width(_INDENT + text) <= room:
            lines += [here] if here else []
            here = _INDENT + text if lines else text
        else:
            lines += [here] if here else []
            lines += [line for word in option for line in _pieces(word, room)]
            here = lines.pop()
    lines.append(here)
    return [pad(line, width - 1) + "\\" for line in lines[:-1]] + lines[-1:]


def _options(words: Sequence[str]) -> list[list[str]]:
    """Words, those of an option and its value together."""
    options: list[list[str]] = []
    for number, word in enumerate(words):
        if number and words[number - 1].startswith("--") and not word.startswith("--"):
            options[-1].append(word)
        else:
            options.append([word])
    return options


def _pieces(word: str, room: int) -> list[str]:
    """A word on lines of its own, quoted; one that is too long in pieces that fill their lines, for
    a blank would end it."""
    if text_width(_INDENT + shlex.quote(word)) <= room:
        return [_INDENT + shlex.quote(word)]
    pieces: list[str] = []
    start, indent = 0, _INDENT
    while text_width(indent + shlex.quote(word[start:])) > room:
        end, filled = start + 1, shlex.quote(word[start])
        for size in range(room, 0, -1):
            text = indent + shlex.quote(word[start : start + size])
            missing = room - text_width(text)
            if missing >= 0 and missing % 2 == 0:
                end, filled = start + size, text + "''" * (missing // 2)
                break
        pieces.append(filled)
        start, indent = end, ""
    return [*pieces, shlex.quote(word[start:])] if start < len(word) else pieces


def copied_text(command: str) -> str:
    """What a copy key puts into the clipboard: one line, nothing hidden in it."""
    return visible(command, MAX_COMMAND)


def read_token(path: str) -> str:
    """The token of a file, to be shown to who asked for it. Raises OSError."""
    with Path(path).open("rb") as file:
        return visible(file.read(_MAX_TOKEN_BYTES).decode("ascii", "replace").strip(), 400)


WATCHED_ROWS: list[Row] = [
    (("This run waits for no agents: it is only watched.", "dim"),),
    (("Copy the token file that the line names to the other machine (mode 0600), or write - "
      "instead of its name and send the token to standard input.", "dim"),),
]  # fmt: skip
"""Said where a run has no join line."""


def token_rows(token_file: str, token: str) -> list[Row]:
    """Where the agents' token lies, and the token itself if it is to be seen."""
    if not token_file:
        return [(("The token files lie on the host where the run was started.", "dim"),)]
    shown: Row = ((token, "value"),) if token else (("hidden, t shows it", "dim"),)
    return [
        (("Token file here: ", "dim"), (visible(token_file, 2000), "value")),
        (("Token: ", "dim"), *shown),
        (("Copy that file to each machine (mode 0600), or write - instead of its name and send "
          "the token to standard input.", "dim"),),
    ]  # fmt: skip


def waiting_words(gathering: Gathering | None, left_s: float | None) -> str:
    """`Waiting for 2 of 3 agents · 48 s left`; None: that is not known."""
    if gathering is None:
        return "Attaching …" if left_s is None else "Starting the engine and its workers …"
    if not gathering.expected:
        return "The load begins in a moment"
    missing = gathering.expected - len(gathering.attached)
    if missing <= 0:
        return "All agents are here and get ready; the load begins in a moment"
    if left_s is None:
        return f"Waiting for {missing} of {_agents(gathering)}"
    time = f"{show_time(left_s)} left" if left_s >= 1 else "the time is up"
    return f"Waiting for {missing} of {_agents(gathering)} · {time}"


def _agents(gathering: Gathering) -> str:
    return f"{gathering.expected} agent{'s' if gathering.expected != 1 else ''}"


def attached_row(gathering: Gathering) -> Row:
    """Who is here."""
    if not gathering.expected:
        return ()
    if not gathering.attached:
        return ((" Nobody has attached yet.", "dim"),)
    names = [((" ✓ ", "good"), (visible(name, 64) + " ", "")) for name in gathering.attached]
    return ((" Attached:", "dim"), *(run for name in names for run in name))

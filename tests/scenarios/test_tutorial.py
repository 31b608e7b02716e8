"""The tutorial can be followed word for word: its files are written, its commands run, in order,
and print what it says. Only the port differs, and ten seconds are one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenarios.conftest import Target

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,.]*(?: (?:[µmn]?s|[KMG]iB|B)\b)?\*?")


@dataclass(frozen=True)
class Step:
    """A file to write, or a command to run and lines that it prints."""

    file: str = ""
    text: str = ""
    command: str = ""
    output: list[str] = field(default_factory=list)


def steps() -> Iterator[Step]:
    """What the tutorial asks its reader to do after the installation."""
    for language, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "sh":
            continue  # Installing needs a network; tests/packaging installs the wheel.
        if language == "console":
            lines = text.splitlines()
            starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
            assert starts[0] == 0, text
            for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
                yield Step(command=lines[start][2:], output=lines[start + 1 : end])
        else:
            name = re.match(r"# ([\w.]+\.(?:py|toml))\n", text)
            assert name, f"this block says no file name: {text}"
            yield Step(file=name[1], text=text)


def shape(line: str) -> str:
    """A line of output without what differs from run to run."""
    line = re.sub(r"run \d{8}\S+", "run #", line)
    return " ".join(NUMBER.sub("#", line).split())


@dataclass
class Reader:
    """Somebody who does what the tutorial says."""

    folder: Path
    target: Target

    def follow(self, step: Step) -> None:
        if step.file:
            text = step.text.replace('duration="10s"', 'duration="1s"')
            (self.folder / step.file).write_text(self._with_port(text), encoding="utf-8")
        elif step.command == "chaperon target &":
            assert step.output[0].startswith("Target at http://127.0.0.1:7070 ")
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        done = subprocess.run(
            shlex.split(step.command),
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder / '.venv'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, f"{step.command}\n{done.stdout}{done.stderr}"
        printed = {shape(line) for line in done.stdout.splitlines()} | {"..."}
        for line in step.output:
            wanted = shape(self._with_port(line))
            assert wanted in printed, f"{line}\n{done.stdout}{done.stderr}"

    def _with_port(self, text: str) -> str:
        return text.replace("7070", self.target.url.rpartition(":")[2])


@pytest.fixture
def reader(tmp_path: Path, target: Target) -> Reader:
    """In an empty directory, with an environment in which Chaperon is installed."""
    folder = tmp_path / "empty"
    programs = folder / ".venv"
    programs.mkdir(parents=True)
    for name, module in {"chaperon": "-m chaperon_engine.cli ", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module}"$@"\n')
        program.chmod(0o755)
    return Reader(folder, target)


@pytest.mark.timeout(120)
def test_the_tutorial_can_be_followed_word_for_word(reader: Reader) -> None:
    done = list(steps())
    for step in done:
        reader.follow(step)
    assert next(step.command for step in done if step.command) == "chaperon target &"
    written = {path.name for path in reader.folder.iterdir()}
    assert {"hello.csv", "hello.json", "seconds.csv"} <= written
    assert (reader.folder / "hello.csv").read_text().startswith("kind,")

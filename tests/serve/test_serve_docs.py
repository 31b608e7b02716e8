"""The lines of docs/serve.md, run as they stand (but for the ports)."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import ROOT


def lines_of(document: str) -> list[str]:
    """Commands of all consoles, each with its further lines."""
    commands: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", document, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(line[2:])
            else:
                commands[-1] += f"\n{line}"
    return commands


@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")) and not os.environ.get("CI"),
    reason="curl and openssl are Debian packages",
)
def test_the_lines_of_the_document_work(tmp_path: Path, target: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work, tools = tmp_path / "work", tmp_path / "bin"
    (work / "scenarios").mkdir()
    example = (ROOT / "scenarios/checkout.py").read_text()
    (work / "scenarios/checkout.py").write_text(example.replace("http://127.0.0.1:7070", target))
    tools.mkdir()
    tool = tools / "chaperon"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chaperon_engine.cli "$@"\n')
    tool.chmod(0o700)
    script = ["set -euo pipefail", "trap 'kill $SERVER' EXIT"]
    for number, line in enumerate(lines_of((ROOT / "docs/serve.md").read_text())):
        line = line.replace("http://127.0.0.1:7070", target)
        line = line.replace("http://127.0.0.1:7080", f"http://127.0.0.1:{port}")
        if line == "chaperon target &":
            continue
        script.append(f"echo '=== {number}'")
        if line.startswith("chaperon serve"):
            # Its first line says that it is ready.
            script += [
                "mkfifo ready", f"{line.removesuffix('&')} > ready 2> log &", "SERVER=$!",
                "read -r _ < ready",
            ]  # fmt: skip
        else:
            script.append(line)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env={
            **os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "CHAPERON_PORT": str(port),
        },
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + (work / "log").read_text()
    assert '"error"' not in done.stdout, done.stdout
    answers = done.stdout.split("=== ")
    assert any('{"running":[],"scheduled":[],"ended":[]}' in answer for answer in answers)
    events = next(answer for answer in answers if "event: snapshot" in answer)
    assert '"state":"finished","tag":"nightly"' in events.split("event: entry")[-1]
    assert any("get,,/json?page" in answer or "/json" in answer for answer in answers[-8:])
    assert '"position":1' in done.stdout

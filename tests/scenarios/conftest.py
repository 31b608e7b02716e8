"""A target as a process, its exact counts, and a home of their own for the runs."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Target:
    """A running target."""

    url: str

    def stats(self) -> dict[str, Any]:
        """Its exact counts."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as reply:
            document: dict[str, Any] = json.load(reply)
        return document

    def requests(self, route: str, method: str) -> int:
        """Requests to one of its routes."""
        count: int = self.stats()["routes"].get(route, {}).get(method, {}).get("requests", 0)
        return count

    def reset(self) -> None:
        """Count from zero."""
        request = urllib.request.Request(f"{self.url}/stats/reset", method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="session")
def target_process() -> Iterator[Target]:
    command = [sys.executable, "-m", "chaperon_engine.target", "--exit-with-stdin"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Target(json.loads(process.stdout.readline())["url"])


@pytest.fixture
def target(target_process: Target) -> Target:
    """The target, with counts that begin at zero."""
    target_process.reset()
    return target_process


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs go."""
    folder = tmp_path / "home"
    monkeypatch.setenv("CHAPERON_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder

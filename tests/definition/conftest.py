"""Writes definitions into a folder and resolves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from chaperon_engine.definition import loader
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.definition.resolve import resolve
from chaperon_engine.definition.resolved import ResolvedTest
from chaperon_engine.errors import UserError

HEAD = """\
from chaperon_engine import LoadTest, Population, Scenario, Service, Tls
from chaperon_engine.definition.secrets import Secret

class Buy(Scenario):
    async def run(self, session):
        pass

class Look(Scenario):
    async def run(self, session):
        pass

"""
"""Ten lines before the load test of most cases."""


class Workbench:
    """A folder with definitions in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str, name: str = "load.py") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def resolve(self, text: str, name: str = "load.py", **launch: Any) -> ResolvedTest:
        """Resolve `text` as a file called `name`; `launch` are fields of the LaunchRequest, with
        `pick` for its `name` and `overrides` as given."""
        path = self.write(text, name)
        if "pick" in launch:
            launch["name"] = launch.pop("pick")
        return resolve(LaunchRequest(file=str(path), **launch))

    def load_test(self, body: str, **launch: Any) -> ResolvedTest:
        """Resolve a class `T(LoadTest)` with `body`, below `HEAD`."""
        lines = dedent(body).strip().splitlines()
        text = HEAD + "class T(LoadTest):\n" + "".join(f"    {line}\n" for line in lines)
        return self.resolve(text, **launch)

    def error(self, call: Callable[..., Any], *arguments: Any, **launch: Any) -> UserError:
        with pytest.raises(UserError) as caught:
            call(*arguments, **launch)
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    before = set(sys.modules)
    yield Workbench(tmp_path)
    loader.forget()
    for name in set(sys.modules) - before:
        if name.startswith("chaperon_scenario_"):
            del sys.modules[name]

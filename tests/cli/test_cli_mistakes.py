"""What a beginner does wrong: one sentence, exit code 104, never a traceback."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Chaperon

pytestmark = pytest.mark.e2e

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Hello(Scenario):
    \"\"\"Says hello.\"\"\"
    async def run(self, session: Session) -> None:
        await session.get("/")

class HelloTest(LoadTest):
    services = {"web": Service("http://127.0.0.1:PORT")}
    scenarios = [Population(Hello, sessions=2, duration="1s")]
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("run", "nothing.py"), "there is no file nothing.py; `chaperon list` shows"),
        (("run", "http://127.0.0.1/"), "`chaperon quick http://127.0.0.1/` loads it"),
        (("run", "x.py", "--duratoin", "5s"), "did you mean --duration?"),
        (("run", "."), "is a folder: name a file in it"),
        (("list", "/no/such/folder"), "there is no file or folder /no/such/folder"),
        (("report",), "there is no finished run yet"),
        (("report", "nope"), "there is no run 'nope'"),
        (("recover", "nope"), "there is no run 'nope'"),
        (("runs", "rm", "nope"), "there is no run 'nope'"),
        (("runs", "prune"), "prune needs --keep N, --older-than D or both"),
        (("quick", "http://127.0.0.1:1/", "--out", "jsn"), "did you mean json?"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_sentence(
    chaperon: Chaperon, args: tuple[str, ...], sentence: str
) -> None:
    assert sentence in chaperon.refused(*args)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("class X(:\n", ["x.py:1", "syntax"]),
        ("import nothing_like_this\n", ["x.py:1", "nothing_like_this"]),
        ("answer = 42\n", ["x.py", "no "]),
        (SCENARIO.replace("PORT", "1").replace('"1s"', '"soon"'), ["x.py", "soon"]),
        ("import time\nraise ValueError('at import')\n", ["x.py:2", "at import"]),
    ],
)
def test_a_broken_scenario_file_is_named_with_its_line(
    chaperon: Chaperon, source: str, parts: list[str]
) -> None:
    (chaperon.folder / "x.py").write_text(source)
    message = chaperon.refused("run", "x.py")
    assert all(part in message for part in parts), message


def test_an_unknown_setting_is_refused_with_the_nearest_name(chaperon: Chaperon) -> None:
    (chaperon.folder / "x.py").write_text(SCENARIO.replace("PORT", "1"))
    message = chaperon.refused("run", "x.py", "--set", "timeuot=5s")
    assert "timeuot" in message
    assert "timeout" in message


def test_an_unknown_class_is_refused(chaperon: Chaperon) -> None:
    (chaperon.folder / "x.py").write_text(SCENARIO.replace("PORT", "1"))
    assert "HelloTset" in chaperon.refused("run", "x.py:HelloTset")


def test_a_service_that_nobody_serves_is_told_before_the_load(chaperon: Chaperon) -> None:
    port = free_port()
    (chaperon.folder / "x.py").write_text(SCENARIO.replace("PORT", str(port)))
    assert f"127.0.0.1:{port}" in chaperon.refused("run", "x.py")
    assert f"127.0.0.1:{port}" in chaperon.refused("quick", f"http://127.0.0.1:{port}/")
    assert chaperon("runs").stdout == "No runs yet.\n", "nothing is left of a refused launch"


def test_debug_shows_the_traceback(chaperon: Chaperon) -> None:
    done = chaperon("run", "nothing.py", "--debug")
    assert "Traceback" in done.stderr
    assert "UserError" in done.stderr

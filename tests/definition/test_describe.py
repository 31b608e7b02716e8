"""`python -m chaperon_engine.definition.describe` as a real process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaperon_engine.definition.describe import Answer, answer
from chaperon_engine.definition.plan import LaunchRequest
from tests.definition.conftest import HEAD, Workbench

LOAD_TEST = HEAD + (
    "class T(LoadTest):\n    services = {'shop': Service('http://h:1')}\n    scenarios = [Buy]\n"
)


def run(request: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "chaperon_engine.definition.describe"],
        input=request,
        capture_output=True,
        timeout=30,
        check=False,
    )


def described(path: Path, **launch: Any) -> tuple[Answer, bytes]:
    done = run(msgspec.json.encode(LaunchRequest(file=str(path), **launch)))
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Answer), done.stderr


def test_the_answer_is_the_plan(bench: Workbench) -> None:
    found, _ = described(bench.write(LOAD_TEST), sessions={"*": 7})
    assert found.error is None
    assert found.plan is not None
    assert (found.plan.load_test, found.plan.sessions) == ("T", 7)


def test_an_error_has_sentence_file_and_line_and_the_exit_code_is_zero(bench: Workbench) -> None:
    path = bench.write("x = 1\n1 / 0\n")
    found, _ = described(path)
    assert found.plan is None
    assert found.error is not None
    assert found.error.message == (
        "the file raises ZeroDivisionError while it is loaded: division by zero"
    )
    assert (found.error.path, found.error.line) == (str(path), 2)


def test_what_the_file_prints_goes_to_standard_error_however_it_prints(bench: Workbench) -> None:
    path = bench.write(
        LOAD_TEST + "import os, subprocess, sys\n"
        "print('printed')\nos.write(1, b'written')\nsys.__stdout__.write('direct')\n"
        "subprocess.run([sys.executable, '-c', 'print(\"child\")'])\n"
    )
    found, errors = described(path)
    assert found.plan is not None
    for words in (b"printed", b"written", b"direct", b"child"):
        assert words in errors


def test_the_file_has_no_input(bench: Workbench) -> None:
    found, _ = described(bench.write(LOAD_TEST + "input()\n"))
    assert found.error is not None
    assert found.error.message == (
        "the file raises EOFError while it is loaded: EOF when reading a line"
    )


def test_threads_and_exit_handlers_of_the_file_do_not_hold_the_answer(bench: Workbench) -> None:
    path = bench.write(
        LOAD_TEST + "import atexit, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "atexit.register(time.sleep, 60)\n"
    )
    started = time.monotonic()
    found, _ = described(path)
    assert found.plan is not None
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("request_bytes", "message"),
    [
        (b"", "the launch request is not valid: Input data was truncated"),
        (b"{}", "the launch names no load test: neither a file nor data"),
        (b'{"file": 5}',
         "the launch request is not valid: Expected `str`, got `int` - at `$.file`"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_an_error(request_bytes: bytes, message: str) -> None:
    found = answer(request_bytes)
    assert found.error is not None
    assert found.error.message == message


def test_it_starts_quickly_because_it_loads_no_network_stack(bench: Workbench) -> None:
    path = bench.write(LOAD_TEST + "import sys\nprint('LOADED', sorted(sys.modules))\n")
    _, errors = described(path)
    loaded = errors.decode()
    assert "LOADED" in loaded
    for module in ("aiohttp", "asyncio", "uvloop", "ssl", "textual", "httptools", "psutil"):
        assert f"'{module}'" not in loaded

"""`chaperon serve` as a command: what it refuses before it serves anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from chaperon_engine.cli.arguments import parse
from chaperon_engine.cli.serving import _settings
from chaperon_engine.errors import UserError
from chaperon_engine.serve.options import DefaultParser
from tests.serve.conftest import COMMAND, TOKEN, Api, Served


def refusal(*args: str) -> str:
    with pytest.raises(UserError) as refused:
        _settings(parse(["serve", *args]))
    return str(refused.value)


def test_there_is_no_server_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "export CHAPERON_API_TOKEN=$(openssl rand -hex 24)" in refusal()
    monkeypatch.setenv("CHAPERON_API_TOKEN", "short")
    assert "has 5 characters" in refusal()
    assert "no option --token" in refusal("--token", TOKEN)


def test_wrong_options_are_refused_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for args, words in [
        (["--folder", "no/such"], "is no folder"),
        (["--allow-target", "a b"], "is no pattern of addresses"),
        (["--option-parser", "other"], "there is no option parser 'other'"),
        (["--allow-export", "cvs"], "cvs"),
        (["--port", "70000"], "expected a port"),
        (["--token-file", "no/such"], "cannot be read"),
    ]:
        monkeypatch.setenv("CHAPERON_API_TOKEN", TOKEN)
        assert words in refusal(*args)
    monkeypatch.setenv("CHAPERON_API_TOKEN", TOKEN)
    monkeypatch.setenv("CHAPERON_PORT", "many")
    assert "CHAPERON_PORT is 'many'" in refusal()


def test_the_environment_says_where_to_listen_and_the_token_leaves_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in [
        ("CHAPERON_API_TOKEN", TOKEN), ("CHAPERON_IP", "127.0.0.2"), ("CHAPERON_PORT", "7099"),
    ]:  # fmt: skip
        monkeypatch.setenv(name, value)
    settings = _settings(parse(["serve", "--folder", str(tmp_path)]))
    assert (settings.host, settings.port, settings.token) == ("127.0.0.2", 7099, TOKEN)
    assert (settings.folders, settings.end_run) == ([tmp_path], False)
    assert isinstance(settings.parser, DefaultParser)
    assert "CHAPERON_API_TOKEN" not in os.environ
    assert TOKEN not in repr(settings)
    monkeypatch.setenv("CHAPERON_API_TOKEN", TOKEN)
    settings = _settings(parse(["serve", "--host", "::1", "--port", "0"]))
    assert (settings.host, settings.port) == ("::1", 0)


def test_elsewhere_without_tls_it_does_not_start() -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--host", "0.0.0.0", "--port", "0"],
        env={**os.environ, "CHAPERON_API_TOKEN": TOKEN},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 104
    assert "give --tls-cert and --tls-key" in done.stderr
    assert done.stderr.count("\n") == 1


async def test_a_port_that_is_taken_is_told(
    serve: Callable[..., Served], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    server = serve()
    assert (await Api(server.url, http)("GET", "/version")).status == 200
    port = server.url.rpartition(":")[2]
    done = subprocess.run(
        [*COMMAND, "serve", "--port", port],
        env={**os.environ, "CHAPERON_API_TOKEN": TOKEN, "CHAPERON_HOME": str(tmp_path / "other")},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 104
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "GET /version 200" in server.log.read_text()
    assert TOKEN not in server.log.read_text()

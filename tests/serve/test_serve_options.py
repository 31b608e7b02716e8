"""Options of a test from outside, and the parsers that may change them."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from chaperon_engine.client.queue import QueuedTest
from chaperon_engine.errors import UserError
from chaperon_engine.serve import options
from chaperon_engine.serve.options import Options, find_parser, output_path, read_options
from tests.serve.conftest import StartServer


def test_options_are_read_as_people_write_them() -> None:
    read = read_options(
        {
            "tag": "nightly-1.2_3", "config": {"delay": "1s"}, "output": "a/b.csv", "export": "csv",
            "sessions": "1k", "duration": "1m30s", "warmup": 5, "iterations": "10", "workers": 2,
            "seed": 7, "max_time": "1h",
        }
    )  # fmt: skip
    assert read == Options(
        tag="nightly-1.2_3", config={"delay": "1s"}, output="a/b.csv", export=["csv"],
        sessions={"*": 1000}, duration_s=90, warmup_s=5, iterations=10, workers=2, seed=7,
        max_time_s=3600,
    )  # fmt: skip
    assert read_options({}) == Options()
    assert read_options({"output": "x/"}).export == ["csv"]
    assert read_options({"metrics": "get"}).metrics == ["get"]
    assert read_options({"metrics": ["get", "call"]}).metrics == ["get", "call"]
    assert read_options({"sessions": {"a": 2, "b": "3"}}).sessions == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"tagg": "x"}, "unknown option 'tagg'; did you mean 'tag'?"),
        ({"overrides": []}, "unknown option 'overrides'"),
        ({"listen": "127.0.0.1:0"}, "listen: a run of the queue is made on this machine alone"),
        ({"tag": ""}, "tag is"),
        ({"tag": "a/b"}, "tag is"),
        ({"tag": "x" * 65}, "tag is"),
        ({"tag": "a\n"}, "tag is"),
        ({"tag": 5}, r"Expected `str \| null`, got `int`"),
        ({"output": "../x.csv"}, "below the results folder"),
        ({"output": "/etc/cron.d/x"}, "below the results folder"),
        ({"output": "a/../../x"}, "below the results folder"),
        ({"output": "~root/x"}, "below the results folder"),
        ({"output": ".hidden"}, "below the results folder"),
        ({"output": "a\x00b"}, "below the results folder"),
        ({"output": "a//b"}, "below the results folder"),
        ({"output": ""}, "below the results folder"),
        ({"output": "a" * 400}, "below the results folder"),
        ({"output": "one.csv", "export": ["csv", "json"]}, "end it with /"),
        ({"export": ["csv", "csv"]}, "a format twice"),
        ({"sessions": 0}, "sessions must be 1 or more"),
        ({"sessions": {"a": -1}}, "sessions must be zero or more"),
        ({"duration": 0}, "duration must be more than 0"),
        ({"duration": "soon"}, "duration is 'soon'"),
        ({"duration": [1]}, "Expected"),
        ({"iterations": 0}, "iterations must be 1 or more"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**63}, "seed must be"),
        ({"config": []}, "Expected"),
    ],
)
def test_wrong_options_are_refused_with_one_sentence(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        read_options(raw)
    assert "\n" not in str(refused.value)


def test_an_output_does_not_follow_a_link_out_of_the_results(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    assert output_path(results, "a/b.csv") == str(results / "a/b.csv")
    assert output_path(results, "a/") == f"{results}/a/"
    (results / "out").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out of the results folder"):
        output_path(results, "out/b.csv")


class Nightly:
    """Asks for two tests where one was asked for."""

    def parse(self, asked: QueuedTest) -> list[QueuedTest]:
        if asked.options.get("suite") != "nightly":
            raise ValueError("only the nightly suite is run here")
        return [QueuedTest(test="short.py:Quick", options={"tag": tag}) for tag in ("a", "b")]


def install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    points = EntryPoints([EntryPoint("nightly", value, options.GROUP)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


@pytest.mark.usefixtures("idle")
async def test_an_installed_parser_decides_what_is_queued(
    start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, f"{__name__}:Nightly")
    api = await start(parser=find_parser("nightly"))
    ids = (await api.post("anything", suite="nightly")).json()["scheduled"]
    assert [(await api.entry(id))["tag"] for id in ids] == ["a", "b"]
    refused = await api.post("short.py:Quick")
    assert refused.status == 400
    assert refused.error == "only the nightly suite is run here"
    await api("DELETE", "/load_tests")


class Escaping:
    """A parser is convenience, never a way around the checks."""

    def parse(self, asked: QueuedTest) -> list[QueuedTest]:
        return [QueuedTest(test="../secret.py")]


async def test_what_a_parser_answers_is_checked_like_any_request(start: StartServer) -> None:
    api = await start(parser=Escaping())
    assert (await api.post("short.py")).status == 400


def test_a_parser_that_cannot_be_had_is_told_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, "no_such_module:Parser")
    with pytest.raises(UserError, match="did you mean 'nightly'"):
        find_parser("nigthly")
    with pytest.raises(UserError, match="cannot be loaded: ModuleNotFoundError"):
        find_parser("nightly")

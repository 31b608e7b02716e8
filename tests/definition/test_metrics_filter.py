"""The filter of metrics: where it may stand, and what a plan says of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chaperon_engine.definition.plan import Plan
from tests.definition.conftest import Workbench

ONE = "services = {'api': Service('http://h')}\nscenarios = [Buy]\n"


@pytest.mark.parametrize(
    ("body", "launch", "kept"),
    [
        ("", {}, []),
        ("metrics = ['get', 'my metric']", {}, ["get", "my metric"]),
        ("metrics = ('get',)", {"overrides": ["metrics=post,put"]}, ["post", "put"]),
        ("default_config = {'metrics': ['call']}", {}, ["call"]),
        ("default_config = {'metrics': 'call, get'}", {"metrics": ["ws_recv"]}, ["ws_recv"]),
        ("metrics = ['get']\ndefault_config = {'metrics': ['call']}", {}, ["call"]),
    ],
)
def test_words_stand_in_the_class_the_config_or_the_launch(
    bench: Workbench, body: str, launch: dict[str, Any], kept: list[str]
) -> None:
    test = bench.load_test(ONE + body, **launch)
    assert test.plan.metrics == kept
    assert test.metrics == (tuple(kept) or None)


@pytest.mark.parametrize(
    "body",
    [
        "metrics = lambda key: key.kind == 'call'",
        "def metrics(key):\n    return key.kind == 'call'",
        "@staticmethod\ndef metrics(key):\n    return key.kind == 'call'",
    ],
)
def test_a_function_stays_in_its_process_and_its_plan_says_so(bench: Workbench, body: str) -> None:
    test = bench.load_test(ONE + body)
    assert callable(test.metrics)
    assert test.plan.metrics[0].startswith("<function ")
    assert msgspec.json.decode(msgspec.json.encode(test.plan), type=Plan) == test.plan


def test_plain_data_has_it_too(bench: Workbench) -> None:
    bench.write("from chaperon_engine import Scenario\nclass A(Scenario):\n"
                "    async def run(self, session): ...\n", "a.py")  # fmt: skip
    test = bench.resolve('metrics = ["get"]\nscenarios = ["a.py:A"]\n', "load.toml")
    assert test.plan.metrics == ["get"]


@pytest.mark.parametrize(
    ("body", "launch", "says"),
    [
        ("metrics = 3", {}, "metrics of T must be a list of kinds, actions or names such as"),
        ("metrics = []", {}, "metrics of T must be a list of kinds"),
        ("metrics = ['get', 3]", {}, "a word of metrics of T must be text, not int"),
        ("", {"overrides": ["metrics=get,,"]}, "a word of metrics in --set must not be empty"),
        ("", {"metrics": [""]}, "a word of --metrics must not be empty"),
    ],
)
def test_mistakes_are_named(bench: Workbench, body: str, launch: dict[str, Any], says: str) -> None:
    assert says in str(bench.error(bench.load_test, ONE + body, **launch))


def test_it_holds_for_the_whole_test(bench: Workbench) -> None:
    body = ONE.replace("[Buy]", "[Population(Buy, config={'metrics': ['get']})]")
    assert "holds for the whole load test" in str(bench.error(bench.load_test, body))

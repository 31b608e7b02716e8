"""The bundled examples: each is in the menu with a text of its own, and resolves as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaperon_engine.definition.discover import discover
from chaperon_engine.definition.plan import Entry, LaunchRequest
from chaperon_engine.definition.resolve import resolve

SCENARIOS = Path(__file__).parents[2] / "scenarios"
ENTRIES = discover([SCENARIOS])


def test_every_example_is_in_the_menu() -> None:
    assert [entry.name for entry in ENTRIES] == [
        "BackgroundNoiseTest",
        "BrowseTest",
        "CheckoutTest",
        "ErrorsTest",
        "FanOutTest",
        "FirehoseTest",
        "RoundTripTest",
        "HelloTest",
        "EchoTest",
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_menu_says_what_resolving_says(entry: Entry) -> None:
    assert (entry.problem, entry.is_load_test) == ("", True)
    plan = resolve(LaunchRequest(file=entry.file, name=entry.name)).plan
    plan.check_ready()
    assert entry.doc == plan.doc
    assert entry.doc.endswith(".")
    assert entry.services == {service.name: service.base_url for service in plan.services}
    assert entry.scenarios == [population.scenario for population in plan.populations]
    assert set(entry.services.values()) == {"http://127.0.0.1:7070"}


def test_a_population_of_an_example_has_config_of_its_own() -> None:
    test = resolve(LaunchRequest(file=str(SCENARIOS / "browse.py")))
    pages = {found.plan.name: found.config["page_sizes"] for found in test.populations}
    assert pages == {
        "visitors": [200, 2_000, 20_000],
        "searchers": [200, 2_000, 20_000],
        "collectors": [200_000],
    }
    assert {found.config["think_time"] for found in test.populations} == {0.02}

"""The user's guides say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaperon_engine import units
from chaperon_engine.definition.settings import INSECURE, POPULATION_FIELDS, SETTINGS, Setting
from tests.definition.conftest import Workbench

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `([a-z_]+)` \| (.*) \|([^|]*)\|$", re.MULTILINE)
RUN = "async def run(self, session): ...\n"


def rows() -> dict[str, str]:
    """Built-in value by key, from the tables of the guide."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    return {key: value.strip().strip("`") for key, _, value in ROW.findall(text)}


def test_the_tables_have_every_key_and_no_other() -> None:
    assert set(rows()) == {*SETTINGS, *POPULATION_FIELDS, INSECURE, "config"}


NUMBERS = [
    setting
    for setting in SETTINGS.values()
    if isinstance(setting.default, int | float) and not isinstance(setting.default, bool)
]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_the_built_in_numbers_are_those_of_the_code(setting: Setting) -> None:
    shown = rows()[setting.name]
    read = units.byte_size if shown.endswith("iB") else units.seconds
    assert read(shown) == setting.default


def test_the_example_in_the_guide_is_the_bundled_one() -> None:
    guide = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    example = (DOCS.parent / "scenarios" / "checkout.py").read_text(encoding="utf-8")
    block = guide.partition("```python\n")[2].partition("```")[0]
    assert [line for line in block.splitlines() if line] == [
        line for line in example.splitlines() if line
    ]


@pytest.mark.parametrize("guide", ["scenarios.md", "configuration.md"])
def test_the_data_in_the_guides_resolves(bench: Workbench, guide: str) -> None:
    text = (DOCS / guide).read_text(encoding="utf-8")
    toml = text.partition("```toml\n")[2].partition("```")[0]
    walk = "from chaperon_engine import Scenario\nclass {}(Scenario):\n    {}"
    bench.write(walk.format("Checkout", RUN), "checkout.py")
    bench.write(walk.format("Browse", RUN), "browse.py")
    if guide == "scenarios.md":
        plan = bench.resolve(toml, "nightly.toml").plan
        assert (plan.load_test, plan.sessions) == ("Nightly", 1001)
        return
    config = bench.write(toml, "staging.toml")
    plan = bench.load_test(
        "services = {'shop': Service('http://h')}\n"
        "scenarios = [Population(Buy, name='buyers', sessions=5)]",
        config_file=str(config),
    ).plan
    assert (plan.sessions, plan.planned_s) == (1000, 300)
    assert plan.services[0].base_url == "https://staging.example"

"""Every theme of the toolkit: what is drawn can be seen, and the shades of the heatmap differ."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from chaperon_tui.widgets.looks import LOOKS, contrast, style_of
from tests.tui.driving import driving

TERMINAL = [name for name in BUILTIN_THEMES if name.startswith("ansi")]
"""Themes in the terminal's own colours."""
ROLES = [f"{role}{over}" for role in LOOKS if role != "heat0" for over in ("", "+cursor")]


@pytest.fixture(params=[name for name in BUILTIN_THEMES if name not in TERMINAL])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """The colours of a theme."""
    return dict(BUILTIN_THEMES[request.param].to_color_system().generate())


def drawn(role: str, variables: dict[str, str]) -> float:
    style = style_of(role, variables, Color.parse(variables["background"]))
    assert style.color is not None
    assert style.bgcolor is not None
    return contrast(Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor))


def test_every_role_stands_out_from_its_background(variables: dict[str, str]) -> None:
    for role in ROLES:
        assert drawn(role, variables) >= LOOKS[role.partition("+")[0]].least - 0.05, role


def test_more_in_a_cell_of_the_heatmap_is_never_fainter(variables: dict[str, str]) -> None:
    shades = [drawn(f"heat{level}", variables) for level in range(1, 6)]
    for less, more in itertools.pairwise(shades):
        assert more >= less - 0.3, shades


@pytest.mark.parametrize("theme", TERMINAL)
async def test_in_the_terminals_own_colours_backgrounds_are_reversed(
    theme: str, tmp_path: Path
) -> None:
    async with driving(tmp_path) as driver:
        driver.app.theme = theme
        await driver.open_live(verdict="saturated")
        await driver.until_text("Generator saturated")
        styles = {
            segment.text.strip()[:20]: segment.style
            for strip in driver.app.screen._compositor.render_strips()
            for segment in strip
        }
        for text in ("■ Generator saturated"[:20], "POST /login"):
            style = next(style for start, style in styles.items() if start.startswith(text))
            assert style is not None
            assert style.reverse
            assert style.bgcolor is None or style.bgcolor.is_default

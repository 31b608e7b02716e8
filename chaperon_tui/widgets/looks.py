"""What the roles of painted rows look like, in the colours of the theme.

Not component classes: the toolkit would match every rule against every role of every widget each
time a screen is built. A role that carries meaning also differs in its text: a sign, a word or a
place. Themes choose their colours for their own widgets, so what is too faint on its background is
moved away from it; in the themes that leave colours to the terminal nothing can be mixed, and
backgrounds are shown by reversing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style
from textual.color import Color


@dataclass(frozen=True)
class Look:
    """Colours by their names in the theme, mixed with the background by their share in percent."""

    color: str = "foreground"
    share: int = 100
    bold: bool = False
    background: str = ""
    background_share: int = 100
    deepen: int = 0
    """Percent of the foreground mixed into the colour."""
    least: float = 3.0
    """The least contrast to the background, from 1 (none) to 21."""


_DIM = Look(share=60)

LOOKS: dict[str, Look] = {
    "": Look(share=87),
    "label": _DIM,
    "note": _DIM,
    "dim": _DIM,
    "header": _DIM,
    "axis": Look(share=30, least=1.4),
    "grid": Look(share=18, least=1.2),
    "sorted": Look("primary", bold=True),
    "title": Look(bold=True),
    "heading": Look("primary", bold=True),
    "value": Look(bold=True),
    "key": Look("primary", bold=True),
    "mark": Look("accent", bold=True),
    "bad": Look("text-error", bold=True),
    "failed": Look("text-error", bold=True),
    "warn": Look("text-warning"),
    "good": Look("text-success"),
    "degraded": Look("text-warning", bold=True, background="warning", background_share=25),
    "saturated": Look("text-error", bold=True, background="error", background_share=35),
    "p50": Look("success"),
    "p95": Look("primary"),
    "p99": Look("accent"),
    "rate": Look("primary"),
    "bar": Look("primary"),
    "done": Look("primary"),
    "open": Look(share=25, least=1.4),
    "cursor": Look(background="primary", background_share=30),
    "tab": Look(share=65),
    "tab-current": Look(bold=True, background="primary", background_share=35),
    "tile": Look("primary", share=70),
    "tile-bad": Look("error"),
    "heat0": Look(share=0, least=1.0),
    "heat1": Look("primary", share=45, least=1.5),
    "heat2": Look("primary", share=60, least=1.8),
    "heat3": Look("primary", share=80, least=2.2),
    "heat4": Look("primary", least=2.6),
    "heat5": Look("primary", deepen=35),
}


def style_of(role: str, variables: Mapping[str, str], background: Color) -> Style:
    """The style of a role on a background; `role+cursor` is the role on the cursor's background."""
    name, _, over = role.partition("+")
    look = LOOKS[name]
    under = LOOKS[over] if over else look
    color = Color.parse(variables[look.color])
    if background.ansi is not None or color.ansi is not None:
        return _terminal_style(look, color, is_reversed=bool(under.background))
    if under.background:
        mixed = Color.parse(variables[under.background])
        background = background.blend(mixed, under.background_share / 100)
    color = color.blend(Color.parse(variables["foreground"]), look.deepen / 100)
    color = _readable(background.blend(color, look.share / 100), background, look.least)
    return Style(color=color.rich_color, bgcolor=background.rich_color, bold=look.bold or None)


def contrast(one: Color, other: Color) -> float:
    """1 for equal colours, 21 for black and white (WCAG 2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in color.normalized
    )
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def _readable(color: Color, background: Color, least: float) -> Color:
    """`color`, moved towards white or black as far as it must be seen."""
    pole = max((_WHITE, _BLACK), key=lambda pole: contrast(pole, background))
    for step in range(11):
        moved = color.blend(pole, step / 10)
        if contrast(moved, background) >= least:
            return moved
    return pole


_WHITE, _BLACK = Color(255, 255, 255), Color(0, 0, 0)


def _terminal_style(look: Look, color: Color, *, is_reversed: bool) -> Style:
    """In the terminal's own colours, on its own background."""
    return Style(
        color=color.rich_color,
        bold=look.bold or None,
        dim=True if look.share <= 65 and not is_reversed else None,
        reverse=is_reversed or None,
    )

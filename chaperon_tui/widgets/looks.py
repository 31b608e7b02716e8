"""What the roles of painted rows look like, in the colours of the theme.

Not component classes: the toolkit would match every rule against every role of every widget each
time a screen is built. A role that carries meaning also differs in its text: a sign, a word or a
place.
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


_DIM = Look(share=60)

LOOKS: dict[str, Look] = {
    "": Look(share=87),
    "label": _DIM,
    "note": _DIM,
    "dim": _DIM,
    "header": _DIM,
    "axis": Look(share=30),
    "grid": Look(share=18),
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
    "open": Look(share=25),
    "cursor": Look(background="primary", background_share=30),
    "tab": Look(share=65),
    "tab-current": Look(bold=True, background="primary", background_share=35),
    "tile": Look("primary", share=70),
    "tile-bad": Look("error"),
    "heat0": Look(share=0),
    "heat1": Look("primary", share=40),
    "heat2": Look("primary", share=60),
    "heat3": Look("primary", share=80),
    "heat4": Look("primary"),
    "heat5": Look("primary-lighten-2"),
}


def style_of(role: str, variables: Mapping[str, str], background: Color) -> Style:
    """The style of a role on a background; `role+cursor` is the role on the cursor's background."""
    name, _, over = role.partition("+")
    look = LOOKS[name]
    under = LOOKS[over] if over else look
    if under.background:
        mixed = Color.parse(variables[under.background])
        background = background.blend(mixed, under.background_share / 100)
    color = background.blend(Color.parse(variables[look.color]), look.share / 100)
    return Style(color=color.rich_color, bgcolor=background.rich_color, bold=look.bold or None)

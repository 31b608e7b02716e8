"""Help: the keys of the screen it was opened on, and what the signs mean."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen

from chaperon_tui.palette import described_bindings
from chaperon_tui.raster.cells import Row, pad
from chaperon_tui.screens.dialog import Dialog
from chaperon_tui.widgets.rows import Rows

_SIGNS: tuple[tuple[str, str], ...] = (
    ("12.3 ms*", "fewer than ten samples lie above this percentile: take it with care"),
    ("service time", "from the first byte of a request sent until its last byte is received"),
    ("failed", "no complete valid response"),
    ("HTTP err", "complete responses with a status that the call did not expect"),
    ("● ▲ ■", "the generator itself was good, degraded, saturated"),
    ("· ░ ▒ ▓ █", "heatmap: few to many responses in that latency band and second"),
)


class HelpScreen(Dialog[None]):
    """A page over the screen it explains."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,question_mark,q,enter", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, explained: Screen[Any]):
        super().__init__()
        self._explained = explained

    def compose(self) -> ComposeResult:
        rows: list[Row] = [(("Keys", "heading"),)]
        for active in described_bindings(self._explained.active_bindings.values()):
            key = self.app.get_key_display(active.binding)
            rows.append(((pad(key, 16), "key"), (active.tooltip, "")))
        rows += [
            ((pad("↑ ↓ PgUp PgDn", 16), "key"), ("Move in tables; Enter opens a row", "")),
            ((pad("1 … 6", 16), "key"), ("Panels by their number", "")),
            ((pad("Tab", 16), "key"), ("Next panel or field", "")),
            (),
            (("Signs and words", "heading"),),
        ]
        rows += [((pad(sign, 16), "value"), (text, "")) for sign, text in _SIGNS]
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content("Help")
            yield Rows(rows, wrap=True, hanging=16)

"""One series in full: percentile spectrum, histogram, statuses and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, SeriesDetail
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.charts import histogram_bars, histogram_words, spectrum_chart
from chaperon_tui.state.details import detail_rows, distribution_words, outcome_rows
from chaperon_tui.state.errors import in_words
from chaperon_tui.widgets.bars import HealthBar
from chaperon_tui.widgets.board import Board, Panel, has_room
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import Drawing, Rows

if TYPE_CHECKING:
    from chaperon_tui.screens.series_sources import SeriesSource

REFRESH_S = 1.0


class SeriesScreen(Screen[None]):
    """Asks its source once a second until the figures are final."""

    CSS_PATH = "series.tcss"
    AUTO_FOCUS = ""
    """On a small screen the panel with the focus is the one that is seen: begin with the first."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "zoom", "Zoom", id="series.zoom",
                tooltip="One panel over the whole screen, or all panels"),
        *(Binding(str(n), f"panel({n - 1})", f"Panel {n}", show=False) for n in range(1, 4)),
        Binding("escape,q", "app.pop_screen", "Back", id="series.back",
                tooltip="Back to the run or its report"),
    ]  # fmt: skip

    def __init__(self, source: SeriesSource):
        super().__init__()
        self._source = source
        self._detail: SeriesDetail | None = None
        self._is_final = False
        """The figures shown were read after the run had ended."""

    def compose(self) -> ComposeResult:
        yield HealthBar(self._source.health, id="health")
        yield Rows([(("Reading …", "dim"),)], id="head")
        yield Board(
            [
                Panel("Spectrum", Drawing(self._spectrum, id="spectrum-chart"), id="spectrum"),
                Panel("Histogram", VerticalScroll(Drawing(self._bars, id="bars")), id="histogram"),
                Panel("Replies", VerticalScroll(Rows(wrap=True, id="outcomes")), id="replies"),
            ],
            id="board",
        )
        yield Footer()

    def on_mount(self) -> None:
        """Ask now and from then on."""
        self._ask()
        self.set_interval(REFRESH_S, self._ask)

    def _ask(self) -> None:
        is_held = self._source.is_held and self._detail is not None
        if self.is_current and not self._is_final and not is_held:
            self.run_worker(self._read(), group="series", exclusive=True)

    async def _read(self) -> None:
        is_final = self._source.is_final
        try:
            detail = await self._source.read()
        except (ChaperonError, OSError) as error:
            if self._detail is None:
                self.query_one("#head", Rows).show([((in_words(error), "bad"),)])
            return
        self._is_final = is_final
        self.query_one("#health", Painted).repaint()
        if detail is None or detail == self._detail:
            return
        self._detail = detail
        what = distribution_words(detail.row.key)
        self.query_one("#spectrum", Panel).set_note(f"{what} by percentile")
        self.query_one("#histogram", Panel).set_note(histogram_words(detail, what))
        self.query_one("#head", Rows).show(detail_rows(detail))
        self.query_one("#outcomes", Rows).show(outcome_rows(detail))
        bars = self.query_one("#bars", Drawing)
        bars.styles.height = max(1, len(histogram_bars(detail, 60)))
        bars.repaint()
        self.query_one("#spectrum-chart", Painted).repaint()

    def _spectrum(self, width: int, height: int) -> list[Row]:
        return spectrum_chart(self._detail, width, height) if self._detail else []

    def _bars(self, width: int, height: int) -> list[Row]:
        return histogram_bars(self._detail, width) if self._detail else []

    def action_panel(self, number: int) -> None:
        """Bring a panel to the front."""
        self.query_one("#board", Board).select(number)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Zoom needs several panels."""
        return has_room(self) if action == "zoom" else True

    def action_zoom(self) -> None:
        """One panel or all."""
        self.query_one("#board", Board).toggle_zoom()

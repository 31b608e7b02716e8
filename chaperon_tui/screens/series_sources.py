"""Where the screen of one series has its figures from: a run that is going, or a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from chaperon_engine import ChaperonError, Report, ReportMetric, SeriesDetail, SeriesRow
from chaperon_tui.state.details import detail_of, detail_of_row
from chaperon_tui.state.figures import HealthLine, health_line
from chaperon_tui.state.reports import report_health

if TYPE_CHECKING:
    from chaperon_tui.screens.live import LiveScreen


class SeriesSource(Protocol):
    """One series of one run."""

    @property
    def is_held(self) -> bool:
        """The display is paused."""
        ...

    @property
    def is_final(self) -> bool:
        """What is read from now on does not change any more."""
        ...

    def health(self) -> HealthLine:
        """The generator's verdict on itself."""
        ...

    async def read(self) -> SeriesDetail | None:
        """The series in full; None if there is none. Raises ChaperonError, OSError."""
        ...


class LiveSeries:
    """A series of a run that is watched; from its report when its engine has left.

    The engine answers nothing after the end, so its last histogram may lack what came then.
    """

    def __init__(self, live: LiveScreen, row: SeriesRow):
        self._live = live
        self._row = row
        self._histogram: list[tuple[int | float, int]] = []

    @property
    def is_held(self) -> bool:
        return self._live.is_paused

    @property
    def is_final(self) -> bool:
        return not self._live.is_going

    def health(self) -> HealthLine:
        return health_line(self._live.store)

    async def read(self) -> SeriesDetail | None:
        try:
            detail = await self._live.client.series(self._row.id)
        except (ChaperonError, OSError):
            report = self._live.report
            found = detail_of_row(report, self._row) if report is not None else None
            if found is None:
                raise
            return msgspec.structs.replace(found, histogram=self._histogram)
        if detail is not None:
            self._histogram = detail.histogram
        return detail


class ReportSeries:
    """A series of a report."""

    is_held = False
    is_final = True

    def __init__(self, report: Report, metric: ReportMetric):
        self._report = report
        self._metric = metric

    def health(self) -> HealthLine:
        return report_health(self._report)

    async def read(self) -> SeriesDetail | None:
        return detail_of(self._report, self._metric)

"""Charts as rows of styled text: pure functions from numbers to cells.

Owns braille line charts, heatmaps, histogram bars and axes. Must not know Textual, Rich, colours
or where the numbers come from: a run of text carries the name of its role (`p99`, `axis`, `heat3`),
and whoever draws gives the role a style.
"""

from chaperon_tui.raster.axis import (
    Axis,
    count_axis,
    decades,
    durations,
    linear_axis,
    log_axis,
    percentile_axis,
    time_axis,
)
from chaperon_tui.raster.bars import Bar, bar_rows, progress_bar
from chaperon_tui.raster.cells import (
    Row,
    Run,
    clip,
    clip_middle,
    pad,
    row_text,
    row_width,
    text_width,
)
from chaperon_tui.raster.chart import Line, line_chart
from chaperon_tui.raster.heatmap import heatmap

__all__ = [
    "Axis",
    "Bar",
    "Line",
    "Row",
    "Run",
    "bar_rows",
    "clip",
    "clip_middle",
    "count_axis",
    "decades",
    "durations",
    "heatmap",
    "line_chart",
    "linear_axis",
    "log_axis",
    "pad",
    "percentile_axis",
    "progress_bar",
    "row_text",
    "row_width",
    "text_width",
    "time_axis",
]

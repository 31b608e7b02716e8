"""Latency heatmaps: time to the right, latency upwards, how many by the density of the cell.

Density is shown by the character as well as by the role (`heat1` .. `heat5`), so that it reads
without colour.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from chaperon_tui.raster.axis import Axis
from chaperon_tui.raster.cells import Row, merge_runs, pad, text_width
from chaperon_tui.raster.chart import x_axis_rows

GLYPHS = " ·░▒▓█"
LEVELS = len(GLYPHS) - 1


def heatmap(
    columns: Sequence[tuple[float, Sequence[int]]],
    edges: Sequence[float],
    x: Axis,
    width: int,
    height: int,
    show: Callable[[float], str],
    dotted_to: float = 0.0,
) -> list[Row]:
    """`height` rows of exactly `width` cells.

    `columns` is (x, counts for the rows of `edges`, slowest last), x ascending; `edges` are the
    lower edges. Only the rows that hold something are drawn; neighbours are merged when they do
    not fit. The x axis is dotted from 0 to `dotted_to`.
    """
    plot_height = height - 2
    used = [i for i in range(len(edges)) if any(i < len(c) and c[i] for _, c in columns)]
    first, last = (used[0], used[-1]) if used else (0, len(edges) - 1)
    merge = max(1, -(-(last - first + 1) // max(plot_height, 1)))
    bands = [range(i, min(i + merge, last + 1)) for i in range(first, last + 1, merge)]
    repeat = max(1, min(3, plot_height // len(bands)))
    labels = [show(edges[band.start]) for band in bands]
    left = max(7, max(text_width(label) for label in labels))
    plot_width = width - left - 1
    if plot_width < 4 or plot_height < 2:
        return [((" " * width, ""),)] * height
    grid = _grid(columns, bands, x, plot_width)
    peak = max((max(column) for column in grid if column is not None), default=0.0)
    rows: list[Row] = []
    blank = plot_height - len(bands) * repeat
    rows.extend(((" " * left + "│", "axis"), (" " * plot_width, "")) for _ in range(blank))
    every = 1 if len(bands) <= 8 else 2
    for number in range(len(bands) - 1, -1, -1):
        is_labelled = number % every == 0
        cells = [pad(labels[number] if is_labelled else "", left, "right")]
        cells.append("┤" if is_labelled else "│")
        roles = ["label", "axis"]
        for column in grid:
            level = 0 if column is None else level_of(column[number], peak)
            cells.append(GLYPHS[level])
            roles.append(f"heat{level}")
        bare = [" " * left, "│", *cells[2:]]
        rows.extend(merge_runs(bare, roles) for _ in range(repeat - 1))
        rows.append(merge_runs(cells, roles))
    rows.extend(x_axis_rows(x, left, plot_width, "", None, dotted_to))
    return rows


def level_of(count: float, peak: float) -> int:
    """0 for nothing, then 1 to `LEVELS` by the square root of the share of the fullest cell."""
    if count <= 0 or peak <= 0:
        return 0
    return min(LEVELS, 1 + int((count / peak) ** 0.5 * (LEVELS - 0.001)))


def _grid(
    columns: Sequence[tuple[float, Sequence[int]]], bands: list[range], x: Axis, plot_width: int
) -> list[list[float] | None]:
    """Counts by column and band, per interval, so that a cell of two seconds is not twice as dark.

    A column without an interval of its own repeats the one before it.
    """
    sums: dict[int, list[float]] = {}
    shares: dict[int, int] = {}
    for at, counts in columns:
        if not x.low <= at <= x.high:
            continue
        column = int(x.place(at) * (plot_width - 1))
        own = [float(sum(counts[band.start : band.stop])) for band in bands]
        before = sums.get(column)
        if before is None:
            sums[column] = own
            shares[column] = 1
        else:
            sums[column] = [a + b for a, b in zip(before, own, strict=True)]
            shares[column] += 1
    grid: list[list[float] | None] = [None] * plot_width
    starts = sorted(sums)
    gap = min((b - a for a, b in itertools.pairwise(starts)), default=1)
    for start, end in itertools.zip_longest(starts, starts[1:], fillvalue=plot_width):
        values = [value / shares[start] for value in sums[start]]
        for column in range(start, min(end, start + gap + 1)):
            grid[column] = values
    return grid

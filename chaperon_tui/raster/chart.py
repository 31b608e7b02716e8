"""Braille line charts with several series, axes and labels at the ends of the lines.

Two by four dots a cell. A line is known by its label at its right end, not by its colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaperon_tui.raster.axis import Axis, spread
from chaperon_tui.raster.cells import Row, merge_runs, pad, text_width

Points = Sequence[tuple[float, float | None]]
"""(x, y) with x ascending; y None where the line is interrupted."""

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bit of a dot by column (0, 1) and row from the top (0..3) of a braille cell."""


@dataclass(frozen=True)
class Line:
    """One series of a chart. Later lines are drawn over earlier ones."""

    role: str
    label: str
    """Written at the right end of the line; at most a few characters."""
    points: Points
    filled: bool = False
    """Fill the area below the line."""


def line_chart(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    width: int,
    height: int,
    *,
    marks: tuple[float, float] | None = None,
    margins: tuple[int, int] = (0, 0),
    dotted_to: float = 0.0,
) -> list[Row]:
    """`height` rows of exactly `width` cells: plot, y axis at the left, x axis below.

    `marks` is a window (start, end) in x that is shown on the x axis as a thick line.
    `margins` are the least cells for labels at the left and right, so that plots can stand below
    each other. The x axis is dotted from 0 to `dotted_to`.
    """
    left = max((text_width(label) for _, label in y.ticks), default=0)
    right = max((text_width(line.label) for line in lines if line.label), default=0)
    left, right = max(left, margins[0]), max(right, margins[1])
    plot_width = width - left - 1 - (right + 1 if right else 0)
    plot_height = height - 2
    if plot_width < 4 or plot_height < 2:
        return [((" " * width, ""),)] * height
    bits, owner, ends = _plot(lines, x, y, plot_width, plot_height)
    y_labels = {_row_of(y.place(value), plot_height): label for value, label in y.ticks}
    ends_at = _end_labels(lines, ends, plot_height)
    rows: list[Row] = []
    for top in range(plot_height):
        label = y_labels.get(top)
        cells = [pad(label or "", left, "right"), "┤" if label is not None else "│"]
        roles = ["label", "axis"]
        base = top * plot_width
        for column in range(plot_width):
            dots = bits[base + column]
            if dots:
                cells.append(chr(0x2800 + dots))
                roles.append(lines[owner[base + column]].role)
            else:
                is_grid = label is not None and column % 4 == 1
                cells.append("·" if is_grid else " ")
                roles.append("grid")
        if right:
            end = ends_at.get(top)
            cells.append(" " + pad(lines[end].label if end is not None else "", right))
            roles.append(lines[end].role if end is not None else "")
        rows.append(merge_runs(cells, roles))
    tail = " " * (width - left - 1 - plot_width)
    rows.extend(x_axis_rows(x, left, plot_width, tail, marks, dotted_to))
    return rows


def x_axis_rows(
    x: Axis,
    left: int,
    plot_width: int,
    tail: str,
    marks: tuple[float, float] | None = None,
    dotted_to: float = 0.0,
) -> list[Row]:
    """The two rows below a plot: the axis with its ticks, and their labels."""
    rule = ["─"] * plot_width
    roles = ["axis"] * plot_width
    if dotted_to > x.low:
        for column in range(round(x.place(dotted_to) * (plot_width - 1))):
            rule[column] = "┅"
            roles[column] = "warn"
    labels = [" "] * (plot_width + 1 + len(tail))
    free_from = 0
    for value, label in x.ticks:
        column = round(x.place(value) * (plot_width - 1))
        rule[column] = "┬"
        start = max(0, min(column - len(label) // 2 + 1, len(labels) - len(label)))
        if start >= free_from:
            labels[start : start + len(label)] = label
            free_from = start + len(label) + 1
    if marks is not None:
        first = round(x.place(marks[0]) * (plot_width - 1))
        last = round(x.place(marks[1]) * (plot_width - 1))
        for column in range(first, last + 1):
            rule[column] = "━"
            roles[column] = "mark"
    axis = ((" " * left + "└", "axis"), *merge_runs(rule, roles), (tail, ""))
    return [axis, ((" " * left + "".join(labels), "label"),)]


def _plot(
    lines: Sequence[Line], x: Axis, y: Axis, plot_width: int, plot_height: int
) -> tuple[bytearray, bytearray, list[int | None]]:
    """Dots, the line that owns each cell, and the last dot row (from the top) of each line."""
    columns, depth = plot_width * 2, plot_height * 4
    bits = bytearray(plot_width * plot_height)
    owner = bytearray(plot_width * plot_height)
    ends: list[int | None] = []
    for number, line in enumerate(lines):
        last: tuple[int, int] | None = None
        end: int | None = None
        for column, place in _columns(line.points, x, y, columns):
            if place is None:
                last = None
                continue
            dot = depth - 1 - round(place * (depth - 1))
            end = dot
            for step, low, high in _between(last, (column, dot)):
                bottom = depth - 1 if line.filled else high
                for row in range(low, bottom + 1):
                    cell = (row >> 2) * plot_width + (step >> 1)
                    bits[cell] |= _DOTS[step & 1][row & 3]
                    owner[cell] = number
            last = (column, dot)
        ends.append(end)
    return bits, owner, ends


def _columns(points: Points, x: Axis, y: Axis, columns: int) -> list[tuple[int, float | None]]:
    """The points by dot column; where several meet, the highest stands for all."""
    result: list[tuple[int, float | None]] = []
    for at, value in points:
        if not x.low <= at <= x.high:
            continue
        column = round(x.place(at) * (columns - 1))
        place = None if value is None else y.place(value)
        if result and result[-1][0] == column:
            before = result[-1][1]
            if place is not None and (before is None or place > before):
                result[-1] = (column, place)
        else:
            result.append((column, place))
    return result


def _between(last: tuple[int, int] | None, now: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(column, top dot, bottom dot) of a straight line from `last`, which is drawn already."""
    if last is None:
        return [(now[0], now[1], now[1])]
    steps = now[0] - last[0]
    spans: list[tuple[int, int, int]] = []
    before = last[1]
    for step in range(1, steps + 1):
        dot = last[1] + round((now[1] - last[1]) * step / steps)
        if dot == before:
            spans.append((last[0] + step, dot, dot))
        elif dot > before:
            spans.append((last[0] + step, before + 1, dot))
        else:
            spans.append((last[0] + step, dot, before - 1))
        before = dot
    return spans


def _row_of(place: float, plot_height: int) -> int:
    dot = plot_height * 4 - 1 - round(place * (plot_height * 4 - 1))
    return dot >> 2


def _end_labels(
    lines: Sequence[Line], ends: Sequence[int | None], plot_height: int
) -> dict[int, int]:
    """Row from the top to the line whose label stands there; labels are moved apart."""
    order = sorted(
        (end, index) for index, end in enumerate(ends) if end is not None and lines[index].label
    )
    rows = spread([end >> 2 for end, _ in order], plot_height)
    placed: dict[int, int] = {}
    for row, (_, index) in zip(rows, order, strict=True):
        placed.setdefault(row, index)
    return placed

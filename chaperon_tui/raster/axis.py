"""Axes: where a value stands between 0 and 1, and which ticks are worth a label.

Owns ranges, ticks and their texts. Must not know cells or dots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaperon_engine import show_count, show_duration

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_LONG_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 432000, 864000)
_MAIN_LONG_US = (60e6, 600e6, 3600e6, 36000e6)
_NINES = ((0.0, "0"), (50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"),
          (99.99, "99.99"), (99.999, "99.999"))  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A range of values on a line from 0 to 1."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    """(value, label), ascending."""
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where `value` stands: 0 at `low`, 1 at `high`, clamped."""
        if self.is_log:
            low, high = math.log10(self.low), math.log10(self.high)
            value = math.log10(max(value, self.low))
        else:
            low, high = self.low, self.high
        return min(max((value - low) / (high - low), 0.0), 1.0)


def linear_axis(top: float, ticks: int = 4, show: Callable[[float], str] = show_count) -> Axis:
    """From zero to a round number at or above `top`, with about `ticks` ticks above zero."""
    step = _round_step(max(top, 1e-9) / max(ticks, 1))
    count = max(1, math.ceil(top / step - 1e-9))
    return Axis(0.0, step * count, tuple((step * i, show(step * i)) for i in range(count + 1)))


def count_axis(top: float, ticks: int = 4) -> Axis:
    """As `linear_axis` for whole things: no ticks between them."""
    axis = linear_axis(max(top, 1.0), ticks)
    if len(axis.ticks) > 1 and axis.ticks[1][0] < 1:
        return Axis(0.0, axis.high, ((0.0, "0"), (axis.high, show_count(axis.high))))
    return axis


Marks = Callable[[float, float], list[float]]
"""Round values around [low, high]: the first at or below `low`, the last at or above `high`."""


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten around [low, high]."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [f * 10.0**power for power in range(first, last + 1) for f in (1, 2, 5)]
    return _around(values, low, high)


def durations(low: float, high: float) -> list[float]:
    """As `decades` for microseconds: from ten seconds on round seconds, minutes, hours and days."""
    values = [f * 10.0**power for power in range(-3, 7) for f in (1, 2, 5)]
    values += [second * 1e6 for second in _LONG_S]
    return _around(values, low, min(high, values[-1]))


def _around(values: Sequence[float], low: float, high: float) -> list[float]:
    first = max((i for i, value in enumerate(values) if value <= low * 1.0001), default=0)
    last = min(i for i, value in enumerate(values) if value >= high * 0.9999)
    last = max(last, first + 1)
    return list(values[first : last + 1])


def log_axis(
    low: float,
    high: float,
    show: Callable[[float], str],
    ticks: int = 5,
    marks: Marks = decades,
) -> Axis:
    """A logarithmic axis whose ends are round values (`marks`) around [low, high]."""
    low = max(low, 1e-9)
    values = marks(low, max(high, low))
    bottom, top = values[0], values[-1]
    if len(values) > ticks:
        main = [value for value in values if _is_main(value)]
        values = main if len(main) >= 3 else values[::2]
    while len(values) > max(ticks, 2):
        values = values[::2]
    return Axis(bottom, top, tuple((value, show(value)) for value in values), is_log=True)


def time_axis(start_s: float, end_s: float, ticks: int = 6) -> Axis:
    """Seconds since the start of the run, ticks at round times."""
    span = max(end_s - start_s, 1.0)
    step = next((step for step in _TIME_STEPS_S if span / step <= max(ticks, 1)), _TIME_STEPS_S[-1])
    first = math.ceil(start_s / step) * step
    values = range(int(first), int(start_s + span) + 1, step)
    return Axis(start_s, start_s + span, tuple((float(v), show_time(v)) for v in values))


def show_time(value_s: float) -> str:
    """A moment of the run: `45s`, `2m`, `1m30s`, `2h05m`."""
    if value_s < 60:
        return f"{value_s:.0f}s"
    if value_s < 3600 and value_s % 60 == 0:
        return f"{value_s / 60:.0f}m"
    return show_duration(value_s)


def percentile_axis(highest: float) -> Axis:
    """Percentiles spread by their nines; `place` takes `nines(percentile)`."""
    top = max(nines(highest), 1.0)
    ticks = tuple((nines(value), label) for value, label in _NINES if nines(value) <= top + 1e-9)
    return Axis(0.0, top, ticks)


def nines(percentile: float) -> float:
    """How many nines a percentile has: 90 is 1, 99.9 is 3; 100 counts as 6."""
    return -math.log10(max(1.0 - percentile / 100.0, 1e-6))


def spread(places: Sequence[int], room: int) -> list[int]:
    """`places` moved apart by at least one, kept in order and within [0, room)."""
    result: list[int] = []
    for place in places:
        result.append(max(place, result[-1] + 1) if result else place)
    limit = room - 1
    for index in range(len(result) - 1, -1, -1):
        result[index] = max(0, min(result[index], limit))
        limit = result[index] - 1
    return result


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 2.5, 5, 10):
        if raw <= factor * power * 1.0001:
            return float(factor * power)
    return 10 * power


def _is_main(value: float) -> bool:
    """A power of ten, or in microseconds 1 or 10 minutes or hours."""
    power = math.log10(value)
    return abs(power - round(power)) < 1e-6 or value in _MAIN_LONG_US

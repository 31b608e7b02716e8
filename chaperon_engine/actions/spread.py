"""When the calls of a spread are due: `rate` calls evenly over an interval, exactly.

    call      0      1      2    ...   rate-1
    due       0     i/r    2i/r        i - i/r           i: interval, r: rate

Each offset is computed from the intended start, in whole nanoseconds, rounded down: nothing adds
up. Pure: must not know clocks.
"""

from __future__ import annotations


def due_offset_ns(number: int, rate: int, interval_ns: int) -> int:
    """When a call is due, in nanoseconds from the intended start of the first."""
    return number * interval_ns // rate


def due_count(elapsed_ns: int, rate: int, interval_ns: int) -> int:
    """How many calls are due so many nanoseconds after the intended start of the first."""
    if elapsed_ns < 0:
        return 0
    return min(rate, -(-(elapsed_ns + 1) * rate // interval_ns))

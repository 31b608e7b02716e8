"""Into which bucket a value falls, and for which values a bucket stands. Arithmetic alone.

1 us to 24 h with 3 significant digits, in the layout of HdrHistogram with a sub-bucket count of
2048: values below 2048 have a bucket each, above it each doubling has 1024 buckets.
"""

from __future__ import annotations

from typing import Final

MAX_US: Final = 86_400_000_000
"""24 hours in microseconds: the highest value that is told apart; what is above is saturated."""

EXACT_BELOW_US: Final = 2048
"""Values below have a bucket each."""


def bucket_index(value_us: int) -> int:
    """Bucket of a value from 0 to MAX_US. The recorder has this formula inline."""
    shift = (value_us | 2047).bit_length() - 11
    return (shift << 10) + (value_us >> shift)


MAX_INDEX: Final = bucket_index(MAX_US)


def lowest_equivalent(index: int) -> int:
    """The lowest value in microseconds that falls into this bucket."""
    shift = max((index >> 10) - 1, 0)
    return (index - (shift << 10)) << shift


def highest_equivalent(index: int) -> int:
    """The highest value in microseconds that falls into this bucket."""
    shift = max((index >> 10) - 1, 0)
    return ((index - (shift << 10) + 1) << shift) - 1


def in_unit(value: int, scale: int) -> int | float:
    """A figure of a histogram in the unit that was multiplied with `scale` to record it.

    A bucket stands for all values in it; a scaled one speaks as its roundest, so that 12.5,
    recorded as 12,500, is not 12.503.
    """
    if scale == 1:
        return value
    index = bucket_index(value)
    low, high = lowest_equivalent(index), highest_equivalent(index)
    step = int("1" + "0" * len(str(high)))
    while (roundest := -(-low // step) * step) > high:
        step //= 10
    return roundest / scale

"""Custom metrics: which values and units they take."""

from __future__ import annotations

import math
from typing import Final

from chaperon_engine.errors import InvalidRequest

_MICROSECONDS: Final = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}


def checked(name: str, value: float) -> float:
    """A finite number. Raises InvalidRequest that names the metric."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidRequest(f"metric {name!r} takes numbers, not {value!r}") from None
    if not math.isfinite(number):
        raise InvalidRequest(f"metric {name!r} takes finite numbers, not {value!r}")
    return number


def in_series_unit(value: float, unit: str) -> tuple[float, str]:
    """A trend's value and unit as its series keeps them.

    Durations (`us`, `ms`, `s`) become microseconds; of others three decimals are kept.
    """
    factor = _MICROSECONDS.get(unit)
    return (value, unit) if factor is None else (value * factor, "us")

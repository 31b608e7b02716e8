"""Durations, counts and byte sizes as people write them, and back. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

Duration = float | int | str | timedelta
"""Seconds as a number, a `timedelta`, or text such as `500ms`, `30s`, `1m30s`, `2h`."""

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")
_COUNT = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?([kMG]?)")
_MULTIPLES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))? ?(B|k|kB|KB|KiB|M|MB|MiB|G|GB|GiB)?")
_SIZE_PREFIXES = {"k": 1, "K": 1, "M": 2, "G": 3}


def seconds(value: Duration, what: str = "duration") -> float:
    """`value` in seconds, never negative or infinite.

    Raises ValueError with one sentence that names `what`.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, bool):
        raise ValueError(f"{what} must be a duration such as 30s, not {value}")
    elif isinstance(value, (int, float)):
        result = float(value)
    elif isinstance(value, str):
        result = _parse_duration(value, what)
    else:
        raise ValueError(f"{what} must be a duration such as 30s, not {type(value).__name__}")
    if not 0 <= result < float("inf"):
        raise ValueError(f"{what} must be zero or more seconds, not {value!r}")
    return result


def _parse_duration(text: str, what: str) -> float:
    stripped = text.strip()
    try:
        return float(stripped)
    except ValueError:
        pass
    position, total, seen = 0, 0.0, set()
    for match in _DURATION_PART.finditer(stripped):
        if match.start() != position or match[2] in seen:
            break
        seen.add(match[2])
        total += float(match[1]) * _UNITS_US[match[2]]
        position = match.end()
    if not stripped or position != len(stripped):
        raise ValueError(f"{what} is {text!r}, expected a duration such as 500ms, 30s, 1m30s or 2h")
    return total / 1_000_000  # Of whole microseconds this is the nearest number there is.


def count(value: int | str, what: str = "count") -> int:
    """A whole number, also as `10k` or `1.5M`. Raises ValueError that names `what`."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{what} must be a whole number such as 50 or 10k, not {value!r}")
    if isinstance(value, int):
        result = value
    else:
        match = _COUNT.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{what} is {value!r}, expected a whole number such as 50, 10k or 1M")
        whole = _whole(match[1], match[2] or "", _MULTIPLES[match[3]])
        if whole is None:
            raise ValueError(f"{what} is {value!r}, which is not a whole number")
        result = whole
    if result < 0:
        raise ValueError(f"{what} must be zero or more, not {value!r}")
    return result


def byte_size(value: int | str, what: str = "size") -> int:
    """A size in bytes, also as `64KiB` (powers of 1024) or `10MB` (powers of 1000).

    Raises ValueError with one sentence that names `what`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    elif isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{what} is {value!r}, expected a size such as 4096, 64KiB or 10MB")
        unit = match[3] or "B"
        base = 1024 if "i" in unit else 1000
        whole = _whole(match[1], match[2] or "", base ** _SIZE_PREFIXES.get(unit[0], 0))
        if whole is None:
            raise ValueError(f"{what} is {value!r}, which is not a whole number of bytes")
        result = whole
    else:
        raise ValueError(f"{what} must be a size such as 4096, 64KiB or 10MB, not {value!r}")
    if result < 0:
        raise ValueError(f"{what} must be zero or more, not {value!r}")
    return result


def _whole(digits: str, fraction: str, multiple: int) -> int | None:
    """`digits.fraction` times `multiple`, exactly; None when that is not whole."""
    product = int(digits + fraction) * multiple
    whole, rest = divmod(product, 10 ** len(fraction))
    return None if rest else whole


def show_duration(value_s: float) -> str:
    """A duration for people: `850 µs`, `12.3 ms`, `4.20 s`, `1m30s`, `2h05m`."""
    if value_s < 0.001:
        return f"{value_s * 1e6:.0f} µs"
    if value_s < 0.0995:
        return f"{value_s * 1e3:.3g} ms"
    if value_s < 0.9995:
        return f"{value_s * 1e3:.0f} ms"
    if value_s < 59.995:
        return f"{value_s:.3g} s"
    whole = round(value_s)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def show_us(value_us: float) -> str:
    """A latency in microseconds for people, three digits and a unit."""
    return show_duration(value_us / 1e6)


def show_count(value: float) -> str:
    """A count for people: `950`, `12.3k`, `4.56M`, `7.8T`."""
    if value < 999.5:
        return f"{value:.0f}"
    for limit, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T")):
        scaled = value / (limit / 1000)
        if scaled < 999.5:
            return f"{scaled:.3g}{unit}"
    return f"{value:.3g}"


def show_bytes(value: float) -> str:
    """A size for people in powers of 1024: `512 B`, `4.2 KiB`, `1020 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1023.5:
            # Four digits before the unit, where three would be written with an exponent.
            digits = ".0f" if unit == "B" or value >= 999.5 else ".3g"
            return f"{value:{digits}} {unit}"
        value /= 1024
    return f"{value:.4g} PiB"

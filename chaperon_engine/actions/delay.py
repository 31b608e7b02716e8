"""Waits: fixed and random durations in every form in which people write them."""

from __future__ import annotations

from random import Random
from typing import Protocol

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.units import Duration, seconds

Wait = Duration | range | tuple[Duration, Duration]
"""A duration; `("random", d)` for a random one up to d; `(low, high)` or a `range` of seconds for a
random one between."""


class Drawing(Protocol):
    """What random durations are drawn with: a session, whose generator is made when needed."""

    @property
    def random(self) -> Random: ...


def wait_s(value: Wait, source: Drawing, what: str = "delay") -> float:
    """Seconds to wait, drawn from `source` where the value is random.

    Raises InvalidRequest with one sentence that names `what`.
    """
    if type(value) is float and value >= 0.0:
        return value
    try:
        return _drawn(value, source, what)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def random_wait_s(value: Wait, source: Drawing, what: str = "random_delay") -> float:
    """A random number of seconds between zero and a duration; a range is drawn from as it is."""
    if isinstance(value, (tuple, range)):
        return wait_s(value, source, what)
    return source.random.uniform(0.0, wait_s(value, source, what))


def _drawn(value: Wait, source: Drawing, what: str) -> float:
    if isinstance(value, range):
        if len(value) == 0:
            raise ValueError(f"{what} is the empty {value!r}")
        return source.random.uniform(seconds(value[0], what), seconds(value[-1], what))
    if not isinstance(value, tuple):
        return seconds(value, what)
    if len(value) != 2:
        raise ValueError(f'{what} must be (low, high) or ("random", d), not {value!r}')
    low, high = value
    if low == "random":
        return source.random.uniform(0.0, seconds(high, what))
    first, last = seconds(low, what), seconds(high, what)
    if first > last:
        raise ValueError(f"{what} is {value!r}, which ends before it begins")
    return source.random.uniform(first, last)

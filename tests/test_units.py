"""Durations, counts and sizes as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.units import (
    byte_size,
    count,
    seconds,
    show_bytes,
    show_count,
    show_duration,
    show_us,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        ("500ms", 0.5),
        ("700ms", 0.7),
        ("300us", 0.0003),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
        ("1h30m10s500ms", 5410.5),
        ("250us", 0.00025),
        ("1.5s", 1.5),
        (" 10 ", 10.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_read_in_seconds(written: Any, expected: float) -> None:
    assert seconds(written) == pytest.approx(expected)


HINT = ", expected a duration such as 500ms, 30s, 1m30s or 2h"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "delay is ''" + HINT),
        ("s", "delay is 's'" + HINT),
        ("10 s", "delay is '10 s'" + HINT),
        ("10x", "delay is '10x'" + HINT),
        ("1s1s", "delay is '1s1s'" + HINT),
        ("1s later", "delay is '1s later'" + HINT),
        ("-5s", "delay is '-5s'" + HINT),
        (-5, "delay must be zero or more seconds, not -5"),
        ("-5", "delay must be zero or more seconds, not '-5'"),
        (float("inf"), "delay must be zero or more seconds, not inf"),
        ("nan", "delay must be zero or more seconds, not 'nan'"),
        (True, "delay must be a duration such as 30s, not True"),
        (None, "delay must be a duration such as 30s, not NoneType"),
    ],
)
def test_a_wrong_duration_is_one_sentence(written: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        seconds(written, "delay")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("written", "expected"),
    [(0, 0), (50, 50), ("50", 50), ("10k", 10_000), ("1.5M", 1_500_000), (" 2G ", 2_000_000_000)],
)
def test_a_count_is_read(written: Any, expected: int) -> None:
    assert count(written) == expected


COUNT_HINT = ", expected a whole number such as 50, 10k or 1M"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "sessions is ''" + COUNT_HINT),
        ("ten", "sessions is 'ten'" + COUNT_HINT),
        ("10K", "sessions is '10K'" + COUNT_HINT),
        ("-1", "sessions is '-1'" + COUNT_HINT),
        ("1.5", "sessions is '1.5', which is not a whole number"),
        (-1, "sessions must be zero or more, not -1"),
        (1.5, "sessions must be a whole number such as 50 or 10k, not 1.5"),
        (True, "sessions must be a whole number such as 50 or 10k, not True"),
    ],
)
def test_a_wrong_count_is_one_sentence(written: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        count(written, "sessions")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("written", "expected"),
    [(0, 0), ("4096", 4096), ("1B", 1), ("64KiB", 65_536), ("1.5 MiB", 1_572_864),
     ("10MB", 10_000_000), ("8k", 8_000), ("1GiB", 2**30)],
)  # fmt: skip
def test_a_size_is_read_in_bytes(written: Any, expected: int) -> None:
    assert byte_size(written) == expected


SIZE_HINT = ", expected a size such as 4096, 64KiB or 10MB"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("big", "max is 'big'" + SIZE_HINT),
        ("5TB", "max is '5TB'" + SIZE_HINT),
        ("1.5B", "max is '1.5B', which is not a whole number of bytes"),
        (-1, "max must be zero or more, not -1"),
        (1.5, "max must be a size such as 4096, 64KiB or 10MB, not 1.5"),
        (True, "max must be a size such as 4096, 64KiB or 10MB, not True"),
    ],
)
def test_a_wrong_size_is_one_sentence(written: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        byte_size(written, "max")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("show", "value", "shown"),
    [
        (show_duration, 0, "0 µs"),
        (show_duration, 0.00085, "850 µs"),
        (show_duration, 0.0123, "12.3 ms"),
        (show_duration, 0.25, "250 ms"),
        (show_duration, 0.9994, "999 ms"),
        (show_duration, 4.2, "4.2 s"),
        (show_duration, 59.99, "60 s"),
        (show_duration, 90, "1m30s"),
        (show_duration, 3599.6, "1h00m"),
        (show_duration, 7500, "2h05m"),
        (show_us, 12_300, "12.3 ms"),
        (show_count, 950, "950"),
        (show_count, 12_345, "12.3k"),
        (show_count, 999_700, "1M"),
        (show_count, 999.7, "1k"),
        (show_count, 4_560_000, "4.56M"),
        (show_count, 38_765_432_100, "38.8G"),
        (show_count, 1_234_567_890_123, "1.23T"),
        (show_bytes, 512, "512 B"),
        (show_bytes, 4300, "4.2 KiB"),
        (show_bytes, 1020 * 2**20, "1020 MiB"),
        (show_bytes, 2**30 - 1, "1 GiB"),
        (show_bytes, 3 * 2**40, "3 TiB"),
        (show_bytes, 5 * 2**50, "5 PiB"),
    ],
)
def test_values_are_shown_short(show: Callable[[float], str], value: float, shown: str) -> None:
    assert show(value) == shown


@given(st.lists(st.sampled_from(["w", "d", "h", "m", "s", "ms", "us"]), unique=True, min_size=1),
       st.data())  # fmt: skip
def test_a_duration_written_in_parts_is_their_sum(units: list[str], data: st.DataObject) -> None:
    numbers = [data.draw(st.integers(0, 10_000)) for _ in units]
    text = "".join(f"{number}{unit}" for number, unit in zip(numbers, units, strict=True))
    size = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6}
    total = sum(number * size[unit] for number, unit in zip(numbers, units, strict=True))
    assert seconds(text) == pytest.approx(total)


@given(st.integers(0, 10**15))
def test_a_count_comes_back(number: int) -> None:
    assert count(str(number)) == number
    assert count(f"{number}k") == number * 1000


@given(st.floats(0, 1e9))
def test_seconds_come_back(number: float) -> None:
    assert seconds(number) == number
    assert seconds(str(number)) == number
    assert seconds(timedelta(seconds=number)) == pytest.approx(number, abs=1e-6)


@given(st.text())
def test_any_text_is_a_value_or_a_clear_error(text: str) -> None:
    for read in (seconds, count, byte_size):
        problem = ""
        try:
            assert read(text, "what") >= 0
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith("what ")


@given(st.floats(0, 1e9))
def test_what_is_shown_is_short_and_near(number: float) -> None:
    shown = show_duration(number)
    assert len(shown) <= 12
    assert len(show_count(number)) <= 8
    if shown.endswith("m") or not shown.endswith("s"):
        return
    units = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}
    words = shown.split(" ")
    if len(words) == 2:
        assert float(words[0]) * units[words[1]] == pytest.approx(number, rel=0.01, abs=1e-6)

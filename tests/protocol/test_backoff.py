"""How long an address waits after failures."""

from __future__ import annotations

from chaperon_engine.protocol.backoff import MAX_ADDRESSES, BackOff


class FakeClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_after_three_wrong_tokens_an_address_waits_twice_as_long_each_time() -> None:
    clock = FakeClock()
    back_off = BackOff(clock.monotonic)
    waits = []
    for _ in range(12):
        back_off.failed("10.0.0.1")
        waits.append(back_off.wait_s("10.0.0.1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert back_off.wait_s("10.0.0.1") == 0
    assert back_off.wait_s("10.0.0.2") == 0


def test_the_right_token_or_a_quarter_of_an_hour_make_an_address_new() -> None:
    clock = FakeClock()
    back_off = BackOff(clock.monotonic)
    for _ in range(9):
        back_off.failed("10.0.0.1")
        back_off.failed("10.0.0.2")
    back_off.succeeded("10.0.0.1")
    back_off.failed("10.0.0.1")
    assert back_off.wait_s("10.0.0.1") == 0
    clock.now += 901
    assert back_off.wait_s("10.0.0.2") == 0
    back_off.failed("10.0.0.2")
    assert back_off.wait_s("10.0.0.2") == 0


def test_one_host_does_not_escape_through_its_many_addresses() -> None:
    back_off = BackOff(FakeClock().monotonic)
    for number in range(5):
        back_off.failed(f"2001:db8::{number}")
    assert back_off.wait_s("2001:db8::ffff") > 0
    assert back_off.wait_s("2001:db8:0:1::1") == 0
    for _ in range(5):
        back_off.failed("::ffff:10.0.0.1")
    assert back_off.wait_s("10.0.0.1") == back_off.wait_s("::ffff:10.0.0.1") > 0


def test_the_table_of_addresses_is_bounded() -> None:
    back_off = BackOff(FakeClock().monotonic)
    for number in range(MAX_ADDRESSES + 100):
        back_off.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(back_off) == MAX_ADDRESSES

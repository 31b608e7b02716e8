"""Who may try: limits, back-off, rate; bounded whatever comes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.coordinator.door import Door, ListenerLimits, Stranger
from tests.remote.conftest import FakeClock


def entered(door: Door, address: str) -> Stranger:
    stranger = door.enter(address)
    assert stranger is not None
    return stranger


def test_one_address_has_only_so_many_strangers_at_once() -> None:
    door = Door(ListenerLimits(strangers_per_address=2), FakeClock())
    first = entered(door, "10.0.0.1")
    entered(door, "10.0.0.1")
    assert door.enter("10.0.0.1") is None
    entered(door, "10.0.0.2")
    door.crowded_out(first)
    entered(door, "10.0.0.1")


def test_whoever_came_first_goes_when_there_are_too_many() -> None:
    door = Door(ListenerLimits(strangers=2), FakeClock())
    strangers = [entered(door, f"10.0.0.{number}") for number in range(2)]
    assert door.one_too_many() is None
    entered(door, "10.0.0.9")
    crowded = door.one_too_many()
    assert crowded == strangers[0]
    door.crowded_out(crowded)
    assert door.one_too_many() is None
    assert door.strangers == 2


def test_an_address_that_fails_waits_and_one_that_proves_itself_does_not() -> None:
    clock = FakeClock()
    door = Door(ListenerLimits(), clock)
    for _ in range(4):
        door.failed(entered(door, "10.0.0.1"))
    assert door.enter("10.0.0.1") is None
    clock.now += 1.01
    door.proved(entered(door, "10.0.0.1"))
    door.failed(entered(door, "10.0.0.1"))
    entered(door, "10.0.0.1")


def test_attempts_that_end_together_are_one_failure() -> None:
    """Many agents behind one address meet a moment in which nobody has processor time."""
    clock = FakeClock()
    door = Door(ListenerLimits(), clock)
    for _ in range(3):
        together = [entered(door, "10.0.0.1") for _ in range(16)]
        clock.now += 5
        for stranger in together:
            door.failed(stranger)
    alone = entered(door, "10.0.0.1")
    clock.now += 5
    door.failed(alone)
    assert door.enter("10.0.0.1") is None


def test_being_crowded_out_is_no_failure() -> None:
    door = Door(ListenerLimits(), FakeClock())
    for _ in range(20):
        door.crowded_out(entered(door, "10.0.0.1"))
    entered(door, "10.0.0.1")


def test_strangers_come_at_a_rate_and_whoever_was_in_before_comes_all_the_same() -> None:
    clock = FakeClock()
    door = Door(ListenerLimits(burst=3, handshakes_per_s=10), clock)
    door.proved(entered(door, "10.0.0.1"))
    entered(door, "10.0.0.2")
    entered(door, "10.0.0.3")
    assert door.enter("10.0.0.4") is None
    entered(door, "10.0.0.1")
    clock.now += 0.1
    entered(door, "10.0.0.4")
    assert door.enter("10.0.0.5") is None


def test_authenticated_connections_are_bounded_too() -> None:
    door = Door(ListenerLimits(connections=1), FakeClock())
    door.proved(entered(door, "10.0.0.1"))
    assert door.enter("10.0.0.1") is None
    door.friend_left()
    entered(door, "10.0.0.1")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "failed", "proved", "crowded"]),
            st.integers(0, 40),
            st.floats(0, 2),
        ),
        max_size=80,
    )
)
def test_whatever_happens_the_counts_hold(steps: list[tuple[str, int, float]]) -> None:
    clock = FakeClock()
    limits = ListenerLimits(strangers=5, strangers_per_address=2, burst=20, connections=6)
    door = Door(limits, clock)
    inside: list[Stranger] = []
    for what, number, passed in steps:
        clock.now += passed
        if what == "enter":
            stranger = door.enter(f"10.0.0.{number % 7}")
            if stranger is not None:
                inside.append(stranger)
                crowded = door.one_too_many()
                if crowded is not None:
                    door.crowded_out(crowded)
                    inside.remove(crowded)
        elif inside:
            leaves = inside.pop(number % len(inside))
            {"failed": door.failed, "proved": door.proved, "crowded": door.crowded_out}[what](
                leaves
            )
        assert door.strangers == len(inside) <= 5
        assert len({stranger.number for stranger in inside}) == len(inside)
    for stranger in inside:
        door.failed(stranger)
    assert not door._networks

"""Thousands of short histories of coordinator and agents, with everything failing by a seed.

`CHAPERON_HISTORIES=100000` makes more of them; three quarters of their time, 13 ms each, are those
of the state machines.
"""

from __future__ import annotations

import os
import random

import pytest

from chaperon_engine.coordinator.events import DrainAsked
from tests.distributed.simulation import Host, World

HISTORIES = int(os.environ.get("CHAPERON_HISTORIES", "2000"))
CHUNKS = 10
LONGEST_STEPS = 600
MISFORTUNES = (
    "cut", "cut", "silent", "apart", "crash", "worker", "sleep", "stuck", "drain", "suspend",
)  # fmt: skip


def fail_somehow(world: World, rng: random.Random) -> None:
    """One misfortune, now."""
    host = rng.choice(world.hosts)
    match rng.choice(MISFORTUNES):
        case "cut":
            if host.wire is not None:
                world.cut(host.wire)
        case "silent":
            if host.wire is not None:
                world.cut(host.wire, silently=True)
        case "apart":
            world.apart_until[host.number] = world.now + rng.choice([0.6, 1.5, 4.0, 9.0])
        case "crash":
            if host.state is not None:
                host.crash()
                if rng.random() < 0.7:
                    host.start(deliver=bool(host.epoch is not None and rng.random() < 0.6))
        case "worker":
            if host.crew:
                host.lose_worker(rng.choice(host.crew))
        case "sleep":
            host.asleep_until = world.now + rng.choice([0.5, 2.0, 5.0])
        case "stuck":
            host.stuck_until = world.now + rng.choice([0.5, 2.0, 5.0])
        case "drain":
            world.tell(DrainAsked(rng.randrange(len(world.hosts) + 1), "client"))
        case "suspend":
            world.asleep_until = world.now + rng.choice([0.5, 2.0, 5.0, 20.0])


def live(seed: int) -> World:
    rng = random.Random(seed)
    world = World(seed, hosts=rng.choice([1, 2, 3]), fewer_ok=rng.random() < 0.7)
    rate = rng.choice([0.0, 0.02, 0.1])
    crash_at = rng.randrange(10, 60) if rng.random() < 0.1 else None
    for step in range(LONGEST_STEPS):
        if step < 80 and rng.random() < rate:
            fail_somehow(world, rng)
        if step == crash_at:
            world.crash_coordinator()
        world.step()
        check_loading(world)
        if world.is_over:
            return world
    raise AssertionError(f"history {seed} did not end")


def check_loading(world: World) -> None:
    """No share is run by two workers at any moment, whatever anybody believes."""
    loading = world.loading
    assert len(loading) == len(set(loading)), "a share is run by two"


def check_shares(world: World) -> None:
    for given in world.given.values():
        shares = [share for _, some in given for share in some]
        assert sorted(shares) == list(range(len(shares)))
    for hand_over in world.hand_overs:
        shares = [share for to in hand_over.to for share in to.shares]
        assert sorted(shares) == sorted(hand_over.shares)
        assert hand_over.member not in {to.member for to in hand_over.to}
    epochs = [hand_over.epoch for hand_over in world.hand_overs]
    assert epochs == sorted(set(epochs))


def measured(host: Host) -> int:
    return sum(worker.sent for worker in (*host.past, *host.crew))


def check_counts(world: World) -> None:
    """Nothing is counted twice; of who is done nothing is missing; of the lost it is said."""
    run = world.run
    if run is None or world.is_refused:
        return
    assert world.counted(0) == world.local.sent
    for agent in run.roster.agents:
        host = world.numbers[agent.number]
        counted = world.counted(agent.number)
        assert counted <= measured(host)
        if agent.state == "done":
            assert counted == measured(host)
        else:
            assert agent.state == "lost"
            assert run.partial
            assert any(agent.name in reason for reason in run.reasons)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_measurement_is_lost_or_doubled_and_every_run_ends(chunk: int) -> None:
    each = HISTORIES // CHUNKS
    for seed in range(chunk * each, (chunk + 1) * each):
        try:
            world = live(seed)
            check_shares(world)
            check_counts(world)
        except Exception as error:
            error.add_note(f"history {seed}")
            raise


def test_without_misfortune_everything_is_counted_and_nothing_is_partial() -> None:
    world = World(7, hosts=3)
    while not world.is_over:
        world.step()
    assert world.run is not None
    assert world.run.status == "complete"
    assert not world.run.partial
    assert sorted(world.begun_shares) == [(share, world.epoch) for share in range(7)]
    for member, host in world.numbers.items():
        assert world.counted(member) == measured(host) > 0
        assert host.ending is not None

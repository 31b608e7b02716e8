"""Coordinator and agents driven by hypothesis: whatever it does to them, in whatever order.

The histories of `test_simulated` are drawn blindly; here hypothesis looks for the shortest one that
breaks a rule. What holds at each moment: no share is run by two. What holds at the end, which is
always reached: every measurement of who is done was applied once, and what is missing is said.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chaperon_engine.coordinator.events import AbortAsked, DrainAsked, StopAsked
from tests.distributed.simulation import Host, World
from tests.distributed.test_simulated import (
    LONGEST_STEPS,
    check_counts,
    check_loading,
    check_shares,
)

SECONDS = st.sampled_from([0.5, 2.0, 5.0, 9.0])
HOST = st.integers(0, 2)


class Run(RuleBasedStateMachine):
    """One run and all that can happen to it."""

    world: World

    @initialize(
        seed=st.integers(0, 1000),
        hosts=st.integers(1, 3),
        fewer_ok=st.booleans(),
        on_loss=st.sampled_from(["respread", "continue", "fail"]),
        duration_s=st.sampled_from([3.0, 8.0]),
    )
    def begin(self, seed: int, hosts: int, fewer_ok: bool, on_loss: str, duration_s: float) -> None:
        self.world = World(
            seed, hosts=hosts, fewer_ok=fewer_ok, on_loss=on_loss, duration_s=duration_s
        )

    def host(self, number: int) -> Host:
        return self.world.hosts[number % len(self.world.hosts)]

    @rule(steps=st.integers(1, 15))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()
            check_loading(self.world)

    @rule(number=HOST, silently=st.booleans())
    def a_connection_is_cut(self, number: int, silently: bool) -> None:
        wire = self.host(number).wire
        if wire is not None:
            self.world.cut(wire, silently=silently)

    @rule(number=HOST, seconds=SECONDS)
    def nothing_passes(self, number: int, seconds: float) -> None:
        self.world.apart_until[self.host(number).number] = self.world.now + seconds

    @rule(number=HOST, then=st.sampled_from(["nothing", "new", "deliver"]))
    def an_agent_crashes(self, number: int, then: str) -> None:
        host = self.host(number)
        if host.state is None:
            return
        host.crash()
        if then != "nothing":
            host.start(deliver=then == "deliver" and host.epoch is not None)

    @rule(number=HOST, worker=st.integers(0, 1))
    def a_worker_is_killed(self, number: int, worker: int) -> None:
        crew = self.host(number).crew
        if worker < len(crew):
            self.host(number).lose_worker(crew[worker])

    @rule(number=HOST, seconds=SECONDS)
    def a_machine_sleeps(self, number: int, seconds: float) -> None:
        self.host(number).asleep_until = self.world.now + seconds

    @rule(number=HOST, seconds=SECONDS)
    def an_agent_stands_still(self, number: int, seconds: float) -> None:
        self.host(number).stuck_until = self.world.now + seconds

    @rule(seconds=st.sampled_from([0.5, 2.0, 20.0, 200.0]))
    def the_coordinator_sleeps(self, seconds: float) -> None:
        self.world.asleep_until = self.world.now + seconds

    @rule(member=st.integers(0, 4))
    def a_member_is_drained(self, member: int) -> None:
        self.world.tell(DrainAsked(member, "client"))

    @rule(by=st.sampled_from(["client", "signal"]))
    @precondition(lambda self: self.world.run is not None)
    def the_run_is_stopped(self, by: str) -> None:
        self.world.tell(StopAsked(by))

    @rule()
    def the_run_is_aborted(self) -> None:
        self.world.tell(AbortAsked("client"))

    @rule()
    @precondition(lambda self: self.world.run is not None)
    def the_coordinator_crashes(self) -> None:
        self.world.crash_coordinator()

    @invariant()
    def no_share_is_run_by_two(self) -> None:
        check_loading(self.world)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        asleep_s = max(0.0, self.world.asleep_until - self.world.now)
        for _ in range(LONGEST_STEPS + round(asleep_s * 5)):
            if self.world.is_over:
                break
            self.world.step()
            check_loading(self.world)
        assert self.world.is_over, "the run does not end"
        check_shares(self.world)
        check_counts(self.world)


TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=200,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

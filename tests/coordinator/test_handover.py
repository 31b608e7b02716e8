"""`--on-loss respread`: who takes what of whom, once an epoch; the clock is only a number."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.coordinator.events import (
    Action,
    AgentGone,
    DrainAsked,
    FromWorkerEvent,
    NoteHandOver,
    Send,
    TellAgent,
)
from chaperon_engine.coordinator.handover import sessions_of, spread
from chaperon_engine.definition.plan import LoadProfile, Plan, PopulationPlan
from chaperon_engine.metrics.model import LostWorker
from chaperon_engine.protocol.messages import TakeShares, WorkerIdle, WorkerReady
from chaperon_engine.protocol.wire import AgentFailed, AgentReady, AgentStopped, Drain
from chaperon_engine.runs.record import HandedTo, HandOver
from tests.coordinator.test_members import Driver, hello, of_kind, told


def population(name: str, sessions: int, **profile: Any) -> PopulationPlan:
    return PopulationPlan(
        name=name, scenario="P", sessions=sessions, profile=LoadProfile(**profile),
        graceful_stop_s=3.0,
    )  # fmt: skip


def plan(*populations: PopulationPlan) -> Plan:
    return Plan(
        load_test="T", file="", services=[],
        populations=list(populations) or [population("browse", 10, duration_s=100.0)],
    )  # fmt: skip


def started(*, workers: int = 1, on_loss: str = "respread", plan_: Plan | None = None) -> Driver:
    """One worker here; agent `a` (member 1) has two cores, `b` (member 2) has one."""
    driver = Driver(workers=workers, on_loss=on_loss, plan=plan_ or plan())
    for number in range(workers):
        driver.tell(FromWorkerEvent(number, WorkerReady(pid=1)))
    driver.say(1, hello("a", cores=2))
    driver.say(2, hello("b", cores=1))
    driver.say(1, AgentReady(shares=[], pids=[], epoch=1))
    driver.say(2, AgentReady(shares=[], pids=[], epoch=1))
    assert driver.run.state == "running"
    return driver


def handed(actions: list[Action]) -> list[HandOver]:
    return [action.hand_over for action in of_kind(actions, NoteHandOver)]


def alive(driver: Driver, seconds: float, **keywords: Any) -> list[Action]:
    """Time in which the worker here answers as well."""
    found: list[Action] = []
    for _ in range(round(seconds * 4)):
        for worker in driver.run.workers:
            worker.heard_at = driver.now
        found += driver.wait(0.25, **keywords)
    return found


def test_shares_are_handed_over_once_when_the_lease_and_the_margin_are_over() -> None:
    driver = started()
    assert not handed(alive(driver, 17.5, silent=(1,)))
    actions = alive(driver, 1.0, silent=(1,))
    (hand_over,) = handed(actions)
    assert (hand_over.epoch, hand_over.member, hand_over.shares) == (2, 1, [1, 2])
    assert hand_over.to == [HandedTo(member=0, shares=[1]), HandedTo(member=2, shares=[2])]
    # Ten sessions on four shares; the second and the third have three and two.
    assert hand_over.sessions == 5
    take = TakeShares(shares=[2], of=4, epoch=2)
    assert told(actions, TakeShares) == [(2, take)]
    assert Send(0, TakeShares(shares=[1], of=4, epoch=2)) in actions
    assert not handed(alive(driver, 30.0, silent=(1,)))
    assert driver.run.partial
    assert driver.run.reasons[1].endswith(
        "worker 0 (share 1) and agent b (share 2): 5 sessions began anew there"
    )


def test_who_returns_after_that_delivers_and_does_not_begin_its_load_again() -> None:
    driver = started()
    alive(driver, 20.0, silent=(1,))
    back = driver.say(5, hello("a", cores=2, epoch=1))
    assert told(back, Drain) == [(5, Drain())]
    assert not told(back, TakeShares)
    assert driver.frame(5, 1)
    assert driver.run.roster.member(1).held == []  # type: ignore[union-attr]


def test_an_agent_that_says_it_has_stopped_is_believed_at_once() -> None:
    driver = started()
    driver.say(1, AgentStopped(why="the coordinator was not heard for 15 s"))
    (hand_over,) = handed(driver.wait(0.25))
    assert hand_over.member == 1
    assert driver.run.partial
    assert "agent a stopped its load before the others: the coordinator" in driver.run.reasons[0]
    assert not handed(driver.say(1, AgentStopped(why="again")) + driver.wait(0.25))
    assert len(driver.run.reasons) == 2


def test_an_agent_that_is_lost_is_not_believed_before_its_lease_is_over() -> None:
    driver = started()
    driver.say(1, AgentFailed(message="no more memory"))
    assert not handed(alive(driver, 17.5))
    assert len(handed(alive(driver, 1.0))) == 1


def test_who_takes_over_and_leaves_in_its_turn_hands_on_what_it_had() -> None:
    driver = started(workers=0)
    driver.say(1, AgentStopped(why="x"))
    (first,) = handed(driver.wait(0.25))
    assert first.to == [HandedTo(member=1, shares=[0, 1])]
    driver.say(2, AgentStopped(why="y"))
    # Nobody is left: nobody takes anything, and the run says what it lacks.
    assert not handed(driver.wait(5.0))
    driver = started()
    driver.say(1, AgentStopped(why="x"))
    driver.wait(0.25)
    driver.say(2, AgentStopped(why="y"))
    (second,) = handed(driver.wait(0.25))
    assert (second.epoch, second.member, second.shares) == (3, 2, [3, 2])
    assert second.to == [HandedTo(member=0, shares=[3, 2])]


def test_what_an_agent_took_over_is_told_again_when_it_returns_in_time() -> None:
    driver = started()
    driver.say(1, AgentStopped(why="x"))
    driver.wait(0.25)
    driver.tell(AgentGone(2, "reset"))
    back = driver.say(6, hello("b", cores=1, epoch=1))
    assert told(back, TakeShares) == [(6, TakeShares(shares=[2], of=4, epoch=2))]


def test_an_idle_word_that_crossed_the_shares_does_not_count() -> None:
    driver = started()
    driver.say(2, WorkerIdle())
    driver.tell(FromWorkerEvent(0, WorkerIdle()))
    driver.say(1, AgentStopped(why="x"))
    driver.wait(0.25)
    driver.say(2, WorkerIdle(epoch=0))
    driver.tell(FromWorkerEvent(0, WorkerIdle(epoch=0)))
    agent, worker = driver.run.roster.member(2), driver.run.workers[0]
    assert agent is not None
    assert (agent.is_idle, worker.is_idle) == (False, False)
    driver.say(2, WorkerIdle(epoch=2))
    driver.tell(FromWorkerEvent(0, WorkerIdle(epoch=2)))
    assert (agent.is_idle, worker.is_idle) == (True, True)


def test_nothing_goes_to_who_was_drained_or_is_not_there() -> None:
    driver = started()
    driver.tell(DrainAsked(0, "client"))
    driver.tell(AgentGone(2, "reset"))
    driver.say(1, AgentStopped(why="x"))
    assert not handed(driver.wait(1.0))
    driver.say(6, hello("b", cores=1, epoch=1))
    (hand_over,) = handed(driver.wait(0.25))
    assert [to.member for to in hand_over.to] == [2]


def test_the_shares_of_a_drained_agent_are_nobodys() -> None:
    driver = started()
    driver.tell(DrainAsked(1, "client"))
    driver.say(1, AgentStopped(why="it was asked to leave"))
    assert not handed(alive(driver, 20.0, silent=(1,)))


def test_what_runs_a_number_of_iterations_is_not_done_again_and_that_is_said() -> None:
    mixed = plan(
        population("browse", 4, duration_s=100.0), population("import", 4, iterations=3),
        population("once", 4), population("both", 4, duration_s=100.0, iterations=9),
    )  # fmt: skip
    driver = started(plan_=mixed)
    driver.say(1, AgentStopped(why="x"))
    (hand_over,) = handed(driver.wait(0.25))
    assert hand_over.sessions == 2
    assert driver.run.reasons[-1].endswith(
        "population import, once, both runs a number of iterations, and what it had not done of "
        "them is not done again"
    )
    driver = started(plan_=plan(population("once", 4)))
    driver.say(1, AgentStopped(why="x"))
    assert not handed(driver.wait(0.25))
    assert "nothing of agent a was handed over: population once runs" in driver.run.reasons[-1]


def test_nothing_is_handed_over_when_the_run_is_ending_or_was_told_otherwise() -> None:
    driver = started(plan_=plan(population("browse", 4, duration_s=2.0)))
    driver.wait(3.0)
    driver.say(1, AgentStopped(why="x"))
    assert not handed(driver.wait(0.5))
    assert not driver.run.partial
    driver = started(on_loss="continue")
    driver.say(1, AgentStopped(why="x"))
    assert not handed(alive(driver, 30.0))
    assert driver.run.partial


def test_an_agent_whose_workers_are_all_lost_makes_no_load_any_more() -> None:
    driver = started()
    driver.frame(1, 1, lost=[LostWorker(1, "killed")])
    assert not handed(driver.wait(0.25))
    driver.frame(1, 1, lost=[LostWorker(2, "killed")])
    assert len(handed(driver.wait(0.25))) == 1


@given(
    st.lists(st.integers(0, 1000), unique=True, max_size=40),
    st.dictionaries(
        st.integers(0, 20), st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1
    ),
)
def test_shares_go_each_to_one_and_where_there_are_fewest_for_the_cores(
    shares: list[int], takers: dict[int, tuple[int, int]]
) -> None:
    given_ = spread(shares, takers)
    assert sorted(share for some in given_.values() for share in some) == sorted(shares)
    after = {n: (takers[n][0] + len(given_.get(n, []))) / takers[n][1] for n in takers}
    for number in given_:
        # Nobody who got one would have had fewer than another has now.
        fewer = after[number] - 1 / takers[number][1]
        assert all(fewer < after[n] + 1 / takers[n][1] for n in takers)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(1, 9), st.data())
def test_the_sessions_of_all_shares_are_those_of_the_plan(
    sizes: list[int], of: int, data: st.DataObject
) -> None:
    made = plan(*(population(str(n), size, duration_s=9.0) for n, size in enumerate(sizes)))
    cut = data.draw(st.integers(0, of))
    first = sessions_of(made, range(cut), of, 1.0)
    assert first + sessions_of(made, range(cut, of), of, 1.0) == sum(sizes)
    assert sessions_of(made, range(of), of, 9.0) == 0


def test_messages_to_agents_without_a_connection_are_none() -> None:
    driver = started()
    driver.tell(AgentGone(1, "reset"))
    actions = driver.tell(DrainAsked(1, "client"))
    assert of_kind(actions, TellAgent) == [TellAgent(-1, Drain())]

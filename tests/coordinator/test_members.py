"""Agents as members of a run: admission, barrier, leases, returns; the clock is only a number."""

from __future__ import annotations

from typing import Any

import pytest

from chaperon_engine.coordinator.events import (
    AbortAsked,
    AckFrames,
    Action,
    AgentGone,
    AgentIsBack,
    AgentIsLost,
    AgentSaid,
    ApplyFrame,
    BeginLoad,
    DrainAsked,
    DropAgent,
    Event,
    FinishRun,
    FrameRefused,
    FromWorkerEvent,
    HandOut,
    HostGone,
    Limits,
    RefuseRun,
    Say,
    SendBundle,
    StartAgent,
    StopAsked,
    TellAgent,
    Terms,
    Tick,
)
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.handshake import NO_AGENTS
from chaperon_engine.protocol.messages import AbortLoad, StopLoad, WorkerIdle, WorkerReady
from chaperon_engine.protocol.wire import (
    Admitted,
    AgentDone,
    AgentFailed,
    AgentFrame,
    AgentHello,
    AgentPing,
    AgentPong,
    AgentReady,
    AgentStarted,
    AgentStopped,
    Drain,
)
from tests.coordinator.test_state import plan


def hello(name: str, *, cores: int = 2, **keywords: Any) -> AgentHello:
    settings: dict[str, Any] = {"instance": name.encode().ljust(16, b"-"), **keywords}
    return AgentHello(
        name=name, host=f"host-{name}", cores=cores, python="3.11", chaperon="0", **settings
    )


class Driver:
    """A run without local workers unless told otherwise; `link` is a connection's number."""

    def __init__(self, *, workers: int = 0, **terms: Any):
        self.now = 100.0
        settings: dict[str, Any] = {"expect": 2, **terms}
        self.run = RunState(
            settings.pop("plan", None) or plan(),
            workers,
            self.now,
            limits=Limits(start_delay_s=0.0, return_wait_s=20.0, barrier_s=8.0),
            terms=Terms(**settings),
        )
        self.seq: dict[int, int] = {}

    def tell(self, event: Event) -> list[Action]:
        return self.run.handle(event, self.now)

    def say(self, link: int, message: Any) -> list[Action]:
        actions = self.tell(AgentSaid(link, message, "192.0.2.1:5"))
        return actions + self.pongs(actions)

    def pongs(self, actions: list[Action], silent: tuple[int, ...] = ()) -> list[Action]:
        found: list[Action] = []
        for action in actions:
            match action:
                case TellAgent(link, AgentPing(number=number)) if link not in silent:
                    at_ns = int(self.now * 1e9) + 7_000_000_000
                    pong = AgentPong(number=number, received_ns=at_ns, sent_ns=at_ns)
                    found += self.tell(AgentSaid(link, pong))
        return found

    def ready(self, link: int) -> list[Action]:
        agent = self.run.roster.on_link(link)
        assert agent is not None
        return self.say(link, AgentReady(shares=agent.shares, pids=[], epoch=agent.epoch))

    def start(self) -> list[Action]:
        self.say(1, hello("a"))
        self.say(2, hello("b"))
        self.ready(1)
        return self.ready(2)

    def wait(self, seconds: float, *, silent: tuple[int, ...] = ()) -> list[Action]:
        found: list[Action] = []
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += 0.25
            actions = self.tell(Tick())
            found += actions + self.pongs(actions, silent)
        return found

    def frame(self, link: int, member: int, *, last: bool = False, **changes: Any) -> list[Action]:
        seq = self.seq.get(member, 0)
        self.seq[member] = seq + 1
        at_ns = int(self.now * 1e9)
        settings: dict[str, Any] = {"worker": member, "epoch": 1, "seq": seq, **changes}
        frame = Frame(start_ns=at_ns, end_ns=at_ns, last=last, **settings)
        return self.say(link, AgentFrame(frame=frame))

    def done(self, link: int, member: int) -> list[Action]:
        return self.frame(link, member, last=True) + self.say(link, AgentDone())


def of_kind(actions: list[Action], kind: Any) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def told(actions: list[Action], kind: Any) -> list[tuple[int, Any]]:
    return [
        (action.link, action.message)
        for action in actions
        if isinstance(action, TellAgent) and isinstance(action.message, kind)
    ]


def test_a_run_that_waits_for_no_agents_begins_without_and_takes_none() -> None:
    run = RunState(plan(), 1, 100.0)
    assert run.handle(AgentSaid(1, hello("a")), 100.0) == [DropAgent(1, NO_AGENTS)]
    begun = run.handle(FromWorkerEvent(0, WorkerReady(pid=1)), 100.0)
    assert of_kind(begun, BeginLoad)
    assert run.handle(AgentSaid(2, hello("b")), 101.0) == [DropAgent(2, NO_AGENTS)]


def test_shares_are_handed_out_when_all_are_there_and_the_load_begins_when_all_are_ready() -> None:
    driver = Driver(workers=1)
    driver.tell(FromWorkerEvent(0, WorkerReady(pid=1)))
    first = driver.say(1, hello("a"))
    assert told(first, Admitted) == [(1, Admitted(member=1, lease_s=15.0))]
    assert of_kind(first, SendBundle) == [SendBundle(1)]
    assert not of_kind(first, HandOut)
    second = driver.say(2, hello("b", cores=3))
    assert of_kind(second, HandOut) == [HandOut(1, {1: [1, 2], 2: [3, 4, 5]}, of=6, epoch=1)]
    assert not of_kind(driver.ready(1), BeginLoad)
    begun = driver.ready(2)
    assert len(of_kind(begun, BeginLoad)) == 1
    assert [start.link for start in of_kind(begun, StartAgent)] == [1, 2]


def test_a_ready_for_shares_that_were_taken_back_does_not_begin_the_load() -> None:
    driver = Driver()
    driver.say(1, hello("a"))
    driver.say(2, hello("b"))
    driver.ready(1)
    driver.tell(AgentGone(2, "reset"))
    driver.say(3, hello("c"))
    assert not of_kind(driver.say(1, AgentReady(shares=[0, 1], pids=[], epoch=1)), BeginLoad)
    driver.ready(3)
    assert of_kind(driver.ready(1), BeginLoad)


@pytest.mark.parametrize(
    ("hello_", "sentence"),
    [
        (hello("a", instance=b"x" * 16), "there is an agent 'a' already"),
        (hello("c"), "has the 2 agents"),
    ],
)
def test_who_cannot_be_admitted_hears_why(hello_: AgentHello, sentence: str) -> None:
    driver = Driver()
    driver.say(1, hello("a"))
    driver.say(2, hello("b"))
    (dropped,) = of_kind(driver.say(3, hello_), DropAgent)
    assert dropped.link == 3
    assert sentence in dropped.reason


def test_who_comes_after_the_start_is_refused() -> None:
    driver = Driver()
    driver.start()
    (dropped,) = of_kind(driver.say(3, hello("c")), DropAgent)
    assert "the load has begun" in dropped.reason


def test_too_few_agents_refuse_the_run_or_begin_it_if_that_is_allowed() -> None:
    driver = Driver(start_timeout_s=5.0)
    driver.say(1, hello("a"))
    (refusal,) = of_kind(driver.wait(6.0), RefuseRun)
    assert "1 of 2 agents attached within 5 s" in refusal.reason
    driver = Driver(start_timeout_s=5.0, fewer_ok=True)
    driver.say(1, hello("a"))
    assert of_kind(driver.wait(6.0), HandOut)
    assert of_kind(driver.ready(1), BeginLoad)
    assert driver.run.reasons == ["it began with 1 of 2 agents"]


def test_an_agent_that_cannot_take_part_refuses_the_run() -> None:
    driver = Driver()
    driver.say(1, hello("a"))
    (refusal,) = of_kind(driver.say(1, AgentFailed(message="no module 'x'")), RefuseRun)
    assert refusal.reason == "agent a: no module 'x'"


def test_a_frame_is_applied_once_and_acknowledged_each_time() -> None:
    driver = Driver()
    driver.start()
    first = driver.frame(1, 0)
    assert len(of_kind(first, ApplyFrame)) == 1
    assert of_kind(first, AckFrames) == [AckFrames(1, 1)]
    again = driver.frame(1, 0, seq=0)
    assert not of_kind(again, ApplyFrame)
    assert of_kind(again, AckFrames) == [AckFrames(1, 1)]


@pytest.mark.parametrize(
    ("ahead_s", "slept_s", "is_refused"),
    [(4.5, 0.0, False), (5.5, 0.0, True), (100.0, 100.0, False), (106.0, 100.0, True)],
)
def test_a_frame_from_the_future_makes_the_agent_lost_unless_this_machine_slept(
    ahead_s: float, slept_s: float, is_refused: bool
) -> None:
    driver = Driver()
    driver.start()
    driver.tell(Tick(slept_s))
    at_ns = int((driver.now + ahead_s) * 1e9)
    frame = Frame(worker=0, epoch=1, seq=0, start_ns=0, end_ns=at_ns)
    actions = driver.say(1, AgentFrame(frame=frame))
    assert bool(of_kind(actions, AgentIsLost)) == is_refused
    assert bool(of_kind(actions, ApplyFrame)) != is_refused


def test_a_coordinator_that_stood_still_blames_nobody_for_its_silence() -> None:
    driver = Driver()
    driver.start()
    driver.wait(1.0)
    driver.now += 300.0
    driver.run.max_time_s = None
    actions = driver.tell(Tick())
    assert not driver.run.reasons
    # The planned time is over meanwhile: agents have their grace period from now on.
    assert driver.run.state == "draining"
    assert not told(actions, AbortLoad)
    driver.tell(AgentGone(1, "reset"))
    driver.tell(AgentGone(2, "reset"))
    driver.wait(5.0)
    driver.say(7, hello("a", epoch=1))
    driver.say(8, hello("b", epoch=1))
    driver.say(7, AgentStopped(why="its lease was over"))
    assert not of_kind(driver.done(7, 0), FinishRun)
    assert of_kind(driver.done(8, 1), FinishRun)
    assert (driver.run.status, driver.run.reasons) == ("complete", [])


@pytest.mark.parametrize("is_ending", [False, True])
def test_what_a_dead_agent_had_kept_does_not_make_the_run_whole(is_ending: bool) -> None:
    driver = Driver()
    driver.start()
    if is_ending:
        driver.tell(StopAsked("client"))
    driver.tell(AgentGone(1, "reset"))
    for link in (7, 8):
        # Its successor, and that once more after another loss of the connection.
        driver.say(link, hello("a", epoch=1))
        driver.say(link, AgentStopped(why="its process died", died=True))
    driver.done(8, 0)
    assert driver.run.partial
    assert driver.run.reasons[-1] == "agent a did not see its load through: its process died"
    assert len(driver.run.reasons) == 1 + is_ending


def test_a_coordinator_that_stood_still_before_the_load_waits_as_long_as_before() -> None:
    driver = Driver(start_timeout_s=5.0)
    driver.say(1, hello("a"))
    driver.wait(2.0)
    driver.now += 60.0
    assert not of_kind(driver.tell(Tick()), RefuseRun)
    driver.say(2, hello("b"))
    driver.ready(1)
    (load,) = of_kind(driver.ready(2), BeginLoad)
    # What was under way meanwhile says nothing of the distance.
    assert load.start_ns / 1e9 - driver.now < 1.0


def test_an_abort_before_the_coordinator_stood_still_loses_nobody_after_it() -> None:
    driver = Driver(expect=1)
    driver.say(1, hello("a"))
    driver.ready(1)
    driver.wait(1.0)
    driver.tell(AbortAsked("client"))
    driver.tell(AgentGone(1, "reset"))
    driver.wait(1.0)
    driver.now += 600.0
    driver.tell(Tick())
    driver.wait(2.0)
    driver.say(2, hello("a", epoch=1))
    assert of_kind(driver.done(2, 0), FinishRun)
    assert driver.run.roster.agents[0].state == "done"


def test_a_gap_closes_the_connection_and_the_return_says_where_to_go_on() -> None:
    driver = Driver()
    driver.start()
    driver.frame(1, 0)
    assert of_kind(driver.frame(1, 0, seq=4), DropAgent) == [DropAgent(1)]
    back = driver.say(5, hello("a", epoch=1, next_seq=5))
    assert told(back, Admitted) == [(5, Admitted(member=0, lease_s=15.0, next_seq=1))]
    assert of_kind(back, AgentIsBack) == [AgentIsBack(5)]
    assert of_kind(driver.frame(5, 0, seq=1), ApplyFrame)


@pytest.mark.parametrize("changes", [{"worker": 1}, {"epoch": 2}])
def test_a_frame_of_another_member_or_epoch_makes_the_agent_lost(changes: dict[str, int]) -> None:
    driver = Driver()
    driver.start()
    actions = driver.frame(1, 0, **changes)
    assert not of_kind(actions, ApplyFrame)
    assert [lost.member for lost in of_kind(actions, AgentIsLost)] == [0]
    assert driver.run.partial
    (dropped,) = of_kind(driver.say(7, hello("a", epoch=1)), DropAgent)
    assert "goes on without this agent" in dropped.reason


def test_a_frame_that_does_not_add_up_makes_the_agent_lost() -> None:
    driver = Driver()
    driver.start()
    assert of_kind(driver.tell(FrameRefused(0, "sums differ")), AgentIsLost)


def test_silence_within_the_lease_is_nothing_and_beyond_it_the_agent_is_away() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.wait(10.0)
    assert not driver.run.partial
    driver.wait(10.0)
    assert driver.run.partial
    agent = driver.run.roster.member(0)
    assert agent is not None
    assert agent.state == "away"
    driver.say(4, hello("a", epoch=1))
    assert agent.state == "running"
    assert any("agent a returned after" in reason for reason in driver.run.reasons)


def test_a_hint_shortens_the_wait_for_an_agent_that_is_silent() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.wait(0.5)
    actions = driver.tell(HostGone("a", "dask lost its\x1b worker"))
    (said,) = actions
    assert isinstance(said, Say)
    assert said.text == "agent a is said to be gone: dask lost its\\x1b worker"
    driver.wait(2.0)
    agents = driver.run.roster.agents
    assert [agent.state for agent in agents] == ["away", "running"]
    assert "2 s" in agents[0].note
    assert "dask lost its" in agents[0].note
    assert driver.run.partial


def test_a_hint_does_nothing_to_an_agent_that_is_heard_and_is_forgotten() -> None:
    driver = Driver()
    driver.start()
    driver.tell(HostGone("a", "dask lost its worker"))
    driver.wait(10.0)
    agent = driver.run.roster.agents[0]
    assert agent.state == "running"
    driver.wait(10.0, silent=(1,))
    assert agent.state == "running"
    driver.wait(10.0, silent=(1,))
    assert agent.state == "away"
    assert "dask" not in agent.note


def test_a_hint_is_not_forgotten_because_the_coordinator_was_away_itself() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.tell(HostGone("a", "gone"))
    driver.wait(0.5)
    driver.now += 20.0
    driver.wait(1.0)
    agent = driver.run.roster.agents[0]
    assert agent.state == "running"
    driver.wait(2.0)
    assert agent.state == "away"
    assert "gone" in agent.note


def test_a_hinted_agent_that_was_only_cut_off_returns() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.tell(HostGone("a", "gone"))
    driver.wait(1.0)
    driver.say(7, hello("a", epoch=1))
    driver.wait(5.0)
    assert driver.run.roster.agents[0].state == "running"
    assert not driver.run.partial


@pytest.mark.parametrize("name", ["", "c", "a\x00"])
def test_a_hint_of_an_agent_that_is_not_there_is_nothing(name: str) -> None:
    driver = Driver()
    assert driver.tell(HostGone("a", "gone")) == []
    driver.start()
    assert driver.tell(HostGone(name, "gone")) == []


def test_a_loss_ends_the_run_when_it_was_told_so() -> None:
    driver = Driver(on_loss="fail")
    driver.start()
    driver.wait(20.0, silent=(1,))
    assert driver.run.status == "failed"


def test_who_returns_is_told_what_it_missed() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.tell(StopAsked("client"))
    back = driver.say(4, hello("a", epoch=1))
    assert told(back, StopLoad) == [(4, StopLoad())]


def test_a_drained_agent_is_told_so_again_when_it_returns_and_the_run_goes_on() -> None:
    driver = Driver()
    driver.start()
    drained = driver.tell(DrainAsked(0, "operator ann"))
    assert told(drained, Drain) == [(1, Drain())]
    driver.tell(AgentGone(1, "reset"))
    assert told(driver.say(4, hello("a", epoch=1)), Drain) == [(4, Drain())]
    driver.done(4, 0)
    agent = driver.run.roster.member(0)
    assert agent is not None
    assert (agent.state, driver.run.state) == ("done", "running")
    assert driver.run.partial
    assert "agent a was drained by operator ann" in driver.run.reasons[0]


def test_the_end_waits_a_bounded_time_for_an_agent_that_is_away() -> None:
    driver = Driver()
    driver.start()
    driver.tell(AgentGone(1, "reset"))
    driver.say(2, WorkerIdle())
    assert not of_kind(driver.done(2, 1), FinishRun)
    assert not of_kind(driver.wait(15.0), FinishRun)
    actions = driver.wait(10.0)
    assert of_kind(actions, AgentIsLost)
    assert of_kind(actions, FinishRun)
    assert any("did not return" in reason for reason in driver.run.reasons)


def test_an_agent_whose_leave_got_lost_says_it_again() -> None:
    driver = Driver(expect=1)
    driver.say(1, hello("a"))
    driver.ready(1)
    driver.frame(1, 0)
    driver.tell(AgentGone(1, "reset"))
    driver.say(2, hello("a", epoch=1, next_seq=1))
    assert of_kind(driver.done(2, 0), FinishRun)
    assert driver.run.status == "complete"


def test_the_clock_and_the_start_of_an_agent_are_measured_by_the_shortest_round_trip() -> None:
    driver = Driver()
    begun = driver.start()
    (load,) = of_kind(begun, BeginLoad)
    agent = driver.run.roster.member(0)
    assert agent is not None
    assert agent.round_trip_s == 0.0
    assert agent.offset_ns == 7_000_000_000
    started_ns = load.start_ns + 7_000_000_000 + 3_000_000
    driver.say(1, AgentStarted(received_ns=started_ns - 5, started_ns=started_ns))
    assert agent.start_skew_ns is not None
    assert abs(agent.start_skew_ns - 3_000_000) < 1000

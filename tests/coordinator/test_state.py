"""The run's state machine with a clock that is only a number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.coordinator.events import (
    AbortAsked,
    Action,
    ApplyFrame,
    BeginLoad,
    DrainAsked,
    Event,
    FinishRun,
    FromWorkerEvent,
    HangLocated,
    KillWorker,
    Limits,
    LocateHang,
    NoteDrain,
    NoteSteering,
    RefuseRun,
    Send,
    StopAsked,
    Tick,
    WorkerExited,
    WorkerIsLost,
)
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.definition.plan import LoadProfile, Plan, PopulationPlan
from chaperon_engine.definition.scheduled import ScheduledScenario
from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.messages import (
    AbortLoad,
    Ping,
    Place,
    Pong,
    Release,
    Schedule,
    Start,
    StopLoad,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)


def plan(
    duration_s: float | None = 10.0, *, warmup_s: float = 0.0, timeout_s: float | None = None
) -> Plan:
    population = PopulationPlan(
        name="p",
        scenario="P",
        sessions=2,
        profile=LoadProfile(duration_s=duration_s),
        graceful_stop_s=3.0,
    )
    return Plan(
        load_test="T",
        file="",
        services=[],
        populations=[population],
        warmup_s=warmup_s,
        timeout_s=timeout_s,
    )


class Driver:
    """Drives a state machine through time and keeps what it answered."""

    def __init__(self, workers: int = 2, plan_: Plan | None = None, **keywords: Any):
        self.now = 100.0
        self.run = RunState(
            plan_ or plan(),
            workers,
            self.now,
            limits=Limits(start_delay_s=0.0),
            **keywords,
        )

    def tell(self, *events: Event) -> list[Action]:
        return [action for event in events for action in self.run.handle(event, self.now)]

    def say(self, worker: int, message: Any) -> list[Action]:
        return self.tell(FromWorkerEvent(worker, message))

    def start(self) -> list[Action]:
        actions: list[Action] = []
        for worker in self.run.workers:
            actions += self.say(worker.number, WorkerReady(pid=worker.number + 1))
        return actions

    def wait(self, seconds: float, *, silent: tuple[int, ...] = ()) -> list[Action]:
        """Let time pass; all workers but the silent ones answer pings."""
        actions: list[Action] = []
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.25)
            found = self.tell(Tick())
            for action in found:
                match action:
                    case Send(worker, Ping(number=number)) if worker not in silent:
                        found = found + self.say(worker, Pong(number=number))
            actions += found
        return actions

    def done(self, worker: int, **keywords: Any) -> list[Action]:
        frame = Frame(worker=worker, epoch=0, seq=0, start_ns=0, end_ns=1, last=True)
        return self.say(worker, WorkerFrame(frame=frame)) + self.say(worker, WorkerDone(**keywords))


def sent(actions: list[Action], kind: type) -> list[int]:
    return [a.worker for a in actions if isinstance(a, Send) and isinstance(a.message, kind)]


def of(actions: list[Action], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def test_the_load_begins_for_all_when_the_last_worker_is_ready() -> None:
    driver = Driver()
    assert driver.say(0, WorkerReady(pid=7, core=3)) == []
    actions = driver.say(1, WorkerReady(pid=8))
    start_ns = int(driver.now * 1e9)
    assert actions == [
        BeginLoad(start_ns),
        Send(0, Start(start_ns=start_ns)),
        Send(1, Start(start_ns=start_ns)),
    ]
    assert driver.run.state == "running"
    assert (driver.run.workers[0].pid, driver.run.workers[0].core) == (7, 3)


def test_a_run_goes_from_warmup_to_running_to_draining_to_finished() -> None:
    driver = Driver(plan_=plan(warmup_s=2.0))
    states = [driver.run.state]
    driver.start()
    states.append(driver.run.state)
    driver.wait(2.0)
    states.append(driver.run.state)
    driver.wait(8.0)
    states.append(driver.run.state)
    driver.done(0)
    assert driver.done(1)[-1] == FinishRun()
    states.append(driver.run.state)
    assert states == ["starting", "warmup", "running", "draining", "finished"]
    assert driver.run.status == "complete"
    assert not driver.run.partial


def test_a_worker_that_cannot_take_part_refuses_the_run_with_its_sentence() -> None:
    driver = Driver()
    actions = driver.say(1, WorkerFailed(message="service shop cannot be reached"))
    assert actions == [
        RefuseRun("service shop cannot be reached", True),
        KillWorker(0),
        KillWorker(1),
    ]
    assert driver.run.state == "finished"


def test_a_worker_that_dies_before_the_load_refuses_the_run() -> None:
    driver = Driver()
    [refusal, *_] = driver.tell(WorkerExited(0, "killed by signal 9"))
    assert isinstance(refusal, RefuseRun)
    assert "worker 0" in refusal.reason
    assert not refusal.user_error


def test_the_start_barrier_ends_and_names_where_a_worker_waits() -> None:
    driver = Driver()
    driver.say(0, WorkerReady(pid=1))
    actions = driver.wait(40.0)
    assert actions == [LocateHang(1)]
    driver.tell(HangLocated(1, "shop.py:3 in <module>"))
    [refusal, *_] = driver.wait(30.0)
    assert isinstance(refusal, RefuseRun)
    assert refusal.reason == (
        "worker 1 was not ready within 1m00s; it waits at shop.py:3 in <module>"
    )


def test_a_stop_before_the_load_is_a_refusal() -> None:
    driver = Driver()
    assert isinstance(driver.tell(StopAsked("signal"))[0], RefuseRun)


def test_a_worker_that_dies_makes_the_run_partial_and_the_others_go_on() -> None:
    driver = Driver()
    driver.start()
    driver.wait(1.0)
    actions = driver.tell(WorkerExited(0, "killed by signal 9 (SIGKILL)"))
    assert actions[0] == WorkerIsLost(0, "killed by signal 9 (SIGKILL)")
    assert driver.run.state == "running"
    assert driver.run.partial
    assert driver.run.reasons == ["worker 0 was lost: killed by signal 9 (SIGKILL)"]
    assert driver.done(1)[-1] == FinishRun()
    assert driver.run.status == "complete"


def test_a_run_whose_workers_all_die_has_failed() -> None:
    driver = Driver()
    driver.start()
    driver.tell(WorkerExited(0, "x"))
    assert driver.tell(WorkerExited(1, "x"))[-1] == FinishRun()
    assert driver.run.status == "failed"


def test_a_worker_that_exits_after_its_last_frame_is_done() -> None:
    driver = Driver(workers=1)
    driver.start()
    driver.done(0)
    assert driver.run.state == "finished"
    assert not driver.run.partial


def test_a_run_in_which_no_session_passed_init_has_failed() -> None:
    driver = Driver()
    driver.start()
    driver.done(0, no_session_passed_init=True)
    driver.done(1, no_session_passed_init=True)
    assert driver.run.status == "failed"
    assert driver.run.reasons == ["no session passed init"]


def test_one_session_that_passed_init_in_any_worker_is_enough() -> None:
    driver = Driver()
    driver.start()
    driver.done(0, no_session_passed_init=True)
    driver.done(1)
    assert driver.run.status == "complete"


def test_a_silent_worker_is_hung_then_located_then_killed() -> None:
    driver = Driver()
    driver.start()
    actions = driver.wait(4.0, silent=(1,))
    assert of(actions, LocateHang) == [LocateHang(1)]
    assert driver.run.workers[1].state == "hung"
    driver.tell(HangLocated(1, "shop.py:9 in run"))
    assert driver.run.workers[1].note == "hangs at shop.py:9 in run"
    assert of(driver.wait(11.0, silent=(1,)), KillWorker) == [KillWorker(1)]
    driver.tell(WorkerExited(1, "killed by signal 9"))
    assert driver.run.reasons == ["worker 1 was lost: it hung at shop.py:9 in run and was killed"]
    assert driver.run.workers[0].state == "running"


def test_a_worker_that_answers_again_is_no_longer_hung() -> None:
    driver = Driver()
    driver.start()
    driver.wait(4.0, silent=(1,))
    driver.say(1, Pong(number=1))
    assert driver.run.workers[1].state == "running"
    assert of(driver.wait(5.0), KillWorker) == []


def test_a_coordinator_that_was_away_does_not_accuse_its_workers() -> None:
    driver = Driver()
    driver.start()
    driver.wait(1.0)
    driver.now += 60.0
    driver.run.limits = Limits(end_margin_s=1000.0)
    assert of(driver.tell(Tick()), LocateHang) == []


def test_a_stop_reaches_all_workers_and_counts_once() -> None:
    driver = Driver()
    driver.start()
    driver.wait(1.0)
    actions = driver.tell(StopAsked("client"))
    assert actions[0] == NoteSteering("stop", "client")
    assert sent(actions, StopLoad) == [0, 1]
    assert driver.tell(StopAsked("client")) == []
    driver.wait(0.25)
    assert driver.run.state == "draining"
    driver.done(0)
    driver.done(1)
    assert driver.run.status == "stopped"
    assert driver.run.reasons == ["stopped on request"]


def test_a_second_signal_aborts() -> None:
    driver = Driver()
    driver.start()
    driver.tell(StopAsked("signal"))
    assert sent(driver.tell(StopAsked("signal")), AbortLoad) == [0, 1]
    driver.done(0)
    driver.done(1)
    assert driver.run.status == "aborted"


def test_a_drained_worker_leaves_within_its_grace_period_and_the_others_go_on() -> None:
    driver = Driver()
    driver.start()
    driver.wait(1.0)
    actions = driver.tell(DrainAsked(1, "client"))
    assert actions[0] == NoteDrain(1, "client")
    assert sent(actions, StopLoad) == [1]
    assert driver.tell(DrainAsked(1, "client")) == []
    assert sent(driver.say(1, WorkerIdle()), Release) == [1]
    driver.done(1)
    driver.wait(9.5)
    assert driver.run.state == "draining"
    assert sent(driver.say(0, WorkerIdle()), Release) == [0]
    driver.done(0)
    assert (driver.run.status, driver.run.partial) == ("complete", True)
    assert driver.run.reasons == [
        "worker 1 was drained by a viewer on this machine, 1.0 s after the start"
    ]


def test_a_drained_worker_that_does_not_leave_is_aborted_then_killed() -> None:
    driver = Driver(plan_=plan(1000.0))
    driver.start()
    driver.tell(DrainAsked(1, "operator ann"))
    assert sent(driver.wait(7.5), AbortLoad) == []
    assert sent(driver.wait(1.0), AbortLoad) == [1]
    assert of(driver.wait(6.0), KillWorker) == [KillWorker(1)]
    driver.tell(WorkerExited(1, "killed by signal 9"))
    assert driver.run.state == "running"


def test_who_asks_for_a_drain_that_cannot_be_done_is_told_why() -> None:
    driver = Driver(workers=4)

    def refusal(member: int) -> str:
        said = driver.run.cannot_drain(member, driver.now)
        assert driver.tell(DrainAsked(member, "client")) == []
        return said

    assert refusal(1) == "nobody can be drained before the load: stop the run"
    driver.start()
    for unknown in (-1, 4, 7):
        assert refusal(unknown) == f"this run has no member {unknown}: its numbers are 0 to 3"
    driver.done(1)
    assert refusal(1) == "worker 1 has left already"
    assert not driver.run.partial
    driver.tell(WorkerExited(2, "killed by signal 9"))
    assert refusal(2) == "worker 2 was lost already"
    assert driver.run.cannot_drain(3, driver.now) == ""
    driver.tell(DrainAsked(3, "client"))
    assert refusal(3) == "worker 3 is being drained already"
    driver.tell(StopAsked("client"))
    assert refusal(0) == "worker 0 need not be drained, the run is ending"


def test_what_others_schedule_is_not_placed_on_a_drained_worker() -> None:
    driver = Driver()
    driver.start()
    driver.tell(DrainAsked(1, "client"))
    what = ScheduledScenario(population="p", scenarios=["P"])
    for request in range(3):
        asked = driver.say(0, Schedule(request=request, what=what))
        assert sent(asked, Place) == [0]


def test_an_expired_lease_stops_the_run_and_says_so() -> None:
    driver = Driver()
    driver.start()
    driver.tell(StopAsked("lease"))
    assert driver.run.reasons == ["the program that started the run has gone"]


def test_a_stop_during_the_planned_drain_changes_nothing() -> None:
    driver = Driver()
    driver.start()
    driver.wait(11.0)
    assert driver.tell(StopAsked("client")) == []
    driver.done(0)
    driver.done(1)
    assert driver.run.status == "complete"


def test_a_run_that_does_not_end_after_plan_grace_and_margin_is_aborted_then_killed() -> None:
    driver = Driver()
    driver.start()
    driver.wait(10.0 + 3.0 + 4.0)
    assert driver.run.aborted_at is None
    assert sent(driver.wait(2.0), AbortLoad) == [0, 1]
    assert driver.run.partial
    assert of(driver.wait(6.0), KillWorker) == [KillWorker(0), KillWorker(1)]
    driver.tell(WorkerExited(0, "killed by signal 9"))
    driver.tell(WorkerExited(1, "killed by signal 9"))
    assert driver.run.state == "finished"


def test_a_hang_outside_the_planned_time_is_killed_and_is_no_abort() -> None:
    driver = Driver()
    driver.start()
    driver.wait(9.0)
    driver.wait(2.0, silent=(1,))
    driver.done(0)
    driver.wait(6.0, silent=(1,))
    assert driver.run.workers[1].state == "hung"
    actions = driver.wait(2.0, silent=(1,))
    assert of(actions, KillWorker) == [KillWorker(1)]
    assert sent(actions, AbortLoad) == []
    driver.tell(WorkerExited(1, "killed by signal 9"))
    assert (driver.run.state, driver.run.status, driver.run.partial) == (
        "finished",
        "complete",
        True,
    )


@pytest.mark.parametrize(
    ("duration_s", "timeout_s", "max_time_s", "expected_s"),
    [
        (None, 20.0, None, 20.0),
        (None, None, 30.0, 30.0),
        (None, 20.0, 30.0, 20.0),
        (100.0, 20.0, None, 20.0),
        (100.0, None, None, None),
    ],
    ids=["time-out", "max time", "the shorter", "time-out before the plan's end", "plan alone"],
)
def test_the_absolute_end_stops_the_run(
    duration_s: float | None,
    timeout_s: float | None,
    max_time_s: float | None,
    expected_s: float | None,
) -> None:
    driver = Driver(plan_=plan(duration_s, timeout_s=timeout_s), max_time_s=max_time_s)
    driver.start()
    driver.wait((expected_s or 50.0) - 0.5)
    assert driver.run.stopped_at is None
    driver.wait(1.0)
    assert (driver.run.stopped_at is not None) == (expected_s is not None)


def test_a_worker_that_fails_during_the_load_is_killed_and_its_words_are_kept() -> None:
    driver = Driver()
    driver.start()
    assert driver.say(0, WorkerFailed(message="it broke", user_error=False)) == [KillWorker(0)]
    driver.tell(WorkerExited(0, "killed by signal 9"))
    assert driver.run.reasons == ["worker 0 was lost: it broke"]


def test_frames_are_handed_on() -> None:
    driver = Driver()
    driver.start()
    frame = Frame(worker=0, epoch=0, seq=0, start_ns=0, end_ns=1)
    assert driver.say(0, WorkerFrame(frame=frame)) == [ApplyFrame(frame)]


events = st.one_of(
    st.just(Tick()),
    st.builds(StopAsked, st.sampled_from(["client", "signal", "lease"])),
    st.builds(DrainAsked, st.integers(0, 2), st.just("client")),
    st.builds(AbortAsked, st.just("client")),
    st.builds(WorkerExited, st.integers(0, 1), st.just("gone")),
    st.builds(HangLocated, st.integers(0, 1), st.sampled_from(["", "a.py:1 in f"])),
    st.builds(
        FromWorkerEvent,
        st.integers(0, 1),
        st.sampled_from(
            [
                WorkerReady(pid=1),
                Pong(number=1),
                WorkerFailed(message="x"),
                WorkerDone(),
                WorkerFrame(frame=Frame(worker=0, epoch=0, seq=0, start_ns=0, end_ns=1, last=True)),
            ]
        ),
    ),
)


@given(st.lists(st.tuples(events, st.floats(0, 5)), max_size=40))
def test_whatever_happens_the_run_ends_once_its_processes_are_gone(
    history: list[tuple[Event, float]],
) -> None:
    driver = Driver()
    actions: list[Action] = []
    for event, passed in history:
        driver.now += passed
        actions += driver.tell(event)
    for worker in range(2):
        actions += driver.tell(WorkerExited(worker, "gone"))
    assert driver.run.state == "finished"
    ends = [action for action in actions if isinstance(action, FinishRun | RefuseRun)]
    assert len(ends) == 1
    assert driver.run.status in ("complete", "stopped", "aborted", "failed")
    lost = [action.worker for action in actions if isinstance(action, WorkerIsLost)]
    assert len(lost) == len(set(lost))


@given(st.lists(st.tuples(events, st.floats(0, 5)), max_size=20))
def test_whatever_happens_a_run_whose_workers_say_nothing_more_is_brought_to_an_end(
    history: list[tuple[Event, float]],
) -> None:
    driver = Driver()
    killed: set[int] = set()
    for event, passed in history:
        driver.now += passed
        killed.update(action.worker for action in of(driver.tell(event), KillWorker))
    for _ in range(800):
        if driver.run.state == "finished":
            break
        driver.now += 0.25
        killed.update(action.worker for action in of(driver.tell(Tick()), KillWorker))
        for worker in list(killed):
            driver.tell(WorkerExited(worker, "killed by signal 9"))
    assert driver.run.state == "finished"

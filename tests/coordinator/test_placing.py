"""Where scheduled scenarios run, and who is told: tables, and random lives of a whole run."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.coordinator.events import (
    AbortAsked,
    Action,
    FinishRun,
    KillWorker,
    Send,
    StopAsked,
    WorkerExited,
)
from chaperon_engine.coordinator.placing import MAX_OUTSTANDING, Placements
from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario
from chaperon_engine.protocol.messages import (
    EndPlacement,
    Place,
    Placed,
    Release,
    Schedule,
    Scheduled,
    Withdraw,
    WorkerIdle,
)

from .test_state import Driver, of, sent

WHAT = ScheduledScenario(population="p", scenarios=[":A"])
DONE = ScheduledOutcome(result=b"\x81\xa1a\x01")


def placed(actions: list[Any]) -> list[tuple[int, int]]:
    """Worker and number of each placement among the actions."""
    return [
        (action.worker, action.message.placement)
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, Place)
    ]


def told(actions: list[Any]) -> list[tuple[int, int, str, str]]:
    """Worker, request, kind and reason of each answer among the actions."""
    return [
        (a.worker, a.message.request, a.message.outcome.kind, a.message.outcome.reason)
        for a in actions
        if isinstance(a, Send) and isinstance(a.message, Scheduled)
    ]


def test_the_worker_with_the_fewest_gets_the_next_then_the_one_that_was_given_fewest() -> None:
    placements = Placements(3)
    hosts = [placed(placements.ask(0, number, WHAT, [0, 1, 2]))[0] for number in range(4)]
    assert hosts == [(0, 0), (1, 1), (2, 2), (0, 3)]
    placements.ended(1, 1, DONE)
    assert placed(placements.ask(0, 4, WHAT, [0, 1, 2])) == [(1, 4)]
    placements.ended(2, 2, DONE)
    placements.ended(1, 4, DONE)
    # Both are free; worker 2 was given fewer.
    assert placed(placements.ask(0, 5, WHAT, [0, 1, 2])) == [(2, 5)]


def test_an_outcome_goes_once_to_the_worker_that_asked() -> None:
    placements = Placements(2)
    placements.ask(0, 7, WHAT, [1])
    answer = placements.ended(1, 0, DONE)
    assert answer == [Send(0, Scheduled(request=7, outcome=DONE))]
    assert placements.ended(1, 0, DONE) == []
    assert len(placements) == 0


def test_an_outcome_from_a_worker_that_does_not_run_it_is_not_believed() -> None:
    placements = Placements(3)
    placements.ask(0, 7, WHAT, [1])
    assert placements.ended(2, 0, DONE) == []
    assert len(placements) == 1


def test_a_withdrawn_one_is_ended_where_it_runs_and_nobody_is_told() -> None:
    placements = Placements(2)
    placements.ask(0, 7, WHAT, [1])
    assert placements.withdrawn(0, 7) == [Send(1, EndPlacement(placement=0))]
    assert placements.withdrawn(0, 7) == []
    assert len(placements) == 1, "it runs until its worker says that it has ended"
    assert placements.ended(1, 0, DONE) == []
    assert len(placements) == 0


def test_the_loss_of_a_worker_is_told_to_who_waits_for_what_it_ran() -> None:
    placements = Placements(3)
    placements.ask(0, 7, WHAT, [1])
    placements.ask(1, 3, WHAT, [2])
    actions = placements.gone(1, "was lost: killed by signal 9")
    assert told(actions) == [
        (0, 7, "lost", "worker 1, on which it ran, was lost: killed by signal 9")
    ]
    assert [a for a in actions if isinstance(a.message, EndPlacement)] == [
        Send(2, EndPlacement(placement=1))
    ]
    assert placements.ended(2, 1, DONE) == []
    assert len(placements) == 0


def test_refusals_name_their_reason() -> None:
    placements = Placements(2)
    assert told(placements.ask(0, 1, WHAT, [0, 1], "the run is ending")) == [
        (0, 1, "refused", "the run is ending")
    ]
    assert told(placements.ask(0, 2, WHAT, [])) == [(0, 2, "refused", "no worker can take it")]
    placements.ask(0, 3, WHAT, [1])
    assert "runs already" in told(placements.ask(0, 3, WHAT, [1]))[0][3]


def test_sessions_of_one_worker_wait_for_a_bounded_number() -> None:
    placements = Placements(2)
    for number in range(MAX_OUTSTANDING):
        placements.ask(0, number, WHAT, [1])
    ((worker, request, kind, reason),) = told(placements.ask(0, MAX_OUTSTANDING, WHAT, [1]))
    assert (worker, request, kind) == (0, MAX_OUTSTANDING, "refused")
    assert "1,000" in reason
    assert placed(placements.ask(1, 0, WHAT, [1])), "another worker's sessions are not concerned"
    placements.ended(1, 0, DONE)
    assert placed(placements.ask(0, MAX_OUTSTANDING, WHAT, [1]))


# within the run


def test_workers_are_released_when_all_are_idle() -> None:
    driver = Driver(2)
    driver.start()
    assert driver.say(0, WorkerIdle()) == []
    assert sent(driver.say(1, WorkerIdle()), Release) == [0, 1]


def test_an_idle_worker_takes_placements_and_holds_the_release_until_they_end() -> None:
    driver = Driver(2)
    driver.start()
    driver.say(1, WorkerIdle())
    driver.say(0, Schedule(request=0, what=WHAT))
    ((host, number),) = placed(driver.say(0, Schedule(request=1, what=WHAT)))
    assert host == 1
    assert sent(driver.say(0, WorkerIdle()), Release) == []
    driver.say(0, Placed(placement=0, outcome=DONE))
    assert sent(driver.say(1, Placed(placement=number, outcome=DONE)), Release) == [0, 1]


def test_a_lost_worker_releases_the_idle_others() -> None:
    driver = Driver(2)
    driver.start()
    driver.say(1, WorkerIdle())
    actions = driver.tell(WorkerExited(0, "killed by signal 9"))
    assert sent(actions, Release) == [1]


def test_a_stopped_run_places_nothing_more_and_lets_run_what_was_placed() -> None:
    driver = Driver(2)
    driver.start()
    ((host, number),) = placed(driver.say(0, Schedule(request=0, what=WHAT)))
    driver.tell(StopAsked("client"))
    answer = told(driver.say(0, Schedule(request=1, what=WHAT)))
    assert answer == [(0, 1, "refused", "the run is ending")]
    assert told(driver.say(host, Placed(placement=number, outcome=DONE)))[0][2] == "done"


def test_a_run_whose_time_is_up_still_lets_its_iterations_schedule() -> None:
    driver = Driver(2)
    driver.start()
    driver.wait(11)
    assert driver.run.state == "draining"
    assert placed(driver.say(0, Schedule(request=0, what=WHAT)))


def test_a_hanging_worker_is_given_nothing() -> None:
    driver = Driver(2)
    driver.start()
    driver.wait(5, silent=(0,))
    assert driver.run.workers[0].state == "hung"
    hosts = [
        placed(driver.say(1, Schedule(request=request, what=WHAT)))[0][0] for request in range(3)
    ]
    assert hosts == [1, 1, 1]


def test_a_worker_that_schedules_before_the_load_is_refused() -> None:
    driver = Driver(2)
    driver.say(0, Schedule(request=0, what=WHAT))
    assert driver.run.status == "failed"


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "end", "end", "withdraw", "kill", "stop", "abort", "idle"]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_every_request_has_one_answer_and_the_run_ends(
    commands: list[tuple[str, int, int]],
) -> None:
    """Workers that behave: each scenario runs once, each waiter hears once, all are released."""
    driver = Driver(3)
    driver.start()
    world = _World(driver)
    for what, worker, choice in commands:
        world.step(what, worker, choice)
    world.finish()
    assert not world.waiting, "somebody waits for ever"
    assert driver.run.state == "finished"


class _World:
    """Three workers that do what they are told, and notice when they are told nonsense."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.alive = {0, 1, 2}
        self.idle: set[int] = set()
        self.waiting: set[tuple[int, int]] = set()
        self.running: dict[int, int] = {}
        self.seen: set[int] = set()
        self.requests = 0
        self.aborted = False

    def step(self, what: str, worker: int, choice: int) -> None:
        if worker not in self.alive:
            return
        busy = worker not in self.idle or worker in self.running.values()
        if what == "ask" and busy:
            self.requests += 1
            self.waiting.add((worker, self.requests))
            self.obey(self.driver.say(worker, Schedule(request=self.requests, what=WHAT)))
        elif what == "end" and self.running:
            number = sorted(self.running)[choice % len(self.running)]
            self.end(number)
        elif what == "withdraw":
            own = sorted(each for each in self.waiting if each[0] == worker)
            if own:
                self.waiting.discard(own[0])
                self.obey(self.driver.say(worker, Withdraw(request=own[0][1])))
        elif what == "kill":
            self.leave(worker, self.driver.tell(WorkerExited(worker, "killed by signal 9")))
        elif what == "stop":
            self.obey(self.driver.tell(StopAsked("client")))
        elif what == "abort":
            self.aborted = True
            self.obey(self.driver.tell(AbortAsked("client")))
        elif what == "idle" and not any(asker == worker for asker, _ in self.waiting):
            self.idle.add(worker)
            self.obey(self.driver.say(worker, WorkerIdle()))

    def end(self, number: int) -> None:
        host = self.running.pop(number)
        self.obey(self.driver.say(host, Placed(placement=number, outcome=DONE)))

    def leave(self, worker: int, actions: list[Action]) -> None:
        self.alive.discard(worker)
        self.waiting = {each for each in self.waiting if each[0] != worker}
        self.running = {number: host for number, host in self.running.items() if host != worker}
        self.obey(actions)

    def obey(self, actions: list[Action]) -> None:
        released = []
        for action in actions:
            assert not isinstance(action, KillWorker)
            if not isinstance(action, Send):
                continue
            assert action.worker in self.alive, "who is gone is told nothing"
            match action.message:
                case Place(placement=number):
                    assert number not in self.seen, "handed out once"
                    self.seen.add(number)
                    self.running[number] = action.worker
                case Scheduled(request=request):
                    assert (action.worker, request) in self.waiting, "told twice, or wrongly"
                    self.waiting.discard((action.worker, request))
                case EndPlacement(placement=number):
                    assert self.running.get(number) == action.worker
                case Release():
                    assert not self.running
                    assert self.alive <= self.idle
                    released.append(action.worker)
        for worker in released:
            self.leave(worker, self.driver.done(worker))

    def finish(self) -> None:
        while self.running:
            self.end(min(self.running))
        for worker in sorted(self.alive):
            self.step("idle", worker, 0)
        assert not self.alive or self.aborted
        for worker in sorted(self.alive):
            self.leave(worker, self.driver.done(worker))


def test_the_run_is_over_when_released_workers_are_done() -> None:
    driver = Driver(1)
    driver.start()
    assert sent(driver.say(0, WorkerIdle()), Release) == [0]
    assert of(driver.done(0), FinishRun)

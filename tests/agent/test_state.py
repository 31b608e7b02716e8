"""The agent's state machine with a clock that is only a number."""

from __future__ import annotations

from typing import Any

import pytest

from chaperon_engine.agent.events import (
    Action,
    AgentLimits,
    BeginJournal,
    CannotTakePart,
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Event,
    Finish,
    Forget,
    HangLocated,
    HangUp,
    Heard,
    Keep,
    LeaveAsked,
    Tell,
    Tick,
    WorkerExited,
    WorkerSaid,
)
from chaperon_engine.agent.outbox import Outbox
from chaperon_engine.agent.state import AgentState
from chaperon_engine.crew.events import KillWorker, LocateHang, Say, Send
from chaperon_engine.metrics.model import Frame, SeriesDelta, SeriesKey
from chaperon_engine.protocol.messages import (
    AbortLoad,
    AcceptedSeries,
    Lease,
    Ping,
    Pong,
    Prepare,
    Refused,
    Release,
    Start,
    StopLoad,
    TakeShares,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)
from chaperon_engine.protocol.wire import (
    Ack,
    Admitted,
    AgentDone,
    AgentFailed,
    AgentFrame,
    AgentHello,
    AgentNote,
    AgentPing,
    AgentPong,
    AgentPrepare,
    AgentReady,
    AgentStart,
    AgentStarted,
    AgentStopped,
    Drain,
)

HELLO = AgentHello(
    name="a", instance=bytes(16), host="h", cores=2, python="3.11", chaperon="1", versions={}
)
S = 1_000_000_000
RUN_START_NS = 7_000 * S


def prepare(shares: list[int], *, of: int = 8, epoch: int = 1) -> AgentPrepare:
    return AgentPrepare(launch=b"L", shares=shares, of=of, epoch=epoch, seed=9)


class Driver:
    """Drives a state machine through time and keeps what it answered."""

    def __init__(
        self, workers: int = 2, *, left: Outbox | None = None, died: bool = False, **limits: Any
    ):
        self.now = 100.0
        self.agent = AgentState(
            HELLO, workers, self.now, limits=AgentLimits(**limits), left=left, died=died
        )
        self.said: list[Action] = []
        self._seq = [0] * workers
        self._sent = [0] * workers

    def tell(self, *events: Event) -> list[Action]:
        actions = [action for event in events for action in self.agent.handle(event, self.now)]
        self.said += actions
        return actions

    def hear(self, *messages: Any) -> list[Action]:
        return self.tell(*(Heard(message) for message in messages))

    def worker(self, number: int, message: Any) -> list[Action]:
        return self.tell(WorkerSaid(number, message))

    def wait(self, seconds: float, *, hears: bool = True, answers: bool = True) -> list[Action]:
        actions: list[Action] = []
        for step in range(round(seconds * 10)):
            self.now += 0.1
            if hears and self.agent.line.is_up and step % 10 == 0:
                actions += self.hear(AgentPing(number=step, heard_ns=round(self.now * S)))
            if answers:
                for worker in self.agent.workers:
                    self.worker(worker.number, Pong(number=1))
            actions += self.tell(Tick())
        return actions

    def join(self, *, member: int = 4, next_seq: int = 0) -> list[Action]:
        self.tell(Tick())
        self.tell(Connected())
        return self.hear(Admitted(member=member, lease_s=15, next_seq=next_seq))

    def start(self, shares: list[int] | None = None) -> list[Action]:
        self.join()
        self.hear(prepare(shares or [2, 3]))
        for number in range(len(shares or [2, 3])):
            self.worker(number, WorkerReady(pid=number + 10))
        return self.hear(AgentStart(delay_ns=S // 10, run_start_ns=RUN_START_NS))

    def frame(
        self, worker: int, end_s: float, *, last: bool = False, sent: int = 0
    ) -> list[Action]:
        start_ns = round((100.1 + end_s - 1) * S)
        frame = Frame(worker, 0, self._seq[worker], start_ns, start_ns + S, last=last)
        if sent:
            frame.new_series = [(0, SeriesKey(kind="http"))]
            frame.deltas = [SeriesDelta(0, sent=sent)]
        self._sent[worker] += sent
        frame.totals.sent = self._sent[worker]
        self._seq[worker] += 1
        return self.worker(worker, WorkerFrame(frame=frame))


def told(actions: list[Action]) -> list[Any]:
    """What was said to the coordinator."""
    return [action.message for action in actions if isinstance(action, Tell)]


def sent(actions: list[Action]) -> list[tuple[int, Any]]:
    """What was said to workers."""
    return [(a.worker, a.message) for a in actions if isinstance(a, Send)]


def finish(actions: list[Action]) -> Finish:
    (found,) = [action for action in actions if isinstance(action, Finish)]
    return found


def test_a_run_from_the_first_dial_to_the_last_word():
    driver = Driver()
    assert driver.tell(Tick()) == [Dial()]
    assert told(driver.tell(Connected())) == [HELLO]
    driver.hear(Admitted(member=4, lease_s=15))
    actions = driver.hear(prepare([2, 3]))
    assert sent(actions) == [
        (0, Prepare(launch=b"L", workers=8, worker=2, seed=9)),
        (1, Prepare(launch=b"L", workers=8, worker=3, seed=9)),
    ]
    assert driver.worker(0, WorkerReady(pid=10)) == []
    assert told(driver.worker(1, WorkerReady(pid=11))) == [
        AgentReady(shares=[2, 3], pids=[10, 11], epoch=1)
    ]
    actions = driver.hear(AgentStart(delay_ns=S // 10, run_start_ns=RUN_START_NS))
    start_ns = 100 * S + S // 10
    assert BeginJournal(4, 1) in actions
    assert told(actions) == [AgentStarted(received_ns=100 * S, started_ns=start_ns)]
    lease = Lease(until_ns=115 * S)
    assert sent(actions) == [
        (0, Start(start_ns=start_ns)),
        (0, lease),
        (1, Start(start_ns=start_ns)),
        (1, lease),
    ]
    driver.frame(0, 1, sent=2)
    actions = driver.frame(1, 1, sent=3)
    (keep,) = [action for action in actions if isinstance(action, Keep)]
    (frame,) = told(actions)
    assert frame == AgentFrame(frame=keep.frame)
    assert (keep.frame.worker, keep.frame.epoch, keep.frame.seq) == (4, 1, 0)
    assert (keep.frame.start_ns, keep.frame.end_ns) == (RUN_START_NS, RUN_START_NS + S)
    assert keep.frame.totals.sent == 5
    assert driver.hear(Ack(next_seq=1)) == [Forget(1)]
    driver.worker(0, WorkerIdle())
    assert told(driver.worker(1, WorkerIdle())) == [WorkerIdle()]
    assert sent(driver.hear(Release())) == [(0, Release()), (1, Release())]
    for number in (0, 1):
        driver.frame(number, 2, last=True)
        driver.worker(number, WorkerDone())
    assert told(driver.said[-5:])[-1].frame.last
    assert told(driver.hear(Ack(next_seq=2))) == [AgentDone()]
    assert finish(driver.tell(Disconnected("it closed the connection"))).ending == "done"
    assert driver.tell(Tick()) == []


def test_a_coordinator_that_was_never_there_is_looked_for_for_a_minute():
    driver = Driver()
    dials = 0
    actions: list[Action] = []
    while not any(isinstance(action, Finish) for action in actions):
        actions = driver.wait(0.1)
        if Dial() in actions:
            dials += 1
            actions = driver.tell(DialFailed("no connection", is_final=False))
    assert 60 < driver.now - 100 < 67
    assert 12 < dials < 25
    assert finish(actions).ending == "failed"


def test_what_another_try_would_not_mend_ends_the_first_attempt():
    driver = Driver()
    driver.tell(Tick())
    ended = finish(driver.tell(DialFailed("that is not the token", is_final=True)))
    assert (ended.reason, ended.ending) == ("that is not the token", "refused")


def test_a_refusal_is_the_end():
    driver = Driver()
    driver.start()
    actions = driver.hear(Refused(reason="goes on without you"))
    assert finish(actions).ending == "refused"
    assert [action.worker for action in actions if isinstance(action, KillWorker)] == [0, 1]


def test_pings_are_answered_and_messages_out_of_turn_change_nothing():
    driver = Driver()
    driver.join()
    assert told(driver.hear(AgentPing(number=5))) == [
        AgentPong(number=5, received_ns=100 * S, sent_ns=100 * S)
    ]
    assert driver.hear(AgentStart(delay_ns=0, run_start_ns=0), StopLoad(), Release()) == []
    driver = Driver()
    driver.start()
    assert driver.hear(prepare([5, 6]), AgentStart(delay_ns=0, run_start_ns=0)) == []


def test_shares_may_be_handed_out_anew_until_the_start():
    driver = Driver()
    driver.join()
    driver.hear(prepare([2, 3]))
    driver.worker(0, WorkerReady(pid=10))
    driver.worker(1, WorkerReady(pid=11))
    actions = driver.hear(prepare([0], of=1, epoch=2))
    assert sent(actions) == [(0, Prepare(launch=b"L", workers=1, worker=0, seed=9))]
    assert told(driver.worker(0, WorkerReady(pid=10))) == [
        AgentReady(shares=[0], pids=[10], epoch=2)
    ]
    actions = driver.hear(AgentStart(delay_ns=0, run_start_ns=0))
    assert KillWorker(1) in actions  # It has nothing to do.
    assert driver.tell(WorkerExited(1, "killed by signal 9", [])) == []
    driver.worker(0, WorkerIdle())
    driver.frame(0, 1, last=True)
    driver.worker(0, WorkerDone(no_session_passed_init=True))
    assert told(driver.hear(Ack(next_seq=1))) == [AgentDone(no_session_passed_init=True)]


def test_before_the_load_a_return_is_a_new_beginning():
    driver = Driver()
    driver.join()
    driver.hear(prepare([2, 3]))
    driver.tell(Disconnected("cut"))
    driver.wait(1)
    assert driver.agent.line.state == "dialling"
    assert told(driver.tell(Connected())) == [HELLO]
    driver.hear(Admitted(member=5, lease_s=15))
    assert len(sent(driver.hear(prepare([4, 5], epoch=2)))) == 2


@pytest.mark.parametrize(
    ("event", "reason", "ending"),
    [
        (WorkerSaid(0, WorkerFailed(message="no such module")), "no such module", "refused"),
        (WorkerSaid(0, WorkerFailed(message="bug", user_error=False)), "bug", "failed"),
        (WorkerExited(1, "killed by signal 9", []), "ended before the load", "failed"),
        (CannotTakePart("no room for the test code"), "no room", "refused"),
        (LeaveAsked(), "stopped by a signal", "interrupted"),
    ],
)
def test_what_is_in_the_way_before_the_load_is_told_and_ends_the_agent(
    event: Event, reason: str, ending: str
):
    driver = Driver()
    driver.join()
    driver.hear(prepare([2, 3]))
    actions = driver.tell(event)
    (failed,) = told(actions)
    assert isinstance(failed, AgentFailed)
    assert reason in failed.message
    assert reason in finish(actions).reason
    assert finish(actions).ending == ending
    assert KillWorker(0) in actions or KillWorker(1) in actions


def test_a_worker_that_gets_ready_for_long_is_asked_where_it_is():
    driver = Driver()
    driver.join()
    driver.hear(prepare([2, 3]))
    driver.worker(0, WorkerReady(pid=10))
    actions = driver.wait(31)
    assert [a.worker for a in actions if isinstance(a, LocateHang)] == [1]
    (note,) = told(driver.tell(HangLocated(1, "shop.py:3 in <module>")))
    assert note == AgentNote(level="warning", text="a worker waits at shop.py:3 in <module>")


def test_steering_goes_to_all_workers():
    driver = Driver()
    driver.start()
    keys = AcceptedSeries(keys=[])
    for message in (StopLoad(), keys, AbortLoad()):
        assert sent(driver.hear(message)) == [(0, message), (1, message)]
    assert driver.hear(AbortLoad()) == []
    actions = driver.wait(6)
    assert [a.worker for a in actions if isinstance(a, KillWorker)] == [0, 1]


def test_a_short_partition_costs_nothing():
    driver = Driver()
    driver.start()
    driver.frame(0, 1)
    driver.frame(1, 1)
    actions = driver.wait(6, hears=False)
    assert HangUp() in actions
    assert Dial() in actions
    driver.frame(0, 2)
    assert told(driver.frame(1, 2)) == []
    assert len(driver.agent.outbox) == 2
    (hello,) = told(driver.tell(Connected()))
    assert (hello.epoch, hello.next_seq) == (1, 2)
    actions = driver.hear(Admitted(member=4, lease_s=15, next_seq=1))
    started, frame = told(actions)
    assert isinstance(started, AgentStarted)
    assert frame.frame.seq == 1
    assert not any(isinstance(m, StopLoad) for _, m in sent(driver.said))


def test_the_load_stops_when_the_lease_ends_and_everything_is_delivered_after_the_return():
    driver = Driver()
    driver.start()
    driver.frame(0, 1, sent=4)
    driver.frame(1, 1)
    actions = driver.wait(15.5, hears=False)
    assert [m for _, m in sent(actions) if isinstance(m, StopLoad)] == [StopLoad()] * 2
    driver.tell(DialFailed("no route", is_final=True))  # Not final for who was in.
    driver.worker(0, WorkerIdle())
    assert sent(driver.worker(1, WorkerIdle()))[-2:] == [(0, Release()), (1, Release())]
    for number in (0, 1):
        driver.frame(number, 2, last=True)
        driver.worker(number, WorkerDone())
    driver.wait(60, hears=False)
    assert driver.agent.line.state == "dialling"
    driver.tell(Connected())
    actions = driver.hear(Admitted(member=4, lease_s=15, next_seq=0))
    frames = [message.frame.seq for message in told(actions) if isinstance(message, AgentFrame)]
    assert frames == [0, 1]
    (stopped,) = [message for message in told(actions) if isinstance(message, AgentStopped)]
    assert "was not heard for 15 s" in stopped.why
    assert driver.hear(TakeShares(shares=[7], of=8, epoch=2)) == []
    assert told(driver.hear(Ack(next_seq=2))) == [AgentDone()]
    ended = finish(driver.wait(6))
    assert (ended.ending, "delivered" in ended.reason) == ("failed", True)


def test_the_lease_counts_from_what_the_coordinator_is_known_to_have_heard():
    driver = Driver()
    driver.start()
    driver.wait(3)
    heard_ns = round(driver.now * S)
    for number in range(15):
        # The coordinator is heard all the time, and hears nothing.
        driver.wait(1, hears=False)
        driver.hear(AgentPing(number=number, heard_ns=heard_ns))
    assert not [m for _, m in sent(driver.said) if isinstance(m, StopLoad)]
    driver.wait(0.5, hears=False)
    assert [m for _, m in sent(driver.said) if isinstance(m, StopLoad)] == [StopLoad()] * 2
    assert AgentStopped(why="the coordinator was not heard for 15 s") in told(driver.said)


def test_an_agent_that_stood_still_beyond_its_lease_stops_its_load_when_it_goes_on():
    driver = Driver()
    driver.start()
    driver.wait(3)
    driver.now += 60
    assert [m for _, m in sent(driver.tell(Tick())) if isinstance(m, StopLoad)] == [StopLoad()] * 2


def test_a_start_that_comes_after_the_lease_begins_nothing():
    driver = Driver()
    driver.join()
    driver.hear(prepare([2, 3]))
    driver.worker(0, WorkerReady(pid=10))
    driver.worker(1, WorkerReady(pid=11))
    driver.now += 16
    actions = driver.hear(AgentStart(delay_ns=0, run_start_ns=RUN_START_NS))
    assert "its lease was over" in finish(actions).reason
    assert not [m for _, m in sent(actions) if isinstance(m, Start)]


def test_shares_that_are_taken_over_go_to_the_workers_that_live_and_have_the_fewest():
    driver = Driver(3)
    driver.start([2, 3, 4])
    driver.tell(WorkerExited(1, "killed", []))
    taken = driver.hear(TakeShares(shares=[5, 6, 7], of=8, epoch=2))
    assert sent(taken) == [
        (0, TakeShares(shares=[5, 7], of=8, epoch=2)),
        (2, TakeShares(shares=[6], of=8, epoch=2)),
    ]
    assert driver.hear(TakeShares(shares=[5, 6, 7], of=8, epoch=2)) == []
    assert sent(driver.hear(TakeShares(shares=[1], of=8, epoch=3))) == [
        (2, TakeShares(shares=[1], of=8, epoch=3))
    ]


def test_an_agent_that_takes_shares_over_is_idle_only_when_these_have_ended():
    driver = Driver()
    driver.start()
    driver.worker(0, WorkerIdle())
    assert told(driver.worker(1, WorkerIdle())) == [WorkerIdle()]
    driver.hear(TakeShares(shares=[5, 6], of=8, epoch=2))
    driver.worker(0, WorkerIdle(epoch=0))  # It was under way.
    assert told(driver.worker(1, WorkerIdle(epoch=2))) == []
    assert told(driver.worker(0, WorkerIdle(epoch=2))) == [WorkerIdle(epoch=2)]


def test_a_coordinator_that_does_not_come_back_is_given_up():
    driver = Driver(return_s=30)
    driver.start()
    driver.frame(0, 1)
    driver.frame(1, 1)
    actions = driver.wait(31, hears=False)
    assert "has been gone for 30 s" in finish(actions).reason
    assert [a.worker for a in actions if isinstance(a, KillWorker)] == [0, 1]
    assert len(driver.agent.outbox) == 1


def test_a_coordinator_that_is_gone_before_the_load_is_given_up_as_soon_as_one_never_reached():
    driver = Driver(join_s=30, return_s=600)
    driver.join()
    driver.hear(prepare([2, 3]))
    assert not any(isinstance(a, Finish) for a in driver.wait(29, hears=False))
    said = finish(driver.wait(2, hears=False))
    assert said.reason == (
        "the coordinator has been gone for 30 s, and the load had not begun: there is nothing to "
        "deliver to it"
    )
    assert said.ending == "failed"


def test_a_host_that_was_suspended_does_not_hold_silence_against_the_coordinator():
    driver = Driver()
    driver.start()
    driver.wait(2)
    driver.now += 300
    assert not any(isinstance(a, HangUp | KillWorker) for a in driver.tell(Tick()))
    assert not any(isinstance(m, StopLoad) for _, m in sent(driver.wait(1)))


def test_a_lost_worker_is_told_with_what_its_counters_know():
    driver = Driver()
    driver.start()
    driver.frame(0, 1, sent=4)
    driver.frame(1, 1)
    slots = [[1, 9, 7, 0, 0, 70, 90, 0]]
    actions = driver.tell(WorkerExited(0, "killed by signal 9 (SIGKILL)", slots))
    assert any(isinstance(a, Say) and a.level == "error" for a in actions)
    driver.frame(1, 2, last=True)
    driver.worker(1, WorkerDone())
    frames = [m.frame for m in told(driver.said) if isinstance(m, AgentFrame)]
    (lost,) = frames[-1].lost
    assert (lost.worker, lost.note) == (2, "killed by signal 9 (SIGKILL)")
    assert (lost.series[0].sent, lost.series[0].ok) == (5, 7)
    assert frames[-1].last
    assert frames[-1].totals.sent == 9


def test_a_worker_that_hangs_is_located_and_killed():
    driver = Driver()
    driver.start()
    actions = driver.wait(4, answers=False)
    assert [a.worker for a in actions if isinstance(a, LocateHang)] == [0, 1]
    assert (0, Ping(number=1)) in sent(actions)
    driver.tell(HangLocated(0, "shop.py:3 in run"))
    actions = driver.wait(11, answers=False)
    assert [a.worker for a in actions if isinstance(a, KillWorker)] == [0, 1]
    driver.tell(WorkerExited(0, "killed", []), WorkerExited(1, "killed", []))
    frames = [m.frame for m in told(driver.said) if isinstance(m, AgentFrame)]
    assert frames[-1].last
    assert [lost.note for lost in frames[-1].lost] == [
        "it hung at shop.py:3 in run and was killed", "it hung and was killed",
    ]  # fmt: skip
    assert told(driver.hear(Ack(next_seq=frames[-1].seq + 1))) == [AgentDone()]


def test_a_worker_that_talks_nonsense_is_killed():
    driver = Driver()
    driver.start()
    bad = Frame(0, 0, 0, 0, 1, deltas=[SeriesDelta(7, sent=1)])
    assert driver.worker(0, WorkerFrame(frame=bad)) == [KillWorker(0)]
    assert "not announced" in driver.agent.workers[0].failure


def test_drained_it_stops_its_own_load_and_leaves():
    driver = Driver()
    driver.start()
    actions = driver.hear(Drain())
    assert sent(actions) == [(0, StopLoad()), (1, StopLoad())]
    driver.worker(0, WorkerIdle())
    assert (1, Release()) in sent(driver.worker(1, WorkerIdle()))
    for number in (0, 1):
        driver.frame(number, 1, last=True)
        driver.worker(number, WorkerDone())
    driver.hear(Ack(next_seq=1))
    assert finish(driver.tell(Disconnected("closed"))).ending == "done"


def test_a_signal_stops_gracefully_and_a_second_one_at_once():
    driver = Driver()
    driver.start()
    actions = driver.tell(LeaveAsked())
    assert sent(actions) == [(0, StopLoad()), (1, StopLoad())]
    assert told(actions) == [AgentStopped(why="a signal on its host")]
    assert sent(driver.tell(LeaveAsked())) == [(0, AbortLoad()), (1, AbortLoad())]
    for number in (0, 1):
        driver.frame(number, 1, last=True)
        driver.worker(number, WorkerDone())
    driver.hear(Ack(next_seq=1))
    assert finish(driver.tell(Disconnected("closed"))).ending == "interrupted"


def test_a_second_signal_leaves_also_when_the_coordinator_is_not_there():
    driver = Driver()
    driver.start()
    driver.tell(Disconnected("cut"))
    assert Say("info", "leaving; once more to leave at once") in driver.tell(LeaveAsked())
    driver.tell(LeaveAsked())
    driver.frame(0, 1, last=True)
    driver.worker(0, WorkerDone())
    driver.frame(1, 1, last=True)
    ended = finish(driver.worker(1, WorkerDone()))
    assert ended.ending == "interrupted"
    assert len(driver.agent.outbox) == 1


def test_who_looks_for_the_coordinator_says_what_waits_now_and_then():
    driver = Driver()
    driver.start()
    driver.wait(15.5, hears=False)
    for number in (0, 1):
        driver.frame(number, 1, last=True)
        driver.worker(number, WorkerDone())
    driver.wait(65, hears=False)
    sentence = (
        "looking for the coordinator: 1 frame waits to be delivered; Ctrl-C ends this, and keeps "
        "what waits on this host"
    )
    said = [each.text for each in driver.said if isinstance(each, Say)]
    assert said.count(sentence) == 2


def test_what_an_earlier_agent_left_is_delivered_and_nothing_else():
    frames = [Frame(4, 1, seq, 0, 1, last=seq == 6) for seq in (5, 6)]
    driver = Driver(0, left=Outbox(frames, next_seq=7))
    driver.tell(Tick())
    (hello,) = told(driver.tell(Connected()))
    assert hello.next_seq == 7
    actions = driver.hear(Admitted(member=4, lease_s=15, next_seq=6))
    assert [message.frame.seq for message in told(actions)] == [6]
    assert driver.hear(prepare([1]), StopLoad()) == []
    assert told(driver.hear(Ack(next_seq=7))) == [AgentDone()]
    assert finish(driver.tell(Disconnected("closed"))).ending == "done"


def test_that_an_earlier_agent_died_is_told_before_what_it_left():
    driver = Driver(0, left=Outbox([Frame(4, 1, 5, 0, 1, last=True)], next_seq=6), died=True)
    driver.tell(Tick(), Connected())
    stopped, frame = told(driver.hear(Admitted(member=4, lease_s=15, next_seq=5)))
    assert stopped == AgentStopped(why="its process died", died=True)
    assert frame.frame.seq == 5
    driver.hear(Ack(next_seq=6))
    assert finish(driver.tell(Disconnected("closed"))).ending == "done"


def test_frames_that_the_coordinator_lacks_and_nobody_has_end_the_agent():
    driver = Driver()
    driver.start()
    driver.frame(0, 1)
    driver.frame(1, 1)
    driver.hear(Ack(next_seq=1))
    driver.tell(Disconnected("cut"))
    driver.wait(1)
    driver.tell(Connected())
    actions = driver.hear(Admitted(member=4, lease_s=15, next_seq=0))
    assert "lacks frame 0" in finish(actions).reason
    assert KillWorker(0) in actions

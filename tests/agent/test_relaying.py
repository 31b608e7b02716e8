"""Scheduled scenarios between this host's workers and the coordinator."""

from __future__ import annotations

from chaperon_engine.agent.events import Tell
from chaperon_engine.agent.relaying import Relay
from chaperon_engine.crew.events import Send
from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario
from chaperon_engine.protocol.messages import (
    EndPlacement,
    Place,
    Placed,
    Schedule,
    Scheduled,
    Withdraw,
)

WHAT = ScheduledScenario(population="p", scenarios=[":A"])
DONE = ScheduledOutcome()


def ask(relay: Relay, worker: int, request: int, *, connected: bool = True):
    return relay.ask(worker, request, WHAT, connected=connected)


def test_requests_of_several_workers_get_numbers_of_the_host_and_find_back():
    relay = Relay(2)
    assert ask(relay, 0, 5) == [Tell(Schedule(request=0, what=WHAT))]
    assert ask(relay, 1, 5) == [Tell(Schedule(request=1, what=WHAT))]
    assert relay.answered(1, DONE) == [Send(1, Scheduled(request=5, outcome=DONE))]
    assert relay.answered(1, DONE) == []
    assert relay.withdrawn(0, 5) == [Tell(Withdraw(request=0))]
    assert relay.withdrawn(0, 5) == []
    assert relay.answered(0, DONE) == []


def test_guests_go_to_the_worker_with_the_fewest_and_their_end_is_told():
    relay = Relay(2)
    places = [Place(placement=number, what=WHAT) for number in (7, 8, 9)]
    assert [relay.place(place, [0, 1]) for place in places] == [
        [Send(0, places[0])], [Send(1, places[1])], [Send(0, places[2])],
    ]  # fmt: skip
    assert len(relay) == 3
    assert relay.end(8) == [Send(1, EndPlacement(placement=8))]
    assert relay.end(99) == []
    placed = Placed(placement=8, outcome=DONE)
    assert relay.ended(0, placed) == []
    assert relay.ended(1, placed) == [Tell(placed)]
    assert len(relay) == 2


def test_without_a_worker_that_can_take_it_a_guest_is_refused():
    (action,) = Relay(1).place(Place(placement=1, what=WHAT), [])
    assert isinstance(action, Tell)
    assert isinstance(action.message, Placed)
    assert action.message.outcome.kind == "refused"


def test_a_worker_that_is_gone_takes_along_what_it_asked_for_and_what_it_ran():
    relay = Relay(2)
    ask(relay, 0, 1)
    ask(relay, 1, 1)
    relay.place(Place(placement=4, what=WHAT), [0])
    withdraw, lost = relay.gone(0, "was lost: killed")
    assert withdraw == Tell(Withdraw(request=0))
    assert isinstance(lost, Tell)
    assert isinstance(lost.message, Placed)
    assert (lost.message.placement, lost.message.outcome.kind) == (4, "lost")
    assert lost.message.outcome.reason == "the worker on which it ran was lost: killed"
    assert len(relay) == 0
    assert len(relay.answered(1, DONE)) == 1


def test_a_connection_that_ends_takes_everything_along():
    relay = Relay(2)
    ask(relay, 0, 1)
    relay.place(Place(placement=4, what=WHAT), [1])
    told, ended = relay.disconnected()
    assert isinstance(told, Send)
    assert isinstance(told.message, Scheduled)
    assert (told.worker, told.message.outcome.kind) == (0, "lost")
    assert ended == Send(1, EndPlacement(placement=4))
    assert relay.ended(1, Placed(placement=4, outcome=DONE)) == []
    assert relay.answered(0, DONE) == []
    (refused,) = ask(relay, 1, 2, connected=False)
    assert isinstance(refused, Send)
    assert isinstance(refused.message, Scheduled)
    assert refused.message.outcome.kind == "refused"

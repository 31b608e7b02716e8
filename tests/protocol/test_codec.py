"""Framing: any split, garbage, the cap."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario
from chaperon_engine.metrics.model import Frame, SeriesDelta, SeriesKey
from chaperon_engine.metrics.snapshot import View
from chaperon_engine.protocol import codec
from chaperon_engine.protocol.messages import (
    AbortRun,
    EndPlacement,
    FromClient,
    FromWorker,
    GetWindow,
    Hello,
    Place,
    Placed,
    Pong,
    Release,
    Schedule,
    Scheduled,
    StopRun,
    Subscribe,
    ToWorker,
    Withdraw,
    WorkerDone,
    WorkerFailed,
    WorkerFrame,
    WorkerIdle,
    WorkerReady,
)

FRAME = Frame(
    worker=1,
    epoch=0,
    seq=3,
    start_ns=5,
    end_ns=9,
    new_series=[(0, SeriesKey(kind="http", url="/a", tags=(("a", "b"),)))],
    deltas=[SeriesDelta(id=0, sent=2, ok=1, statuses={200: 1})],
)

scheduled = st.builds(
    ScheduledScenario,
    population=st.text(max_size=20),
    scenarios=st.lists(st.text(max_size=20), max_size=3),
    config=st.binary(max_size=40),
    merge=st.booleans(),
)
outcomes = st.builds(
    ScheduledOutcome,
    kind=st.sampled_from(["done", "failed", "refused", "lost"]),
    result=st.binary(max_size=40),
    reason=st.text(max_size=40),
)
worker_messages = st.one_of(
    st.builds(WorkerReady, pid=st.integers(1, 10**6), core=st.none() | st.integers(0, 99)),
    st.builds(WorkerFailed, message=st.text(max_size=50), user_error=st.booleans()),
    st.just(WorkerFrame(frame=FRAME)),
    st.builds(Pong, number=st.integers(0, 2**31)),
    st.builds(WorkerDone, no_session_passed_init=st.booleans()),
    st.builds(Schedule, request=st.integers(0, 2**31), what=scheduled),
    st.builds(Withdraw, request=st.integers(0, 2**31)),
    st.builds(Placed, placement=st.integers(0, 2**31), outcome=outcomes),
    st.just(WorkerIdle()),
)

coordinator_messages = st.one_of(
    st.builds(Place, placement=st.integers(0, 2**31), what=scheduled),
    st.builds(EndPlacement, placement=st.integers(0, 2**31)),
    st.builds(Scheduled, request=st.integers(0, 2**31), outcome=outcomes),
    st.just(Release()),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(coordinator_messages, max_size=5), st.lists(st.integers(0, 10**6), max_size=8))
def test_what_the_coordinator_says_about_placements_arrives_in_any_split(
    messages: list[ToWorker], places: list[int]
) -> None:
    decoder = codec.to_worker_decoder()
    data = b"".join(codec.encode(message) for message in messages)
    assert [message for part in cut(data, places) for message in decoder.feed(part)] == messages


@given(st.lists(worker_messages, max_size=5), st.lists(st.integers(0, 10**6), max_size=8))
def test_any_split_of_valid_frames_gives_the_same_messages(
    messages: list[FromWorker], places: list[int]
) -> None:
    decoder = codec.from_worker_decoder()
    data = b"".join(codec.encode(message) for message in messages)
    received = [message for part in cut(data, places) for message in decoder.feed(part)]
    assert received == messages
    assert decoder.pending_bytes == 0


@given(st.binary(max_size=300))
def test_garbage_gives_messages_or_a_protocol_error_and_nothing_else(data: bytes) -> None:
    decoder = codec.from_client_decoder()
    try:
        decoder.feed(data)
    except codec.ProtocolError:
        return
    assert decoder.pending_bytes <= len(data)


@given(st.binary(max_size=200))
def test_a_framed_body_of_garbage_is_a_protocol_error(body: bytes) -> None:
    valid = {codec.encode(StopRun())[4:], codec.encode(AbortRun())[4:]}
    decoder = codec.from_client_decoder()
    if body in valid:
        return
    with pytest.raises(codec.ProtocolError):
        decoder.feed(len(body).to_bytes(4, "big") + body)


def test_a_frame_over_the_cap_is_refused_from_its_length_alone() -> None:
    decoder: codec.MessageDecoder[FromClient] = codec.MessageDecoder(FromClient, max_frame_bytes=10)
    with pytest.raises(codec.ProtocolError, match="over the cap"):
        decoder.feed((11).to_bytes(4, "big"))


def test_a_message_of_the_other_direction_is_refused() -> None:
    decoder = codec.from_client_decoder()
    with pytest.raises(codec.ProtocolError):
        decoder.feed(codec.encode(Pong(number=1)))


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 100_000,
        b"\xdd\x7f\xff\xff\xff",
        msgspec.msgpack.encode({"type": "Nobody"}),
        msgspec.msgpack.encode({"type": "GetWindow", "request": "x", "start_s": 0, "end_s": 1}),
        msgspec.msgpack.encode({"type": "Hello"}),
    ],
    ids=["deep nesting", "a huge array", "unknown tag", "wrong type", "missing field"],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    decoder: codec.MessageDecoder[FromClient] = codec.MessageDecoder(FromClient)
    with pytest.raises(codec.ProtocolError):
        decoder.feed(len(body).to_bytes(4, "big") + body)


def test_unknown_fields_are_ignored_so_that_a_newer_viewer_can_speak() -> None:
    body = msgspec.msgpack.encode({"type": "Hello", "protocol": 1, "colour": "red"})
    assert codec.from_client_decoder().feed(len(body).to_bytes(4, "big") + body) == [
        Hello(protocol=1)
    ]


def test_messages_to_the_engine_keep_their_nested_view() -> None:
    messages = [
        Subscribe(view=View(sort="p99", limit=5), rate_hz=2),
        GetWindow(request=1, start_s=0, end_s=5),
    ]
    decoder = codec.from_client_decoder()
    assert decoder.feed(b"".join(map(codec.encode, messages))) == messages

"""The conversation's messages: whatever bytes come, they are messages of it or an error, and what
is too long is refused before it takes memory."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics.interval import packed
from chaperon_engine.metrics.model import Frame, SeriesDelta, SeriesKey
from chaperon_engine.protocol.codec import MessageDecoder, ProtocolError, encode
from chaperon_engine.protocol.messages import Message, StopLoad
from chaperon_engine.protocol.wire import (
    MAX_GREETING_BYTES,
    MAX_PIECE_BYTES,
    Ack,
    Admitted,
    AgentFrame,
    AgentHello,
    AgentPong,
    AgentStart,
    BundleFile,
    ClientGreeting,
    from_agent_decoder,
    from_stranger_decoder,
    to_agent_decoder,
    to_stranger_decoder,
)

DECODERS = [from_agent_decoder, to_agent_decoder, from_stranger_decoder, to_stranger_decoder]

counts = st.integers(0, (1 << 63) - 1)
to_agents = st.one_of(
    st.builds(Admitted, member=counts, lease_s=st.floats(0.1, 80_000), next_seq=counts),
    st.builds(Ack, next_seq=counts),
    st.builds(AgentStart, delay_ns=counts, run_start_ns=counts),
    st.builds(StopLoad, grace_s=st.none() | st.floats(0, 10)),
    st.builds(
        BundleFile,
        name=st.text(min_size=1, max_size=50),
        digest=st.binary(min_size=32, max_size=32),
        size=st.integers(0, 1 << 40),
        data=st.binary(max_size=200),
    ),
)
from_agents = st.one_of(
    st.builds(AgentPong, number=counts, received_ns=counts, sent_ns=counts),
    st.builds(
        AgentHello,
        name=st.text(min_size=1, max_size=64),
        instance=st.binary(min_size=16, max_size=16),
        host=st.text(max_size=200),
        cores=st.integers(1, 4096),
        python=st.just("3.11"),
        chaperon=st.just("1"),
        versions=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5),
        epoch=st.none() | counts,
    ),
)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def fed(decoder: MessageDecoder[Message], data: bytes, cuts: list[int]) -> list[Message]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    return [message for piece in pieces for message in decoder.feed(piece)]


@given(st.lists(to_agents, max_size=5), st.lists(st.integers(0, 5000), max_size=6))
def test_what_a_coordinator_says_arrives_however_it_is_cut(
    messages: list[Message], cuts: list[int]
) -> None:
    assert fed(to_agent_decoder(), b"".join(map(encode, messages)), cuts) == messages  # type: ignore[arg-type]


@given(st.lists(from_agents, max_size=5), st.lists(st.integers(0, 5000), max_size=6))
def test_what_an_agent_says_arrives_however_it_is_cut(
    messages: list[Message], cuts: list[int]
) -> None:
    assert fed(from_agent_decoder(), b"".join(map(encode, messages)), cuts) == messages  # type: ignore[arg-type]


@settings(max_examples=200)
@given(
    st.sampled_from(DECODERS),
    st.binary(max_size=200)
    | st.binary(max_size=200).map(framed)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=9) | st.just("type"), inner, max_size=5),
        max_leaves=20,
    ).map(msgspec.msgpack.encode).map(framed),
)  # fmt: skip
def test_any_bytes_are_messages_or_an_error(decoder: object, data: bytes) -> None:
    made = decoder()  # type: ignore[operator]
    try:
        for message in made.feed(data):
            assert isinstance(message, Message)
    except ProtocolError:
        return
    assert made.pending_bytes <= len(data)


@given(from_agents, st.data())
def test_one_changed_byte_is_a_message_or_an_error(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        from_agent_decoder().feed(bytes(raw))
    except ProtocolError:
        return


def test_strangers_have_short_frames() -> None:
    for decoder in (from_stranger_decoder(), to_stranger_decoder()):
        with pytest.raises(ProtocolError, match="over the cap"):
            decoder.feed((MAX_GREETING_BYTES + 1).to_bytes(4, "big"))


def hello(**changes: object) -> bytes:
    plain = {
        "type": "AgentHello", "name": "a", "instance": bytes(16), "host": "h", "cores": 2,
        "python": "3", "chaperon": "1",
    }  # fmt: skip
    return framed(msgspec.msgpack.encode(plain | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"name": "x" * 65}, {"instance": b""}, {"cores": 0}, {"cores": 5000},
        {"next_seq": -1}, {"next_seq": 1 << 63}, {"epoch": -1}, {"host": "x" * 201},
        {"versions": {str(number): "" for number in range(1001)}}, {"more": 1},
    ],
)  # fmt: skip
def test_fields_out_of_range_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_agent_decoder().feed(hello(**changes))
    assert from_agent_decoder().feed(hello())


def test_a_piece_of_a_file_has_a_limit() -> None:
    piece = BundleFile(name="a", digest=bytes(32), size=1, data=bytes(MAX_PIECE_BYTES + 1))
    with pytest.raises(ProtocolError):
        to_agent_decoder().feed(encode(piece))


def test_a_greeting_keeps_the_fields_by_which_versions_know_each_other() -> None:
    """Changing one of them takes from older versions the sentence that says who must update."""
    fields = {field.name for field in msgspec.structs.fields(ClientGreeting)}
    assert {"protocol", "version", "role", "name", "nonce", "proof"} <= fields


def frame_with(**fields: object) -> bytes:
    """An AgentFrame with fields that the types would not allow."""
    frame = Frame(worker=0, epoch=0, seq=0, start_ns=0, end_ns=1)
    plain = msgspec.to_builtins(frame)
    for name, value in fields.items():
        plain[[field.name for field in msgspec.structs.fields(Frame)].index(name)] = value
    return framed(msgspec.msgpack.encode({"type": "AgentFrame", "frame": plain}))


@pytest.mark.parametrize(
    "fields",
    [
        {"deltas": [[0]] * 262_145},
        {"checks": [["", "", ""]] * 262_145},
        {"logs": [[0.0, "", "", ""]] * 10_001},
        {"lost": [[0, ""]] * 4_097},
        {"deltas": [[0, 0, 0, 0, 0, 0, 0, [bytes(2 * 28_673), b"1"]]]},
        {"deltas": [[0, 0, 0, 0, 0, 0, 0, [b"1", bytes(8 * 28_673)]]]},
        {"deltas": [[0, 0, 0, 0, 0, 0, 0, None, None, None, dict.fromkeys(range(10_001), 1)]]},
        {"new_series": [[0, ["http", "us", "", "", "", "", "", "", "", [["", ""]] * 65]]]},
        {"totals": [0] * 7},
    ],
)
def test_a_frame_whose_lists_are_too_long_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match=r"of length <= |at most length"):
        from_agent_decoder().feed(frame_with(**fields))


def test_a_bomb_of_tiny_parts_takes_no_more_memory_than_the_frame_itself() -> None:
    """16 million deltas of two bytes each would be gigabytes."""
    plain = frame_with(deltas=[[0]])[4:]
    one, many = b"\x91\x91\x00", b"\xdd" + (4_000_000).to_bytes(4, "big") + b"\x91\x00" * 4_000_000
    assert plain.count(one) == 1
    body = plain.replace(one, many)
    decoder = from_agent_decoder()
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        decoder.feed(framed(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(body)


def test_a_sound_frame_arrives_as_it_was() -> None:
    interval = packed([5], [1], sum_us=5, min_us=5, max_us=5)
    frame = Frame(
        worker=3, epoch=1, seq=2, start_ns=5, end_ns=6,
        new_series=[(0, SeriesKey(kind="http", url="/", tags=(("a", "b"),)))],
        deltas=[SeriesDelta(0, sent=1, ok=1, expected=interval)],
    )  # fmt: skip
    assert from_agent_decoder().feed(encode(AgentFrame(frame=frame))) == [AgentFrame(frame=frame)]

"""What is fuzzed: everything that takes bytes of a stranger, of an agent, or of a journal.

`take` must end with an answer or with one of the errors that such bytes deserve, and the run that
it fills must add up afterwards. `bench/fuzz.py` drives it; what it found interesting is kept in
`corpus` and is taken again by every run of the tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.mutation import Framing, changed
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.interval import packed
from chaperon_engine.metrics.model import Frame, SeriesDelta, SeriesKey
from chaperon_engine.protocol.codec import MessageDecoder, ProtocolError, encode
from chaperon_engine.protocol.handshake import (
    Accepted,
    ClientHandshake,
    Refusal,
    ServerHandshake,
)
from chaperon_engine.protocol.messages import Message, StopLoad
from chaperon_engine.protocol.token import RunSecret, Token
from chaperon_engine.protocol.wire import (
    Ack,
    Admitted,
    AgentFrame,
    AgentHello,
    AgentNote,
    BundleFile,
    ClientGreeting,
    Denied,
    from_agent_decoder,
    from_stranger_decoder,
    to_agent_decoder,
    to_stranger_decoder,
)
from chaperon_engine.runs.journal import FrameRecord, Header, JournalReader, JournalWriter

CORPUS = Path(__file__).with_name("corpus")
SECRET = RunSecret(bytes(range(32)))
CERTIFICATE = hashlib.sha256(b"certificate").digest()
MAX_INTERVALS = 200_000
"""No input of some kilobytes may make more seconds of history than this."""


def take(data: bytes, folder: Path) -> None:
    """One input: its first byte says who gets the rest. `folder` is for files."""
    if not data:
        return
    how, rest = data[0] % len(TAKERS), data[1:]
    TAKERS[how](rest, folder)


def _messages(decoder: MessageDecoder[Message], data: bytes) -> Iterator[Message]:
    half = len(data) // 2
    try:
        for piece in (data[:half], data[half:]):
            yield from decoder.feed(piece)
    except ProtocolError:
        return


def _from_agent(data: bytes, folder: Path) -> None:
    """Frames of one agent go into the run."""
    aggregate = RunAggregate(2, max_series=50)
    aggregate.begin(0)
    for message in _messages(from_agent_decoder(), data):  # type: ignore[arg-type]
        assert encode(message)
        if isinstance(message, AgentFrame):
            _apply(aggregate, message.frame)
    _adds_up(aggregate)


def _frame(data: bytes, folder: Path) -> None:
    """The same without the length in front, which a fuzzer finds hard to guess."""
    try:
        frames = msgspec.msgpack.decode(data, type=list[Frame])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return
    aggregate = RunAggregate(2, max_series=50)
    aggregate.begin(0)
    for frame in frames:
        _apply(aggregate, frame)
    _adds_up(aggregate)


def _to_agent(data: bytes, folder: Path) -> None:
    for message in _messages(to_agent_decoder(), data):  # type: ignore[arg-type]
        assert encode(message)


def _stranger(data: bytes, folder: Path) -> None:
    """At the coordinator's door: nobody gets in by chance."""
    handshake = ServerHandshake(SECRET, run_id="r", certificate=CERTIFICATE, nonce=os.urandom(32))
    for message in _messages(from_stranger_decoder(), data):  # type: ignore[arg-type]
        assert isinstance(message, ClientGreeting)
        assert isinstance(handshake.feed(message), Refusal)


def _impostor(data: bytes, folder: Path) -> None:
    handshake = ClientHandshake(
        SECRET.token("agent"), name="a", run_id="", certificate=CERTIFICATE, nonce=os.urandom(32)
    )
    for message in _messages(to_stranger_decoder(), data):  # type: ignore[arg-type]
        assert not isinstance(handshake.feed(message), Accepted)  # type: ignore[arg-type]


def _journal(data: bytes, folder: Path) -> None:
    path = folder / "journal"
    path.write_bytes(data)
    aggregate = RunAggregate(2, max_series=50)
    with contextlib.suppress(UserError):
        for record in JournalReader(path):
            if isinstance(record, FrameRecord):
                _apply(aggregate, record.frame)
    _adds_up(aggregate)


def _token(data: bytes, folder: Path) -> None:
    try:
        Token.parse(data.decode("latin-1"))
    except UserError:
        return


TAKERS = [_from_agent, _frame, _to_agent, _stranger, _impostor, _journal, _token]
FRAMINGS: list[Framing] = [
    "messages", "value", "messages", "messages", "messages", "records", "bytes",
]  # fmt: skip
"""How the input of each of them is put together."""


def vary(data: bytes, chance: random.Random) -> bytes:
    """An input for the same taker with some of its values changed. Raises ValueError."""
    return data[:1] + changed(data[1:], FRAMINGS[data[0] % len(TAKERS)], chance)


def _apply(aggregate: RunAggregate, frame: Frame) -> None:
    try:
        aggregate.apply(frame)
    except ValueError:
        return
    aggregate.advance(frame.end_ns)


def _adds_up(aggregate: RunAggregate) -> None:
    aggregate.finish(1.0)
    totals = aggregate.totals
    assert totals.ok + totals.failed <= totals.requests
    assert len(aggregate.intervals) < MAX_INTERVALS
    aggregate.totals_summary()
    aggregate.metric_summaries()


def seeds(folder: Path) -> list[bytes]:
    """Sound inputs, from which a fuzzer begins."""
    first = Frame(
        worker=0, epoch=0, seq=0, start_ns=0, end_ns=10**9,
        new_series=[
            (0, SeriesKey(kind="first_byte", url="/", tags=(("a", "b"),))),
            (1, SeriesKey(kind="http", url="/")),
        ],
        deltas=[
            SeriesDelta(0, ok=1, expected=packed([5], [1], sum_us=5, min_us=5, max_us=5)),
            SeriesDelta(
                1, sent=3, ok=1, failed=1, bytes_in=7, bytes_out=9, statuses={200: 1},
                expected=packed([5], [1], sum_us=5, min_us=5, max_us=5), errors={"reset": 1},
                failures=packed([9], [1], sum_us=9, min_us=9, max_us=9),
            ),
        ],
    )  # fmt: skip
    first = msgspec.structs.replace(
        first,
        totals=msgspec.structs.replace(
            first.totals, sent=3, ok=1, failed=1, bytes_in=7, bytes_out=9
        ),
    )
    second = msgspec.structs.replace(
        first, seq=1, start_ns=10**9, end_ns=2 * 10**9, new_series=[], deltas=[], last=True
    )
    hello = AgentHello(
        name="a", instance=bytes(16), host="h", cores=2, python="3", chaperon="1",
        versions={"msgspec": "1"},
    )  # fmt: skip
    server = ServerHandshake(SECRET, run_id="r", certificate=CERTIFICATE, nonce=bytes(32))
    client = ClientHandshake(
        SECRET.token("agent"), name="a", run_id="r", certificate=CERTIFICATE, nonce=bytes(32)
    )
    greeting = client.feed(server.greet())
    assert isinstance(greeting, ClientGreeting)
    path = folder / "seed"
    path.unlink(missing_ok=True)
    journal = JournalWriter(path)
    journal.append(Header(run_id="r", start_ns=0, started_at="", workers=[(0, 1, None)]))
    journal.append_frame(first)
    journal.append_frame(second)
    journal.close()
    inputs = [
        b"".join(map(encode, (hello, AgentFrame(frame=first), AgentFrame(frame=second)))),
        msgspec.msgpack.encode([first, second]),
        b"".join(map(encode, (
            Admitted(member=1, lease_s=15), Ack(next_seq=3), StopLoad(grace_s=1.0),
            BundleFile(name="a", digest=bytes(32), size=1, data=b"x"),
        ))),
        encode(greeting),
        encode(server.greet()) + encode(Denied(reason="no")),
        path.read_bytes(),
        SECRET.token("agent").text.encode(),
    ]  # fmt: skip
    note = encode(AgentNote(level="info", text="a"))
    return [*(bytes([number]) + data for number, data in enumerate(inputs)), b"\0" + note]

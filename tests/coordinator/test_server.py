"""Viewers of a run over a real unix socket; the run itself is a stand-in."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaperon_engine.client.connection import RunClient
from chaperon_engine.coordinator.server import ClientServer
from chaperon_engine.coordinator.viewer import Seen
from chaperon_engine.definition.plan import Plan
from chaperon_engine.errors import EngineError
from chaperon_engine.metrics.model import IterationCounts, LogLine, SessionCounts
from chaperon_engine.metrics.snapshot import (
    HealthView,
    Percentiles,
    SeriesDetail,
    Snapshot,
    Totals,
    View,
    WindowSummary,
)
from chaperon_engine.protocol.codec import encode, from_engine_decoder
from chaperon_engine.protocol.lease import Leases
from chaperon_engine.protocol.messages import (
    AbortRun,
    DrainMember,
    GetSeries,
    GetWindow,
    Hello,
    Message,
    NodeDied,
    Refused,
    SeriesReply,
    SnapshotMessage,
    StopRun,
    Subscribe,
    Welcome,
    WindowReply,
)
from chaperon_engine.runs.directory import RunDirectory

PLAN = Plan(load_test="T", file="", services=[], populations=[])
WELCOME = Welcome(protocol=1, run_id="r", pid=1, plan=msgspec.msgpack.encode(PLAN))


@dataclass
class FakeRun:
    """A run that counts how often it is looked at."""

    orders: list[str] = field(default_factory=list)
    snapshots: int = 0
    payload: str = ""
    state: str = "running"

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        self.snapshots += 1
        return Snapshot(
            run_id="r",
            load_test="T",
            state=self.state,
            elapsed_s=float(self.snapshots),
            totals=Totals(),
            latency=Percentiles(),
            latency_now=Percentiles(),
            sessions=SessionCounts(),
            iterations=IterationCounts(),
            health=HealthView(),
            logs=[LogLine(0.0, "info", "x", self.payload)],
        )

    def series_detail(self, series: int) -> SeriesDetail | None:
        return None

    def window_summary(self, start_s: int, end_s: int, *, with_rows: bool) -> WindowSummary | None:
        assert with_rows
        return None

    def stop(self, by: str) -> None:
        self.orders.append(f"stop by {by}")

    def abort(self, by: str) -> None:
        self.orders.append(f"abort by {by}")

    def drain(self, member: int, by: str) -> str:
        self.orders.append(f"drain {member} by {by}")
        return f"this run has no member {member}" if member > 5 else ""

    def node_died(self, name: str, reason: str) -> None:
        self.orders.append(f"{name} died: {reason}")


class Viewer:
    """The other end of the socket, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.decoder = from_engine_decoder()
        self.inbox: list[Any] = []

    def send(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(encode, messages)))

    async def receive(self) -> Any:
        """The next message; None at the end of the connection."""
        async with asyncio.timeout(5):
            while not self.inbox:
                data = await self.reader.read(65536)
                if not data:
                    return None
                self.inbox += self.decoder.feed(data)
        return self.inbox.pop(0)

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class House:
    """A server with its parts."""

    def __init__(self, path: Path):
        self.path = path
        self.run = FakeRun()
        self.leases = Leases()
        self.now = 0.0
        self.server = ClientServer(self.run, self.leases, lambda: self.now)
        self._viewers: list[Viewer] = []

    async def viewer(self, *messages: Message) -> Viewer:
        viewer = Viewer(*await asyncio.open_unix_connection(str(self.path)))
        viewer.send(*messages)
        self._viewers.append(viewer)
        return viewer

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        for viewer in self._viewers:
            viewer.writer.transport.abort()
        await self.server.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "s")
    await house.server.listen(house.path)
    yield house
    await house.close()


HELLO = Hello(protocol=1)


async def test_the_socket_is_private(house: House) -> None:
    assert stat.S_IMODE(os.stat(house.path).st_mode) & 0o177 == 0


async def test_a_viewer_is_welcomed_when_the_load_begins_and_not_before(house: House) -> None:
    early = await house.viewer(HELLO)
    await house.until(lambda: house.server.viewers == 1)
    await house.until(lambda: any(c.said_hello for c in house.server._viewers.values()))
    house.server.answer_all(WELCOME)
    assert await early.receive() == WELCOME
    late = await house.viewer(HELLO)
    assert await late.receive() == WELCOME


async def test_a_run_that_cannot_begin_is_refused_with_its_sentence(house: House) -> None:
    viewer = await house.viewer(HELLO)
    await house.until(lambda: any(c.said_hello for c in house.server._viewers.values()))
    house.server.answer_all(Refused(reason="no service"))
    assert await viewer.receive() == Refused(reason="no service")
    assert await viewer.receive() is None


async def test_another_protocol_is_refused_with_both_numbers(house: House) -> None:
    viewer = await house.viewer(Hello(protocol=99))
    refusal = await viewer.receive()
    assert "protocol 1" in refusal.reason
    assert "99" in refusal.reason
    assert await viewer.receive() is None


async def test_a_refusal_waits_for_the_starter_that_has_not_come_yet(house: House) -> None:
    house.server.answer_all(Refused(reason="no service"))
    closing = asyncio.create_task(house.server.close())
    await asyncio.sleep(0)
    viewer = await house.viewer(HELLO)
    assert await viewer.receive() == Refused(reason="no service")
    await viewer.leave()
    await closing


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x01\xc1", encode(StopRun()), encode(WELCOME)],
    ids=["another protocol", "no msgpack", "no hello", "a message of the engine"],
)
async def test_garbage_ends_the_connection_and_nothing_else(house: House, data: bytes) -> None:
    good = await house.viewer(HELLO)
    bad = await house.viewer()
    bad.writer.write(data)
    refusal = await bad.receive()
    assert isinstance(refusal, Refused)
    assert await bad.receive() is None
    house.server.answer_all(WELCOME)
    assert await good.receive() == WELCOME
    assert house.run.orders == []


async def test_orders_and_questions_reach_the_run(house: House) -> None:
    house.server.answer_all(WELCOME)
    viewer = await house.viewer(
        HELLO,
        StopRun(),
        AbortRun(),
        DrainMember(member=3),
        NodeDied(name="a", reason="no power"),
        GetSeries(request=5, series=1),
        GetWindow(request=6, start_s=0, end_s=1),
    )
    assert await viewer.receive() == WELCOME
    assert await viewer.receive() == SeriesReply(request=5, detail=None)
    assert await viewer.receive() == WindowReply(request=6, summary=None)
    assert house.run.orders == [
        "stop by client",
        "abort by client",
        "drain 3 by client",
        "a died: no power",
    ]


async def test_snapshots_come_at_the_rate_that_was_asked_for_and_four_a_second_at_most(
    house: House,
) -> None:
    house.server.answer_all(WELCOME)
    await house.viewer(HELLO, Subscribe(rate_hz=1000.0))
    await house.viewer(HELLO, Subscribe(rate_hz=1.0))
    await house.until(lambda: [c.looks for c in house.server._viewers.values()] == [True, True])
    for _ in range(100):
        house.now += 0.02
        house.server.publish()
        await asyncio.sleep(0)
    assert 8 <= house.run.snapshots - 2 <= 11, "4 + 1 a second, for two seconds"


async def test_a_viewer_that_does_not_read_gets_the_newest_later_and_no_queue(
    house: House,
) -> None:
    house.run.payload = "x" * 3_000_000
    house.server.answer_all(WELCOME)
    viewer = await house.viewer(HELLO, Subscribe())
    await house.until(lambda: any(c.looks for c in house.server._viewers.values()))
    for _ in range(50):
        house.now += 1.0
        house.server.publish()
        await asyncio.sleep(0)
    assert house.run.snapshots == 1
    assert await viewer.receive() == WELCOME
    assert isinstance(await viewer.receive(), SnapshotMessage)
    house.now += 1.0

    def publish() -> bool:
        house.server.publish()
        return house.run.snapshots > 1

    await house.until(publish)
    assert (await viewer.receive()).snapshot.elapsed_s == 2.0


async def test_a_viewer_that_asks_without_reading_loses_its_connection(house: House) -> None:
    house.server.answer_all(WELCOME)
    viewer = await house.viewer(HELLO)
    question = encode(GetSeries(request=1, series=1)) * 1000

    async def flood() -> None:
        while True:
            viewer.writer.write(question)
            await viewer.writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(flood(), 20)
    await house.until(lambda: house.server.viewers == 0)


async def test_a_lease_is_held_by_being_connected(house: House) -> None:
    house.server.answer_all(WELCOME)
    owner = await house.viewer(Hello(protocol=1, lease=True))
    await owner.receive()
    assert len(house.leases.holders) == 1
    house.now = 100.0
    await owner.leave()
    await house.until(lambda: not house.leases.holders)
    assert not house.leases.expired(104.0)
    assert house.leases.expired(105.0)


async def test_at_the_end_every_viewer_gets_the_last_snapshot_and_the_socket_goes(
    house: House,
) -> None:
    house.server.answer_all(WELCOME)
    viewer = await house.viewer(HELLO, Subscribe(rate_hz=0.1))
    await house.until(lambda: any(c.looks for c in house.server._viewers.values()))
    house.run.state = "finished"
    closing = asyncio.create_task(house.server.close())
    assert await viewer.receive() == WELCOME
    assert (await viewer.receive()).snapshot.state == "finished"
    assert await viewer.receive() is None
    viewer.send(GetSeries(request=1, series=1), StopRun())
    await viewer.leave()
    await closing
    assert not house.path.exists()


async def client_of(house: House, *, run: str = "r") -> RunClient:
    directory = RunDirectory(house.path.parent / run)
    return await RunClient.open(directory, house.path, lease=False, timeout_s=5)


@pytest.mark.parametrize("comes", ["before", "after"])
async def test_who_looks_while_the_engine_takes_its_leave_gets_the_last_snapshot(
    house: House, comes: str
) -> None:
    house.server.answer_all(WELCOME)
    # It keeps the socket open for the one that comes when the leave has begun.
    other = await house.viewer(HELLO, Subscribe())
    await house.until(lambda: any(c.looks for c in house.server._viewers.values()))
    client = await client_of(house) if comes == "before" else None
    house.run.state = "finished"
    closing = asyncio.create_task(house.server.close())
    await house.until(lambda: house.server.is_over)
    client = client or await client_of(house)
    assert [snapshot.state async for snapshot in client.snapshots()] == ["finished"]
    await client.close()
    await other.leave()
    await closing


@pytest.mark.parametrize(
    ("is_there", "sentence"),
    [
        (False, "the engine of r ended without a report: `chaperon recover r` makes it"),
        (True, "the engine of r has ended: `chaperon report r` shows its report"),
    ],
)
async def test_who_comes_too_late_hears_what_there_is(
    house: House, is_there: bool, sentence: str
) -> None:
    house.server.answer_all(WELCOME)
    client = await client_of(house)
    if is_there:
        (house.path.parent / "r").mkdir()
        (house.path.parent / "r" / "report.json").touch()
    for viewer in house.server._viewers.values():
        viewer.abort()
    with pytest.raises(EngineError) as caught:
        _ = [snapshot async for snapshot in client.snapshots()]
    assert sentence in str(caught.value)
    await client.close()

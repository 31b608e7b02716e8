"""Viewers over TLS: a real listener and client on loopback; the run itself is a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from chaperon_engine.client.archive import final_report
from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.remote import Patience, attach_remote
from chaperon_engine.coordinator import server as server_module
from chaperon_engine.coordinator import viewer as viewer_module
from chaperon_engine.coordinator.certificate import Credentials
from chaperon_engine.coordinator.door import ListenerLimits
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.coordinator.server import ClientServer
from chaperon_engine.coordinator.view import LogMemory
from chaperon_engine.coordinator.viewer import Allowance, Seen
from chaperon_engine.definition.plan import Plan
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.metrics.model import IterationCounts, LogLine, SessionCounts
from chaperon_engine.metrics.snapshot import (
    HealthView,
    Interval,
    Percentiles,
    SeriesDetail,
    Snapshot,
    Totals,
    View,
    WindowSummary,
)
from chaperon_engine.protocol.lease import Leases
from chaperon_engine.protocol.messages import (
    AbortRun,
    DrainMember,
    FromEngine,
    Gathering,
    GetSeries,
    GetWindow,
    Hello,
    Message,
    Refused,
    SnapshotMessage,
    StopRun,
    Subscribe,
    Welcome,
)
from chaperon_engine.protocol.token import RunSecret, Token
from chaperon_engine.remote.dial import Pin, dial_as_agent, dial_as_viewer
from chaperon_engine.remote.link import EngineLink, ViewerLink
from tests.remote.conftest import RUN, until

PLAN = Plan(load_test="T", file="", services=[], populations=[])
WELCOME = Welcome(protocol=1, run_id=RUN, pid=1, plan=msgspec.msgpack.encode(PLAN))
QUICK = Patience(first_backoff_s=0.01, longest_backoff_s=0.05)


class Run:
    """A run that has a history and takes orders."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.intervals: list[Interval] = []
        self.logs = LogMemory()
        self.state = "running"
        self.payload = ""
        self.looks = 0
        self.reads = 0

    def second(self) -> None:
        number = len(self.intervals)
        self.intervals.append(Interval(number, 1, 1, 0, 0, 0, Percentiles()))
        self.logs.add(LogLine(float(number), "info", "x", str(number)))

    def snapshot(self, view: View, seen: Seen) -> Snapshot:
        self.looks += 1
        fresh = self.intervals[seen.intervals :]
        seen.intervals += len(fresh)
        lines, seen.logs = self.logs.since(seen.logs)
        return Snapshot(
            run_id=RUN,
            load_test=self.payload,
            state=self.state,
            elapsed_s=float(len(self.intervals)),
            totals=Totals(),
            latency=Percentiles(),
            latency_now=Percentiles(),
            sessions=SessionCounts(),
            iterations=IterationCounts(),
            health=HealthView(),
            intervals=fresh,
            logs=lines,
            log_lines=seen.logs,
            role=seen.role,
        )

    def series_detail(self, series: int) -> SeriesDetail | None:
        return None

    def window_summary(self, start_s: int, end_s: int, *, with_rows: bool) -> WindowSummary | None:
        self.reads += with_rows
        return WindowSummary(
            start_s=start_s, end_s=end_s, totals=Totals(), latency=Percentiles(), rows=[]
        )

    def stop(self, by: str) -> None:
        self.orders.append(f"stop by {by}")

    def abort(self, by: str) -> None:
        self.orders.append(f"abort by {by}")

    def drain(self, member: int, by: str) -> str:
        self.orders.append(f"drain {member} by {by}")
        return f"this run has no member {member}" if member > 5 else ""


class Engine:
    """What viewers dial."""

    def __init__(self, credentials: Credentials):
        self.run = Run()
        self.leases = Leases()
        self.server = ClientServer(self.run, self.leases, time.monotonic)
        self.secret = RunSecret(bytes(range(32)))
        self.credentials = credentials
        self.links: list[ViewerLink] = []
        self.port = 0
        self._publishing: asyncio.Task[None] | None = None
        self.listener = self._listener()

    def _listener(self) -> Listener:
        return Listener(
            run_id=RUN,
            secret=self.secret,
            credentials=self.credentials,
            on_agent=lambda link: link.abort("no agents here"),
            on_viewer=self._receive,
            now=time.monotonic,
            say=lambda level, text: None,
            limits=ListenerLimits(),
        )

    def _receive(self, link: ViewerLink) -> None:
        self.links.append(link)
        self.server.receive(link)

    async def open(self) -> None:
        self.port = await self.listener.listen("127.0.0.1", self.port)

    async def reopen(self) -> None:
        self.listener = self._listener()
        await self.open()

    def publishes(self) -> None:
        """From now on, as an engine does."""

        async def publish() -> None:
            while True:
                self.server.publish()
                await asyncio.sleep(0.01)

        self._publishing = asyncio.create_task(publish())

    async def attach(self, role: Any = "observer", **how: Any) -> RunClient:
        how = {"name": "ann", "patience": QUICK, **how}
        return await attach_remote(
            "127.0.0.1",
            self.port,
            run_id=RUN,
            token=self.secret.token(role),
            pin=self.credentials.pin,
            **how,
        )

    async def dial(self, *messages: Message, role: Any = "observer") -> Raw:
        link = await dial_as_viewer(
            "127.0.0.1", self.port, run_id=RUN, name="raw", token=self.secret.token(role),
            trust=Pin(self.credentials.fingerprint),
        )  # fmt: skip
        raw = Raw(link)
        for message in messages:
            link.send(message)
        return raw

    async def close(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
        await self.listener.close()
        for link in self.links:
            link.abort("the test is over")
        await until(lambda: self.listener.door.friends == 0)


class Raw:
    """A viewer that says what it likes."""

    def __init__(self, link: EngineLink):
        self.link = link
        self.heard: asyncio.Queue[FromEngine] = asyncio.Queue()
        self.gone = asyncio.Event()
        link.begin(self.heard.put_nowait, lambda reason: self.gone.set())

    async def hear(self) -> FromEngine:
        return await asyncio.wait_for(self.heard.get(), 5)

    async def is_hung_up_on(self) -> None:
        await asyncio.wait_for(self.gone.wait(), 5)


@pytest.fixture
async def engine(credentials: Credentials) -> AsyncIterator[Engine]:
    engine = Engine(credentials)
    await engine.open()
    engine.server.answer_all(WELCOME)
    yield engine
    await engine.close()


@pytest.fixture
async def steady(engine: Engine) -> AsyncIterator[Raw]:
    """A viewer that must not notice what another one does."""
    raw = await engine.dial(Hello(protocol=1))
    assert await raw.hear() == WELCOME
    yield raw
    raw.link.send(GetWindow(request=7, start_s=0, end_s=1))
    await raw.hear()
    assert not raw.gone.is_set()
    raw.link.abort("over")


async def see(client: RunClient, enough: Callable[[Snapshot], bool]) -> list[Snapshot]:
    seen = []
    async with asyncio.timeout(10):
        async for snapshot in client.snapshots():
            seen.append(snapshot)
            if enough(snapshot):
                return seen
    return seen


async def test_an_observer_sees_what_a_local_viewer_sees_and_is_refused_steering(
    engine: Engine,
) -> None:
    engine.publishes()
    engine.run.second()
    async with await engine.attach() as client:
        assert client.role == "observer"
        assert client.where == f"127.0.0.1:{engine.port}"
        assert client.plan.load_test == "T"
        (snapshot,) = await see(client, lambda snapshot: True)
        assert snapshot.role == "observer"
        assert [interval.second for interval in snapshot.intervals] == [0]
        assert await client.series(5) is None
        window = await client.window(2, 4)
        assert window is not None
        assert (window.start_s, window.end_s) == (2, 4)
        for order in (client.stop(), client.abort(), client.drain(0)):
            with pytest.raises(UserError, match="an observer may not steer"):
                await order
        with pytest.raises(EngineError, match="on another machine"):
            _ = client.directory
        refused: list[str] = []
        client.on_refused = refused.append
        await client._send(StopRun())
        await until(lambda: bool(refused))
        assert "an observer may not stop this run" in refused[0]
    assert engine.run.orders == []


async def test_the_engine_itself_refuses_an_observers_orders_and_goes_on_serving_it(
    engine: Engine,
) -> None:
    raw = await engine.dial(Hello(protocol=1), StopRun(), AbortRun(), DrainMember(member=1))
    assert await raw.hear() == WELCOME
    for what in ("stop this run", "abort this run", "drain a member of this run"):
        refusal = await raw.hear()
        assert isinstance(refusal, Refused)
        assert f"an observer may not {what}" in refusal.reason
    raw.link.send(Subscribe())
    await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
    engine.server.publish()
    assert isinstance(await raw.hear(), SnapshotMessage)
    assert engine.run.orders == []
    raw.link.abort("over")


async def test_an_operator_steers_and_is_named(engine: Engine) -> None:
    async with await engine.attach("operator") as client:
        await client.stop()
        await client.abort()
        await client.drain(3)
        refused: list[str] = []
        client.on_refused = refused.append
        await client.drain(9)
        await until(lambda: refused == ["this run has no member 9"])
    who = "operator ann from 127.0.0.1"
    assert engine.run.orders == [
        f"stop by {who}", f"abort by {who}", f"drain 3 by {who}", f"drain 9 by {who}",
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["agent", "operator"])
async def test_an_observers_key_is_worth_nothing_in_another_role(engine: Engine, role: Any) -> None:
    forged = Token(role, engine.secret.token("observer").key)
    dial: Any = dial_as_agent if role == "agent" else dial_as_viewer
    with pytest.raises(UserError, match=f"that is not the {role} token"):
        await dial(
            "127.0.0.1", engine.port, run_id=RUN, name="x", token=forged,
            trust=Pin(engine.credentials.fingerprint),
        )  # fmt: skip
    with pytest.raises(UserError, match="that is an agent's token"):
        await engine.attach("agent")
    assert engine.links == []


async def test_a_run_does_not_depend_on_a_viewer_elsewhere(engine: Engine) -> None:
    raw = await engine.dial(Hello(protocol=1, lease=True), role="operator")
    assert await raw.hear() == WELCOME
    assert not engine.leases.holders
    raw.link.abort("over")


async def test_who_waits_for_the_load_is_told_how_others_come_without_paths(
    engine: Engine,
) -> None:
    engine.server._answer = None
    here = Gathering(join="j /home", token_file="/home/t", expected=2, attach="a /home")
    elsewhere = Gathering(join="j", token_file="", expected=2, attach="a")
    engine.server.gather(here, elsewhere)
    told: list[Gathering] = []
    attaching = asyncio.create_task(engine.attach(on_gathering=told.append))
    await until(lambda: bool(told))
    engine.server.answer_all(WELCOME)
    await (await attaching).close()
    assert told == [elsewhere]


async def test_after_a_break_nothing_of_the_history_is_missing_or_twice(engine: Engine) -> None:
    engine.publishes()
    client = await engine.attach()
    seconds: list[int] = []
    lines: list[str] = []

    async def watch() -> None:
        async for snapshot in client.snapshots():
            seconds.extend(interval.second for interval in snapshot.intervals)
            lines.extend(line.text for line in snapshot.logs)

    await client.subscribe(View(), 4.0)
    watching = asyncio.create_task(watch())
    for breaks in range(3):
        engine.run.second()
        await until(lambda: len(seconds) == len(engine.run.intervals))
        await engine.listener.close()
        engine.links[-1].abort("the network broke")
        await until(lambda: client.outage is not None and client.outage.tries > 0)
        assert client.outage is not None
        assert str(client.outage).startswith("reconnecting since ")
        assert "does the run listen there?" in client.outage.reason
        with pytest.raises(EngineError, match="cannot be reached: reconnecting since"):
            await client.series(1)
        await client.subscribe(View(), 4.0)
        engine.run.second()
        await engine.reopen()
        await until(lambda: client.outage is None)
        assert len(engine.links) == breaks + 2
    engine.run.state = "finished"
    engine.run.second()
    await asyncio.wait_for(watching, 5)
    assert seconds == list(range(7))
    assert lines == [str(second) for second in seconds]
    await client.close()


async def test_a_question_on_its_way_when_the_network_breaks_has_an_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await engine.attach()
    monkeypatch.setattr(engine.run, "series_detail", lambda series: engine.links[0].abort("x"))
    with pytest.raises(EngineError, match="was lost"):
        await client.series(1)
    await until(lambda: client.outage is None)
    assert await client.window(0, 1) is not None
    await client.close()


async def test_a_connection_that_died_unnoticed_is_replaced(engine: Engine) -> None:
    client = await engine.attach(patience=Patience(first_backoff_s=0.01, silent_s=0.1))
    await client.subscribe(View(), 100.0)  # and nothing is published
    await until(lambda: len(engine.links) == 2)
    await until(lambda: client.outage is None)
    await until(lambda: engine.server.viewers == 1)
    engine.publishes()
    await see(client, lambda snapshot: True)
    await client.close()


async def test_an_engine_that_is_not_found_again_is_given_up_with_a_sentence(
    engine: Engine,
) -> None:
    client = await engine.attach(patience=Patience(first_backoff_s=0.01, return_s=0.2))
    await client.subscribe(View())
    await engine.listener.close()
    engine.links[0].abort("the network broke")
    with pytest.raises(EngineError, match=r"was not found again within .*: no connection to"):
        await see(client, lambda snapshot: False)
    await client.close()


async def test_who_gives_up_waiting_for_the_load_leaves_nothing_behind(engine: Engine) -> None:
    engine.server._answer = None
    attaching = asyncio.create_task(engine.attach())
    await until(lambda: engine.server.viewers == 1)
    gathering = Gathering(join="", token_file="", expected=1)
    engine.server.gather(gathering, gathering)
    attaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attaching
    await until(lambda: engine.server.viewers == 0)
    engine.server._gathering_elsewhere = None
    with pytest.raises(EngineError, match="does not answer"):
        await engine.attach(patience=Patience(greeting_s=0.2))


async def test_a_viewer_that_is_closed_while_it_looks_for_the_engine_is_quiet(
    engine: Engine,
) -> None:
    client = await engine.attach()
    await engine.listener.close()
    engine.links[0].abort("the network broke")
    await until(lambda: client.outage is not None)
    await client.close()
    assert await see(client, lambda snapshot: False) == []


async def test_the_last_snapshot_ends_the_viewer_and_the_server_does_not_wait(
    engine: Engine,
) -> None:
    client = await engine.attach()
    await client.subscribe(View(), 0.1)
    await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
    engine.run.state = "finished"
    async with asyncio.timeout(4):
        await engine.server.close()
    snapshots = await see(client, lambda snapshot: False)
    assert snapshots[-1].state == "finished"
    with pytest.raises(EngineError):
        final_report(snapshots[-1])
    with pytest.raises(EngineError, match="is over"):
        await client.series(1)
    await client.close()
    late = await engine.dial(Hello(protocol=1))
    assert await late.hear() == Refused(reason="this run is over", user_error=False)
    await late.is_hung_up_on()


async def _breaks(engine: Engine, client: RunClient) -> None:
    """The network, between the engine and this client; nobody is found any more."""
    await client.subscribe(View())
    await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
    await engine.listener.close()
    engine.links[-1].abort("the network broke")
    await until(lambda: client.outage is not None and not engine.server.viewers)


async def test_a_viewer_whose_connection_breaks_before_the_end_comes_back_for_it(
    engine: Engine,
) -> None:
    client = await engine.attach()
    await _breaks(engine, client)
    engine.run.state = "finished"
    ending = asyncio.create_task(engine.server.close())
    await until(lambda: engine.server.is_over)
    await engine.reopen()
    snapshots = await see(client, lambda snapshot: False)
    assert snapshots[-1].state == "finished"
    await asyncio.wait_for(ending, 5)
    await client.close()


async def test_who_left_on_purpose_or_long_ago_is_not_waited_for(engine: Engine) -> None:
    gone = await engine.attach()
    await _breaks(engine, gone)
    await gone.close()
    assert engine.server._missing
    engine.server._now = lambda: time.monotonic() + server_module.RECENTLY_S + 1
    await engine.reopen()
    for _ in range(2):
        client = await engine.attach()
        await client.subscribe(View())
        await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
        await client.close()
        await until(lambda: not engine.server.viewers)
    async with asyncio.timeout(server_module.SUBSCRIBE_S):
        await engine.server.close()


async def test_who_does_not_come_back_is_waited_for_a_limited_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LINGER_S", 0.3)
    client = await engine.attach()
    await _breaks(engine, client)
    began = time.monotonic()
    async with asyncio.timeout(4):
        await engine.server.close()
    assert time.monotonic() - began > 0.25
    await client.close()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x01\xc1", b"\x7f\xff\xff\xff", bytes(100_000)],
    ids=["another protocol", "no msgpack", "a huge frame", "zeros"],
)
async def test_a_viewer_that_sends_garbage_loses_its_connection_and_nothing_else(
    engine: Engine, steady: Raw, data: bytes
) -> None:
    raw = await engine.dial(Hello(protocol=1))
    assert await raw.hear() == WELCOME
    raw.link._transport.write(data)
    await raw.is_hung_up_on()
    await until(lambda: engine.server.viewers == 1)


@pytest.mark.parametrize(
    "messages",
    [[StopRun()], [Hello(protocol=1), Hello(protocol=1)], [Hello(protocol=9)], [WELCOME]],
    ids=["no hello", "two", "another protocol", "an engine's message"],
)
async def test_a_viewer_out_of_turn_loses_its_connection(
    engine: Engine, steady: Raw, messages: list[Message]
) -> None:
    raw = await engine.dial(*messages, role="operator")
    await raw.is_hung_up_on()
    await until(lambda: engine.server.viewers == 1)
    assert engine.run.orders == []


async def test_a_viewer_that_says_nothing_is_not_kept(
    engine: Engine, steady: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer_module, "HELLO_TIMEOUT_S", 0.05)
    raw = await engine.dial()
    await raw.is_hung_up_on()
    await until(lambda: engine.server.viewers == 1)


async def test_a_viewer_that_asks_too_much_loses_its_connection(
    engine: Engine, steady: Raw
) -> None:
    flood = [GetSeries(request=number, series=0) for number in range(1000)]
    raw = await engine.dial(Hello(protocol=1), *flood)
    await raw.is_hung_up_on()
    assert raw.heard.qsize() < 400
    await until(lambda: engine.server.viewers == 1)


async def test_viewers_elsewhere_share_what_may_be_read_of_the_journal(engine: Engine) -> None:
    engine.server._reads_elsewhere = Allowance(burst=4.0, per_s=0.0, left=4.0)
    for _ in range(2):
        async with await engine.attach() as client:
            for _ in range(4):
                assert await client.window(0, 1) is not None
    assert engine.run.reads == 4


def test_questions_are_allowed_again_as_time_passes() -> None:
    allowance = Allowance(burst=2.0, per_s=1.0, left=2.0)
    assert [allowance.takes(1.0, 0.0) for _ in range(3)] == [True, True, False]
    assert not allowance.takes(1.0, 0.5)
    assert allowance.takes(1.0, 1.1)
    assert not allowance.takes(1.0, 1.2)
    assert [allowance.takes(1.0, 1e6) for _ in range(3)] == [True, True, False]


async def test_a_viewer_that_takes_less_than_a_snapshot_loses_its_connection(
    engine: Engine, steady: Raw
) -> None:
    raw = await engine.dial(Hello(protocol=1), Subscribe())
    await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
    engine.links[-1]._max_frame_bytes = 10
    engine.server.publish()
    await raw.is_hung_up_on()


async def test_there_is_room_for_so_many_and_those_here_do_not_count(
    engine: Engine, steady: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_REMOTE", 2)
    second = await engine.attach()
    with pytest.raises(EngineError, match="2 viewers on other machines watch this run"):
        await engine.attach()
    assert engine.server._here() == 0
    await second.close()
    await until(lambda: engine.server.viewers == 1)
    await (await engine.attach()).close()


async def test_a_slow_viewer_gets_the_newest_and_no_queue(engine: Engine) -> None:
    engine.run.payload = "x" * 6_000_000
    raw = await engine.dial(Hello(protocol=1), Subscribe(rate_hz=4.0))
    assert await raw.hear() == WELCOME
    raw.link._transport.pause_reading()
    await until(lambda: any(viewer.looks for viewer in engine.server._viewers.values()))
    (viewer,) = engine.server._viewers.values()
    for _ in range(50):
        engine.run.second()
        viewer._due_at = 0.0
        engine.server.publish()
        await asyncio.sleep(0)
    taken = engine.run.looks
    assert 1 <= taken <= 4, "what the system's buffers hold, and one that TLS takes over"
    raw.link._transport.resume_reading()
    for _ in range(taken):
        assert isinstance(await raw.hear(), SnapshotMessage)

    def publish() -> bool:
        engine.server.publish()
        return engine.run.looks > taken

    await until(publish)
    newest = await raw.hear()
    assert isinstance(newest, SnapshotMessage)
    assert newest.snapshot.elapsed_s == 50.0
    raw.link.abort("over")


async def test_trust_is_a_pin_or_an_authority(engine: Engine) -> None:
    token = engine.secret.token("observer")
    with pytest.raises(UserError, match="either a pin or an authority"):
        await attach_remote("127.0.0.1", engine.port, run_id=RUN, token=token)
    with contextlib.suppress(UserError):
        await attach_remote("127.0.0.1", engine.port, run_id=RUN, token=token, pin="sha256:1")
        pytest.fail("that is no pin")

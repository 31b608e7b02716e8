"""A host joins a run, with real processes and connections, and counts compared to a server's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from chaperon_engine.coordinator.certificate import Credentials, self_signed
from chaperon_engine.protocol.token import RunSecret
from tests.agent.lead import RUN, Joined, Lead, request_of, until
from tests.engine.conftest import CountingServer, home, server

__all__ = ["home", "server"]

SHOP = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session
{extra}
from beside import PATH

class Browse(Scenario):
    async def run(self, session: Session) -> None:
        await session.get(PATH + str(session.index), name="page")
        await session.delay(0.01)
        {more}

class ShopTest(LoadTest):
    services = {{"shop": Service("{url}")}}
    scenarios = [Population(Browse, sessions=8, duration="{duration}", graceful_stop="1s")]
"""

Begin = Callable[..., Awaitable[tuple[Lead, Joined]]]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return self_signed(RUN, tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def begin(
    tmp_path: Path, server: CountingServer, credentials: Credentials
) -> AsyncIterator[Begin]:
    """Starts a coordinator, and an agent with two workers that have shares 1 and 2 of 4."""
    folder = tmp_path / "test"
    folder.mkdir()
    (tmp_path / "tmp").mkdir()
    (folder / "beside.py").write_text("PATH = '/'\n")
    dropped: list[Lead | Joined] = []

    async def start(
        *options: str, duration: str = "1500ms", extra: str = "", more: str = "",
        working: Path | None = None, **how: str,
    ) -> tuple[Lead, Joined]:  # fmt: skip
        file = folder / "shop.py"
        file.write_text(SHOP.format(url=server.url, duration=duration, extra=extra, more=more))
        lead = Lead(credentials, request_of(file), shares=[1, 2], of=4, working=working)
        await lead.listen()
        dropped.append(lead)
        joined = await Joined.start(lead, tmp_path, "--workers", "2", *options, **how)
        dropped.append(joined)
        return lead, joined

    yield start
    for found in reversed(dropped):
        await (found.drop() if isinstance(found, Joined) else found.close())


def check_counts(lead: Lead, server: CountingServer, *, off_by: int = 0) -> None:
    """What was measured is what the server saw."""
    lead.aggregate.finish(60)
    totals = lead.aggregate.totals
    assert abs(totals.requests - server.requests) <= off_by
    assert totals.requests > 20
    (page,) = [row for row in lead.aggregate.metric_summaries() if row.kind == "http"]
    missing = lead.aggregate.worker_summary(0).missing_latencies
    assert page.service_time_us is not None
    assert page.service_time_us.count + missing == page.count - totals.in_flight


def quiet(server: CountingServer) -> Callable[[], bool]:
    """Whether no request has come for a third of a second."""
    seen, since = server.requests, time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        if server.requests != seen:
            seen, since = server.requests, time.monotonic()
        return time.monotonic() - since > 0.3

    return is_quiet


def leftovers(folder: Path) -> list[Path]:
    """Unpacked code and journals."""
    agents = folder / "h/agents"
    return [*(folder / "tmp").glob("chaperon-*"), *(agents.iterdir() if agents.exists() else [])]


async def test_names_of_files_hold_that_are_relative_to_where_the_run_was_started(
    begin: Begin, server: CountingServer, tmp_path: Path
):
    lead, joined = await begin(
        working=tmp_path, duration="300ms", extra="open('test/beside.py').close()",
        more="open('test/beside.py').close()",
    )  # fmt: skip
    assert await joined.end() == 0
    assert lead.aggregate.exceptions() == []
    assert lead.aggregate.totals.requests == server.requests > 0


async def test_a_host_whose_limits_do_not_fit_the_plan_says_so_before_the_start(
    begin: Begin, server: CountingServer
):
    lead, joined = await begin(descriptors="65")
    assert await joined.end() == 104
    assert lead.failure is not None
    assert "8 sessions on 4 workers need at least 66 descriptors per worker" in lead.failure.message
    assert "the hard limit is 65" in lead.failure.message
    assert server.requests == 0


async def test_a_host_runs_its_shares_and_delivers_every_count(
    begin: Begin, server: CountingServer, tmp_path: Path
):
    lead, joined = await begin()
    assert await joined.end() == 0
    check_counts(lead, server)
    assert lead.done is not None
    assert lead.aggregate.sessions.finished == lead.aggregate.sessions.planned == 4
    (hello,) = lead.hellos
    assert (hello.name, hello.cores) == ("host a", 2)
    assert "msgspec" in hello.versions
    assert lead.started is not None
    assert lead.started.started_ns - lead.started.received_ns == 100_000_000
    # On one machine both have the same clock.
    assert abs(lead.started.started_ns - lead.start_ns) < 50_000_000
    first, *_, last = lead.frames
    assert first.start_ns == lead.start_ns
    assert first.end_ns == lead.start_ns + 1_000_000_000
    assert len(lead.frames) <= 4
    assert last.last
    assert first.health.rss_bytes > 20_000_000
    assert leftovers(tmp_path) == []
    for line in ("joined the run", "the load begins", "done"):
        assert f"chaperon: {line}" in joined.said


async def test_shares_are_the_sessions_of_these_numbers(begin: Begin, server: CountingServer):
    lead, joined = await begin(duration="500ms", more='session.log.info("I am %d", session.index)')
    assert await joined.end() == 0
    lines = {line.text for frame in lead.frames for line in frame.logs}
    assert lines == {f"I am {index}" for index in (1, 2, 5, 6)}


async def test_cut_connections_lose_nothing_and_double_nothing(
    begin: Begin, server: CountingServer
):
    lead, joined = await begin(duration="3s")
    for done in (1, 2):
        await until(lambda done=done: len(lead.frames) >= done)
        lead.acknowledges = done > 1  # What arrived is sent again, for nobody said so.
        lead.cut()
    lead.acknowledges = True
    assert await joined.end() == 0
    assert len(lead.hellos) == 3
    assert {hello.instance for hello in lead.hellos} == {lead.hellos[0].instance}
    assert [hello.epoch for hello in lead.hellos] == [None, 1, 1]
    check_counts(lead, server)


async def test_without_its_coordinator_the_load_stops_and_all_is_delivered_after_the_return(
    begin: Begin, server: CountingServer
):
    lead, joined = await begin("--lease", "500ms", duration="20s")
    await until(lambda: len(lead.frames) >= 1)
    await lead.vanish()
    await until(quiet(server))
    await lead.listen()
    assert await joined.end() == 1
    assert any("was not heard for 500 ms" in note for note in lead.notes)
    assert "all it measured is delivered" in joined.said
    check_counts(lead, server)


async def test_a_killed_worker_is_told_with_what_it_had_counted(
    begin: Begin, server: CountingServer
):
    lead, joined = await begin(duration="2s")
    await until(lambda: len(lead.frames) >= 1)
    children = Path(f"/proc/{joined.process.pid}/task/{joined.process.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    assert await joined.end() == 0
    (lost,) = [lost for frame in lead.frames for lost in frame.lost]
    assert lost.worker == 1
    assert "SIGKILL" in lost.note
    check_counts(lead, server, off_by=2)


async def test_what_a_killed_agent_had_not_delivered_is_delivered_by_its_successor(
    begin: Begin, server: CountingServer, tmp_path: Path
):
    lead, joined = await begin(duration="20s")
    await until(lambda: len(lead.frames) >= 1)
    await lead.vanish()
    (place,) = (tmp_path / "h/agents").iterdir()
    size = (place / "journal").stat().st_size
    await until(lambda: (place / "journal").stat().st_size > size + 150)
    joined.send(signal.SIGKILL)
    await joined.end()
    assert place.exists()
    before = lead.next_seq
    await lead.listen()
    successor = await Joined.start(lead, tmp_path)
    try:
        assert await successor.end() == 0
    finally:
        await successor.drop()
    assert "is delivered" in successor.said
    assert lead.next_seq > before + 1
    assert lead.frames[-1].last
    assert lead.aggregate.sessions.active == 0
    assert lead.aggregate.totals.requests <= server.requests
    assert not place.exists()


async def test_what_the_run_does_not_take_any_more_is_set_aside(
    begin: Begin, server: CountingServer, tmp_path: Path
):
    lead, joined = await begin(duration="20s")
    await until(lambda: len(lead.frames) >= 1)
    joined.send(signal.SIGKILL)
    await joined.end()
    lead.refuses = "this run goes on without this agent"
    successor = await Joined.start(lead, tmp_path)
    try:
        assert await successor.end() == 104
    finally:
        await successor.drop()
    assert "goes on without this agent" in successor.said
    (kept,) = (tmp_path / "h/agents").iterdir()
    assert ".refused-" in kept.name
    assert str(kept) in successor.said


async def test_a_signal_makes_it_leave_gracefully(begin: Begin, server: CountingServer):
    lead, joined = await begin(duration="20s")
    await until(lambda: len(lead.frames) >= 1)
    joined.send(signal.SIGTERM)
    assert await joined.end() == 105
    assert any("a signal on its host" in note for note in lead.notes)
    assert lead.frames[-1].last
    check_counts(lead, server)


async def test_a_missing_package_is_one_sentence_before_the_start(begin: Begin, tmp_path: Path):
    lead, joined = await begin(extra="import no_such_package")
    assert await joined.end() == 104
    assert lead.failure is not None
    assert "cannot import 'no_such_package'" in lead.failure.message
    assert "shop.py:3" in lead.failure.message
    assert "cannot import 'no_such_package'" in joined.said
    assert "Traceback" not in joined.said
    assert leftovers(tmp_path) == []


async def test_a_wrong_pin_or_token_or_name_is_one_sentence(begin: Begin):
    _, joined = await begin(pin="sha256:" + "0" * 64)
    assert await joined.end() == 104
    assert "is not the one of the join line" in joined.said
    _, joined = await begin(token=RunSecret(bytes(32)).token("agent").text)
    assert await joined.end() == 104
    assert "is not the agent token of run" in joined.said
    _, joined = await begin("--name", "x" * 80)
    assert await joined.end() == 104
    assert "must be 1 to 64 printable characters" in joined.said

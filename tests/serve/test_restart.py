"""The queue outlives its server: real processes that are ended and killed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from chaperon_engine.client.archive import load_report
from chaperon_engine.client.describing import describe
from chaperon_engine.client.launching import _prepare
from chaperon_engine.client.queue import QueueEntry
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.serve.line import MAX_ENDED, Item, Line, NotQueued
from chaperon_engine.serve.store import QueueStore
from tests.serve.conftest import TOKEN, Api, Served, StartServer

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
Serve = Callable[..., Served]


async def test_a_run_goes_on_when_its_server_is_killed_and_the_next_server_finds_it(
    serve: Serve, start: StartServer, http: aiohttp.ClientSession
) -> None:
    server = serve()
    api = Api(server.url, http)
    long = (await api.post("short.py:Long")).json()["scheduled"][0]
    quick = (await api.post("short.py:Quick", config={"delay": 0})).json()["scheduled"][0]
    told = {"name": "Told", "services": {"t": "http://127.0.0.1:9"}, "scenarios": ["short.py:Get"]}
    third = (await api.post(told, tag="data")).json()["scheduled"][0]
    run_id = await api.until_running(long)
    assert server.end(kill=True) == -9
    assert RunDirectory.find(run_id).state() == "running"

    api = await start()
    listed = (await api("GET", "/load_tests")).json()
    assert [entry["id"] for entry in listed["running"]] == [long]
    assert [entry["id"] for entry in listed["scheduled"]] == [quick, third]
    await _until_live(api, long)
    assert (await api.entry(long))["run_id"] == run_id
    await api("DELETE", f"/load_tests/{long}")
    assert (await api.until(long, "cancelled"))["run_id"] == run_id
    await api.until(quick, "finished")
    assert "127.0.0.1:9" in (await api.until(third, "failed"))["reason"]


async def _until_live(api: Api, id: str) -> None:
    limit = time.monotonic() + 20
    while (await api.entry(id))["live"] is None:
        assert time.monotonic() < limit


async def test_sigterm_ends_the_server_and_leaves_the_run_alone(
    serve: Serve, start: StartServer, http: aiohttp.ClientSession, home: Path
) -> None:
    server = serve()
    api = Api(server.url, http)
    id = (await api.post("short.py:Long")).json()["scheduled"][0]
    run_id = await api.until_running(id)
    async with http.get(f"{api.url}/events", headers=AUTHORIZED) as stream:
        assert stream.status == 200
        assert server.end() == 0
    assert RunDirectory.find(run_id).state() == "running"
    assert not (home / "queue/server.sock").exists()
    # A server that was gone before it could write the id down finds the run by its request.
    path = home / "queue/queue.json"
    path.write_text(path.read_text().replace(run_id, ""))
    api = await start()
    assert await api.until_running(id) == run_id
    await api("DELETE", "/load_tests")
    await api.until(id, "cancelled")


async def test_a_run_that_ended_while_no_server_was_there_is_seen_to_have_ended(
    start: StartServer,
) -> None:
    first = await start()
    options: dict[str, Any] = {"duration": "1s", "config": {"delay": "10ms"}}
    id = (await first.post("short.py:Long", **options)).json()["scheduled"][0]
    run_id = await first.until_running(id)
    await first.stop()
    await _until_ended(run_id)
    entry = await (await start()).until(id, "finished")
    assert (entry["run_id"], entry["reason"]) == (run_id, "")


async def _until_ended(run_id: str) -> None:
    limit = time.monotonic() + 20
    while RunDirectory.find(run_id).state() == "running":
        assert time.monotonic() < limit
        await asyncio.sleep(0.02)


async def test_ending_the_run_with_the_server_is_an_option(start: StartServer) -> None:
    api = await start(end_run=True)
    id = (await api.post("short.py:Long")).json()["scheduled"][0]
    run_id = await api.until_running(id)
    await api.stop()
    await _until_ended(run_id)
    assert load_report(run_id).run.status == "stopped"


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_test_that_never_began_is_the_next_again(
    start: StartServer, home: Path, folder: Path, prepared: bool
) -> None:
    request = LaunchRequest(
        file=str(folder / "short.py"), name="Quick", detach=True, seed=1, workers=1
    )
    item = Item(
        id="00000000-0000-0000-0000-000000000001", name="Quick", request=request,
        submitted_at="2026-11-21T20:00:00+00:00", started_at="2026-11-21T20:00:01+00:00",
    )  # fmt: skip
    (home / "queue").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    QueueStore(home / "queue").save(Line(running=item))
    if prepared:
        # As when a server is killed just before it starts the engine.
        directory = _prepare(request, await describe(request))
        os.utime(directory.path, (0, 0))
    api = await start()
    entry = await api.until(item.id, "finished")
    assert len(list((home / "runs").iterdir())) == 1
    assert load_report(entry["run_id"]).totals.requests == 1


async def test_there_is_one_server_for_a_queue(start: StartServer) -> None:
    await start()
    with pytest.raises(UserError, match=r"keeps the queue in .* already"):
        await start()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"schema": 99, "queue": {}}', "is of schema 99, this version of Chaperon knows 1"),
        ('{"queue": {}}', "is of schema None"),
        ('{"schema": 1, "queue": {"waiting": [{}]}}', "is damaged"),
        ('{"schema": 1, "queue": {}, "more": 1}', "is damaged"),
    ],
)
async def test_a_queue_that_cannot_be_read_is_left_for_a_person(
    start: StartServer, home: Path, content: str, words: str
) -> None:
    folder = home / "queue"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "queue.json").write_text(content)
    with pytest.raises(UserError, match=words):
        await start()
    assert (folder / "queue.json").read_text() == content
    (folder / "queue.json").unlink()
    await start()


def entry(number: int, state: str = "finished") -> QueueEntry:
    return QueueEntry(
        id=f"00000000-0000-0000-0000-{number:012x}", name="X",
        state=state, submitted_at="",  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        Line(ended=[entry(1), entry(1)]),
        Line(ended=[entry(1, "queued")]),
        Line(ended=[msgspec.structs.replace(entry(1), id="../../etc")]),
        Line(ended=[entry(number) for number in range(MAX_ENDED + 1)]),
    ],
)
def test_what_types_cannot_say_is_checked_too(tmp_path: Path, line: Line) -> None:
    store = QueueStore(tmp_path)
    store.save(line)
    with pytest.raises(UserError, match="is damaged"):
        store.load()


def item(number: int) -> Item:
    id = f"00000000-0000-0000-0000-{number:012x}"
    return Item(id=id, name=f"T{number}", request=LaunchRequest(), submitted_at="")


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    line = Line(running=item(1), waiting=[item(2), item(3)], ended=[entry(4), entry(5)])
    store = QueueStore(tmp_path)
    store.save(line)
    assert store.load() == line
    assert (store.path.stat().st_mode & 0o777) == 0o600
    assert not list(tmp_path.glob(".*"))


def test_ended_entries_are_kept_the_newest_first_up_to_a_limit() -> None:
    line = Line()
    for number in range(MAX_ENDED + 10):
        line.add([item(number)])
        assert line.begin("now") is not None
        assert line.begin("now") is None
        line.end("finished", "", "then")
    assert len(line.ended) == MAX_ENDED
    assert line.ended[0].name == f"T{MAX_ENDED + 9}"
    with pytest.raises(NotQueued):
        line.move(line.ended[0].id, 1)

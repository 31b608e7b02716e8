"""The queue with real runs: one after the other, whatever becomes of each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaperon_engine.client.archive import attach, load_report
from chaperon_engine.client.launching import launch
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.record import read_record
from chaperon_engine.serve import keeper
from tests.serve.conftest import TOKEN, Api, StartServer

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """(name, data) of server-sent events."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n\n")
        for block in whole:
            if not block.startswith(b":"):
                name, data = block.split(b"\n")
                yield name.removeprefix(b"event: ").decode(), json.loads(data[6:])


async def test_tests_run_one_after_the_other_and_one_that_cannot_start_holds_up_nothing(
    api: Api, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.py").write_text((folder / "short.py").read_text())
    body = {
        "load_tests": [
            {"test": "short.py:Quick", "options": {"tag": "first", "export": ["csv", "json"],
                                                   "output": "out/"}},
            {"test": "broken.py:Quick", "options": {"tag": "broken"}},
            {"test": {"name": "Told", "services": {"t": "http://127.0.0.1:9"},
                      "scenarios": ["short.py:Get"]}, "options": {"tag": "unreachable"}},
            {"test": "short.py:Quick", "options": {"config": {"delay": "1ms"}, "sessions": 3,
                                                   "seed": 5}},
        ]
    }  # fmt: skip
    async with api.http.get(f"{api.url}/events", headers=AUTHORIZED) as stream:
        ids = (await api("POST", "/load_tests", json=body)).json()["scheduled"]
        (folder / "broken.py").write_text("this is no Python")
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(40):
            async for name, data in events_of(stream):
                assert name == "queue"
                assert len(data["running"]) <= 1
                seen.append(data)
                if len(data["ended"]) == 4:
                    break
    ended = {entry["id"]: entry for entry in seen[-1]["ended"]}
    first, broken, unreachable, last = (ended[id] for id in ids)
    assert [entry["state"] for entry in (first, broken, unreachable, last)] == [
        "finished", "failed", "failed", "finished",
    ]  # fmt: skip
    assert "broken.py" in broken["reason"]
    assert "127.0.0.1:9" in unreachable["reason"]
    assert (broken["run_id"], unreachable["run_id"]) == ("", "")
    assert first["started_at"] <= first["ended_at"] <= last["started_at"]
    report = load_report(last["run_id"])
    assert (report.sessions.started, report.totals.requests) == (3, 3)
    written = sorted(path.suffix for path in (tmp_path / "work/results/out").iterdir())
    assert written == [".csv", ".json"]
    assert not list((tmp_path / "home/queue/inputs").iterdir())
    record = read_record(RunDirectory.find(first["run_id"]))
    assert (record.detached, record.tag) == (True, "first")


async def test_the_figures_of_the_running_test_are_there_for_a_look_and_as_a_stream(
    api: Api,
) -> None:
    id = (await api.post("short.py:Long")).json()["scheduled"][0]
    url = f"{api.url}/load_tests/{id}/events?rows=5&rate=4"
    names = []
    cancelled = False
    async with asyncio.timeout(30), api.http.get(url, headers=AUTHORIZED) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        last: dict[str, Any] = {}
        async for name, data in events_of(stream):
            names.append(name)
            if name == "snapshot":
                last = data
                live = (await api.entry(id))["live"]
                if live and live["series"] and not cancelled:
                    cancelled = True
                    assert live["totals"]["ok"] > 0
                    assert live["series"][0]["key"]["kind"]
                    report = await api("GET", f"/runs/{data['run_id']}/report")
                    assert (report.status, "still running" in report.error) == (409, True)
                    await api("DELETE", f"/load_tests/{id}")
            else:
                entry = data
    assert names[0] == "entry"
    assert names.count("snapshot") >= 2
    assert last["state"] == "finished"
    assert (entry["state"], entry["id"]) == ("cancelled", id)
    assert (await api.entry(id))["live"] is None
    run_id = entry["run_id"]
    report = await api("GET", f"/runs/{run_id}/report")
    assert report.json()["run"]["status"] == "aborted"
    table = await api("GET", f"/runs/{run_id}/report?format=csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.body.count(b"\n") > 1
    assert "did you mean 'csv'" in (await api("GET", f"/runs/{run_id}/report?format=cvs")).error
    runs = (await api("GET", "/runs")).json()["runs"]
    assert [(run["id"], run["load_test"], run["status"]) for run in runs] == [
        (run_id, "Long", "aborted")
    ]


async def test_what_is_being_started_can_be_cancelled_and_leaves_nothing(
    api: Api, home: Path
) -> None:
    ids = []
    for _ in range(2):
        ids += (await api.post("short.py:Long")).json()["scheduled"]
    assert (await api.entry(ids[0]))["run_id"] == "", "it is still being started"
    await api("DELETE", "/load_tests")
    for id in ids:
        entry = await api.until(id, "cancelled")
        assert (entry["run_id"], "cancelled" in entry["reason"]) == ("", True)
    assert not list(home.glob("runs/*"))


async def test_an_engine_that_dies_fails_its_test_and_the_next_one_runs(api: Api) -> None:
    long = (await api.post("short.py:Long")).json()["scheduled"][0]
    quick = (await api.post("short.py:Quick")).json()["scheduled"][0]
    run_id = await api.until_running(long)
    os.kill(read_record(RunDirectory.find(run_id)).engine_pid, signal.SIGKILL)
    entry = await api.until(long, "failed")
    assert "the report was made from its journal" in entry["reason"]
    assert load_report(run_id).run.partial
    await api.until(quick, "finished")


async def test_a_run_that_somebody_stops_by_hand_has_finished_with_the_reason(api: Api) -> None:
    id = (await api.post("short.py:Long")).json()["scheduled"][0]
    async with await attach(await api.until_running(id)) as client:
        await client.stop()
    entry = await api.until(id, "finished")
    assert entry["reason"]


async def test_a_slow_reader_gets_the_newest_and_holds_up_nobody(start: StartServer) -> None:
    api = await start()
    id = (await api.post("short.py:Long")).json()["scheduled"][0]
    await api.until_running(id)
    url = f"{api.url}/load_tests/{id}/events"
    async with api.http.get(url, headers=AUTHORIZED) as slow:
        assert slow.status == 200
        async with asyncio.timeout(20), api.http.get(url, headers=AUTHORIZED) as stream:
            count = 0
            with contextlib.suppress(StopAsyncIteration):
                async for name, _ in events_of(stream):
                    count += name == "snapshot"
                    if count == 4:
                        break
        await api("DELETE", "/load_tests")
        seconds: list[int] = []
        async with asyncio.timeout(20):
            async for name, data in events_of(slow):
                if name == "snapshot":
                    seconds += [interval["second"] for interval in data["intervals"]]
    assert seconds == list(range(len(seconds))), "no second is missing, none is there twice"


async def test_a_fault_of_our_own_fails_its_test_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        monkeypatch.setattr(keeper, "launch", launch)
        raise KeyError("surprise")

    monkeypatch.setattr(keeper, "launch", broken)
    body = {"load_tests": [{"test": "short.py:Quick"}] * 2}
    first, second = (await api("POST", "/load_tests", json=body)).json()["scheduled"]
    entry = await api.until(first, "failed")
    assert entry["reason"] == "unexpected KeyError: 'surprise'"
    await api.until(second, "finished")


async def test_a_run_of_the_queue_loads_no_address_that_nobody_allowed(
    api: Api, folder: Path
) -> None:
    code = (folder / "short.py").read_text()
    aiming = """get("http://" + session.config("host") + "/")"""
    (folder / "wild.py").write_text(code.replace('get("/")', aiming))
    config = {"config": {"host": "elsewhere.example"}}
    id = (await api.post("wild.py:Quick", config=config)).json()["scheduled"][0]
    entry = await api.until(id, "finished")
    report = load_report(entry["run_id"])
    assert report.totals.requests == 0
    (group,) = report.exceptions
    assert group.message.startswith(
        "http://elsewhere.example is not among the addresses that this run may load; "
    )

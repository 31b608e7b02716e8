"""Agents through real dask schedulers, nannies and workers with mutual TLS, whatever dies."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from chaperon_engine.errors import UserError
from chaperon_engine.fleet import dask as module
from chaperon_engine.fleet.dask import DaskFleet
from chaperon_engine.fleet.protocol import Ended, Happening, Note
from chaperon_engine.fleet.task import run_agent
from chaperon_engine.protocol.token import Token
from tests.distributed.conftest import grows
from tests.engine.conftest import CountingServer
from tests.fleet.conftest import (
    Cluster,
    Run,
    agents_of,
    certificates,
    make_cluster,
    no_agents,
    tokens_of,
    visible_to_others,
)

dask = pytest.importorskip("distributed")
pytestmark = pytest.mark.e2e

Write = Callable[..., Path]
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts."""
    made = make_cluster(tmp_path_factory.mktemp("dask"))
    try:
        made.add(FIRST, SECOND)
        yield made
    finally:
        made.close()


async def test_each_host_gets_one_agent_and_dask_sees_neither_figures_nor_secrets(
    server: CountingServer, scenario: Write, run: Run, cluster: Cluster, home: Path
) -> None:
    running = await run(
        scenario(duration="1500ms"), *cluster.fleet, "--nodes", "2", env=cluster.env
    )
    await grows(server, 5)
    (token,) = tokens_of(home)
    secrets = [token, *(Token.parse(token).of_agent(name).text for name in (FIRST, SECOND))]
    assert visible_to_others(secrets) == []
    assert await running.ends() == 0, running.said
    report = running.report
    assert {worker.agent for worker in report.run.workers} == {FIRST, SECOND}
    assert report.totals.requests == server.requests > 0
    assert report.run.status == "complete"
    assert not report.run.partial
    assert not any(secret in cluster.log + running.said for secret in secrets)
    await no_agents(cluster.home)


async def test_a_certificate_of_another_authority_is_no_way_in(
    scenario: Write, run: Run, cluster: Cluster, tmp_path: Path
) -> None:
    strange = certificates(tmp_path, trustme.CA())
    running = await run(scenario(), *cluster.fleet, env=strange)
    assert await running.ends() == 104
    assert "cannot be used" in running.said
    assert running.said.count("\n") == 1, running.said


async def test_the_end_of_an_agent_is_heard_long_before_its_lease_is_over(
    server: CountingServer, scenario: Write, run: Run, cluster: Cluster
) -> None:
    running = await run(
        scenario(duration="60s", delay=0.05), *cluster.fleet, "--on-loss", "fail", env=cluster.env
    )
    await grows(server, 5)
    (agent,) = [each for each in agents_of(cluster.home) if FIRST in each.cmdline()]
    children = agent.children(recursive=True)
    agent.kill()
    await running.says(f"agent {FIRST} ended: killed by signal 9")
    assert await running.ends() == 1
    report = running.report
    assert report.run.status == "failed"
    (away,) = [each for each in report.run.reasons if f"agent {FIRST} was away" in each]
    assert "nothing was heard of it for 2 s, and killed by signal 9" in away, running.said
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert alive == []
    await no_agents(cluster.home)


async def test_when_the_engine_dies_before_the_load_dask_is_told_to_end_its_agents(
    scenario: Write, run: Run, cluster: Cluster
) -> None:
    running = await run(scenario(), *cluster.fleet, "--expect", "3", env=cluster.env)
    await running.says("(2 of 3)")
    running.engine().kill()
    assert await running.ends() == 1
    assert "ended before the start" in running.said
    await no_agents(cluster.home)


async def test_worker_nanny_and_scheduler_die_and_the_run_loses_nothing(
    server: CountingServer, scenario: Write, run: Run, cluster: Cluster
) -> None:
    # The last test of this module with a cluster: nothing is left of it.
    file = scenario(duration="90s", delay=0.05)
    running = await run(file, *cluster.fleet, env=cluster.env)
    await grows(server, 5)
    agents = {each.pid for each in agents_of(cluster.home)}
    assert len(agents) == 2
    cluster.worker(FIRST).kill()
    await running.says(f"agent {FIRST} ended: dask lost the worker that started it")
    cluster.nannies[SECOND].kill()
    await running.says(f"agent {SECOND} ended: dask lost the worker that started it")
    await asyncio.to_thread(cluster.is_there_again, FIRST)
    await grows(server, 20)
    # Dask, which allows three failures, has not started a second agent there.
    assert {each.pid for each in agents_of(cluster.home)} == agents
    assert cluster.scheduler is not None
    cluster.scheduler.kill()
    await grows(server, 20)
    running.interrupt()
    assert await running.ends() == 105, running.said
    report = running.report
    assert report.run.status == "stopped"
    assert not report.run.partial
    assert report.totals.requests == server.requests
    assert {worker.agent for worker in report.run.workers} == {FIRST, SECOND}
    await no_agents(cluster.home)


def test_what_travels_is_the_name_of_a_function_and_strings() -> None:
    from distributed.protocol import pickle as of_dask

    for dumps in (pickle.dumps, of_dask.dumps):
        sent = dumps(run_agent)
        assert b"chaperon_engine.fleet.task" in sent
        assert b"run_agent" in sent
        assert len(sent) < 100
    assert set(run_agent.__annotations__.values()) == {"str"}


def test_a_token_does_not_come_back_in_what_the_function_says_of_its_own_failure() -> None:
    # Outside of a dask worker it cannot even begin.
    said = run_agent("127.0.0.1:1", "r", "sha256:", "a", "chaperon-agent-secret")
    assert said.startswith("1 the agent cannot be started")
    assert "secret" not in said


def test_of_each_host_the_first_worker_is_taken() -> None:
    workers = {
        "tls://10.0.0.2:4002": {"name": "b", "host": "10.0.0.2"},
        "tls://10.0.0.1:4001": {"name": 7, "host": "10.0.0.1"},
        "tls://10.0.0.2:4001": {"name": "c", "host": "10.0.0.2"},
    }
    found = module._one_of_each_host(workers)
    assert [(place.worker, place.host) for place in found] == [(7, "10.0.0.1"), ("c", "10.0.0.2")]


class FakeClient:
    """As much of a client as answers which workers there are."""

    def __init__(self, workers: dict[str, dict[str, Any]]):
        self._workers = workers
        self.scheduler = self

    def __await__(self) -> Any:
        yield from ()
        return self

    async def identity(self) -> dict[str, Any]:
        return {"workers": self._workers}

    async def close(self, timeout: float) -> None: ...


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://192.0.2.7:4000", "without TLS"),
        ("ucx://127.0.0.1:4000", "without TLS"),
        ("", "has no workers"),
        ("tls://192.0.2.7:4000", "--nodes is 2, and the workers of .* are on 1 host"),
    ],
)
async def test_a_cluster_that_cannot_be_used_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, address: str, sentence: str
) -> None:
    workers = {address: {"name": "a", "host": "192.0.2.7"}} if address else {}
    monkeypatch.setattr(module, "_client_class", lambda: lambda *_, **__: FakeClient(workers))
    monkeypatch.setattr(module, "_security", lambda scheduler: None)
    with pytest.raises(UserError, match=sentence):
        await DaskFleet("tcp://127.0.0.1:8786", 2).prepare()


async def test_a_scheduler_that_goes_is_said_once_and_its_workers_are_no_losses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(FakeClient):
        async def identity(self) -> dict[str, Any]:
            raise OSError("Stream is closed")

    monkeypatch.setattr(module, "LOOK_S", 0.0)
    fleet = DaskFleet("tls://s:1", None)
    fleet._client = Gone({})
    fleet._places = [module.Place("w", "tls://192.0.2.7:1", "192.0.2.7")]
    said: list[Happening] = []
    await fleet._watch(said.append)
    (note,) = said
    assert isinstance(note, Note)
    assert "the dask scheduler is gone (Stream is closed): the agents go on" in note.text


def test_without_certificates_it_says_where_dask_looks_for_them() -> None:
    with pytest.raises(UserError, match="DASK_DISTRIBUTED__COMM__TLS__CA_FILE"):
        module._security("tls://scheduler:8786")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ModuleNotFoundError("chaperon_engine"), "is Chaperon installed there"),
        (type("KilledWorker", (Exception,), {})(), "the dask worker that started it was killed"),
        ("104 chaperon: error: wrong pin", "wrong pin (exit status 104)"),
        ("1 ", "exit status 1"),
    ],
)
async def test_how_a_task_ended_is_said_in_words(outcome: Any, reason: str) -> None:
    class Future:
        async def result(self) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    said: list[Happening] = []
    await DaskFleet("tls://s:1", None)._follow("a", Future(), said.append)
    (ended,) = said
    assert isinstance(ended, Ended)
    assert reason in ended.reason
    assert not ended.ok


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UserError, match=r"chaperon\[fleet\]"):
        module._client_class()

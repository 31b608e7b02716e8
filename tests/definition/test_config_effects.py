"""Every key of the config that Chaperon has, written as people write it, and what it does."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest
import trustme

from chaperon_engine.target import RunningTarget
from tests.definition.conftest import Workbench
from tests.engine.conftest import REPLY
from tests.session.conftest import target
from tests.session.harness import Bench, Ran

__all__ = ["target"]

FILE = """
import asyncio
import time
from chaperon_engine import LoadTest, Population, Scenario, Service

def tick(session):
    session.counter("ticks")

class Buy(Scenario):
    async def init(self, session):
        session.gauge("began", time.perf_counter())

    async def run(self, session):
{run}

class T(LoadTest):
    default_config = {config}
    scenarios = [{scenarios}]
"""


async def ran(bench: Workbench, run: str, config: str, scenarios: str = "Buy") -> Ran:
    """Resolve a file and run it on one worker."""
    indented = "\n".join(f"        {line}" for line in run.splitlines())
    text = FILE.format(run=indented, config=config, scenarios=scenarios)
    return await Bench(bench.resolve(text)).run()


def is_well(result: Ran) -> bool:
    checks = result.checks.values()
    assert result.iterations.failed == 0, result.exceptions
    return bool(checks) and all(check.failed == 0 for check in checks)


async def test_base_url_and_path_are_joined_as_text(
    bench: Workbench, target: RunningTarget
) -> None:
    result = await ran(
        bench,
        'reply = await session.get("/200")\nsession.check("joined", reply.status == 200)',
        f"{{'base_url': '{target.url}/status'}}",
    )
    assert is_well(result)
    assert result.requests("GET /200").ok == 1


async def test_http_holds_connection_settings(bench: Workbench, target: RunningTarget) -> None:
    result = await ran(
        bench,
        'got = (await session.get("/headers")).json()["headers"]\n'
        'session.check("sent", got["X-Shop"] == "1" and got["User-Agent"] == "me")',
        f"{{'base_url': '{target.url}', "
        "'http': {'headers': {'X-Shop': '1', 'User-Agent': 'me'}, 'timeout': '2s'}}",
    )
    assert is_well(result)


async def test_basic_auth_is_sent(bench: Workbench, target: RunningTarget) -> None:
    result = await ran(
        bench,
        'reply = await session.get("/basic-auth/ann/pw")\n'
        'session.check("let in", reply.status == 200)',
        f"{{'base_url': '{target.url}', 'basic_auth': ('ann', 'pw')}}",
    )
    assert is_well(result)


@pytest.mark.parametrize(("insecure", "errors"), [(False, {"tls_verification": 1}), (True, {})])
async def test_insecure_takes_any_certificate(
    bench: Workbench, tmp_path: Path, insecure: bool, errors: dict[str, int]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(REPLY)
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        result = await ran(
            bench, 'await session.get("/")', f"{{'base_url': '{url}', 'insecure': {insecure}}}"
        )
    assert result.requests("GET /").errors == errors


async def test_timeout_bounds_a_request(bench: Workbench, target: RunningTarget) -> None:
    result = await ran(
        bench,
        'await session.get("/slow?ms=60000")',
        f"{{'base_url': '{target.url}', 'timeout': 0.1}}",
    )
    assert set(result.requests("GET /slow?ms=60000").errors) <= {
        "timeout_total",
        "timeout_first_byte",
    }
    assert result.iterations.failed == 1


@pytest.mark.parametrize("key", ["delay", "random_delay"])
async def test_a_delay_comes_before_the_session_begins(bench: Workbench, key: str) -> None:
    begin = time.perf_counter()
    result = await ran(
        bench,
        "pass",
        f"{{'base_url': 'http://127.0.0.1:9', '{key}': '80ms'}}",
    )
    (began,) = [delta.value_sum for key, delta in result.series.items() if key.name == "began"]
    waited_s = began - begin
    assert waited_s >= (0.08 if key == "delay" else 0.0)
    assert result.sessions.finished == 1


async def test_scenario_timeout_ends_a_session_and_keeps_what_it_measured(
    bench: Workbench, target: RunningTarget
) -> None:
    result = await ran(
        bench,
        'await session.get("/")\nawait session.delay("1h")',
        f"{{'base_url': '{target.url}', 'scenario_timeout': '200ms'}}",
    )
    assert result.sessions.timed_out == 1
    assert result.requests("GET /").ok == 1


async def test_load_test_timeout_is_the_absolute_end_of_the_plan(bench: Workbench) -> None:
    # What the end of a run does with it: tests/coordinator/test_state.py.
    text = FILE.format(
        run="        pass",
        config="{'base_url': 'http://h', 'load_test_timeout': '1m30s'}",
        scenarios="Buy",
    )
    assert bench.resolve(text).plan.timeout_s == 90


async def test_interval_calls_its_function_while_the_session_waits(bench: Workbench) -> None:
    result = await ran(
        bench,
        'await session.delay("100ms")',
        "{'base_url': 'http://127.0.0.1:9', 'interval': ('20ms', tick)}",
    )
    (ticks,) = [delta.value_sum for key, delta in result.series.items() if key.name == "ticks"]
    assert 1 <= ticks <= 5


@pytest.mark.parametrize(("merge", "sessions"), [(True, {""}), (False, {"a", "b"})])
async def test_merge_scenario_sessions_keeps_metrics_by_scenario(
    bench: Workbench, target: RunningTarget, merge: bool, sessions: set[str]
) -> None:
    result = await ran(
        bench,
        'await session.get("/")\nsession.counter("visits")',
        f"{{'base_url': '{target.url}', 'merge_scenario_sessions': {merge}}}",
        "Population(Buy, name='a'), Population(Buy, name='b')",
    )
    found = {key.session: delta for key, delta in result.series.items() if key.kind == "http"}
    assert set(found) == sessions
    assert sum(delta.ok for delta in found.values()) == 2


async def test_session_name_is_the_one_that_metrics_have(
    bench: Workbench, target: RunningTarget
) -> None:
    result = await ran(
        bench,
        'await session.get("/")\nsession.check("name", session.name == "all")',
        f"{{'base_url': '{target.url}', 'session_name': 'all'}}",
        "Population(Buy, name='a'), Population(Buy, name='b')",
    )
    assert is_well(result)
    assert {key.session for key in result.series if key.kind == "http"} == {"all"}
    assert result.requests("GET /").ok == 2


async def test_skip_query_params_in_metrics_names_series_without_their_query(
    bench: Workbench, target: RunningTarget
) -> None:
    result = await ran(
        bench,
        'await session.get("/json?a=1")\nawait session.get("/json", params={"a": 2})',
        f"{{'base_url': '{target.url}', 'skip_query_params_in_metrics': True}}",
    )
    assert result.requests("GET /json").ok == 2


async def test_store_results_keeps_the_last_replies_and_errors(
    bench: Workbench, target: RunningTarget
) -> None:
    result = await ran(
        bench,
        "for _ in range(30):\n"
        '    await session.get("/")\n'
        "try:\n"
        '    await session.get("/slow?ms=9000", timeout=0.05)\n'
        "except Exception:\n"
        "    pass\n"
        'session.check("results", len(session.results["GET /"]) == 20)\n'
        'session.check("errors", len(session.errors["GET /slow?ms=9000"]) == 1)',
        f"{{'base_url': '{target.url}', 'store_results': True}}",
    )
    assert is_well(result)

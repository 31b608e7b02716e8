"""The parts of engine, worker and client that need no whole run."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
import uvloop

from chaperon_engine.client.launching import _prepare
from chaperon_engine.client.source import request_for
from chaperon_engine.crew.cores import take_cores
from chaperon_engine.definition.model import LoadTest, Service
from chaperon_engine.definition.plan import (
    LaunchRequest,
    LoadProfile,
    Plan,
    PopulationPlan,
    ServicePlan,
)
from chaperon_engine.definition.resolve import resolve
from chaperon_engine.definition.secrets import Secret
from chaperon_engine.errors import UserError
from chaperon_engine.worker import descriptors
from chaperon_engine.worker.health import HealthMonitor
from chaperon_engine.worker.output import MAX_LINE, OutputStream
from chaperon_engine.worker.preflight import check_services
from chaperon_engine.worker.timer import LatenessTimer


class AtTopLevel(LoadTest):
    """Found in this file."""


# cores


def test_a_run_gets_cores_of_its_own_and_says_nothing() -> None:
    share = take_cores("a", [0, 1, 2], 2)
    assert share.cores == [0, 1]
    assert share.note == ""
    for lock in share.locks:
        lock.forget()


def test_a_second_run_takes_free_cores_first_and_is_told_which_are_taken() -> None:
    first = take_cores("a", [0, 1, 2], 2)
    second = take_cores("b", [0, 1, 2], 1)
    third = take_cores("c", [0, 1, 2], 2)
    assert second.cores == [2]
    assert second.note == "another run uses cores 0, 1; this run has its own"
    assert third.cores == [0, 1]
    assert third.note == (
        "another run uses cores 0, 1, which this run shares: its figures may suffer"
    )
    for lock in (*first.locks, *second.locks, *third.locks):
        lock.forget()
    assert take_cores("d", [0], 1).note == "", "a lock ends with its holder"


@pytest.mark.parametrize(("workers", "pin"), [(3, True), (1, False)])
def test_workers_are_not_pinned_when_they_are_too_many_or_nobody_wants_it(
    workers: int, pin: bool
) -> None:
    assert take_cores("a", [0, 1], workers, pin=pin).cores == [None] * workers


# descriptors


def plan_of(sessions: int) -> Plan:
    population = PopulationPlan(
        name="p", scenario="P", sessions=sessions, profile=LoadProfile(duration_s=1.0)
    )
    return Plan(load_test="T", file="", services=[], populations=[population])


def test_a_plan_that_fits_is_let_through() -> None:
    descriptors.check(plan_of(2 * (1000 - descriptors.RESERVED)), 2, 1000)


def test_sessions_that_share_connections_are_not_counted() -> None:
    service = ServicePlan(name="s", base_url="http://x", settings={"pool": "worker"})
    plan = msgspec.structs.replace(plan_of(40_000), services=[service])
    descriptors.check(plan, 1, 20_000)


def test_a_plan_that_cannot_fit_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(UserError) as caught:
        descriptors.check(plan_of(40_000), 1, 20_000)
    assert str(caught.value) == (
        "40,000 sessions on 1 worker need at least 40,064 descriptors per worker (40,000 sessions "
        "with a connection each, and 64 others); the hard limit is 20,000: fewer sessions, more "
        "workers, or a higher limit (ulimit -Hn)"
    )


# health


@pytest.mark.parametrize("runner", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_a_blocked_loop_shows_as_lag_with_every_missed_expiry(runner: object) -> None:
    async def measure() -> list[int]:
        late: list[int] = []
        timer = LatenessTimer(asyncio.get_running_loop(), 10_000_000, late.append)
        await asyncio.sleep(0.03)
        late.clear()
        time.sleep(0.2)  # noqa: ASYNC251 - it is to block
        while not late:  # noqa: ASYNC110 - the timer has no event
            await asyncio.sleep(0.001)
        timer.close()
        timer.close()
        return late

    late = runner(measure())  # type: ignore[operator]
    assert len(late) >= 18
    assert max(late) > 150_000_000
    assert min(late) < 50_000_000


async def test_a_health_sample_has_cpu_memory_descriptors_and_collections() -> None:
    with HealthMonitor(asyncio.get_running_loop(), 0) as monitor:
        deadline = time.process_time() + 0.05
        while time.process_time() < deadline:
            gc.collect()
        await asyncio.sleep(0.03)
        sample = monitor.sample()
        again = monitor.sample()
    assert 0 < sample.cpu <= 1
    assert sample.gc_us > 0
    assert sample.rss_bytes > 1_000_000
    assert sample.descriptors > 2
    assert sample.lag_max_us >= sample.lag_p99_us > 0
    assert again.gc_us == 0
    assert 0 <= sample.steal <= 1


# output


def test_printed_text_becomes_lines_of_bounded_length() -> None:
    lines: list[str] = []
    stream = OutputStream(lines.append)
    print("a", end="", file=stream)
    print("b\nc", file=stream)
    stream.write("x" * (MAX_LINE + 5))
    stream.finish()
    stream.finish()
    assert lines == ["ab", "c", "x" * MAX_LINE, "xxxxx"]


# pre-flight


def resolved(tmp_path: Path, service: str) -> object:
    path = tmp_path / "load.py"
    path.write_text(
        "from chaperon_engine import LoadTest, Scenario, Service, Tls\n"
        "class S(Scenario):\n    async def run(self, session):\n        pass\n"
        f"class T(LoadTest):\n    services = {{'shop': {service}}}\n    scenarios = [S]\n"
    )
    return resolve(LaunchRequest(file=str(path)))


async def reason_of(tmp_path: Path, service: str) -> str:
    with pytest.raises(UserError) as caught:
        await check_services(resolved(tmp_path, service))  # type: ignore[arg-type]
    return str(caught.value)


async def test_a_name_that_does_not_resolve_is_said_so(tmp_path: Path) -> None:
    message = await reason_of(tmp_path, "Service('http://nowhere.invalid')")
    assert "service shop at http://nowhere.invalid cannot be reached: its name" in message


async def test_certificates_are_verified_unless_insecure(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        assert "its certificate is not trusted" in await reason_of(tmp_path, f"Service('{url}')")
        for tls in (f"Tls(ca_file={str(trusted)!r})", "Tls(insecure=True)"):
            test = resolved(tmp_path, f"Service('{url}', tls={tls})")
            await check_services(test)  # type: ignore[arg-type]


# what a launch may say of other machines


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ({"listen": "127.0.0.1:0"}, None),
        ({"listen": "127.0.0.1:0", "expect": 2, "workers": 0}, None),
        ({"listen": "127.0.0.1:0", "workers": 0}, "agents must do it: --expect"),
        ({"expect": 2}, "attach where --listen says"),
        ({"listen": "127.0.0.1:0", "expect": 5000}, "1 to 4,096 agents, not 5,000"),
        ({"listen": "127.0.0.1:0", "expect": -1}, "1 to 4,096 agents, not -1"),
        ({"listen": "7700"}, "no address to listen on"),
        ({"listen": "127.0.0.1:0", "on_loss": "cry"}, "--on-loss is 'cry'"),
    ],
)
def test_who_listens_need_not_wait_for_agents(
    says: dict[str, Any], sentence: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path))
    request = LaunchRequest(file="shop.py", **{"workers": 1, **says})
    if sentence is None:
        assert _prepare(request, plan_of(6)).record.exists()
        return
    with pytest.raises(UserError, match=sentence):
        _prepare(request, plan_of(6))
    assert not list(tmp_path.rglob("run.json"))


# from a class to its file


def test_a_class_of_a_file_is_found_there() -> None:
    found = request_for(AtTopLevel)
    assert (found.file, found.name) == (__file__, "AtTopLevel")


def test_a_class_within_a_function_is_refused() -> None:
    class Inside(LoadTest):
        pass

    with pytest.raises(UserError, match="not at the top level"):
        request_for(Inside)


@pytest.mark.parametrize(
    ("text", "name"), [("a/shop.py", None), ("a/shop.py:ShopTest", "ShopTest"), ("a/1:2", None)]
)
def test_a_path_may_carry_a_name(text: str, name: str | None, tmp_path: Path) -> None:
    found = request_for(text)
    assert found.name == name
    assert Path(found.file).is_absolute()


def test_the_definitions_of_a_notebook_are_written_to_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = [
        "from chaperon_engine import LoadTest, Scenario\n%matplotlib inline\nURL = 'http://x'",
        "class Shop(LoadTest):\n    old = True",
        "this is no python",
        "class Shop(LoadTest):\n    home = URL\nprint(1)\nx = open('y')\nrun(Shop)",
    ]
    main = types.ModuleType("__main__")
    main.In = cells  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    shop = type("Shop", (LoadTest,), {"__module__": "__main__"})
    found = request_for(shop)
    source = Path(found.file).read_text()
    assert found.name == "Shop"
    assert source.index("old = True") < source.index("home = URL")
    assert "print" not in source
    assert "run(" not in source
    assert "open" not in source
    namespace: dict[str, object] = {}
    exec(compile(source, found.file, "exec"), namespace)
    assert namespace["URL"] == "http://x"


def test_plain_data_is_copied_in_the_types_of_json(tmp_path: Path) -> None:
    words = ("tea", 1, 2.5, True, None)
    table = {"scenarios": ["a:B"], "default_config": types.MappingProxyType({"words": words})}
    found = request_for(table)
    assert found.data == {"scenarios": ["a:B"], "default_config": {"words": list(words)}}
    assert (found.file, found.name, found.folder) == ("", None, str(tmp_path))


ENDLESS: dict[str, object] = {}
ENDLESS["config"] = ENDLESS


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"scenarios": [LoadTest]},
         'scenarios[0] of the load test is the class LoadTest; name it as "file.py:LoadTest"'),
        ({"services": {"shop": Service("http://h")}},
         "services.shop of the load test is of type Service; plain data has only text, numbers, "
         "true and false, lists and tables of them"),
        ({"default_config": {"config": {"key": Secret("hush")}}},
         "default_config.config.key of the load test is of type Secret; plain data has only text, "
         "numbers, true and false, lists and tables of them"),
        ({"a": {5: 1}}, "the key 5 in a of the load test is int, not text"),
        ({5: 1}, "the key 5 of the load test is int, not text"),
        ({"warmup": float("nan")}, "warmup of the load test is nan, which is no number of JSON"),
        ({"warmup": 2**64}, "warmup of the load test is a number of more than 64 bits"),
        ({"name": "\ud800"}, "name of the load test has half a character in it (a lone surrogate)"),
        (ENDLESS, "config" + ".config" * 13 + ".co… of the load test is nested more than 50 deep"),
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        request_for(table)
    assert caught.value.message == message


# the package


def test_importing_the_package_loads_nothing_that_takes_time() -> None:
    code = (
        "import sys, chaperon_engine; "
        "heavy = {'asyncio', 'msgspec', 'uvloop', 'aiohttp', 'textual', 'httptools', 'ssl'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_every_name_of_the_public_root_exists() -> None:
    import chaperon_engine

    missing = [name for name in chaperon_engine.__all__ if not hasattr(chaperon_engine, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        chaperon_engine.nothing  # noqa: B018


# what workers inherit


def test_what_is_loaded_before_workers_are_forked_has_no_numpy() -> None:
    found = subprocess.run(
        [
            sys.executable, "-c",
            "import sys, chaperon_engine.engine.process, chaperon_engine.agent.process\n"
            "print('numpy' in sys.modules)",
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert found.stdout == "False\n"

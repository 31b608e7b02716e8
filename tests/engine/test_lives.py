"""How runs begin, are watched, are steered and end: real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from chaperon_engine.client.archive import (
    attach,
    exit_code,
    final_report,
    list_runs,
    load_report,
)
from chaperon_engine.client.call import run
from chaperon_engine.client.describing import describe
from chaperon_engine.client.launching import _start_engine, launch
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.snapshot import Snapshot, View
from chaperon_engine.runs.directory import RunDirectory, runs_folder
from chaperon_engine.runs.record import read_record
from tests.engine.conftest import (
    CountingServer,
    last_snapshot,
    launch_with,
    request,
    snapshots_until,
)

pytestmark = pytest.mark.e2e

WriteScenario = Callable[..., Path]

BARE = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session
{more}

class Work(Scenario):
    async def init(self, session: Session) -> None:
        {init}
    async def run(self, session: Session) -> None:
        {run}

class WorkTest(LoadTest):
    services = {{{{"shop": Service("{{url}}")}}}}
    scenarios = [Population(Work, sessions=4, duration="1s", graceful_stop="1s")]
"""


def bare(*, init: str = "pass", run: str = 'await session.get("/")', more: str = "") -> str:
    return BARE.format(init=init, run=run, more=more)


def has_requests(snapshot: Snapshot) -> bool:
    return snapshot.totals.requests > 20


async def test_a_worker_that_hangs_is_named_killed_and_the_run_ends(
    scenario: WriteScenario,
) -> None:
    source = bare(
        more="import time",
        run=(
            'await session.get("/")\n'
            "        if session.index == 0 and session.iteration == 20:\n"
            "            time.sleep(300)\n"
            "        await session.delay(0.005)"
        ),
    )
    file = scenario(source)
    line = file.read_text().splitlines().index("            time.sleep(300)") + 1
    limits = "keywords['limits'] = Limits(ping_every_s=0.1, hung_after_s=0.8, kill_after_s=1.2)"
    client, engine = await launch_with(request(file), limits)
    seen = await snapshots_until(client, lambda s: "hangs at" in s.workers[0].note)
    assert seen[-1].workers[0].state == "hung"
    assert f"{file}:{line} in run" in seen[-1].workers[0].note
    last = await last_snapshot(client)
    await client.close()
    assert await engine.wait() == 0
    assert [row.state for row in last.workers] == ["lost", "done"]
    assert last.partial
    assert f"worker 0 was lost: it hung at {file}:{line} in run" in last.reasons[0]
    report = load_report(client.run_id)
    assert report.run.workers[0].sent >= 20


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("class (:", "shop.py:1"),
        ("import os\nos._exit(3)", "ended the process"),
        ("x = 1", "no "),
        (bare(more="raise SystemExit(4)"), "shop.py"),
    ],
    ids=["syntax error", "exit at import", "no scenario", "sys.exit at import"],
)
async def test_a_file_that_cannot_be_used_is_a_sentence_and_leaves_no_run(
    scenario: WriteScenario, source: str, sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        await launch(request(scenario(source)))
    assert sentence in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert list_runs() == []


async def test_a_file_that_loops_at_import_is_killed(scenario: WriteScenario) -> None:
    file = scenario("while True: pass")
    with pytest.raises(UserError, match="took longer than 1 s"):
        await describe(request(file), timeout_s=1)


async def test_a_service_that_is_not_there_is_named_with_url_and_reason(
    scenario: WriteScenario, server: CountingServer
) -> None:
    url = server.url
    file = scenario()
    await server.close()
    with pytest.raises(UserError) as caught:
        await launch(request(file))
    message = str(caught.value)
    assert message.startswith(
        f"service shop at {url} cannot be reached: the connection was refused"
    )
    assert "--no-preflight" in message
    assert list_runs() == []


async def test_more_sessions_than_descriptors_are_refused_with_the_arithmetic(
    scenario: WriteScenario,
) -> None:
    with pytest.raises(
        UserError, match=r"10,000,000 sessions on 2 workers need at least 5,000,064"
    ):
        await launch(request(scenario(), sessions={"*": 10_000_000}))


async def test_a_run_in_which_no_session_passes_init_has_failed(scenario: WriteScenario) -> None:
    client = await launch(request(scenario(bare(init='session.refuse("closed")'))))
    last = await last_snapshot(client)
    await client.close()
    assert last.status == "failed"
    assert last.reasons == ["no session passed init"]
    report = load_report(client.run_id)
    assert report.run.status == "failed"
    assert report.sessions.failed == 4
    assert exit_code(report) == 107


async def test_what_user_code_prints_is_a_line_of_the_log(scenario: WriteScenario) -> None:
    source = bare(init='print("hello \\x1b[31m", session.index)')
    client = await launch(request(scenario(source)))
    seen = [snapshot async for snapshot in client.snapshots()]
    await client.close()
    lines = [line.text for snapshot in seen for line in snapshot.logs if line.level == "output"]
    assert "hello \\x1b[31m 0" in lines


async def test_a_signal_to_the_engine_stops_the_run_with_a_report(
    scenario: WriteScenario,
) -> None:
    client = await launch(request(scenario(duration="60s")))
    await snapshots_until(client, has_requests)
    os.kill(client.engine_pid, signal.SIGTERM)
    last = await last_snapshot(client)
    await client.close()
    assert last.status == "stopped"
    assert load_report(client.run_id).run.reasons == ["stopped by a signal"]


async def test_viewers_come_ask_and_go_without_touching_the_run(scenario: WriteScenario) -> None:
    owner = await launch(request(scenario(duration="60s")))
    viewer = await attach()
    assert viewer.run_id == owner.run_id
    assert viewer.plan == owner.plan
    assert [found.state for found in list_runs()] == ["running"]
    await viewer.subscribe(View(sort="label", limit=1), rate_hz=4)
    [*_, snapshot] = await snapshots_until(viewer, lambda s: bool(s.series and s.intervals))
    assert len(snapshot.series) == 1
    detail = await viewer.series(snapshot.series[0].id)
    assert detail is not None
    assert await viewer.series(999) is None
    window = await viewer.window(0, 100)
    assert window is not None
    assert window.totals.requests > 0
    await viewer.close()
    late = await attach(owner.run_id)
    [*_, snapshot] = await snapshots_until(late, lambda s: bool(s.intervals))
    assert snapshot.intervals[0].second == 0, "a late viewer gets the whole history"
    await late.close()
    await owner.stop()
    assert (await last_snapshot(owner)).status == "stopped"
    await owner.close()
    with pytest.raises(UserError, match="is finished"):
        await attach(owner.run_id)


async def test_a_run_whose_starter_is_killed_stops_and_leaves_a_report(
    scenario: WriteScenario, tmp_path: Path
) -> None:
    starter = tmp_path / "starter.py"
    starter.write_text(
        textwrap.dedent(
            f"""
            import asyncio, sys
            from chaperon_engine import LaunchRequest, launch
            async def main():
                file = {str(scenario(duration="60s"))!r}
                client = await launch(LaunchRequest(file=file, workers=1, pin=False))
                print(client.run_id, flush=True)
                await asyncio.sleep(60)
            asyncio.run(main())
            """
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(starter), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    run_id = (await process.stdout.readline()).decode().strip()
    viewer = await attach(run_id)
    process.kill()
    await process.wait()
    last = await last_snapshot(viewer)
    await viewer.close()
    assert last.reasons == ["the program that started the run has gone"]
    assert load_report(run_id).run.status == "stopped"


async def test_a_detached_run_lives_on_and_a_second_run_hears_of_its_cores(
    scenario: WriteScenario,
) -> None:
    file = scenario(duration="60s")
    first = await launch(LaunchRequest(file=str(file), detach=True))
    await first.close()
    second = await launch(LaunchRequest(file=str(file), workers=1))
    [*_, snapshot] = await snapshots_until(second, lambda s: bool(s.logs))
    assert "another run uses core" in snapshot.logs[0].text
    assert "another run uses core" in read_record(RunDirectory(second.directory)).notes[0]
    await second.abort()
    assert (await last_snapshot(second)).status == "aborted"
    await second.close()
    again = await attach(first.run_id)
    assert [run.state for run in list_runs()] == ["finished", "running"]
    await again.stop()
    assert (await last_snapshot(again)).status == "stopped"
    await again.close()


async def test_a_full_disk_ends_neither_the_run_nor_the_engine(scenario: WriteScenario) -> None:
    setup = (
        "import resource, signal\n"
        "from chaperon_engine.coordinator.run import Coordinator\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "begin = Coordinator._begin\n"
        "def full(self, start_ns):\n"
        "    begin(self, start_ns)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "Coordinator._begin = full\n"
    )
    client, engine = await launch_with(request(scenario()), setup)
    last = await last_snapshot(client)
    await client.close()
    assert await engine.wait() == 0
    assert last.totals.requests > 0
    assert last.status == "complete"
    assert any("the journal could not be written" in reason for reason in last.reasons)
    assert "could not be written" in last.export_errors["report"]
    assert last.report_path == ""
    assert not RunDirectory.find(client.run_id).report.exists()
    report = final_report(last)
    assert report.totals.requests == last.totals.requests
    assert report.run.status == "complete"


async def test_a_launch_that_is_given_up_leaves_neither_a_run_nor_processes(
    scenario: WriteScenario,
) -> None:
    file = scenario(bare(init="__import__('time').sleep(60)"), duration="60s")
    engines: list[subprocess.Popen[bytes]] = []
    started = asyncio.Event()

    def start(directory: RunDirectory) -> subprocess.Popen[bytes]:
        engines.append(_start_engine(directory))
        started.set()
        return engines[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chaperon_engine.client.launching._start_engine", start)
        launching = asyncio.create_task(launch(request(file)))
        await started.wait()
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
    assert engines[0].returncode is not None
    assert list_runs() == []
    assert not os.listdir(runs_folder())


def test_the_library_call_answers_a_report_in_a_script(scenario: WriteScenario) -> None:
    seen: list[Snapshot] = []
    report = run(
        f"{bare_file(scenario)}:WorkTest",
        duration="600ms",
        sessions=2,
        workers=1,
        pin=False,
        seed=5,
        tag="t",
        preflight=False,
        on_snapshot=seen.append,
    )
    assert report.run.status == "complete"
    assert report.iterations.completed > 10
    assert report.run.seed == 5
    assert report.sessions.planned == 2
    assert seen[-1].state == "finished"


def test_the_library_call_takes_a_load_test_as_plain_data(scenario: WriteScenario) -> None:
    file = bare_file(scenario)
    report = run(
        {
            "name": "From data",
            "services": {"shop": "http://127.0.0.1:9"},
            "scenarios": [{"scenario": f"{file.stem}:Work", "sessions": 2, "duration": "500ms"}],
        },
        workers=1,
        pin=False,
        preflight=False,
    )
    assert (report.run.status, report.run.load_test, report.run.file) == (
        "complete",
        "From data",
        "",
    )
    assert report.sessions.planned == 2
    assert report.iterations.completed > 10
    with pytest.raises(
        UserError, match=r"'\.\./out\.py:Out'; scenario files must lie in the folder"
    ):
        run({"scenarios": ["../out.py:Out"]})


async def test_the_library_call_works_inside_a_running_loop(scenario: WriteScenario) -> None:
    file = bare_file(scenario)
    report = run(file, duration="500ms", workers=1, pin=False, preflight=False)
    assert report.run.load_test == "WorkTest"


def test_the_library_call_refuses_to_start_while_its_own_file_is_loaded(
    scenario: WriteScenario,
) -> None:
    file = bare_file(scenario, more="import chaperon_engine\nchaperon_engine.run('x.py')")
    with pytest.raises(UserError, match="__main__"):
        run(file)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [({"duration": "soon"}, "duration is 'soon'"), ({"sessions": "many"}, "sessions is 'many'")],
)
def test_the_library_call_says_what_is_wrong_with_its_arguments(
    scenario: WriteScenario, keywords: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        run(bare_file(scenario), **keywords)  # type: ignore[arg-type]


def bare_file(scenario: WriteScenario, more: str = "") -> Path:
    return scenario(bare(run="await session.delay(0.01)", more=more))


def test_a_run_needs_a_file_that_exists(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        asyncio.run(launch(LaunchRequest(file=str(tmp_path / "none.py"))))

"""The commands as real processes against the bundled target."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import jsonschema  # type: ignore[import-untyped]
import psutil
import pytest

from tests.cli.conftest import COMMAND, ROOT, Chaperon

pytestmark = pytest.mark.e2e

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Hello(Scenario):
    \"\"\"Says hello.\"\"\"
    async def run(self, session: Session) -> None:
        page = await session.get("/json")
        session.check("ok", page.ok)
        if session.index == 0 and session.iteration == 0:
            print("printed by a scenario")
        await session.delay(0.01)

class HelloTest(LoadTest):
    services = {"web": Service("URL")}
    scenarios = [Population(Hello, sessions=4, duration="1s")]
"""


def served(target: str) -> int:
    """Requests that the target counted; this one is not among them."""
    with urllib.request.urlopen(f"{target}/stats", timeout=5) as reply:
        counts = json.load(reply)
    return int(counts["requests"])


def write_scenario(chaperon: Chaperon, target: str, source: str = SCENARIO) -> None:
    (chaperon.folder / "hello.py").write_text(source.replace("URL", target))


def wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"no line began with {start!r}")


def test_help_loads_nothing_that_takes_time() -> None:
    code = (
        "import sys\nfrom chaperon_engine.cli import main\nassert main(['--help']) == 0\n"
        "heavy = {'asyncio', 'msgspec', 'aiohttp', 'uvloop', 'psutil', 'importlib.metadata'}\n"
        "print('loaded', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.endswith("loaded []\n")


def test_the_version_is_printed(chaperon: Chaperon) -> None:
    from chaperon_engine import __version__

    assert chaperon("version").stdout == f"chaperon {__version__}\n"
    assert chaperon("--version").stdout == f"chaperon {__version__}\n"


def test_no_command_shows_the_help(chaperon: Chaperon) -> None:
    done = chaperon()
    assert done.returncode == 0
    assert done.stdout.startswith("usage: chaperon")


def test_list_shows_entries_and_problems_without_running_them(chaperon: Chaperon) -> None:
    write_scenario(chaperon, "http://127.0.0.1:7070")
    (chaperon.folder / "broken.py").write_text("class X(Scenario:\n")
    (chaperon.folder / "loud.py").write_text("raise SystemExit('ran')\n")
    done = chaperon("list", ".")
    assert done.returncode == 0, done.stderr
    assert "HelloTest" in done.stdout
    assert "\nhello.py\n" in done.stdout
    assert "! broken.py: line 1" in done.stdout


def test_quick_sends_exactly_as_many_requests_as_asked(chaperon: Chaperon, target: str) -> None:
    before = served(target)
    done = chaperon(
        "quick",
        f"{target}/json",
        "-n",
        "1000",
        "-c",
        "20",
        "--out",
        "json=q.json",
        "--out",
        "csv=q.csv",
        "--out",
        "timeline=q.t.csv",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert served(target) - before == 1000
    report = json.loads((chaperon.folder / "q.json").read_text())
    jsonschema.validate(report, json.loads((ROOT / "docs" / "report.schema.json").read_text()))
    assert report["totals"]["requests"] == report["totals"]["ok"] == 1000
    for name, kind in (("q.csv", "http"), ("q.t.csv", "")):
        with (chaperon.folder / name).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("kind", "") == kind]
        assert sum(int(row["count" if kind else "requests"]) for row in rows) == 1000
    assert "Requests    1,000 " in done.stdout
    assert "GET /json" in done.stdout
    assert f"json        {chaperon.folder}/q.json" in done.stdout


def test_quick_without_a_scheme_runs_for_its_duration(chaperon: Chaperon, target: str) -> None:
    address = target.removeprefix("http://")
    done = chaperon("quick", address, "-c", "4", "-d", "1500ms", "--workers", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert re.search(r"^running 1 s/1.5 s  ", done.stdout, re.MULTILINE), "plain lines when piped"
    assert "\x1b" not in done.stdout
    assert "Sessions    4 planned   4 finished" in done.stdout


def test_quick_sends_method_headers_and_body_and_shows_no_secret(
    chaperon: Chaperon, target: str
) -> None:
    done = chaperon(
        *("quick", f"{target}/echo", "-n", "5", "-b", "pass-in-body", "-H", "X-Token: s3cr3t-h"),
        *("-H", "Content-Type: text/plain", "--out", "json=q.json"),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "POST /echo" in done.stdout
    (run,) = (chaperon.home / "runs").iterdir()
    for path in (chaperon.folder / "q.json", run / "run.json", run / "report.json"):
        text = path.read_text()
        assert "s3cr3t-h" not in text, path
        assert "pass-in-body" not in text, path
        assert "cGFzcy1pbi1ib2R5" not in text, path


def test_secrets_of_quick_are_in_no_argument_of_a_process(chaperon: Chaperon, target: str) -> None:
    args = ("quick", target, "-d", "10s", "-c", "1", "-H", "Authorization: Bearer s3cr3t")
    with chaperon.start(*args) as process:
        wait_for_line(process, "running")
        children = psutil.Process(process.pid).children(recursive=True)
        assert children, "the engine is a child"
        for child in children:
            assert "s3cr3t" not in " ".join(child.cmdline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 105


def test_run_prints_lines_summary_and_paths(chaperon: Chaperon, target: str) -> None:
    write_scenario(chaperon, target)
    done = chaperon("run", "hello.py", "--duration", "1200ms", "--out", "csv", "--tag", "t1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("HelloTest  Hello: 4 sessions for 1.2 s → http://127.0.0.1:")
    assert "output: printed by a scenario" in done.stdout
    assert "HelloTest  complete" in done.stdout
    assert "passed  ok" in done.stdout
    assert "Load generator:" in done.stdout
    (path,) = (chaperon.folder / "results").rglob("*.csv")
    assert path.name.startswith("t1-")
    assert path.with_suffix(".config.json").is_file()
    assert path.with_suffix(".scenarios.json").is_file()
    shown = done.stdout.rpartition("csv         ")[2].strip()
    assert (chaperon.folder / shown) == path


def test_reports_of_former_runs_can_be_listed_shown_exported_and_removed(
    chaperon: Chaperon, target: str
) -> None:
    for _ in range(2):
        assert chaperon("quick", target, "-n", "20").returncode == 0
    newest, older = sorted((path.name for path in (chaperon.home / "runs").iterdir()), reverse=True)
    listed = chaperon("runs").stdout
    assert listed.index(newest) < listed.index(older)
    assert "complete" in listed
    assert "Requests    20 " in chaperon("report").stdout
    shown = json.loads(chaperon("report", older, "--json").stdout)
    assert shown["run"]["id"] == older
    done = chaperon("report", older, "--out", "csv=out.csv", "--out-option", "csv.separator=;")
    assert done.returncode == 0, done.stderr
    assert (chaperon.folder / "out.csv").read_text().startswith("kind;unit;")
    assert chaperon("runs", "rm", older).stdout == f"removed {older}\n"
    assert chaperon("runs", "prune", "--keep", "1").stdout == "nothing to remove\n"
    assert chaperon("runs", "prune", "--keep", "0").stdout == f"removed {newest}\n"
    assert chaperon("runs").stdout == "No runs yet.\n"


def test_an_export_that_fails_ends_with_1_and_keeps_the_report(
    chaperon: Chaperon, target: str
) -> None:
    (chaperon.folder / "file").write_text("")
    done = chaperon("quick", target, "-n", "10", "--out", "csv=file/x.csv")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot write" in done.stderr
    assert "Requests    10 " in done.stdout
    failed = chaperon("report", "--out", "csv=file/x.csv")
    assert failed.returncode == 1
    assert "cannot write" in failed.stderr


def test_one_interrupt_stops_gracefully_with_a_report(chaperon: Chaperon, target: str) -> None:
    write_scenario(chaperon, target)
    with chaperon.start("run", "hello.py", "--duration", "60s") as process:
        wait_for_line(process, "running")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 105, errors
    assert "Stopping: no new iterations" in output
    assert "HelloTest  stopped" in output
    assert "Traceback" not in errors


def test_two_terminations_abort_and_still_report(chaperon: Chaperon, target: str) -> None:
    slow = SCENARIO.replace('session.get("/json")', 'session.get("/slow?ms=20000")')
    write_scenario(chaperon, target, slow)
    with chaperon.start("run", "hello.py", "--duration", "60s") as process:
        wait_for_line(process, "running")
        process.send_signal(signal.SIGTERM)
        wait_for_line(process, "Stopping")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 105, errors
    assert time.monotonic() - began < 10
    assert "HelloTest  aborted" in output


def test_an_interrupt_before_the_load_leaves_nothing_running(chaperon: Chaperon) -> None:
    (chaperon.folder / "x.py").write_text("import time\nprint('loading')\ntime.sleep(60)\n")
    with chaperon.start("run", "x.py") as process:
        parent = psutil.Process(process.pid)
        deadline = time.monotonic() + 10
        while not parent.children() and time.monotonic() < deadline:
            time.sleep(0.01)
        children = parent.children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 105, errors
    assert "Traceback" not in errors
    assert "before the load began" in output or not output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_run_in_which_no_session_passes_init_ends_with_107(
    chaperon: Chaperon, target: str
) -> None:
    refusing = SCENARIO.replace(
        "    async def run(",
        "    async def init(self, session: Session) -> None:\n"
        "        session.refuse('no seats left')\n"
        "    async def run(",
    )
    write_scenario(chaperon, target, refusing)
    done = chaperon("run", "hello.py")
    assert done.returncode == 107, done.stdout + done.stderr
    assert "no seats left" in done.stdout + done.stderr


def test_a_detached_run_goes_on_alone_and_says_how_to_find_it(
    chaperon: Chaperon, target: str
) -> None:
    write_scenario(chaperon, target)
    done = chaperon("run", "hello.py", "--duration", "1s", "--detach")
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.splitlines()[0]
    assert f"chaperon-tui attach {run_id}" in done.stdout
    report = chaperon.home / "runs" / run_id / "report.json"
    deadline = time.monotonic() + 20
    while not report.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "HelloTest  complete" in chaperon("report", run_id).stdout


def test_a_reader_that_goes_away_is_no_error(chaperon: Chaperon) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "chaperon_engine.cli", "list"],
        cwd=chaperon.folder,
        env=chaperon.env,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(read)
    os.close(write)
    _, errors = process.communicate(timeout=20)
    assert errors == ""
    assert process.returncode == 0


def test_a_reader_that_goes_away_ends_the_run_gracefully(chaperon: Chaperon, target: str) -> None:
    with chaperon.start("quick", target, "-d", "60s", "-c", "1") as process:
        wait_for_line(process, "running")
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 105
    assert errors == ""
    (run,) = (chaperon.home / "runs").iterdir()
    deadline = time.monotonic() + 20
    while not (run / "report.json").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert json.loads((run / "report.json").read_text())["run"]["status"] == "stopped"


def test_a_closed_output_is_no_error(chaperon: Chaperon) -> None:
    command = " ".join([*COMMAND, "version", ">&-"])
    done = subprocess.run(
        ["sh", "-c", command], env=chaperon.env, capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_try_shows_every_exchange_of_one_session(chaperon: Chaperon, target: str) -> None:
    write_scenario(chaperon, target)
    done = chaperon("try", "hello.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"→ 1  GET {target}/json" in done.stdout
    assert "← 1  200 OK" in done.stdout
    assert "check passed  ok" in done.stdout
    assert "output: printed by a scenario" in done.stdout
    assert "1 request, 0 failed, 0 HTTP errors; 1 check passed, 0 failed" in done.stdout
    assert chaperon("runs").stdout == "No runs yet.\n", "a trial leaves no run"


def test_try_ends_with_1_when_something_in_the_session_failed(
    chaperon: Chaperon, target: str
) -> None:
    write_scenario(chaperon, target, SCENARIO.replace("page.ok)", "lambda: {}['price'])"))
    done = chaperon("try", "hello.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "check FAILED  ok: " in done.stdout
    assert "Traceback" not in done.stderr


def test_an_interrupted_trial_ends_quietly_with_its_child(chaperon: Chaperon, target: str) -> None:
    write_scenario(chaperon, target, SCENARIO.replace("/json", "/slow?ms=20000"))
    with chaperon.start("try", "hello.py") as process:
        wait_for_line(process, "  0.0")
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (105, "")
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive

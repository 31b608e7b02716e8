"""Every row of the parity table: its test exists, and its line of code runs."""

from __future__ import annotations

import http.server
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import chaperon_engine
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.definition.resolve import resolve
from tests.scenarios.conftest import Target

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
HERE = " ...  # here\n"


@dataclass(frozen=True)
class Row:
    """One row: the line of code and the test."""

    name: str
    line: str
    proof: str


def rows() -> Iterator[Row]:
    for text in PAGE.splitlines():
        cells = [cell.strip() for cell in text[1:-1].split("|")]
        if text.startswith("|") and len(cells) == 4 and not set(text) <= set("| -"):
            _, _, line, proof = cells
            if line != "a line":
                yield Row(cells[0] or cells[1], line.strip("`"), proof.strip("`"))


ROWS = list(rows())


def lines(kind: str) -> list[str]:
    """The lines of a kind, in the order of the page."""
    return [row.line for row in ROWS if row.line and kind_of(row.line) == kind]


def kind_of(line: str) -> str:
    if line.startswith("$ "):
        return "shell"
    if line.startswith("async def "):
        return "method"
    if re.match(r"(services|scenarios|default_config|metrics) = ", line):
        return "load test"
    if "session." in line and "report" not in line:
        return "session"
    return "script"


def write_files(folder: Path, target: Target, body: str = HERE) -> None:
    """The files of the page, with another port."""
    for name, text in FILES.items():
        text = text.replace(HERE, body) if name == "lines.py" else text
        (folder / name).write_text(text.replace("127.0.0.1:7070", target.url[7:]))


def test_the_page_has_its_rows() -> None:
    kinds = {kind: len(lines(kind)) for kind in ("shell", "method", "load test", "session")}
    assert all(count > 1 for count in kinds.values()), kinds
    assert len(ROWS) > 100
    assert [row.name for row in ROWS if not row.line] == []


def test_every_row_names_a_test_that_exists() -> None:
    missing = []
    for row in ROWS:
        path, _, name = row.proof.partition("::")
        file = ROOT / path
        if not file.is_file() or f"def {name}(" not in file.read_text(encoding="utf-8"):
            missing.append(f"{row.name}: {row.proof}")
    assert missing == []


def test_every_link_of_the_page_and_the_tutorial_leads_somewhere() -> None:
    headings = re.compile(r"^#+ (.*)$", re.MULTILINE)
    for page in ("parity.md", "tutorial.md", "scenarios.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`\n]*`", "", prose)):
            path, _, anchor = link.partition("#")
            target = ROOT / "docs" / (path or page)
            assert target.exists(), f"{page}: {link}"
            if anchor:
                titles = headings.findall(target.read_text(encoding="utf-8").lower())
                anchors = {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}
                assert anchor in anchors, f"{page}: {link}"


def test_every_line_of_a_load_test_resolves(tmp_path: Path, target: Target) -> None:
    write_files(tmp_path, target)
    source = (tmp_path / "lines.py").read_text()
    names = []
    for number, line in enumerate(lines("load test")):
        names.append(f"Row{number}")
        own = line.partition(" = ")[0]
        base = "" if own == "scenarios" else "    scenarios = [Visit]\n"
        base += "" if own == "services" else '    services = {"api": Service("http://h")}\n'
        source += f"\n\nclass Row{number}(LoadTest):\n{base}    {line}\n"
    (tmp_path / "rows.py").write_text(source)
    for name in names:
        assert resolve(LaunchRequest(file=str(tmp_path / "rows.py"), name=name)).plan.populations


def test_every_line_of_a_session_runs(tmp_path: Path, target: Target) -> None:
    body = []
    for line in lines("session"):
        if line.startswith(("session.refuse(", "session.abort(")):
            line = f"await session.spawn(lambda session: {line})"
            if ".refuse(" in line:
                continue  # Below, because it speaks for the whole session.
        body.append(f"        {line}\n")
    body += [f"\n    {line}\n" for line in lines("method") if line.startswith("async def teardown")]
    write_files(tmp_path, target, "\n" + "".join(body))
    report = chaperon_engine.run(tmp_path / "lines.py", workers=2, pin=False)
    assert [exception.message for exception in report.exceptions] == ["sold out"]
    assert [check.name for check in report.checks if check.failed] == []
    assert [metric.name for metric in report.metrics if metric.failed] == ["<lambda>"]
    assert (report.sessions.finished, report.totals.http_errors) == (1, 0)
    # The unmeasured DELETE of `teardown` is the only difference.
    assert (
        report.totals.requests + 1 == target.stats()["requests"] - target.stats()["statuses"]["101"]
    )
    series = {metric.name or metric.url for metric in report.metrics}
    assert {"cart value", "delivery", "knock", "spread", "both pages", "search for cake"} <= series


def test_a_session_that_refuses_is_reported_and_the_others_go_on(
    tmp_path: Path, target: Target
) -> None:
    (line,) = [line for line in lines("session") if line.startswith("session.refuse(")]
    (run,) = [line for line in lines("method") if line.startswith("async def run")]
    write_files(tmp_path, target)
    source = (tmp_path / "lines.py").read_text()
    source += f"\n\nclass Some(Scenario):\n    {run}\n\n    async def init(self, session):\n"
    source += f"        if session.index % 2:\n            {line}\n"
    (tmp_path / "some.py").write_text(source)
    report = chaperon_engine.run(f"{tmp_path}/some.py:Some", sessions=4, pin=False)
    assert (report.sessions.finished, report.sessions.failed) == (2, 2)
    assert report.totals.requests == target.stats()["requests"] == 2


def test_every_line_of_a_script_runs(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, target)
    monkeypatch.chdir(tmp_path)
    script = "import chaperon_engine\n" + "\n".join(lines("script"))
    values: dict[str, object] = {}
    exec(script.replace("127.0.0.1:7070", target.url[7:]), values)
    assert values["late"] == 0
    assert {"csv", "influxdb", "json", "s3", "timeline"} <= set(values["formats"])  # type: ignore[call-overload]


class Accepts(http.server.BaseHTTPRequestHandler):
    """A database and a store that take whatever is sent to them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204 if self.path.startswith("/write") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.paths.append(self.path.partition("?")[0])  # type: ignore[attr-defined]

    do_PUT = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Accepts) as server:
        server.paths = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has installed Chaperon."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "chaperon"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chaperon_engine.cli "$@"\n'
    )
    program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CHAPERON_API_TOKEN": secrets.token_hex(24),
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "ID": "00000000-0000-4000-8000-000000000000",
    }


@pytest.fixture
def queue(tmp_path: Path, target: Target, shell: dict[str, str]) -> Iterator[str]:
    """Host and port of `chaperon serve`."""
    write_files(tmp_path, target)
    with subprocess.Popen(
        ["chaperon", "serve", "--port", "0", "--folder", ".", "--end-run", "--quiet"],
        cwd=tmp_path,
        env=shell,
        stdout=subprocess.PIPE,
        text=True,
        executable=str(tmp_path / "bin" / "chaperon"),
    ) as server:
        assert server.stdout is not None
        found = re.match(r"Queue at http://(\S+) ", server.stdout.readline())
        assert found
        yield found[1]
        server.terminate()


@pytest.mark.timeout(120)
def test_every_line_for_the_shell_runs(
    tmp_path: Path,
    target: Target,
    queue: str,
    shell: dict[str, str],
    database: http.server.HTTPServer,
) -> None:
    if shutil.which("curl") is None and not os.environ.get("CI"):
        pytest.skip("curl is missing")
    elsewhere = f"127.0.0.1:{database.server_port}"
    ports = {"7070": target.url[7:], "7080": queue, "8086": elsewhere, "9000": elsewhere}
    (tmp_path / "curl.conf").write_text(f"user = chaperon:{shell['CHAPERON_API_TOKEN']}\n")

    def run(line: str) -> None:
        command = line[2:]
        for port, place in ports.items():
            command = command.replace(f"127.0.0.1:{port}", place)
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=shell,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    console = [line for line in CONSOLE.splitlines() if line.startswith("$ ")]
    commands = list(dict.fromkeys(console + lines("shell")))
    runs = [line for line in commands if line.startswith(("$ chaperon run ", "$ chaperon try "))]
    with ThreadPoolExecutor(max_workers=3) as threads:
        list(threads.map(run, runs))
    for line in commands:
        if line not in runs:
            run(line)
    assert (tmp_path / "run.csv").read_text().startswith("kind,")
    assert (tmp_path / "semicolons.csv").read_text().startswith("kind;")
    assert list((tmp_path / "results").glob("*/ChatTest/nightly-*.csv"))
    assert "/write" in database.paths  # type: ignore[attr-defined]

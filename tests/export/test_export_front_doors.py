"""Exports of real runs, through the command line, the library and a launch request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import chaperon_engine
from chaperon_engine import LaunchRequest, url_request
from chaperon_engine.errors import UserError
from tests.cli.conftest import Chaperon, chaperon, target
from tests.export.servers import Contract, answer, contract_server, silent

__all__ = ["chaperon", "target"]

TOKEN = "t0ken-that-nobody-may-see"
BUCKET = ("--out-option", "influxdb.org=acme & co", "--out-option", "influxdb.bucket=load/test")
ONCE = ("--out-option", "influxdb.retries=0")


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    with contract_server() as server:
        server.token = TOKEN
        monkeypatch.setenv("MY_TOKEN", TOKEN)
        yield server


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_a_run_arrives_and_its_token_is_nowhere(
    chaperon: Chaperon, target: str, contract: Contract
) -> None:
    args = ("--out", f"influxdb={contract.address}", *BUCKET, "--out", "json=r.json")
    env = ("--out-option", "influxdb.token-env=MY_TOKEN")
    done = chaperon("quick", target, "-n", "50", *args, *env)
    assert done.returncode == 0, done.stderr
    assert f"influxdb    {contract.address}, bucket 'load/test'" in done.stdout
    report = json.loads((chaperon.folder / "r.json").read_text())
    (total,) = [point for point in contract.points if point.measurement == "load_test_run"]
    assert total.fields["requests"] == report["totals"]["requests"] == 50
    assert total.fields["run"] == report["run"]["id"]
    assert TOKEN not in done.stdout + done.stderr
    for path in (*files_of(chaperon.home), *files_of(chaperon.folder)):
        assert TOKEN.encode() not in path.read_bytes(), path


def test_a_server_that_refuses_costs_the_other_exports_nothing(
    chaperon: Chaperon, target: str, contract: Contract
) -> None:
    contract.always = answer(401, "unauthorized", "unauthorized access")
    args = ("--out", f"influxdb={contract.address}", *BUCKET, "--out", "csv=r.csv")
    env = ("--out-option", "influxdb.token-env=MY_TOKEN")
    done = chaperon("quick", target, "-n", "20", *args, *env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith(f"chaperon: influxdb: InfluxDB at {contract.address} does not")
    assert done.stderr.count("\n") == 1
    assert "Requests    20 " in done.stdout
    assert (chaperon.folder / "r.csv").exists()
    (run,) = (chaperon.home / "runs").iterdir()
    assert json.loads((run / "report.json").read_text())["totals"]["requests"] == 20
    assert f"`chaperon report {run.name} --out influxdb=…`" in done.stderr
    assert "unauthorized access" in (run / "engine.log").read_text()
    for path in files_of(chaperon.home):
        assert TOKEN.encode() not in path.read_bytes(), path
    contract.always = None
    again = chaperon("report", "--out", f"influxdb={contract.address}", *BUCKET, *env)
    assert again.returncode == 0, again.stderr
    assert contract.points


def test_a_server_that_is_down_or_slow_is_told_with_1(
    chaperon: Chaperon, target: str, contract: Contract
) -> None:
    assert chaperon("quick", target, "-n", "5").returncode == 0
    down = chaperon("report", "--out", "influxdb=http://127.0.0.1:1/db", *ONCE)
    assert (down.returncode, "cannot be reached" in down.stderr) == (1, True)
    contract.always = silent
    limit = ("--out-option", "influxdb.timeout=300ms")
    slow = chaperon("report", "--out", f"influxdb={contract.address}/db", *ONCE, *limit)
    assert slow.returncode == 1
    assert "did not answer within 0.3 s after the only attempt" in slow.stderr
    assert "Requests    5 " in slow.stdout


def test_the_settings_file_serves_both_doors(
    chaperon: Chaperon, target: str, contract: Contract
) -> None:
    chaperon.home.mkdir()
    (chaperon.home / "exports.toml").write_text(
        f'[influxdb]\ndestination = "{contract.address}"\norg = "acme & co"\n'
        f'bucket = "load/test"\ntoken = "{TOKEN}"\n'
    )
    done = chaperon("quick", target, "-n", "5", "--out", "influxdb")
    assert done.returncode == 0, done.stderr
    assert contract.points
    (run,) = (chaperon.home / "runs").iterdir()
    for path in files_of(run):
        assert TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--out", "influxdb=http://u:s3cr3t@h/db"), "has credentials in it"),
        (("--out", "influxdb"), "needs a destination"),
        (("--out", "csv", "--out-option", "csv.seperator=;"), "did you mean separator?"),
        (("--out", "csv", "--out-option", "separator=;"), "FORMAT.NAME=VALUE"),
        (("--out-option", "csv.separator=;"), "there is no export"),
        (("--out", "influxdb=http://h/d", "--out-option", "influxdb.password=s3cr3t"), "secret"),
    ],
)
def test_mistakes_are_refused_before_anything_is_sent(
    chaperon: Chaperon, target: str, args: tuple[str, ...], sentence: str
) -> None:
    for command in (("quick", target), ("report",)):
        told = chaperon.refused(*command, *args)
        assert sentence in told
        assert "s3cr3t" not in told
    assert not list((chaperon.home / "runs").glob("*"))


def test_no_process_gets_a_token_as_argument(
    chaperon: Chaperon, target: str, contract: Contract
) -> None:
    contract.always = silent
    args = ("--out", f"influxdb={contract.address}", *BUCKET, *ONCE)
    env = ("--out-option", "influxdb.token-env=MY_TOKEN", "--out-option", "influxdb.timeout=2s")
    with chaperon.start("quick", target, "-n", "5", *args, *env) as process:
        seen = 0
        while process.poll() is None and not contract.requests:
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    assert TOKEN not in " ".join(child.cmdline())
                    seen += 1
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.02)
        assert seen
        process.communicate(timeout=20)
        assert process.returncode == 1


def test_a_launch_request_carries_options_and_refuses_secrets(
    target: str, contract: Contract, tmp_path: Path
) -> None:
    request = url_request(target)
    values = {
        name: getattr(request, name)
        for name in request.__struct_fields__
        if name not in ("exports", "export_options", "shared_iterations", "duration_s")
    }
    wanted = {"influxdb": contract.address, "csv": str(tmp_path / "r.csv")}
    options = {
        "influxdb": {"org": "acme & co", "bucket": "load/test", "token-env": "MY_TOKEN"},
        "csv": {"separator": "tab"},
    }

    async def ended(request: LaunchRequest) -> chaperon_engine.Snapshot:
        async with await chaperon_engine.launch(request) as client:
            await client.subscribe(chaperon_engine.View(limit=0))
            async for snapshot in client.snapshots():
                last = snapshot
        return last

    last = asyncio.run(
        ended(LaunchRequest(**values, shared_iterations=20, exports=wanted, export_options=options))
    )
    assert not last.export_errors
    assert set(last.exports) == {"influxdb", "csv"}
    assert (tmp_path / "r.csv").read_text().startswith("kind\t")
    assert contract.points
    secret = LaunchRequest(**values, exports=wanted, export_options={"influxdb": {"token": TOKEN}})
    with pytest.raises(UserError, match=r"influxdb\.token is secret and must not stand here"):
        asyncio.run(ended(secret))

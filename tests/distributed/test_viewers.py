"""Viewers of real engines from elsewhere, by the lines that the run prints."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import stat
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from chaperon_engine import (
    RunClient,
    Snapshot,
    UserError,
    View,
    attach_remote,
    final_report,
    load_report,
    read_token,
)
from chaperon_engine.client.describing import child_environment
from chaperon_engine.client.remote import Patience
from chaperon_engine.protocol.handshake import NO_AGENTS
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.remote.dial import Authority
from tests.distributed.conftest import Launched, Proxy, Start
from tests.engine.conftest import CountingServer

pytestmark = pytest.mark.e2e

Write = Callable[..., Path]
MakeProxy = Callable[[int], Awaitable[tuple[Proxy, int]]]

VIEWER = """
import asyncio, sys
from chaperon_engine import attach_remote, read_token
async def watch():
    host, port, run, pin, token = sys.argv[1:]
    client = await attach_remote(host, int(port), run_id=run, pin=pin, token=read_token(token))
    async for snapshot in client.snapshots():
        print(snapshot.state, flush=True)
asyncio.run(watch())
"""


async def attached(
    launched: Launched, role: str, *, port: int | None = None, **how: Any
) -> RunClient:
    return await _attached((await launched.told()).attach, role, port=port, **how)


async def _attached(line: str, role: str, *, port: int | None = None, **how: Any) -> RunClient:
    """By the line that a run prints."""
    words = shlex.split(line)
    assert words[:2] == ["chaperon-tui", "attach"]
    host, _, real_port = words[2].rpartition(":")
    options = dict(zip(words[3::2], words[4::2], strict=True))
    token_file = Path(options["--token-file"]).with_name(f"{role}.token")
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    if role == "observer":
        assert options["--token-file"] == str(token_file)
    return await attach_remote(
        host, port or int(real_port), run_id=options["--run"], pin=options["--pin"],
        token=read_token(str(token_file)), patience=Patience(first_backoff_s=0.05), **how,
    )  # fmt: skip


async def test_an_observer_watches_through_a_break_until_an_operator_stops_the_run(
    server: CountingServer, scenario: Write, start: Start, proxy: MakeProxy
) -> None:
    # The viewer that is killed is waited for at the end.
    quick = "from chaperon_engine.coordinator import server\nserver.LINGER_S = 0.5"
    launched = await start(scenario(duration="60s"), expect=1, setup=quick)
    between, port = await proxy(await launched.port())
    waiting = asyncio.create_task(attached(launched, "observer", port=port))
    await launched.join("a")
    local = await launched.begins()
    observer = await waiting
    operator = await attached(launched, "operator", name="ann")
    killed = await _viewer_process(launched)
    snapshots: list[Snapshot] = []

    async def watch() -> None:
        await observer.subscribe(View(), 4.0)
        async for snapshot in observer.snapshots():
            snapshots.append(snapshot)  # noqa: PERF401 - others look at it meanwhile

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(30):
        await _until(lambda: bool(snapshots and snapshots[-1].intervals))
        with pytest.raises(UserError, match="an observer may not steer"):
            await observer.stop()
        between.cut()
        await _until(lambda: observer.outage is not None)
        await _until(lambda: observer.outage is None)
        killed.kill()
        await killed.wait()
        count = len(snapshots)
        await _until(lambda: len(snapshots) > count + 1)
        assert await observer.series(0) is not None
        assert (await observer.window(0, 1)) is not None
        await operator.drain(1)
        await _until(lambda: snapshots[-1].workers[1].state == "done")
        assert snapshots[-1].workers[0].state == "running"
        await operator.stop()
        await watching
    last = snapshots[-1]
    assert last.status == "stopped"
    assert last.role == "observer"
    assert (last.report_path, last.token_file) == ("", "")
    assert str(launched.directory.path) not in f"{last.join} {last.attach}"
    assert last.join.endswith(" --token-file agent.token")
    assert last.attach.endswith(" --token-file observer.token")
    seconds = [interval.second for snapshot in snapshots for interval in snapshot.intervals]
    assert seconds == list(range(len(seconds)))
    report = final_report(last)
    for client in (observer, operator, local):
        await client.close()
    await launched.engine.wait()
    kept = load_report(launched.directory.id)
    assert report.totals == kept.totals
    assert kept.totals.requests == server.requests > 0
    drained, stopped = kept.run.reasons
    assert "agent a was drained by operator ann from 127.0.0.1" in drained
    assert stopped == "stopped by operator ann from 127.0.0.1"


async def test_a_run_without_agents_is_steered_from_elsewhere_and_waits_for_who_reconnects(
    server: CountingServer, scenario: Write, proxy: MakeProxy
) -> None:
    run = await _cli(
        "run", str(scenario(duration="60s")), "--listen", "127.0.0.1:0", "--workers", "1",
        "--detach",
    )  # fmt: skip
    async with asyncio.timeout(40):
        said = (await run.communicate())[0].decode().splitlines()
        assert run.returncode == 0, said
        (line,) = [each.strip() for each in said if "chaperon-tui attach 127.0.0.1:" in each]
        operator = await _attached(line, "operator", name="ann")
        assert operator.run_id == said[0]
        assert not any(" worker join " in each for each in said)
        folder = Path(said[-1].removeprefix("The token files are here: "))
        assert {path.name for path in folder.glob("*.token")} == {
            "observer.token", "operator.token",
        }  # fmt: skip
        forged = folder / "forged"
        forged.write_text(RunSecret(bytes(32)).token("agent").text)
        forged.chmod(0o600)
        words = shlex.split(line)[2:-1]
        agent = await _cli("worker", "join", *words, str(forged), "--workers", "1")
        heard = (await agent.communicate())[0].decode()
        assert agent.returncode == 104
        assert heard.endswith(f"chaperon: error: {NO_AGENTS}\n")
        between, port = await proxy(int(words[0].rpartition(":")[2]))
        observer = await _attached(line, "observer", port=port)
        await observer.subscribe(View())
        await anext(observer.snapshots())
        await operator.subscribe(View())
        async for snapshot in operator.snapshots():
            if snapshot.totals.requests and observer.outage is None:
                between.freeze()
                between.cut()
                await _until(lambda: observer.outage is not None)
                await operator.stop()
        await operator.close()
        between.thaw()
        async for late in observer.snapshots():
            assert late.state in ("running", "draining", "finished")
        await observer.close()
        await _until(lambda: not psutil.pid_exists(operator.engine_pid))
    assert final_report(late) == final_report(snapshot)
    assert (snapshot.join, snapshot.token_file) == ("", "")
    assert snapshot.attach.endswith(" --token-file observer.token")
    assert snapshot.reasons == ["stopped by operator ann from 127.0.0.1"]
    assert final_report(snapshot).totals.requests == server.requests > 0


async def _viewer_process(launched: Launched) -> asyncio.subprocess.Process:
    words = shlex.split((await launched.told()).attach)
    host, _, port = words[2].rpartition(":")
    options = dict(zip(words[3::2], words[4::2], strict=True))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VIEWER, host, port, options["--run"], options["--pin"],
        options["--token-file"], stdout=asyncio.subprocess.PIPE, env=child_environment(),
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"running\n"
    return process


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.02)


async def test_mutual_tls_with_ones_own_authority_from_the_command_line(
    server: CountingServer, scenario: Write, tmp_path: Path, home: Path
) -> None:
    authority = trustme.CA()
    ca, host, guest = (tmp_path / name for name in ("ca.pem", "host.pem", "guest.pem"))
    authority.cert_pem.write_to_path(ca)
    for path, name in ((host, "127.0.0.1"), (guest, "guest.example")):
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(path)
    run = await _cli(
        "run", str(scenario()), "--listen", "127.0.0.1:0", "--expect", "1", "--workers", "0",
        "--tls-cert", str(host), "--tls-key", str(host), "--tls-ca", str(ca),
    )  # fmt: skip
    try:
        async with asyncio.timeout(40):
            join = await _line_with(run, " worker join ")
            assert "--ca FILE --cert FILE --key FILE" in join
            assert "--pin" not in join
            attach = shlex.split(await _line_with(run, "chaperon-tui attach "))
            words = shlex.split(join)[1:]
            without = await _cli(*_filled(words, {"--ca": ca}, leave={"--cert", "--key"}))
            said, _ = await without.communicate()
            assert without.returncode != 0
            assert b"wants a certificate that it trusts" in said
            options = dict(zip(attach[3::2], attach[4::2], strict=True))
            watching = asyncio.create_task(
                attach_remote(
                    "127.0.0.1", int(attach[2].rpartition(":")[2]), run_id=options["--run"],
                    authority=Authority(ca, guest, guest),
                    token=read_token(options["--token-file"]),
                )
            )  # fmt: skip
            agent = await _cli(
                *_filled(words, {"--ca": ca, "--cert": guest, "--key": guest}), "--workers", "1"
            )
            client = await watching
            snapshots = [snapshot async for snapshot in client.snapshots()]
            await client.close()
            said, _ = await agent.communicate()
            assert agent.returncode == 0, said.decode()
            assert await run.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            run.kill()
    assert final_report(snapshots[-1]).totals.requests == server.requests > 0


def _filled(words: list[str], files: dict[str, Path], leave: Collection[str] = ()) -> list[str]:
    """The words of a printed line with real files, without some of its options."""
    options = dict(zip(words[3::2], words[4::2], strict=True))
    options |= {name: str(path) for name, path in files.items()}
    return words[:3] + [
        word for name, value in options.items() if name not in leave for word in (name, value)
    ]


async def _cli(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chaperon_engine.cli", *words, env=child_environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def _line_with(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stdout is not None
    said = []
    while line := (await process.stdout.readline()).decode():
        said.append(line)
        if text in line:
            return line.strip()
    raise AssertionError(said)

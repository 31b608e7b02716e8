"""The client that the terminal UI uses: through the owner's socket, and over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from chaperon_engine import (
    LaunchRequest,
    QueueClient,
    QueuedTest,
    QueueEntry,
    QueueUnavailable,
    UserError,
    attach,
    load_report,
)
from chaperon_engine.client.queue_place import is_ours, queue_socket, read_token
from tests.serve.conftest import TOKEN, Api, StartServer, brief


def launch_of(folder: Path, name: str, **more: Any) -> LaunchRequest:
    return LaunchRequest(file=str(folder / "short.py"), name=name, detach=True, **more)


async def test_the_owner_queues_moves_cancels_and_attaches_without_a_token(
    api: Api, folder: Path
) -> None:
    async with await QueueClient.connect() as client:
        assert client.is_local
        assert await client.entries() == []
        long = await client.add(launch_of(folder, "Long", tag="a long one"))
        assert (long.name, long.tag, long.has_ended) == ("Long", "a long one", False)
        quick = await client.add(launch_of(folder, "Quick", overrides=["delay=1ms"]))
        other = await client.add(launch_of(folder, "Quick"))
        assert (quick.state, quick.position, other.position) == ("queued", 1, 2)
        assert (await client.move(other.id, 1)).position == 1
        assert [entry.id for entry in await client.entries()] == [long.id, other.id, quick.id]
        await client.cancel(quick.id)
        seen: list[list[QueueEntry]] = []
        attached = False
        async with asyncio.timeout(40):
            async for entries in client.events():
                seen.append(entries)
                running = next((entry for entry in entries if entry.state == "running"), None)
                if (
                    running is not None
                    and running.id == long.id
                    and running.run_id
                    and not attached
                ):
                    attached = True
                    async with await attach(running.run_id) as run:
                        assert run.plan.load_test == "Long"
                    await client.cancel(long.id)
                if all(entry.has_ended for entry in entries):
                    break
        assert brief(seen[-1]) == [
            ("Quick", "finished", 0), ("Long", "cancelled", 0), ("Quick", "cancelled", 0),
        ]  # fmt: skip
        finished = seen[-1][0]
        assert (await client.entry(other.id)) == finished
        assert load_report(finished.run_id).totals.requests == 1


async def test_the_owner_is_told_what_is_wrong_with_a_launch(api: Api, folder: Path) -> None:
    async with await QueueClient.connect() as client:
        for request, words in [
            (LaunchRequest(file="short.py"), "must be an absolute path"),
            (launch_of(folder, "Quik"), "Quik"),
            (launch_of(folder, "Quick", exports={"cvs": ""}), "cvs"),
            (launch_of(folder, "Quick", overrides=["delai=1"]), "did you mean 'delay'"),
            (launch_of(folder, "Quick", listen="127.0.0.1:0", expect=1), "on this machine alone"),
        ]:
            with pytest.raises(UserError, match=words):
                await client.add(request)
        assert await client.entries() == []
        for call in (client.cancel("x"), client.move("x", 1), client.entry("../x")):
            with pytest.raises(UserError):
                await call


async def test_over_http_tests_are_queued_by_name(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setenv("CHAPERON_API_TOKEN", TOKEN)
    async with await QueueClient.connect(api.url) as client:
        assert not client.is_local
        with pytest.raises(UserError, match="another machine's queue"):
            await client.add(LaunchRequest(file="/x.py"))
        ids = await client.add_tests(
            [QueuedTest(test="short.py:Long"), QueuedTest(test="Quick", options={"tag": "b"})]
        )
        entries = await client.entries()
        assert [entry.id for entry in entries] == ids
        assert [entry.tag for entry in entries] == ["", "b"]
        await client.cancel_queued()
        assert brief(await client.entries()) == [("Long", "running", 0), ("Quick", "cancelled", 0)]
        await client.cancel_all()
        await api.until(ids[0], "cancelled")


async def test_over_http_the_owners_own_route_is_not_there(api: Api, folder: Path) -> None:
    body = msgspec.to_builtins(launch_of(folder, "Quick"))
    assert (await api("POST", "/local/load_tests", json=body)).status == 404


async def test_without_a_server_the_error_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(QueueUnavailable, match="`chaperon serve` starts one"):
        await QueueClient.connect()
    (home / "queue").mkdir(parents=True, mode=0o700)
    with pytest.raises(QueueUnavailable, match="`chaperon serve` starts one"):
        await QueueClient.connect()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(QueueUnavailable, match="cannot be reached"):
        await QueueClient.connect(f"http://127.0.0.1:{port}", TOKEN)


async def test_a_server_that_goes_ends_the_events_with_that_error(start: StartServer) -> None:
    api = await start()
    async with await QueueClient.connect() as client:
        async with asyncio.timeout(10):
            events = client.events()
            assert await anext(events) == []
            await api.stop()
            with pytest.raises(QueueUnavailable):
                await anext(events)
        with pytest.raises(QueueUnavailable):
            await client.entries()


async def test_a_wrong_token_and_wrong_addresses_are_refused(api: Api) -> None:
    with pytest.raises(UserError, match="this needs the token"):
        await QueueClient.connect(api.url, "wrong-token-0123456789")
    with pytest.raises(UserError, match="wants a token"):
        await QueueClient.connect(api.url)
    with pytest.raises(UserError, match="readable over the network"):
        await QueueClient.connect("http://queue.example:7080", TOKEN)
    for url in (
        "queue.example",
        "ftp://x",
        "http://",
        "http://[::1",
        "http://x:y",
        f"http://chaperon:{TOKEN}@127.0.0.1",
    ):
        with pytest.raises(UserError, match="no address of a queue") as refused:
            await QueueClient.connect(url, TOKEN)
        assert TOKEN not in str(refused.value)


async def test_a_certificate_that_nobody_vouches_for_is_told_as_such(
    start: StartServer, tmp_path: Path
) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(cert))
    certificate.private_key_pem.write_to_path(str(key))
    api = await start(tls_cert=cert, tls_key=key)
    with pytest.raises(UserError, match="cannot be trusted"):
        await QueueClient.connect(api.url, TOKEN)
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED


async def test_a_folder_that_others_can_enter_is_refused_on_both_sides(
    start: StartServer, home: Path
) -> None:
    folder = home / "queue"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with pytest.raises(UserError, match="must be a folder of this user alone"):
        await start()
    with pytest.raises(UserError, match="must be a folder of this user alone"):
        await QueueClient.connect()


async def test_a_home_too_long_for_a_socket_has_it_elsewhere(
    start: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path / ("x" * 120)))
    monkeypatch.setenv("TMPDIR", "/tmp")
    monkeypatch.setattr("tempfile.tempdir", None)
    await start()
    assert queue_socket().parent.name == f"chaperon-{os.getuid()}"
    async with await QueueClient.connect() as client:
        assert await client.entries() == []


async def test_the_socket_is_the_owners_alone(api: Api) -> None:
    path = queue_socket()
    assert (path.stat().st_mode & 0o777) == 0o600
    assert (path.parent.stat().st_mode & 0o777) == 0o700


def test_the_peer_of_a_socket_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_ours(ours)
        monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
        assert is_ours(ours) is (os.geteuid() == 0), "root may, others may not"
    assert not is_ours(None)


def test_tokens_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_token() is None
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN
    monkeypatch.setenv("CHAPERON_API_TOKEN", "from-the-environment-1")
    assert read_token() == "from-the-environment-1"
    monkeypatch.setenv("CHAPERON_API_TOKEN_FILE", str(file))
    assert read_token() == TOKEN
    for wrong in ("short", "with a space in the middle", "x" * 600, "t\u00f6ken-t\u00f6ken-token"):
        file.write_text(wrong)
        with pytest.raises(UserError) as refused:
            read_token()
        assert wrong not in str(refused.value)
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_token()

"""What strangers and web pages try."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme

from chaperon_engine.errors import UserError
from chaperon_engine.serve import app
from chaperon_engine.serve.guard import Gate
from chaperon_engine.serve.streams import Streams
from tests.serve.conftest import TOKEN, Api, FakeClock, Served, StartServer

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
JSON = {**AUTHORIZED, "Content-Type": "application/json"}


async def raw(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(api.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
async def test_a_head_that_does_not_come_ends_the_connection(
    start: StartServer, sent: bytes
) -> None:
    api = await start(gate=Gate(head_timeout_s=0.2))
    reader, writer = await raw(api)
    writer.write(sent)
    assert await all_of(reader) == b""
    writer.close()


async def test_a_connection_that_is_kept_open_ends_in_the_same_time(start: StartServer) -> None:
    api = await start(gate=Gate(head_timeout_s=0.2))
    reader, writer = await raw(api)
    writer.write(b"GET /healthcheck HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"200 OK" in await all_of(reader)
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_TIMEOUT_S", 0.1)
    reader, writer = await raw(api)
    writer.write(
        b"POST /load_tests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 100\r\n\r\n{"
    )
    assert b" 408 " in (await all_of(reader)).partition(b"\r\n")[0]
    writer.close()


async def test_there_is_room_for_so_many_connections_only(start: StartServer) -> None:
    api = await start(gate=Gate(max_connections=3))
    held = [await raw(api) for _ in range(3)]
    for _, writer in held:
        writer.write(b"GET")
    await asyncio.sleep(0)
    reader, writer = await raw(api)
    assert await all_of(reader) == b""
    writer.close()
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await api("GET", "/version")).status == 200
                break
            except aiohttp.ClientError:
                continue


async def test_one_address_does_not_take_all_connections(start: StartServer) -> None:
    api = await start(gate=Gate(max_per_address=1))
    _, held = await raw(api)
    reader, writer = await raw(api)
    assert await all_of(reader) == b""
    writer.close()
    held.close()


async def test_a_head_may_not_grow_without_end(api: Api) -> None:
    for head in (b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000):
        reader, writer = await raw(api)
        writer.write(head + b" HTTP/1.1\r\n\r\n")
        assert b" 400 " in (await all_of(reader)).partition(b"\r\n")[0]
        writer.close()
    reader, writer = await raw(api)
    writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n")
    assert b" 200 " not in (await all_of(reader)).partition(b"\r\n")[0]
    writer.close()


async def test_a_long_body_is_refused_whether_it_says_its_length_or_not(api: Api) -> None:
    long = io.BytesIO(b" " * (app.MAX_BODY_BYTES + 1))

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    reply = await api("POST", "/load_tests", data=long, headers=JSON)
    assert reply.status == 413
    reply = await api("POST", "/load_tests", data=in_pieces(), headers=JSON)
    assert reply.status == 413


async def test_a_stranger_is_refused_before_the_body_is_read(api: Api) -> None:
    reader, writer = await raw(api)
    writer.write(
        b"POST /load_tests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b" 401 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)  # fmt: skip
async def test_a_body_is_json_and_nothing_that_a_web_form_can_send(
    api: Api, headers: dict[str, str]
) -> None:
    body = gzip.compress(b" " * 50_000_000) if "Content-Encoding" in headers else b"{}"
    skip = ["Content-Type"] if "Content-Type" not in headers else []
    reply = await api(
        "POST", "/load_tests", data=body, headers={**AUTHORIZED, **headers}, skip_auto_headers=skip
    )
    assert reply.status == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "evil.example:7080"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ],
)  # fmt: skip
async def test_what_a_web_page_sends_is_refused_even_with_the_token(
    api: Api, headers: dict[str, str]
) -> None:
    for method in ("GET", "DELETE"):
        reply = await api(method, "/load_tests", headers={**AUTHORIZED, **headers})
        assert reply.status == 403
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_a_name_that_the_operator_gave_is_a_host_of_the_server(start: StartServer) -> None:
    api = await start(names=["load.example"])
    headers = {**AUTHORIZED, "Host": "load.example", "Origin": "http://load.example"}
    assert (await api("GET", "/load_tests", headers=headers)).status == 200


async def test_guessing_is_slowed_down_and_the_right_token_has_to_wait_too(
    start: StartServer,
) -> None:
    clock = FakeClock()
    api = await start(clock=clock)
    wrong = {"Authorization": "Bearer wrong"}
    statuses = [(await api("GET", "/version", headers=wrong)).status for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 429, 429]
    reply = await api("GET", "/version")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert (await api("GET", "/healthcheck")).status == 200
    clock.now += 1.1
    assert (await api("GET", "/version")).status == 200
    statuses = [(await api("GET", "/version", headers=wrong)).status for _ in range(3)]
    assert statuses == [401, 401, 401], "the right token makes the address new"


async def test_two_authorizations_are_none(api: Api) -> None:
    reader, writer = await raw(api)
    token = TOKEN.encode()
    writer.write(
        b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Authorization: Bearer " + token + b"\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    )
    assert b"200 OK" not in await all_of(reader)
    writer.close()


@pytest.mark.parametrize(
    "test",
    [
        "../secret.py", "../secret.py:Secret", "/etc/passwd", "TMP/secret.py", "./../secret.py",
        "link.py", "inner/secret.py", "short.py/../../secret.py", "~/secret.py", "a\x00.py",
        "loop.py", "%2e%2e/secret.py", "..\\secret.py", "short.py:../x", "data.csv", "pipe.py",
        pytest.param("x" * 400 + ".py", id="long"), "\ud7ff.py", "folder.py",
    ],
)  # fmt: skip
async def test_no_name_leads_out_of_the_folders(
    api: Api, folder: Path, tmp_path: Path, test: str
) -> None:
    secret = "import pathlib\npathlib.Path('SPY').touch()\n".replace("SPY", str(tmp_path / "spy"))
    (tmp_path / "secret.py").write_text(secret)
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    (folder / "inner").symlink_to(tmp_path)
    (folder / "loop.py").symlink_to(folder / "loop.py")
    (folder / "folder.py").mkdir()
    (folder / "data.csv").write_text("no")
    os.mkfifo(folder / "pipe.py")
    reply = await api.post(test.replace("TMP", str(tmp_path)))
    assert reply.status == 400, reply.body
    assert str(folder) not in reply.error
    if "TMP" not in test:  # what the client said itself may be repeated
        assert str(tmp_path) not in reply.error
    assert not (tmp_path / "spy").exists()


async def test_no_load_test_as_data_leads_out_of_the_folders(
    api: Api, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.py").write_text(f"open({str(tmp_path / 'spy')!r}, 'w')")
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    for name in ("../secret.py", f"{tmp_path}/secret.py", "link.py", "a\x00.py", "x" * 400 + ".py"):
        data = {"services": {"a": "http://127.0.0.1"}, "scenarios": [f"{name}:Secret"]}
        assert (await api.post(data)).status == 400, name
    assert not (tmp_path / "spy").exists()


async def test_hostile_text_comes_back_visible(api: Api) -> None:
    reply = await api.post("\x1b]0;x\x07\u202eyp.py")
    assert reply.status == 400
    assert "\\x1b" in reply.error
    assert "\x1b" not in reply.error


async def test_neither_token_nor_query_is_ever_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await api("GET", "/runs?limit=5&password=hunter2")
        await api("GET", "/version", headers={"Authorization": "Bearer wrong-but-secret"})
        await api("GET", "/a\x1b[31m", headers=AUTHORIZED)
        await api("GET", "/healthcheck")
        reader, writer = await raw(api)
        writer.write(b"GET / HTTP/1.1\r\nAuthorization Bearer " + TOKEN.encode() + b"\r\n\r\n")
        assert b" 400 " in await all_of(reader)
        writer.close()
    assert "Traceback" not in caplog.text
    assert TOKEN not in caplog.text
    text = "\n".join(record.getMessage() for record in caplog.records if "serve" in record.name)
    assert "GET /runs 400" in text
    assert "GET /version 401" in text
    for never in (TOKEN, "wrong-but-secret", "hunter2", "\x1b", "/healthcheck"):
        assert never not in text


async def test_there_are_only_so_many_streams(start: StartServer) -> None:
    api = await start(streams=Streams(limit=1))
    async with api.http.get(f"{api.url}/events", headers=AUTHORIZED) as stream:
        assert stream.status == 200
        reply = await api("GET", "/events")
        assert reply.status == 503
        assert reply.headers["Retry-After"]


async def test_a_stream_says_that_it_lives_and_ends_with_its_reader(start: StartServer) -> None:
    streams = Streams(heartbeat_s=0.02)
    api = await start(streams=streams)
    async with asyncio.timeout(5):
        async with api.http.get(f"{api.url}/events", headers=AUTHORIZED) as stream:
            seen = b""
            while seen.count(b": heartbeat\n\n") < 2:
                seen += await stream.content.readany()
            assert seen.startswith(b"event: queue\ndata: {")
        while streams.count:  # noqa: ASYNC110 - nothing tells when a stream ends
            await asyncio.sleep(0.01)


async def test_elsewhere_than_on_loopback_it_listens_with_tls_only(
    start: StartServer, tmp_path: Path
) -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(UserError, match="without TLS everybody between could read the token"):
            await start(host=host)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(cert))
    certificate.private_key_pem.write_to_path(str(key))
    with pytest.raises(UserError, match="cannot be used"):
        await start(host="0.0.0.0", tls_cert=cert)
    with pytest.raises(UserError, match="does not exist"):
        await start(host="0.0.0.0", tls_cert=tmp_path / "none.pem", tls_key=key)
    api = await start(host="0.0.0.0", tls_cert=cert, tls_key=key)
    port = urlsplit(api.url).port
    assert api.url == f"https://0.0.0.0:{port}"
    api.url = f"https://127.0.0.1:{port}"
    context = ssl.create_default_context()
    authority.configure_trust(context)
    assert (await api("GET", "/version", ssl=context)).status == 200
    with pytest.raises(aiohttp.ClientError):
        await Api(f"http://127.0.0.1:{port}", api.http)("GET", "/version")


async def test_no_run_of_the_server_inherits_its_token(
    serve: Callable[..., Served], http: aiohttp.ClientSession, folder: Path
) -> None:
    (folder / "spy.py").write_text(
        "import os\nfrom chaperon_engine import LoadTest, Scenario, Service\n"
        "class Get(Scenario):\n    async def run(self, session):\n        pass\n"
        "class Spy(LoadTest):\n    services = {'t': Service('http://127.0.0.1:1')}\n"
        "    scenarios = [Get]\n"
        "if 'CHAPERON_API_TOKEN' in os.environ:\n    raise SystemExit(9)\n"
    )
    api = Api(serve().url, http)
    reply = await api.post("spy.py:Spy")
    assert reply.status == 200, reply.body
    await api("DELETE", "/load_tests")

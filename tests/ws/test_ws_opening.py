"""Opening: what is sent in the upgrade, what is measured apart, how it is refused."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from chaperon_engine import Scenario, Session, UserError, WebSocketAction
from chaperon_engine.actions.ws import CONNECT_RETRIES
from chaperon_engine.definition.model import Tls
from chaperon_engine.errors import (
    ActionError,
    ConnectionRefused,
    InvalidRequest,
    ProtocolViolation,
    TlsVerificationError,
    UpgradeRefused,
    UpgradeTimeout,
)
from chaperon_engine.worker.preflight import check_services
from tests.session.family import scenario
from tests.session.harness import Bench, load_test, population
from tests.ws.harness import (
    Peer,
    RawServer,
    accepted,
    echoing,
    frame,
    of_kind,
    ran_to_the_end,
    serving,
    walk,
)


async def stalling(peer: Peer) -> None:
    await peer.gone()


def replying(*lines: str, body: bytes = b"") -> object:
    async def behave(peer: Peer) -> None:
        peer.send("\r\n".join((*lines, "", "")).encode() + body)
        await peer.gone()

    return behave


async def test_the_upgrade_has_path_cookies_headers_and_subprotocols() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(peer.accept("Sec-WebSocket-Protocol: v2", "Set-Cookie: room=7; Path=/"))
        await peer.gone()

    async def steps(session: Session) -> None:
        session.cookies.set("id", "1", session._service.target.address)
        socket = await session.ws_connect(
            "/chat?x=1", params={"y": "é"}, headers={"X-Own": "yes"}, subprotocols=["v1", "v2"]
        )
        assert socket.subprotocol == "v2"
        assert not socket.compressed
        assert session.cookies.as_dict() == {"id": "1", "room": "7"}

    async with RawServer(behave) as server:  # type: ignore[arg-type]
        ran = await walk(server.url + "/base", steps)
        peer = server.peers[0]
    assert peer.head.startswith(b"GET /base/chat?x=1&y=%C3%A9 HTTP/1.1\r\n")
    fields = peer.fields
    assert fields["host"] == f"127.0.0.1:{server.port}"
    assert fields["cookie"] == "id=1"
    assert fields["x-own"] == "yes"
    assert fields["sec-websocket-protocol"] == "v1, v2"
    assert "sec-websocket-extensions" not in fields
    assert fields["user-agent"].startswith("chaperon/")
    labels = {key.url for key in ran.series if key.kind == "ws_connect"}
    assert labels == {"/chat?x=1&y=%C3%A9"}


async def test_a_full_url_is_taken_as_it_is() -> None:
    async def steps(session: Session) -> None:
        for url in (other, other.replace("ws://", "http://")):
            socket = await session.ws_connect(f"{url}/there")
            assert socket.url == f"{other}/there"
            await session.ws_close()

    async with serving(echoing) as other:
        await walk("http://127.0.0.1:9/base", steps)


async def test_what_names_tcp_tls_and_upgrade_took_is_measured_apart(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))

    async def slowly(peer: Peer) -> None:
        await asyncio.sleep(0.03)
        await echoing(peer)

    async def steps(session: Session) -> None:
        with pytest.raises(TlsVerificationError):
            await session.service("distrusted").ws_connect("/")
        socket = await session.ws_connect("/")
        phases = socket.phases
        assert phases.upgrade_ns >= 30_000_000
        assert 0 < phases.tls_ns < phases.total_ns - 30_000_000
        assert phases.connect_ns > 0
        await session.ws_send("secret")
        assert await session.ws_recv() == "secret"
        await session.ws_close()

    async with serving(slowly, context) as url:
        tls = {"api": Tls(ca_file=trusted)}
        ran = await walk(url, steps, services={"api": url, "distrusted": url}, tls=tls)
    by_service = {(key.kind, key.service): delta for key, delta in ran.series.items()}
    assert by_service["tls", "api"].ok == by_service["upgrade", "api"].ok == 1
    assert by_service["tls", "distrusted"].errors == {"tls_verification": 1}
    assert by_service["ws_connect", "distrusted"].errors == {"tls_verification": 1}
    assert ("upgrade", "distrusted") not in by_service


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        (["HTTP/1.1 403 No \x1b[2J", "Content-Length: 0"], "ws_refused", r"403 No \\x1b\[2J"),
        (["HTTP/1.1 404"], "ws_refused", "404, not 101"),
        (["HTTP/1.1 200 OK", "Content-Length: 2"], "ws_refused", "200 OK, not 101"),
        (["HTTP/1.1 302 Found", "Location: http://else/"], "redirect", "redirected to http://else/"),
        (["HTTP/1.1 101 Yes", "Upgrade: websocket", "Connection: Upgrade"], "protocol", "accept"),
        (["HTTP/1.1 101 Yes", "Upgrade: h2c", "Connection: Upgrade"], "protocol", "upgrade"),
        (["HTTP/1.1 101 Yes", "Upgrade: websocket", "Connection: close"], "protocol", "connection"),
        (["HTTP/1.0 101 Yes", "Upgrade: websocket"], "protocol", "upgrade failed"),
        (["SSH-2.0-OpenSSH_9.2"], "protocol", "not HTTP"),
        (["HTTP/1.1 101 Yes", "no colon"], "protocol", "malformed"),
        (["HTTP/1.1 200 OK", *[f"X-{n}: 1" for n in range(200)]], "too_large", "too large"),
        (["HTTP/1.1 101 Yes", "X: " + "x" * 20_000], "too_large", "too large"),
    ],
)  # fmt: skip
async def test_a_reply_that_does_not_accept_has_its_class(
    lines: list[str], code: str, words: str
) -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(ActionError, match=words) as caught:
            await session.ws_connect("/")
        assert caught.value.code == code
        assert str(caught.value).isprintable()

    async with serving(replying(*lines)) as url:  # type: ignore[arg-type]
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_connect").errors == {code: 1}
    assert of_kind(ran, "upgrade").errors == {code: 1}


async def test_a_refusal_has_the_status_and_the_beginning_of_the_body() -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(UpgradeRefused, match=r"\(no room\)") as caught:
            await session.ws_connect("/")
        assert caught.value.status == 503

    lines = ("HTTP/1.1 503 Busy", "Content-Length: 7")
    async with serving(replying(*lines, body=b"no room")) as url:  # type: ignore[arg-type]
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_connect").statuses == {503: 1}


@pytest.mark.parametrize(
    "extra",
    ["Sec-WebSocket-Protocol: other", "Sec-WebSocket-Extensions: permessage-deflate",
     "Sec-WebSocket-Extensions: x-own"],
)  # fmt: skip
async def test_what_was_not_offered_must_not_be_agreed_to(extra: str) -> None:
    async def behave(peer: Peer) -> None:
        peer.send(peer.accept(extra))
        await peer.gone()

    async def steps(session: Session) -> None:
        with pytest.raises(ProtocolViolation, match="not offered"):
            await session.ws_connect("/", subprotocols=["one"])

    async with serving(behave) as url:
        await walk(url, steps)


async def test_a_server_that_never_or_ever_so_slowly_replies_is_given_up_in_time() -> None:
    async def dripping(peer: Peer) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 10_000:
            peer.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async def steps(session: Session) -> None:
        with pytest.raises(UpgradeTimeout, match=r"not open within 0\.1 s"):
            await session.ws_connect("/", timeout=0.1, retries=0)

    for behaviour in (stalling, dripping):
        async with serving(behaviour) as url:
            ran = await walk(url, steps)
        connect = of_kind(ran, "ws_connect")
        assert connect.errors == {"timeout_upgrade": 1}
        assert connect.failures.max_us < 1_000_000


async def test_a_time_out_is_tried_again_once_unless_a_call_says_otherwise() -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(UpgradeTimeout):
            await session.ws_connect("/", timeout=0.05, retry_delay=0.01)
        for wrong in (-1, "many", 1.5, True):
            with pytest.raises(InvalidRequest, match="retries must be a whole number"):
                await session.ws_connect("/", retries=wrong)  # type: ignore[arg-type]

    async with serving(stalling) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_connect").errors == {"timeout_upgrade": 1 + CONNECT_RETRIES}
    assert CONNECT_RETRIES == 1


async def test_a_time_out_is_tried_again_as_often_as_said_and_each_attempt_is_measured() -> None:
    tried = 0

    async def third_time(peer: Peer) -> None:
        nonlocal tried
        tried += 1
        await (stalling(peer) if tried < 3 else echoing(peer))

    async def steps(session: Session) -> None:
        await session.ws_connect("/", timeout=0.05, retries=2, retry_delay=0.01)
        session.ws_reset()

    async with serving(third_time) as url:
        ran = await walk(url, steps)
    connect = of_kind(ran, "ws_connect")
    assert (connect.sent, connect.ok, connect.errors) == (3, 1, {"timeout_upgrade": 2})


async def test_a_refused_connection_is_not_tried_again() -> None:
    async def steps(session: Session) -> None:
        with pytest.raises(ConnectionRefused):
            await session.ws_connect("ws://127.0.0.1:1/", retries=5)

    ran = await walk("http://127.0.0.1:1", steps)
    assert of_kind(ran, "ws_connect").errors == {"refused": 1}


async def test_a_connection_that_ends_in_the_upgrade_is_lost() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 101 Swi")
        await peer.writer.drain()

    async def steps(session: Session) -> None:
        with pytest.raises(ActionError) as caught:
            await session.ws_connect("/")
        assert caught.value.code == "reset"

    async with serving(behave) as url:
        await walk(url, steps)


async def test_a_session_that_ends_while_it_connects_leaves_nothing() -> None:
    async def steps(session: Session) -> None:
        task = asyncio.ensure_future(session.ws_connect("/"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()

    async with serving(stalling) as url:
        ran = await walk(url, steps)
    assert of_kind(ran, "ws_connect").errors == {"cancelled": 1}


async def test_compression_is_agreed_with_a_real_server_and_optional() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def steps(session: Session) -> None:
        socket = await session.ws_connect("/", compression=True)
        assert socket.compressed == compressed
        for message in ("a" * 100_000, "", "ü", b"\x00" * 1_000, b""):
            await session.ws_send(message)
            assert await session.ws_recv() == message
        await session.ws_close()

    for compressed in (True, False):
        server = serve(echo, "127.0.0.1", 0, compression="deflate" if compressed else None)
        async with server as running:
            port = next(iter(running.sockets)).getsockname()[1]
            ran = await walk(f"http://127.0.0.1:{port}", steps)
        assert of_kind(ran, "ws_message").bytes_in == 101_002


async def test_messages_may_follow_the_upgrade_of_a_named_series() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(frame(b"hello"))
        await peer.gone()

    async def steps(session: Session) -> None:
        await session.ws_connect("/users/1", series="user feed")
        assert await session.ws_recv() == "hello"

    async with serving(accepted(behave)) as url:
        ran = await walk(url, steps)
    keys = [key for key in ran.series if key.kind.startswith("ws_")]
    assert {(key.name, key.url) for key in keys} == {("user feed", "")}


async def test_a_service_may_have_a_websocket_url_and_is_reached_before_the_load() -> None:
    async with serving(stalling) as url:
        test = load_test(population(Scenario, services={"push": url}))
        await check_services(test)
    with pytest.raises(UserError, match=r"service push at ws://127\.0\.0\.1:\d+ cannot be reached"):
        await check_services(test)


async def test_a_socket_is_an_action_too() -> None:
    async def steps(session: Session) -> None:
        await session.run_action(WebSocketAction("connect", ["/"], {"name": "chat"}))
        await session.run_action(WebSocketAction("send", ["hello"], {"name": "chat"}))
        said = WebSocketAction("await_recv", ["hello"], {"name": "chat"})
        assert await session.run_action(said) == "hello"
        seen: list[object] = []
        await session.ws_send(json={"n": 1}, name="chat")
        await session.ws_recv(
            name="chat", decode="json", with_result=lambda session, value: seen.append(value)
        )
        assert seen == [{"n": 1}]
        await session.run_action(WebSocketAction("close", [], {"name": "chat"}))

    async with serving(echoing) as url:
        await walk(url, steps)


async def test_teardown_is_not_measured_and_fresh_iterations_begin_without_sockets() -> None:
    class Visit(Scenario):
        async def run(self, session: Session) -> None:
            await session.ws_connect("/")
            await session.ws_send("measured")
            await session.ws_await_recv("measured")

        async def teardown(self, session: Session) -> None:
            await session.ws_send("not measured")
            await session.ws_await_recv("not measured")
            await session.ws_connect("/other", name="late")

    async with serving(echoing) as url:
        made = population(Visit, url=url, fresh=True, iterations=3, sessions=2)
        ran = await ran_to_the_end(Bench(load_test(made)))
    assert ran.exceptions == []
    assert of_kind(ran, "ws_connect").ok == of_kind(ran, "ws_close").ok == 6
    assert of_kind(ran, "ws_send").ok == of_kind(ran, "ws_message").ok == 6


async def test_a_socket_that_outlives_the_warm_up_is_recorded_in_both_phases() -> None:
    async def steps(session: Session) -> None:
        await session.ws_connect("/")
        for _ in range(12):
            await session.ws_send("x")
            await session.ws_await_recv("x")
            await session.delay(0.05)

    async with serving(echoing) as url:
        made = load_test(population(scenario(steps), url=url), warmup_s=0.3)
        ran = await ran_to_the_end(Bench(made))
    sent = {key.phase: delta.ok for key, delta in ran.series.items() if key.kind == "ws_send"}
    assert set(sent) == {"", "warmup"}
    assert sum(sent.values()) == 12
    assert {key.phase for key in ran.series if key.kind == "ws_close"} == {""}

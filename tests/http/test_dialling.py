"""Names, TCP and TLS: what connecting costs, and each way in which it fails."""

from __future__ import annotations

import asyncio
import datetime
import errno
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from chaperon_engine.definition.model import Tls
from chaperon_engine.errors import (
    ActionError,
    ConnectionRefused,
    ConnectTimeout,
    DnsError,
    GeneratorExhausted,
    TlsError,
    TlsTimeout,
    TlsVerificationError,
    UserError,
)
from tests.http.conftest import Harness, Server, Servers, ok, server_context


async def https(servers: Servers, certificate: trustme.LeafCert) -> Server:
    return await servers.replying(ok(b"secure"), tls=server_context(certificate))


async def test_a_verified_certificate_and_the_time_it_took(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    server = await https(servers, authority.issue_cert("127.0.0.1"))
    harness.add("target", f"https://127.0.0.1:{server.port}", tls=Tls(ca_file=ca_file))
    response = await harness.call()
    assert response.body == b"secure"
    timings = response.timings
    assert timings.connect_us > 0
    assert timings.tls_us > 0
    assert timings.total_us > timings.tls_us + timings.connect_us + timings.service_us - 1
    assert harness.timed("tls") == {"ok": 1, "errors": {}}
    assert harness.timed("connect") == {"ok": 1, "errors": {}}
    assert (await harness.call()).timings.tls_us == 0
    assert server.connections == 1


async def test_a_foreign_authority_is_refused_unless_insecure(
    servers: Servers, harness: Harness, authority: trustme.CA
) -> None:
    server = await https(servers, authority.issue_cert("127.0.0.1"))
    harness.add("target", f"https://127.0.0.1:{server.port}", tls=Tls())
    with pytest.raises(TlsVerificationError, match="certificate"):
        await harness.call()
    assert harness.errors() == {"tls_verification": 1}
    assert harness.timed("tls") == {"ok": 0, "errors": {"tls_verification": 1}}
    harness.add("open", f"https://127.0.0.1:{server.port}", tls=Tls(insecure=True))
    assert (await harness.call(service="open")).body == b"secure"


async def test_a_certificate_for_another_name_is_refused(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    server = await https(servers, authority.issue_cert("other.example"))
    url = f"https://127.0.0.1:{server.port}"
    harness.add("target", url, tls=Tls(ca_file=ca_file))
    with pytest.raises(TlsVerificationError):
        await harness.call()
    harness.add("named", url, tls=Tls(ca_file=ca_file, server_name="other.example"))
    assert (await harness.call(service="named")).body == b"secure"


async def test_an_expired_certificate_is_refused(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = await https(servers, authority.issue_cert("127.0.0.1", not_after=past))
    harness.add("target", f"https://127.0.0.1:{server.port}", tls=Tls(ca_file=ca_file))
    with pytest.raises(TlsVerificationError, match="expired"):
        await harness.call()


async def test_a_client_certificate_is_shown_when_asked_for(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = await servers.replying(ok(b"secure"), tls=context)
    url = f"https://127.0.0.1:{server.port}"
    pem = tmp_path / "client.pem"
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(
        str(pem)
    )
    harness.add("target", url, tls=Tls(ca_file=ca_file, cert_file=pem))
    assert (await harness.call()).body == b"secure"
    harness.add("without", url, tls=Tls(ca_file=ca_file))
    with pytest.raises(ActionError) as error:
        await harness.call("POST", service="without")
    # TLS 1.3 tells after the handshake; the refusal may be overtaken by the reset.
    assert error.value.code in ("tls", "reset")


async def test_names_are_sent_and_http_1_1_is_negotiated(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    names: list[str] = []
    context = server_context(authority.issue_cert("localhost"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    chosen: list[str | None] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok())
        await reader.read()

    server = await servers.raw(handler, tls=context)
    harness.add("target", f"https://localhost:{server.port}", tls=Tls(ca_file=ca_file))
    response = await harness.call()
    assert (names, chosen) == (["localhost"], ["http/1.1"])
    assert response.timings.dns_us > 0
    assert harness.timed("dns") == {"ok": 1, "errors": {}}


async def test_a_server_that_does_not_speak_tls(servers: Servers, harness: Harness) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await servers.raw(handler)
    harness.add("target", f"https://127.0.0.1:{server.port}")
    with pytest.raises(TlsError) as error:
        await harness.call()
    assert not isinstance(error.value, TlsVerificationError)
    assert harness.errors() == {"tls": 1}


async def test_a_server_that_closes_in_the_handshake(servers: Servers, harness: Harness) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    server = await servers.raw(handler)
    harness.add("target", f"https://127.0.0.1:{server.port}")
    with pytest.raises(TlsError):
        await harness.call()


async def test_a_handshake_that_hangs_ends_at_its_deadline(
    servers: Servers, harness: Harness
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await servers.raw(handler)
    harness.add("target", f"https://127.0.0.1:{server.port}", tls_timeout_s=0.1)
    started = time.monotonic()
    with pytest.raises(TlsTimeout):
        await harness.call()
    assert time.monotonic() - started < 2
    assert harness.errors() == {"timeout_tls": 1}


async def test_closing_tls_in_the_middle_of_a_body_is_quick(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x" * 65536)
            await writer.drain()
            await asyncio.sleep(0)

    tls = server_context(authority.issue_cert("127.0.0.1"))
    server = await servers.raw(handler, tls=tls)
    harness.add("target", f"https://127.0.0.1:{server.port}", tls=Tls(ca_file=ca_file))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await harness.call(read=False, max_body_bytes=1 << 40)
    started = time.monotonic()
    await harness.worker.close()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("make", [lambda p: Tls(ca_file=p), lambda p: Tls(cert_file=p)])
async def test_files_that_cannot_be_read_are_a_users_mistake(
    harness: Harness, make: Callable[[Path], Tls], tmp_path: Path
) -> None:
    for content in (None, "no PEM"):
        path = tmp_path / "file.pem"
        if content is not None:
            path.write_text(content)
        harness.add(f"a{content}", "https://127.0.0.1:1", tls=make(path))
        with pytest.raises(UserError, match=r"file\.pem"):
            harness.client.service(f"a{content}")


async def test_an_unknown_name(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    harness.add("target", "http://nowhere.invalid")
    resolver = harness.worker.network.resolver

    class Loop:
        getaddrinfo = staticmethod(fails)
        time = staticmethod(time.monotonic)
        create_task = staticmethod(asyncio.create_task)

    monkeypatch.setattr(resolver, "_loop", Loop())
    results = await asyncio.gather(*(harness.call() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, DnsError) for result in results)
    assert harness.errors() == {"dns": 3}
    assert harness.timed("dns")["errors"] == {"dns": 3}


async def test_names_are_asked_for_once_and_all_addresses_tried(
    servers: Servers, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def answers(host: str, port: int, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    server = await servers.replying(ok())
    harness.add("target", f"http://name.test:{server.port}")

    class Loop:
        getaddrinfo = staticmethod(answers)
        time = staticmethod(time.monotonic)
        create_task = staticmethod(asyncio.create_task)

    monkeypatch.setattr(harness.worker.network.resolver, "_loop", Loop())
    # Nobody listens on 127.0.0.2: the second address answers.
    await asyncio.gather(*(harness.call() for _ in range(4)))
    await harness.call()
    assert asked == 1
    assert server.requests[0].headers["host"] == f"name.test:{server.port}"


async def test_ipv6_literals(servers: Servers, harness: Harness) -> None:
    try:
        server = await servers.replying(ok(), host="::1")
    except OSError:
        harness.add("target", "http://[::1]:1")
        with pytest.raises(ActionError):
            await harness.call()
        return
    harness.add("target", f"http://[::1]:{server.port}/p")
    response = await harness.call()
    assert response.url == f"http://[::1]:{server.port}/p/"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


async def test_a_connection_that_is_never_accepted_ends_at_its_deadline(harness: Harness) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        # The queue of a listener with backlog 0 takes one connection, the next ones wait.
        fill = [socket.socket() for _ in range(4)]
        for sock in fill:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.connect(address)
        harness.add("target", f"http://127.0.0.1:{address[1]}", connect_timeout_s=0.1)
        with pytest.raises(ConnectTimeout):
            await harness.call()
        for sock in fill:
            sock.close()
    assert harness.errors() == {"timeout_connect": 1}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EADDRNOTAVAIL, "generator_ports"),
        (errno.EMFILE, "generator_descriptors"),
        (errno.ENFILE, "generator_descriptors"),
        (errno.ENOBUFS, "generator_memory"),
        (errno.ENOMEM, "generator_memory"),
    ],
)
async def test_limits_of_this_machine_are_not_blamed_on_the_target(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fails(*args: Any, **options: Any) -> Any:
        raise OSError(number, "mocked")

    harness.add("target", "http://127.0.0.1:1")
    monkeypatch.setattr("chaperon_engine.net.dial.socket.socket", fails)
    with pytest.raises(GeneratorExhausted) as error:
        await harness.call()
    monkeypatch.undo()
    assert (error.value.code, error.value.origin) == (code, "generator")
    assert harness.errors() == {code: 1}


async def test_descriptors_really_run_out(harness: Harness, servers: Servers) -> None:
    import resource

    server = await servers.replying(ok())
    harness.add("target", server.url)
    await harness.call()
    harness.client.reset()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(GeneratorExhausted) as error:
            await harness.call(client=harness.another_client())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error.value.code == "generator_descriptors"


async def test_cancelling_while_connecting_leaves_nothing_behind(
    servers: Servers, harness: Harness, authority: trustme.CA, ca_file: Path
) -> None:
    server = await https(servers, authority.issue_cert("127.0.0.1"))
    tls = Tls(ca_file=ca_file)
    harness.add("target", f"https://127.0.0.1:{server.port}", tls=tls, max_connections=1)
    for turns in range(0, 12):
        call = asyncio.create_task(harness.call())
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        harness.client.reset()
    assert (await harness.call()).body == b"secure"


async def test_an_empty_base_url_is_refused(harness: Harness) -> None:
    harness.add("target", "")
    with pytest.raises(ValueError, match="base_url of service target"):
        await harness.call()


async def test_a_refused_port_is_told_with_its_address(harness: Harness) -> None:
    harness.add("target", "http://127.0.0.1:1")
    with pytest.raises(ConnectionRefused, match=r"127\.0\.0\.1:1"):
        await harness.call()

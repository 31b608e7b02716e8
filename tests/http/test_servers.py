"""Against real servers: nginx and haproxy."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from chaperon_engine.definition.model import Tls
from tests.http.conftest import Harness

pytestmark = pytest.mark.server


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def started(command: list[str], port: int) -> Iterator[int]:
    """Runs a server until the tests are done."""
    if shutil.which(command[0]) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{command[0]} is not installed")
        pytest.skip(f"{command[0]} is not installed")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    output = process.stdout.read() if process.stdout else b""
                    pytest.fail(f"{command[0]} did not start: {output.decode()}")
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="module")
def nginx_ports(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[tuple[int, int]]:
    folder = tmp_path_factory.mktemp("nginx")
    # nginx serves as another user, who must get down to its files.
    for parent in (folder, *folder.parents):
        if parent == Path(tempfile.gettempdir()) or parent.parent == parent:
            break
        parent.chmod(0o755)
    root = folder / "www"
    root.mkdir()
    (root / "index.html").write_text("hello from nginx")
    (root / "large.bin").write_bytes(bytes(range(256)) * 20_000)
    (root / "text.txt").write_text("compress me " * 1000)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    port, tls_port = free_port(), free_port()
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 256; }}
        http {{
          access_log off; {temporary}
          types {{ text/plain txt; text/html html; }}
          gzip on; gzip_types text/plain; gzip_min_length 10;
          server {{
            listen 127.0.0.1:{port}; root {root};
            keepalive_requests 50;
            location /moved {{ return 302 /; }}
            location /gone {{ return 410 "gone"; }}
            location /empty {{ return 204; }}
            location /drop {{ return 444; }}
            location /stats {{ stub_status; }}
          }}
          server {{
            listen 127.0.0.1:{tls_port} ssl; root {root};
            ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
          }}
        }}
        """
    )
    for running in started(
        ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], port
    ):
        yield running, tls_port


@pytest.fixture(scope="module")
def haproxy_port(
    tmp_path_factory: pytest.TempPathFactory, nginx_ports: tuple[int, int]
) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("haproxy")
    port = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(
        f"""
global
  maxconn 200
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 2s
frontend front
  bind 127.0.0.1:{port}
  http-request return status 403 content-type text/plain string "no" if {{ path /forbidden }}
  http-response add-header X-Via haproxy
  default_backend back
backend back
  server one 127.0.0.1:{nginx_ports[0]}
"""
    )
    yield from started(["haproxy", "-db", "-f", str(path)], port)


@pytest.fixture
async def nginx(harness: Harness, nginx_ports: tuple[int, int]) -> Harness:
    harness.add("target", f"http://127.0.0.1:{nginx_ports[0]}")
    return harness


async def test_nginx_serves_every_framing(nginx: Harness) -> None:
    assert (await nginx.call()).text == "hello from nginx"
    assert (await nginx.call("HEAD", "/large.bin")).headers["content-length"] == "5120000"
    assert (await nginx.call("GET", "/large.bin")).body == bytes(range(256)) * 20_000
    assert (await nginx.call("GET", "/empty")).status == 204
    assert (await nginx.call("GET", "/gone")).text == "gone"
    moved = await nginx.call("GET", "/moved")
    assert (moved.text, len(moved.history)) == ("hello from nginx", 1)
    compressed = await nginx.call("GET", "/text.txt", headers={"Accept-Encoding": "gzip"})
    assert compressed.headers["transfer-encoding"] == "chunked"
    assert (await nginx.call("GET", "/text.txt", decode=True)).text == "compress me " * 1000
    fresh = await nginx.call()
    again = await nginx.call("GET", "/", headers={"If-None-Match": fresh.headers["etag"]})
    assert again.status == 304


async def test_nginx_closes_after_its_limit_of_requests(nginx: Harness) -> None:
    for _ in range(120):
        assert (await nginx.call()).status == 200
    assert nginx.counts == (120, 120, 0)
    assert nginx.timed("connect")["ok"] == 3


async def test_nginx_counts_what_we_count(nginx: Harness) -> None:
    async def requests_seen() -> int:
        return int((await nginx.call("GET", "/stats")).text.splitlines()[2].split()[2])

    before = await requests_seen()
    clients = [nginx.another_client() for _ in range(8)]

    async def session(number: int) -> None:
        for _ in range(25):
            await nginx.call(client=clients[number])

    await asyncio.gather(*(session(number) for number in range(8)))
    for client in clients:
        client.close()
    assert await requests_seen() == before + 8 * 25 + 1


async def test_nginx_drops_the_connection(nginx: Harness) -> None:
    from chaperon_engine.errors import ConnectionLost

    with pytest.raises(ConnectionLost):
        await nginx.call("POST", "/drop")


async def test_nginx_over_tls(
    harness: Harness, nginx_ports: tuple[int, int], ca_file: Path
) -> None:
    harness.add("target", f"https://127.0.0.1:{nginx_ports[1]}", tls=Tls(ca_file=ca_file))
    for _ in range(3):
        assert (await harness.call("GET", "/large.bin")).body == bytes(range(256)) * 20_000
    assert harness.timed("tls")["ok"] == 1


async def test_haproxy_in_between(harness: Harness, haproxy_port: int) -> None:
    harness.add("target", f"http://127.0.0.1:{haproxy_port}")
    response = await harness.call()
    assert (response.text, response.headers["x-via"]) == ("hello from nginx", "haproxy")
    assert (await harness.call("GET", "/forbidden")).status == 403
    assert (await harness.call("GET", "/large.bin")).body == bytes(range(256)) * 20_000
    assert (await harness.call("GET", "/large.bin", read=False)).received > 5_120_000
    bodies = await asyncio.gather(*(harness.call("GET", "/text.txt") for _ in range(20)))
    assert {response.text for response in bodies} == {"compress me " * 1000}

"""Joining over real sockets: who gets in, with which trust, and what people read when not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from chaperon_engine.coordinator.agents import AgentLinks
from chaperon_engine.coordinator.certificate import (
    Credentials,
    join_line,
    of_authority,
    self_signed,
)
from chaperon_engine.coordinator.door import ListenerLimits
from chaperon_engine.coordinator.events import AgentSaid
from chaperon_engine.errors import UserError
from chaperon_engine.protocol.messages import Hello, Refused
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.protocol.wire import Ack, Admitted
from chaperon_engine.remote.dial import Authority, DialError, Pin, dial_as_agent, dial_as_viewer
from chaperon_engine.remote.link import EngineLink
from tests.remote.conftest import RUN, Agent, House, hello, until


class Nobody:
    """Who must not be told anything."""

    def agent_said(self, said: AgentSaid) -> None:
        raise AssertionError(said)

    def agent_gone(self, link: int, reason: str) -> None:
        raise AssertionError(reason)

    def cannot_start(self, reason: str) -> None:
        raise AssertionError(reason)


async def test_an_agent_joins_and_both_sides_speak(house: House) -> None:
    agent = await house.dial("host-1")
    assert await agent.ask() == Admitted(member=1, lease_s=15)
    assert house.said == [hello("host-1")]
    (link,) = house.agents
    assert (link.role, link.name) == ("agent", "host-1")
    assert link.address.startswith("127.0.0.1:")
    assert (house.listener.door.friends, house.listener.door.strangers) == (1, 0)
    agent.link.close()
    assert await agent.closed == "closed by this side"
    await until(lambda: house.ends == ["the connection was closed"])
    await until(lambda: house.listener.door.friends == 0)


@pytest.mark.parametrize("role", ["observer", "operator"])
async def test_a_viewer_comes_in_with_its_role(house: House, role: str) -> None:
    link: EngineLink = await dial_as_viewer(
        "127.0.0.1", house.port, run_id=RUN, name="me", token=house.secret.token(role),  # type: ignore[arg-type]
        trust=Pin(house.credentials.fingerprint),
    )  # fmt: skip
    heard: asyncio.Queue[object] = asyncio.Queue()
    link.begin(heard.put_nowait, lambda reason: None)
    link.send(Hello(protocol=1))
    await until(lambda: bool(house.viewers))
    (there,) = house.viewers
    assert there.role == role
    said: asyncio.Queue[object] = asyncio.Queue()
    there.begin(said.put_nowait, lambda reason: None)
    assert await said.get() == Hello(protocol=1)
    there.close(Refused(reason="not yet"))
    assert await heard.get() == Refused(reason="not yet")


async def test_tokens_of_other_roles_are_refused_before_anything_is_dialled(house: House) -> None:
    with pytest.raises(UserError, match="joining a run takes its agent's token"):
        await house.dial(token=house.secret.token("observer"))
    with pytest.raises(UserError, match="watching a run takes"):
        await dial_as_viewer(
            "127.0.0.1", house.port, run_id=RUN, name="me", token=house.secret.token("agent"),
            trust=Pin(house.credentials.fingerprint),
        )  # fmt: skip
    assert house.agents == []


async def test_a_wrong_token_is_one_sentence_on_both_sides(house: House) -> None:
    with pytest.raises(UserError, match=f"that is not the agent token of run {RUN}"):
        await house.dial(token=RunSecret(bytes(32)).token("agent"))
    assert len(house.log) == 1
    assert "was refused: that is not the agent token" in house.log[0]
    assert house.agents == []


async def test_another_run_is_named(house: House) -> None:
    with pytest.raises(UserError, match=f"that is run {RUN}, not other"):
        await house.dial(run_id="other")


@pytest.mark.parametrize("name", ["", " ", "a\x1b[2J", "x" * 65, "a\udc80"])
async def test_a_name_must_be_printable(house: House, name: str) -> None:
    with pytest.raises(UserError, match="must be 1 to 64 printable characters"):
        await house.dial(name)


async def test_where_nobody_listens_another_try_may_help(house: House) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(DialError, match=r"no connection to .* \(.*\): does the run listen"):
            await house.dial(port=closed.getsockname()[1])


async def test_a_name_that_does_not_resolve_is_said(house: House) -> None:
    with pytest.raises(DialError, match=r"no-such-host\.invalid could not be resolved"):
        await house.dial(host="no-such-host.invalid")


async def test_a_coordinator_that_says_nothing_is_waited_for_a_limited_time(house: House) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DialError, match=r"no answer from .* within 0\.2 s"):
            await house.dial(port=silent.getsockname()[1], timeout_s=0.2)


async def test_ipv6_is_listened_on_and_dialled(tmp_path: Path, credentials: Credentials) -> None:
    house = House(tmp_path, ListenerLimits(), credentials)
    try:
        house.port = await house.listener.listen("::1", 0)
    except UserError:
        pytest.skip("this machine has no IPv6 loopback")
    agent = await house.dial(host="::1")
    assert isinstance(await agent.ask(), Admitted)
    assert house.agents[0].address.startswith("[::1]:")
    agent.link.abort("over")
    await house.listener.close()


async def test_a_port_in_use_is_one_sentence(house: House, credentials: Credentials) -> None:
    again = House(Path(), ListenerLimits(), credentials)
    with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{house.port}: Address"):
        await again.listener.listen("127.0.0.1", house.port)
    with pytest.raises(UserError, match=r"cannot listen on no-such-host\.invalid"):
        await again.listener.listen("no-such-host.invalid", 0)


async def test_a_port_that_becomes_free_in_time_is_waited_for(
    house: House, credentials: Credentials
) -> None:
    again = House(Path(), ListenerLimits(), credentials)
    listening = asyncio.create_task(again.listener.listen("127.0.0.1", house.port, wait_s=9.0))
    await until(lambda: again.log == [f"port {house.port} is taken: waiting for it"])
    await house.listener.close()
    assert await listening == house.port
    await again.listener.close()


async def test_a_listener_that_closes_leaves_its_links_alone(house: House) -> None:
    agent = await house.dial()
    await house.listener.close()
    assert isinstance(await agent.ask(), Admitted)
    with pytest.raises(DialError):
        await house.dial()
    agent.link.abort("over")


async def test_an_agent_that_comes_after_the_end_is_told_so(house: House) -> None:
    links = AgentLinks(Nobody(), hello_s=5.0)
    await links.close()
    house.listener._on_agent = links.receive
    agent = await house.dial()
    assert await agent.ask() == Refused(reason="this run is over", user_error=False)
    await asyncio.wait_for(agent.closed, 5)


async def test_messages_of_a_megabyte_arrive_whole_and_wait_for_the_reader(house: House) -> None:
    agent = await house.dial()
    await agent.ask()
    (link,) = house.agents
    for number in range(20_000):
        link.send(Ack(next_seq=number))
    assert await asyncio.wait_for(link.drained(), 10)
    for number in range(20_000):
        assert await agent.heard.get() == Ack(next_seq=number)
    agent.link.abort("over")


# trust by an authority


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(folder: Path, name: str, cert: trustme.LeafCert) -> Path:
    path = folder / f"{name}.pem"
    cert.private_key_and_cert_chain_pem.write_to_path(path)
    return path


@contextlib.asynccontextmanager
async def with_authority(
    folder: Path, authority: trustme.CA, *, mutual: bool
) -> AsyncIterator[tuple[House, Path]]:
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    server = pem(folder, "server", authority.issue_cert("127.0.0.1"))
    house = House(folder, ListenerLimits(), of_authority(server, None, ca if mutual else None))
    house.port = await house.listener.listen("127.0.0.1", 0)
    try:
        yield house, ca
    finally:
        await house.listener.close()
        for link in house.agents:
            link.abort("over")


async def test_certificates_of_ones_own_authority_take_the_place_of_the_pin(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with with_authority(tmp_path, authority, mutual=False) as (house, ca):
        agent = await house.dial(trust=Authority(ca))
        assert isinstance(await agent.ask(), Admitted)
        pinned = await house.dial(trust=Pin(house.credentials.fingerprint))
        assert isinstance(await pinned.ask(), Admitted)
        with pytest.raises(UserError, match="is not to be trusted"):
            await house.dial(host="localhost", trust=Authority(ca))
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        with pytest.raises(UserError, match="must be signed by"):
            await house.dial(trust=Authority(tmp_path / "other.pem"))
        with pytest.raises(UserError, match="that is not the agent token"):
            await house.dial(trust=Authority(ca), token=RunSecret(bytes(32)).token("agent"))


async def test_with_mutual_tls_a_client_needs_a_certificate_as_well(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with with_authority(tmp_path, authority, mutual=True) as (house, ca):
        mine = pem(tmp_path, "client", authority.issue_cert("agent.example"))
        agent = await house.dial(trust=Authority(ca, mine))
        assert isinstance(await agent.ask(), Admitted)
        with pytest.raises(UserError, match="wants a certificate that it trusts"):
            await house.dial(trust=Authority(ca))
        foreign = pem(tmp_path, "foreign", trustme.CA().issue_cert("agent.example"))
        with pytest.raises(UserError, match="wants a certificate that it trusts"):
            await house.dial(trust=Authority(ca, foreign))
        assert len(house.agents) == 1


def test_files_that_are_no_certificates_are_one_sentence(
    tmp_path: Path, authority: trustme.CA
) -> None:
    good = pem(tmp_path, "good", authority.issue_cert("127.0.0.1"))
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for certificate, key, client_ca in (
        (bad, None, None), (good, bad, None), (tmp_path / "none", None, None), (good, None, bad),
    ):  # fmt: skip
        with pytest.raises(UserError, match="cannot be used: "):
            of_authority(certificate, key, client_ca)


@pytest.mark.parametrize("which", ["ca", "certificate"])
async def test_a_client_says_which_of_its_files_is_wrong(
    tmp_path: Path, house: House, authority: trustme.CA, which: str
) -> None:
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    trust = Authority(bad) if which == "ca" else Authority(ca, bad)
    with pytest.raises(UserError, match=r"bad\.pem cannot be used"):
        await house.dial(trust=trust)


def test_a_key_is_never_on_disk_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, certfile: str, **how: str) -> None:
        seen.append(Path(certfile).read_bytes())
        assert Path(certfile).stat().st_mode & 0o077 == 0
        load(self, certfile, **how)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    self_signed(RUN, tmp_path)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in seen[0]
    assert b"BEGIN PRIVATE KEY" not in seen[0]
    assert list(tmp_path.iterdir()) == []


def test_each_run_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    assert self_signed(RUN, tmp_path).pin != self_signed(RUN, tmp_path).pin


def test_the_join_line_can_be_pasted(credentials: Credentials) -> None:
    line = join_line("10.0.0.5", 7070, RUN, credentials, "agent.token")
    assert line == (
        f"chaperon worker join 10.0.0.5:7070 --run {RUN} --pin {credentials.pin} "
        "--token-file agent.token"
    )
    assert Pin.parse(credentials.pin).sha256 == credentials.fingerprint
    assert "join '[::1]:1' " in join_line("::1", 1, RUN, credentials, "a")


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 64, "0" * 64])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no pin"):
        Pin.parse(text)


async def test_an_agent_can_be_dialled_by_the_public_function_alone(house: House) -> None:
    link = await dial_as_agent(
        "localhost", house.port, run_id="", name="a", token=house.secret.token("agent"),
        trust=Pin.parse(house.credentials.pin),
    )  # fmt: skip
    assert isinstance(await Agent(link).ask(), Admitted)
    link.abort("over")

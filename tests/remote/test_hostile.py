"""Attacks on the socket. None may get in, stay, grow memory, or disturb who is in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trustme

from chaperon_engine.coordinator.certificate import Credentials, of_authority, self_signed
from chaperon_engine.coordinator.door import ListenerLimits
from chaperon_engine.errors import UserError
from chaperon_engine.platform import resident_bytes
from chaperon_engine.protocol.codec import HEADER_BYTES, encode
from chaperon_engine.protocol.handshake import ClientHandshake, ServerHandshake
from chaperon_engine.protocol.messages import MAX_FRAME_BYTES, Message, Refused
from chaperon_engine.protocol.token import RunSecret
from chaperon_engine.protocol.wire import (
    MAX_GREETING_BYTES,
    WIRE_VERSION,
    Ack,
    Admitted,
    AgentNote,
    ClientGreeting,
    Denied,
    ServerGreeting,
    ServerProof,
)
from chaperon_engine.remote import link as link_module
from chaperon_engine.remote.dial import Authority, DialError, Pin
from tests.remote.conftest import ATTACKER, RUN, Agent, House, Stranger, hello, stranger, until

GREETING = ServerGreeting(protocol=WIRE_VERSION, version="1", run_id=RUN, nonce=bytes(32))
SHORT = ListenerLimits(greeting_s=0.3, strangers_per_address=1000, burst=10_000)


def honest(house: House, name: str = "honest") -> ClientHandshake:
    """The handshake of somebody who has the token."""
    return ClientHandshake(
        house.secret.token("agent"),
        name=name,
        run_id=RUN,
        certificate=house.credentials.fingerprint,
        nonce=os.urandom(32),
    )


async def greeted(peer: Stranger, house: House) -> ClientGreeting:
    greeting = await peer.hear()
    assert isinstance(greeting, ServerGreeting)
    answer = honest(house).feed(greeting)
    assert isinstance(answer, ClientGreeting)
    return answer


# an impostor in the coordinator's place


@contextlib.asynccontextmanager
async def impostor(
    credentials: Credentials, play: Callable[[Stranger], Awaitable[None]]
) -> AsyncIterator[int]:
    """A TLS server that is not the coordinator; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await play(Stranger(reader, writer))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=credentials.context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_an_agent_that_sees_another_certificate_says_nothing_at_all(
    house: House, tmp_path: Path
) -> None:
    context = self_signed(RUN, tmp_path).context

    def listen_in(listening: socket.socket) -> bytes:
        """Everything that the agent says inside TLS until it hangs up."""
        connection, _ = listening.accept()
        connection.settimeout(5)
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.write(encode(GREETING))
            return tls.read(1)
        connection.close()
        return b""

    with socket.create_server(("127.0.0.1", 0)) as listening:
        heard = asyncio.create_task(asyncio.to_thread(listen_in, listening))
        with pytest.raises(UserError, match=r"not the one of the join line.*nothing was sent"):
            await house.dial(port=listening.getsockname()[1])
        assert await heard == b""


async def test_an_impostor_with_the_right_certificate_cannot_prove_the_token(
    house: House,
) -> None:
    """Not even by sending back what the agent proved."""

    async def reflect(peer: Stranger) -> None:
        peer.say(GREETING)
        said = msgspec.msgpack.decode((await peer.reader.read(4096))[HEADER_BYTES:])
        peer.say(ServerProof(proof=said["proof"]))
        assert await peer.reader.read() == b""

    async with impostor(house.credentials, reflect) as port:
        with pytest.raises(UserError, match="does not have the run's token"):
            await house.dial(port=port)


async def test_somebody_in_between_with_a_certificate_of_the_same_authority_gains_nothing(
    tmp_path: Path,
) -> None:
    """The proofs name the certificate: what is relayed fits no other one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("real", "stolen"):
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    house = House(tmp_path, ListenerLimits(), of_authority(tmp_path / "real.pem", None, None))
    house.port = await house.listener.listen("127.0.0.1", 0)

    async def relay(peer: Stranger) -> None:
        async with stranger(house.port) as real:
            peer.writer.write(await real.reader.read(4096))
            real.writer.write(await peer.reader.read(4096))
            peer.writer.write(await real.reader.read(4096))
            await peer.reader.read()

    async with impostor(of_authority(tmp_path / "stolen.pem", None, None), relay) as port:
        with pytest.raises(UserError, match="that is not the agent token"):
            await house.dial(port=port, trust=Authority(tmp_path / "ca.pem"))
    assert house.agents == []
    await house.listener.close()


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff" * 100,
        encode(Ack(next_seq=0)),
        (MAX_GREETING_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x02{}",
        encode(GREETING) * 2,
    ],
    ids=["noise", "another message", "too long", "json", "twice"],
)
async def test_an_agent_hangs_up_on_a_server_that_speaks_something_else(
    house: House, noise: bytes
) -> None:
    async def play(peer: Stranger) -> None:
        peer.say(noise)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.reader.read()

    async with impostor(house.credentials, play) as port:
        with pytest.raises(UserError):
            await asyncio.wait_for(house.dial(port=port), 3)


async def test_a_coordinator_of_another_version_is_named_with_ours(house: House) -> None:
    async def play(peer: Stranger) -> None:
        peer.say(ServerGreeting(protocol=9, version="7.1", run_id=RUN, nonce=bytes(32)))
        await peer.reader.read()

    async with impostor(house.credentials, play) as port:
        sentence = rf"speaks protocol 9 \(Chaperon 7\.1\), this side {WIRE_VERSION} "
        with pytest.raises(UserError, match=sentence):
            await house.dial(port=port)


async def test_a_server_without_tls_is_not_spoken_to(house: House) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with pytest.raises(UserError, match=r"does not speak TLS 1\.3 as a coordinator does"):
        await house.dial(port=server.sockets[0].getsockname()[1])
    server.close()


# strangers at the coordinator's door


async def test_what_is_no_tls_is_hung_up_on(house: House, steady: Agent) -> None:
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(400), os.urandom(3000)):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", house.port, local_addr=(ATTACKER, 0)
        )
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 3)
        writer.close()
    await house.is_quiet()


async def test_older_tls_is_refused(house: House, steady: Agent) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(
            "127.0.0.1", house.port, ssl=context, local_addr=(ATTACKER, 0)
        )
    await house.is_quiet()


async def test_a_wrong_proof_is_denied_in_one_sentence(house: House, steady: Agent) -> None:
    async with stranger(house.port) as peer:
        said = await greeted(peer, house)
        peer.say(msgspec.structs.replace(said, proof=os.urandom(32)))
        denied = await peer.hear()
        assert isinstance(denied, Denied)
        assert "is not the agent token" in denied.reason
        await peer.is_hung_up_on()
    await house.is_quiet()


async def test_a_recorded_greeting_lets_nobody_in(house: House, steady: Agent) -> None:
    async with stranger(house.port) as peer:
        said = await greeted(peer, house)
        peer.say(said)
        assert isinstance(await peer.hear(), ServerProof)
    async with stranger(house.port) as peer:
        await peer.hear()
        peer.say(said)
        assert isinstance(await peer.hear(), Denied)
        await peer.is_hung_up_on()
    await house.is_quiet()


async def test_the_coordinators_own_proof_is_no_clients_proof(house: House) -> None:
    """Somebody plays coordinator to learn proofs, with the nonces of the real one."""
    async with stranger(house.port) as peer:
        greeting = await peer.hear()
        assert isinstance(greeting, ServerGreeting)
        mine = honest(house).feed(greeting)
        assert isinstance(mine, ClientGreeting)
        other = ServerHandshake(
            house.secret, run_id=RUN, certificate=house.credentials.fingerprint,
            nonce=greeting.nonce,
        ).feed(mine)  # fmt: skip
        peer.say(msgspec.structs.replace(mine, proof=other.reply.proof))  # type: ignore[union-attr]
        assert isinstance(await peer.hear(), Denied)


async def test_another_protocol_is_refused_with_both_versions_named(house: House) -> None:
    async with stranger(house.port) as peer:
        said = await greeted(peer, house)
        plain = msgspec.to_builtins(said, builtin_types=(bytes,))
        body = msgspec.msgpack.encode(plain | {"protocol": 9, "version": "7.1", "colour": 1})
        peer.say(len(body).to_bytes(4, "big") + body)
        denied = await peer.hear()
        assert isinstance(denied, Denied)
        assert f"protocol {WIRE_VERSION} (Chaperon " in denied.reason
        assert "this side 9 (Chaperon 7.1)" in denied.reason


@pytest.mark.parametrize("limits", [SHORT])
async def test_cut_oversized_and_random_greetings_end_the_connection(
    house: House, steady: Agent
) -> None:
    chance = random.Random(4)
    sample = encode(honest(house).feed(  # type: ignore[arg-type]
        GREETING
    ))  # fmt: skip
    attacks = [
        b"",
        sample[:-1],
        sample[:3],
        (MAX_GREETING_BYTES + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff" + bytes(100),
        sample + b"x",
        sample + sample,
        b"\x00\x00\x00\x00" * 1000,
        b"\x00\x00\x0f\x00" + b"\x91" * 0xF00,
        encode(hello("a")),
        encode(Refused(reason="no")),
        *(chance.randbytes(chance.randrange(1, 6000)) for _ in range(10)),
        *(
            bytes(byte ^ (chance.random() < 0.02) * chance.randrange(256) for byte in sample)
            for _ in range(10)
        ),
    ]
    for number, attack in enumerate(attacks):
        async with stranger(house.port, f"127.0.0.{100 + number}") as peer:
            peer.say(attack)
            await asyncio.wait_for(peer.is_hung_up_on(), 3)
    await house.is_quiet()
    assert len(house.agents) == 1


@pytest.mark.parametrize("limits", [SHORT])
async def test_a_slow_loris_has_its_time_and_no_more(house: House, steady: Agent) -> None:
    async with stranger(house.port) as peer:
        said = encode(await greeted(peer, house))
        start = time.monotonic()

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                for byte in said:
                    peer.say(bytes([byte]))
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await peer.is_hung_up_on()
        assert time.monotonic() - start < 1.5
        dripping.cancel()
    with socket.create_connection(("127.0.0.1", house.port), source_address=(ATTACKER, 0)) as mute:
        mute.setblocking(False)
        gone = asyncio.get_running_loop().sock_recv(mute, 1)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(gone, 3) == b""
    await house.is_quiet()


@pytest.mark.parametrize("limits", [ListenerLimits(strangers=8, strangers_per_address=4)])
async def test_a_flood_of_connections_is_bounded_and_the_one_with_the_token_gets_in(
    house: House, steady: Agent
) -> None:
    most = 0
    flood: list[socket.socket] = []
    gc.collect()
    memory = resident_bytes()
    try:
        for number in range(150):
            flood.append(
                socket.create_connection(
                    ("127.0.0.1", house.port), source_address=(f"127.0.0.{100 + number % 50}", 0)
                )
            )
            if number % 10 == 0:
                await asyncio.sleep(0.001)
            most = max(most, house.listener.door.strangers)
        asked = time.monotonic()
        assert isinstance(await steady.ask(), Admitted)
        assert time.monotonic() - asked < 1
        newcomer = await house.dial("newcomer")
        assert isinstance(await newcomer.ask(), Admitted)
        newcomer.link.abort("over")
        assert most <= 8
        assert resident_bytes() - memory < 30_000_000
    finally:
        for connection in flood:
            connection.close()
    await house.is_quiet()


@pytest.mark.parametrize("limits", [ListenerLimits(strangers_per_address=4)])
async def test_one_address_cannot_take_all_places(house: House, steady: Agent) -> None:
    flood = [
        socket.create_connection(("127.0.0.1", house.port), source_address=(ATTACKER, 0))
        for _ in range(40)
    ]
    await until(lambda: house.listener.door.strangers == 4)
    newcomer = await house.dial("newcomer")
    newcomer.link.abort("over")
    assert house.listener.door.strangers == 4
    for connection in flood:
        connection.close()
    await house.is_quiet()


async def test_an_address_that_failed_too_often_is_not_listened_to_for_a_while(
    house: House, steady: Agent
) -> None:
    for _ in range(4):
        async with stranger(house.port) as peer:
            peer.say(b"\xff\xff\xff\xff")
            await peer.is_hung_up_on()
        await house.is_quiet()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        async with stranger(house.port):
            pass
    house.clock.now += 1.1
    async with stranger(house.port) as peer:
        assert isinstance(await peer.hear(), ServerGreeting)


async def test_wrong_tokens_make_the_next_try_fail_with_a_hint(house: House) -> None:
    for _ in range(4):
        with pytest.raises(UserError, match="is not the agent token"):
            await house.dial(token=RunSecret(bytes(32)).token("agent"))
        await house.is_quiet()
    with pytest.raises(DialError, match="hung up"):
        await house.dial()
    house.clock.now += 1.1
    agent = await house.dial()
    assert isinstance(await agent.ask(), Admitted)
    agent.link.abort("over")
    assert len(house.log) == 1, "strangers cause one line a second and no more"
    with pytest.raises(UserError, match="is not the agent token"):
        await house.dial(token=RunSecret(bytes(32)).token("agent"))
    assert house.log[1].endswith("(and 3 others before)")


async def test_running_out_of_descriptors_ends_when_there_are_some_again(
    house: House, steady: Agent
) -> None:
    waiting = [socket.socket() for _ in range(3)]
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        for connection in waiting:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", house.port))
        await until(lambda: any("cannot take connections" in line for line in house.log))
        assert isinstance(await steady.ask(), Admitted)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: house.listener.door.strangers == 3)
    for connection in waiting:
        connection.close()
    await house.is_quiet()


# who is in and behaves badly


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x05hello",
        encode(Ack(next_seq=0)),
        encode(AgentNote(level="info", text="x" * 2001)),
        b"\x00\x00\x00\x06\xdd\xff\xff\xff\xff\x00",
        os.urandom(10_000),
    ],
    ids=["length", "cap", "text", "not an agent's", "long text", "list bomb", "random"],
)
async def test_an_agent_that_sends_garbage_loses_its_connection_and_nobody_else(
    house: House, steady: Agent, garbage: bytes
) -> None:
    async with stranger(house.port) as peer:
        peer.say(await greeted(peer, house))
        assert isinstance(await peer.hear(), ServerProof)
        peer.say(encode(hello("bad")))
        await until(lambda: hello("bad") in house.said)
        house.ends.clear()
        peer.say(garbage)
        await until(lambda: len(house.ends) == 1)
        assert "over the cap" in house.ends[0] or "not a message" in house.ends[0]
    await until(lambda: house.listener.door.friends == 1)


async def test_what_follows_the_greeting_in_one_piece_ends_the_connection(
    house: House, steady: Agent
) -> None:
    async with stranger(house.port) as peer:
        said = await greeted(peer, house)
        peer.say(encode(said) + encode(hello("hasty")))
        assert await peer.hear() is None
    await house.is_quiet()
    assert house.said == [hello("steady")]


async def test_unknown_fields_are_refused_once_somebody_is_in(house: House) -> None:
    async with stranger(house.port) as peer:
        peer.say(await greeted(peer, house))
        assert isinstance(await peer.hear(), ServerProof)
        body = msgspec.msgpack.encode(
            {"type": "AgentNote", "level": "info", "text": "a", "colour": "red"}
        )
        peer.say(len(body).to_bytes(4, "big") + body)
        await until(lambda: bool(house.ends))
        assert "unknown field `colour`" in house.ends[0]


async def test_a_second_agent_with_a_live_ones_name_can_be_told_so(
    house: House, steady: Agent
) -> None:
    """The listener asks the coordinator, which knows who lives."""
    names = {"steady"}

    def refuse(said: object) -> Message | None:
        if getattr(said, "name", "") in names and len(house.agents) > 1:
            return Refused(reason="there is an agent `steady` already: give --name")
        return None

    house.refuse = refuse
    double = await house.dial("steady")
    assert await double.ask() == Refused(reason="there is an agent `steady` already: give --name")
    assert await double.closed == "the connection was closed"
    house.refuse = lambda said: None


async def test_a_peer_that_does_not_read_is_given_up(
    house: House, steady: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_WAITING_BYTES", 3_000_000)
    async with stranger(house.port) as peer:
        peer.say(await greeted(peer, house))
        assert isinstance(await peer.hear(), ServerProof)
        await until(lambda: len(house.agents) == 2)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        link = house.agents[1]
        big = Refused(reason="x" * 500_000)
        for _ in range(200):
            if not link.send(big):
                break
            await asyncio.sleep(0)
        assert link.is_closed
        await until(lambda: house.ends == ["it does not read what it is sent"])


async def test_nobody_sends_more_than_the_other_side_announced(house: House) -> None:
    async with stranger(house.port) as peer:
        greeting = await peer.hear()
        assert isinstance(greeting, ServerGreeting)
        said = honest(house).feed(greeting)
        assert isinstance(said, ClientGreeting)
        peer.say(msgspec.structs.replace(said, max_frame_bytes=1000))
        assert isinstance(await peer.hear(), ServerProof)
        await until(lambda: bool(house.agents))
        with pytest.raises(Exception, match=r"longer than\s+the 1,000 that"):
            house.agents[0].send(Refused(reason="x" * 1000))
        assert house.agents[0].send(Ack(next_seq=1))


async def test_many_failed_attempts_leave_no_memory_behind(house: House, steady: Agent) -> None:
    async def attack(number: int) -> None:
        with contextlib.suppress(OSError):
            async with stranger(house.port, f"127.0.{number % 200}.9") as peer:
                peer.say(os.urandom(200))
                await peer.is_hung_up_on()

    for number in range(40):
        await attack(number)
    gc.collect()
    before = resident_bytes()
    for number in range(120):
        house.clock.now += 1
        await attack(number)
    await house.is_quiet()
    gc.collect()
    assert resident_bytes() - before < 8_000_000


async def test_a_pin_is_compared_whole(house: House) -> None:
    near = bytearray(house.credentials.fingerprint)
    near[31] ^= 1
    with pytest.raises(UserError, match="not the one of the join line"):
        await house.dial(trust=Pin(bytes(near)))
    await house.is_quiet()
    assert house.agents == []

"""The proofs: every way to be let in that is not one's own, tried by hand and at random."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from chaperon_engine.protocol.handshake import (
    Accepted,
    ClientHandshake,
    Refusal,
    ServerHandshake,
)
from chaperon_engine.protocol.token import RunSecret, Token
from chaperon_engine.protocol.wire import (
    MAX_GREETING_BYTES,
    WIRE_VERSION,
    ClientGreeting,
    Denied,
    Role,
    ServerGreeting,
    ServerProof,
    from_stranger_decoder,
)

SECRET = RunSecret(bytes(range(32)))
OTHER_SECRET = RunSecret(bytes(32))
CERTIFICATE = hashlib.sha256(b"certificate").digest()
OTHER_CERTIFICATE = hashlib.sha256(b"other certificate").digest()
ROLES: tuple[Role, ...] = ("agent", "observer", "operator")


def nonce(number: int) -> bytes:
    return number.to_bytes(32, "big")


def server(**changes: object) -> ServerHandshake:
    given: dict[str, object] = {"run_id": "r", "certificate": CERTIFICATE, "nonce": nonce(1)}
    secret = changes.pop("secret", SECRET)
    return ServerHandshake(secret, **(given | changes))  # type: ignore[arg-type]


def client(**changes: object) -> ClientHandshake:
    given: dict[str, object] = {
        "name": "a", "run_id": "r", "certificate": CERTIFICATE, "nonce": nonce(2),
    }  # fmt: skip
    token = changes.pop("token", SECRET.token("agent"))
    return ClientHandshake(token, **(given | changes))  # type: ignore[arg-type]


def greeting(of: ClientHandshake, to: ServerHandshake) -> ClientGreeting:
    answer = of.feed(to.greet())
    assert isinstance(answer, ClientGreeting)
    return answer


@pytest.mark.parametrize("role", ROLES)
def test_both_sides_accept_each_other_when_both_have_the_token(role: Role) -> None:
    here, there = client(token=SECRET.token(role)), server()
    accepted = there.feed(greeting(here, there))
    assert isinstance(accepted, Accepted)
    assert (accepted.role, accepted.name) == (role, "a")
    assert accepted.reply is not None
    assert isinstance(here.feed(accepted.reply), Accepted)


def test_the_token_and_what_it_could_be_guessed_from_never_cross_the_wire() -> None:
    here, there = client(), server()
    said = greeting(here, there)
    accepted = there.feed(said)
    assert isinstance(accepted, Accepted)
    wire = b"".join(map(msgspec.msgpack.encode, (there.greet(), said, accepted.reply)))
    token = SECRET.token("agent")
    assert token.key not in wire
    assert token.text.encode() not in wire
    assert hashlib.sha256(token.key).digest() not in wire


def test_greetings_fit_into_the_frames_of_strangers() -> None:
    here, there = client(name="\U0001f680" * 64, run_id="r" * 90), server(run_id="r" * 90)
    for message in (there.greet(), greeting(here, there), Denied(reason="x" * 2000)):
        assert len(msgspec.msgpack.encode(message)) <= MAX_GREETING_BYTES


@pytest.mark.parametrize(
    "changed",
    [
        {"token": OTHER_SECRET.token("agent")},
        {"certificate": OTHER_CERTIFICATE},
        {"run_id": "", "token": OTHER_SECRET.token("operator")},
    ],
    ids=["another token", "another certificate", "another token of another role"],
)
def test_whoever_differs_in_anything_is_refused(changed: dict[str, object]) -> None:
    there = server()
    refusal = there.feed(greeting(client(**changed), there))
    assert isinstance(refusal, Refusal)
    assert refusal.cause == "proof"
    assert "token of run r" in refusal.reason


def test_a_token_made_for_a_name_admits_the_agent_of_that_name_alone() -> None:
    token = SECRET.token("agent").of_agent("a")
    here, there = client(token=token), server()
    accepted = there.feed(greeting(here, there))
    assert isinstance(accepted, Accepted)
    assert accepted.token_name == "a"
    assert accepted.reply is not None
    assert isinstance(here.feed(accepted.reply), Accepted)
    there = server()
    refusal = there.feed(greeting(client(token=token, name="b"), there))
    assert isinstance(refusal, Refusal)
    assert refusal.cause == "proof"


def test_a_server_that_knows_only_the_token_of_a_name_is_not_believed_by_other_agents() -> None:
    here, there = client(name="b"), server()
    accepted = there.feed(greeting(here, there))
    assert isinstance(accepted, Accepted)
    assert accepted.token_name == ""
    others = client(token=SECRET.token("agent").of_agent("b"), name="b")
    others.feed(server().greet())
    assert isinstance(others.feed(ServerProof(proof=accepted.reply.proof)), Refusal)  # type: ignore[union-attr]


@pytest.mark.parametrize("role", ["observer", "operator"])
def test_tokens_for_names_are_for_agents(role: Role) -> None:
    with pytest.raises(ValueError, match="not made for names"):
        SECRET.token(role).of_agent("a")
    there = server()
    said = greeting(client(token=Token(role, SECRET.token("agent").of_agent("a").key)), there)
    assert isinstance(there.feed(said), Refusal)


@pytest.mark.parametrize("field", ["role", "name", "nonce"])
def test_a_proof_is_worth_nothing_with_another_role_name_or_nonce(field: str) -> None:
    there = server()
    said = greeting(client(), there)
    changed = {"role": "operator", "name": "b", "nonce": nonce(9)}[field]
    refusal = there.feed(msgspec.structs.replace(said, **{field: changed}))
    assert isinstance(refusal, Refusal)


def test_a_recorded_greeting_is_refused_on_another_connection() -> None:
    first, second = server(), server(nonce=nonce(3))
    said = greeting(client(), first)
    assert isinstance(first.feed(said), Accepted)
    assert isinstance(second.feed(said), Refusal)


def test_a_handshake_serves_one_attempt() -> None:
    there = server()
    good = greeting(client(), there)
    assert isinstance(there.feed(msgspec.structs.replace(good, proof=bytes(32))), Refusal)
    assert isinstance(there.feed(good), Refusal)


def test_a_client_does_not_take_its_own_proof_back() -> None:
    here, there = client(), server()
    said = greeting(here, there)
    assert isinstance(here.feed(ServerProof(proof=said.proof)), Refusal)


def test_a_client_whose_nonce_is_sent_back_to_it_does_not_prove_itself_twice() -> None:
    here = client(nonce=nonce(1))
    mirrored = here.feed(server(nonce=nonce(1)).greet())
    assert isinstance(mirrored, ClientGreeting)
    assert isinstance(here.feed(ServerProof(proof=mirrored.proof)), Refusal)


def test_an_impostor_without_the_token_is_not_believed() -> None:
    here, impostor = client(), server(secret=OTHER_SECRET)
    here.feed(impostor.greet())
    refusal = here.feed(ServerProof(proof=random.Random(1).randbytes(32)))
    assert isinstance(refusal, Refusal)
    assert "not the one to join" in refusal.reason


@pytest.mark.parametrize(
    "messages",
    [
        [ServerProof(proof=bytes(32))],
        [Denied(reason="no"), Denied(reason="no")],
        ["greeting", "greeting"],
        ["greeting", ServerProof(proof=bytes(32)), "greeting"],
    ],
)
def test_a_client_refuses_whoever_speaks_out_of_turn(messages: list[object]) -> None:
    here, there = client(), server()
    answers = [here.feed(there.greet() if said == "greeting" else said) for said in messages]  # type: ignore[arg-type]
    assert isinstance(answers[-1], Refusal)


def test_a_denial_cannot_write_to_the_terminal() -> None:
    refusal = client().feed(Denied(reason="\x1b]0;owned\x07"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "\\x1b]0;owned\\x07"


def test_names_that_are_not_printable_are_refused() -> None:
    there = server()
    refusal = there.feed(greeting(client(name="a\x1b[2J"), there))
    assert isinstance(refusal, Refusal)


def test_another_run_is_refused_by_the_client_before_it_proves_anything() -> None:
    refusal = client(run_id="r2").feed(server().greet())
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("that is run r, not r2")


def test_versions_that_differ_are_named_both_on_either_side() -> None:
    newer = msgspec.structs.replace(server().greet(), protocol=7, version="9.1")
    on_client = client().feed(newer)
    there = server()
    said = msgspec.structs.replace(greeting(client(), there), protocol=7, version="9.1")
    on_server = there.feed(said)
    for refusal in (on_client, on_server):
        assert isinstance(refusal, Refusal)
        assert refusal.cause == "version"
        assert "protocol 7 (Chaperon 9.1)" in refusal.reason or "side 7 (Chaperon 9.1)" in (
            refusal.reason
        )
        assert f" {WIRE_VERSION} (Chaperon " in refusal.reason
        assert "same version" in refusal.reason


def test_a_greeting_of_a_newer_version_is_still_read() -> None:
    there = server()
    plain = msgspec.to_builtins(greeting(client(), there), builtin_types=(bytes,))
    body = msgspec.msgpack.encode(plain | {"protocol": 7, "colour": "red"})
    (said,) = from_stranger_decoder().feed(len(body).to_bytes(4, "big") + body)
    assert isinstance(there.feed(said), Refusal)


@dataclass
class _Party:
    """One honest end of one connection, and what became of it."""

    secret: int
    certificate: bytes
    nonce: bytes
    machine: ServerHandshake | ClientHandshake
    role: Role = "agent"
    name: str = ""
    greeting: ServerGreeting | None = None
    """The one that a client answered."""
    said: ClientGreeting | None = None
    accepted: list[Accepted] = field(default_factory=list)


class NetworkOfEnemies(RuleBasedStateMachine):
    """Honest servers and clients of two runs; the network between them is the adversary's: it
    delivers any message it has seen to anybody, in any order, changed in any field."""

    greetings = Bundle("greetings")
    proofs = Bundle("proofs")
    answers = Bundle("answers")

    def __init__(self) -> None:
        super().__init__()
        self.secrets = [SECRET, OTHER_SECRET]
        self.servers: list[_Party] = []
        self.clients: list[_Party] = []

    @rule(
        target=greetings,
        secret=st.integers(0, 1),
        certificate=st.sampled_from([CERTIFICATE, OTHER_CERTIFICATE]),
    )
    def a_server_greets(self, secret: int, certificate: bytes) -> ServerGreeting:
        fresh = nonce(1000 + len(self.servers))
        machine = ServerHandshake(
            self.secrets[secret], run_id="r", certificate=certificate, nonce=fresh
        )
        self.servers.append(_Party(secret, certificate, fresh, machine))
        return machine.greet()

    @rule(
        target=proofs,
        greeting=greetings,
        secret=st.integers(0, 1),
        role=st.sampled_from(ROLES),
        name=st.sampled_from(["a", "b"]),
        certificate=st.sampled_from([CERTIFICATE, OTHER_CERTIFICATE]),
        theirs=st.none() | st.integers(2000, 2005).map(nonce),
    )
    def a_client_answers(
        self,
        greeting: ServerGreeting,
        secret: int,
        role: Role,
        name: str,
        certificate: bytes,
        theirs: bytes | None,
    ) -> ClientGreeting:
        """`theirs`: the adversary greets with the nonce of a client instead of a server's."""
        fresh = nonce(2000 + len(self.clients))
        machine = ClientHandshake(
            self.secrets[secret].token(role),
            name=name,
            run_id="r",
            certificate=certificate,
            nonce=fresh,
        )
        if theirs is not None:
            greeting = msgspec.structs.replace(greeting, nonce=theirs)
        said = machine.feed(greeting)
        assert isinstance(said, ClientGreeting)
        party = _Party(secret, certificate, fresh, machine, role, name, greeting, said)
        self.clients.append(party)
        return said

    @rule(
        target=answers,
        said=proofs,
        number=st.integers(0, 20),
        change=st.sampled_from(
            [{}, {}, {}, {"role": "operator"}, {"role": "observer"}, {"name": "b"},
             {"nonce": nonce(2000)}, {"proof": bytes(32)}]
        ),
    )  # fmt: skip
    def somebody_delivers_to_a_server(
        self, said: ClientGreeting, number: int, change: dict[str, object]
    ) -> ServerProof:
        said = msgspec.structs.replace(said, **change)
        if self.servers:
            party = self.servers[number % len(self.servers)]
            assert isinstance(party.machine, ServerHandshake)
            answer = party.machine.feed(said)
            if isinstance(answer, Accepted):
                assert answer.reply is not None
                party.accepted.append(answer)
                party.said = said
                return answer.reply
        return ServerProof(proof=said.proof)

    @rule(answer=answers, number=st.integers(0, 20))
    def somebody_delivers_to_a_client(self, answer: ServerProof, number: int) -> None:
        if self.clients:
            party = self.clients[number % len(self.clients)]
            assert isinstance(party.machine, ClientHandshake)
            outcome = party.machine.feed(answer)
            if isinstance(outcome, Accepted):
                party.accepted.append(outcome)

    @invariant()
    def a_server_lets_in_only_the_client_that_spoke_to_it(self) -> None:
        for server in self.servers:
            assert len(server.accepted) <= 1
            for accepted in server.accepted:
                assert any(self._are_partners(server, client) for client in self.clients)
                assert server.said is not None
                assert (accepted.role, accepted.name) == (server.said.role, server.said.name)

    @invariant()
    def a_client_believes_only_the_server_that_let_it_in(self) -> None:
        for client in self.clients:
            assert len(client.accepted) <= 1
            if client.accepted:
                assert any(
                    server.accepted and self._are_partners(server, client)
                    for server in self.servers
                )

    def _are_partners(self, server: _Party, client: _Party) -> bool:
        return (
            server.said == client.said
            and client.greeting is not None
            and client.greeting.nonce == server.nonce
            and client.certificate == server.certificate
            and client.secret == server.secret
        )


NetworkOfEnemies.TestCase.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None
)
TestNetworkOfEnemies = NetworkOfEnemies.TestCase


def test_honest_parties_do_meet_in_the_network_of_enemies() -> None:
    """The invariants above are not true for want of success."""
    network = NetworkOfEnemies()
    said = network.a_client_answers(
        network.a_server_greets(0, CERTIFICATE), 0, "agent", "a", CERTIFICATE, None
    )
    network.somebody_delivers_to_a_client(network.somebody_delivers_to_a_server(said, 0, {}), 0)
    assert network.clients[0].accepted
    assert network.servers[0].accepted


def test_tokens_are_read_back_and_name_their_role() -> None:
    for role in ROLES:
        token = SECRET.token(role)
        assert Token.parse(f"  {token.text}\n") == token
        assert token.text.startswith(f"chaperon-{role}-")

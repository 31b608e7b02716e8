"""The third conversation: coordinator <-> agents and viewers on other machines. Plain data.

stranger -> coordinator   ClientGreeting, at most `MAX_GREETING_BYTES` a frame
coordinator -> stranger   ServerGreeting, ServerProof or Denied
agent -> coordinator      FromAgent, first AgentHello
coordinator -> agent      ToAgent, first Admitted or Refused

Observers and operators speak `FromClient` and `FromEngine` once they are authenticated. To the
coordinator an agent is one member of the run, as a local worker is: what steers workers and places
scenarios on them is said to agents in the same words, and their numbers count per agent.

Owns: the messages and how long each part of them may be. Must not know: who may say what when.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from chaperon_engine.metrics.model import Frame
from chaperon_engine.protocol.codec import MessageDecoder
from chaperon_engine.protocol.messages import (
    MAX_FRAME_BYTES,
    AbortLoad,
    AcceptedSeries,
    EndPlacement,
    Message,
    Place,
    Placed,
    Refused,
    Release,
    Schedule,
    Scheduled,
    StopLoad,
    TakeShares,
    Withdraw,
    WorkerIdle,
)

WIRE_VERSION = 2
"""Grows with each change that the other side must know of."""
MAX_GREETING_BYTES = 4096
"""Of a frame, as long as the peer is a stranger."""
MAX_NAME_CHARS = 64
MAX_SHARES = 4096
"""Of one agent."""
MAX_PIECE_BYTES = 1024 * 1024
"""Of a file in one message."""
MAX_FILE_BYTES = 1 << 40
"""What a message can say; what a bundle may hold is decided where it is unpacked."""

Role = Literal["agent", "observer", "operator"]
"""agent: sends load and frames; observer: watches; operator: watches, stops and aborts."""

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A number of things, or of nanoseconds."""
Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256."""
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Short = Annotated[str, Meta(max_length=200)]
Sentence = Annotated[str, Meta(max_length=2000)]


# before authentication


class Greeting(Message, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base of both greetings, the only messages whose unknown fields are ignored.

    Two versions that differ must understand so much of each other that they can say so: fields may
    be added to greetings, and none changed or taken away.
    """

    protocol: Count
    """`WIRE_VERSION` of who speaks."""
    version: Short
    """Version of Chaperon, for people."""


class ServerGreeting(Greeting, frozen=True, kw_only=True):
    """The coordinator speaks first."""

    run_id: Short
    nonce: Nonce
    max_frame_bytes: Count = MAX_FRAME_BYTES
    """Longest frame that it takes from who is authenticated."""


class ClientGreeting(Greeting, frozen=True, kw_only=True):
    """Who wants in, and the proof that it has the role's token (see `handshake`)."""

    role: Role
    name: Name
    nonce: Nonce
    proof: Digest
    max_frame_bytes: Count = MAX_FRAME_BYTES


class ServerProof(Message, frozen=True, kw_only=True):
    """The coordinator has the token as well. From here on the role's conversation begins, and it
    is the client who speaks."""

    proof: Digest


class Denied(Message, frozen=True, kw_only=True):
    """No; one sentence. The connection ends."""

    reason: Sentence


FromStranger = ClientGreeting
ToStranger = ServerGreeting | ServerProof | Denied


# agent -> coordinator


class AgentHello(Message, frozen=True, kw_only=True):
    """First message of an agent, on each connection. Answered by Admitted or Refused."""

    name: Name
    """Unique among the agents of a run: the host's name unless told otherwise."""
    instance: Annotated[bytes, Meta(min_length=16, max_length=16)]
    """Random, made once by each agent process: the same name from another process is another
    agent, the same name from the same process is its return."""
    host: Short
    cores: Annotated[int, Meta(ge=1, le=MAX_SHARES)]
    """How many shares it can run, one worker each."""
    python: Short
    chaperon: Short
    versions: Annotated[dict[Short, Short], Meta(max_length=1000)] = field(default_factory=dict)
    """Installed packages."""
    epoch: Count | None = None
    """Of the shares it works at; None when it is new."""
    next_seq: Count = 0
    """Number of the frame that it will make next."""


class AgentReady(Message, frozen=True, kw_only=True):
    """Its workers have resolved the plan and reached the services."""

    shares: Annotated[list[Count], Meta(max_length=MAX_SHARES)]
    pids: Annotated[list[Count], Meta(max_length=MAX_SHARES)]
    epoch: Count
    """Of the AgentPrepare that this answers."""


class AgentFailed(Message, frozen=True, kw_only=True):
    """It cannot take part; one sentence for a person."""

    message: Sentence
    user_error: bool = True


class AgentStarted(Message, frozen=True, kw_only=True):
    """Its load began. Both times are of the agent's monotonic clock."""

    received_ns: Count
    """When AgentStart arrived."""
    started_ns: Count
    """What its workers took as second 0."""


class AgentFrame(Message, frozen=True, kw_only=True):
    """One tick of all its workers; `frame.worker` is the member's number. Answered by Ack."""

    frame: Frame


class AgentPong(Message, frozen=True, kw_only=True):
    """Answer to AgentPing; times of the agent's monotonic clock."""

    number: Count
    received_ns: Count
    sent_ns: Count


class AgentStopped(Message, frozen=True, kw_only=True):
    """Its load ended before that of the others, and does not begin again. Said once it is reached,
    and again on each connection."""

    why: Sentence
    died: bool = False
    """Said by its successor: what it measured after its last frame is lost."""


class AgentNote(Message, frozen=True, kw_only=True):
    """Something that people should know, for the run's log."""

    level: Literal["info", "warning", "error"]
    text: Sentence


class AgentDone(Message, frozen=True, kw_only=True):
    """After the last frame was acknowledged; the agent exits."""

    no_session_passed_init: bool = False


# coordinator -> agent


class Admitted(Message, frozen=True, kw_only=True):
    """Answer to AgentHello."""

    member: Count
    """Its number in the run."""
    lease_s: Annotated[float, Meta(gt=0, le=86_400)]
    """Having heard nothing for so long, it stops its load."""
    next_seq: Count = 0
    """Number of the first frame that the coordinator lacks; all before are acknowledged."""


class BundleFile(Message, frozen=True, kw_only=True):
    """A piece of a file of the test code. Files come one after the other, their pieces in order;
    an empty file is one empty piece."""

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    """Relative, with forward slashes; not yet checked."""
    digest: Digest
    """Of the whole file."""
    size: Annotated[int, Meta(ge=0, le=MAX_FILE_BYTES)]
    """Of the whole file."""
    offset: Annotated[int, Meta(ge=0, le=MAX_FILE_BYTES)] = 0
    """Where this piece begins."""
    data: Annotated[bytes, Meta(max_length=MAX_PIECE_BYTES)] = b""


class BundleEnd(Message, frozen=True, kw_only=True):
    """All files have been sent."""

    digest: Digest
    """Of the bundle: names and digests of its files."""
    files: Count


class AgentPrepare(Message, frozen=True, kw_only=True):
    """Fork a worker for each share, load the code, resolve the plan. Answered by AgentReady or
    AgentFailed."""

    launch: Annotated[bytes, Meta(max_length=16 * 1024 * 1024)]
    """A LaunchRequest, encoded; its paths lie within the bundle."""
    shares: Annotated[list[Count], Meta(min_length=1, max_length=MAX_SHARES)]
    """Sessions with `index ≡ share mod of` are its own."""
    of: Annotated[int, Meta(ge=1, le=1 << 31)]
    """Shares of the whole run."""
    epoch: Count
    seed: int
    max_series: Annotated[int, Meta(ge=1, le=1 << 31)] = 2000
    """Cap of the run: what a member may announce depends on it."""


class AgentStart(Message, frozen=True, kw_only=True):
    """Begin the load. Answered by AgentStarted."""

    delay_ns: Count
    """From the receipt of this message until second 0."""
    run_start_ns: Count
    """Second 0 in the coordinator's monotonic clock: what frames count their times from."""


class Ack(Message, frozen=True, kw_only=True):
    """All frames before `next_seq` are applied and need not be kept."""

    next_seq: Count


class AgentPing(Message, frozen=True, kw_only=True):
    """Are you there, and what time is it? At least one a second."""

    number: Count
    heard_ns: Count = 0
    """The latest `AgentPong.sent_ns` that has arrived; 0: none. The agent's lease counts from
    there, by its own clock: however long messages were under way, it ends before the coordinator
    takes the agent for gone."""


class Drain(Message, frozen=True, kw_only=True):
    """Somebody wants this agent to leave: its load stops gracefully, those of others go on."""


FromAgent = (
    AgentHello
    | AgentReady
    | AgentFailed
    | AgentStarted
    | AgentFrame
    | AgentPong
    | AgentStopped
    | AgentNote
    | AgentDone
    | Schedule
    | Withdraw
    | Placed
    | WorkerIdle
)
ToAgent = (
    Admitted
    | Refused
    | BundleFile
    | BundleEnd
    | AgentPrepare
    | AgentStart
    | Ack
    | AgentPing
    | Drain
    | TakeShares
    | AcceptedSeries
    | StopLoad
    | AbortLoad
    | Place
    | EndPlacement
    | Scheduled
    | Release
)


def from_stranger_decoder() -> MessageDecoder[FromStranger]:
    """For the coordinator: what somebody says who is not authenticated."""
    return MessageDecoder(FromStranger, max_frame_bytes=MAX_GREETING_BYTES)


def to_stranger_decoder() -> MessageDecoder[ToStranger]:
    """For who dials in: what somebody says who is not authenticated."""
    return MessageDecoder(ToStranger, max_frame_bytes=MAX_GREETING_BYTES)


def from_agent_decoder() -> MessageDecoder[FromAgent]:
    """For the coordinator: what an authenticated agent says."""
    return MessageDecoder(FromAgent)


def to_agent_decoder() -> MessageDecoder[ToAgent]:
    """For an agent: what its coordinator says."""
    return MessageDecoder(ToAgent)

"""Conversations that the suite found correct: kept in a file, replayed by a server.

A step is what the server sent, or a frame that it got. Where the client has to fail the connection,
what it answers before depends on how the server's bytes were cut, and only its close code counts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.ws.harness import CLOSE, Peer

FILE = Path(__file__).with_name("conversations.json")
_COMPRESSED = ("12.", "13.")
_GOODBYE = [["s", "880203e8"], ["r", CLOSE, "03e8"]]
_RSV1 = 0x40
_FAILURES = (1002, 1007)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One case."""

    case: str
    failed_with: int
    """The close code with which the client has to fail the connection; 0: it has not to."""
    extensions: str
    """What the server agreed to."""
    ended_by_server: bool
    """Who ended the connection."""
    steps: list[Any]
    """`["s", hexadecimal digits]` or `["r", operation code, hexadecimal digits]`."""


def load() -> list[Conversation]:
    """All that are kept."""
    kept = json.loads(FILE.read_text())
    return [Conversation(**{**each, "steps": _unpacked(each["steps"])}) for each in kept]


def save(results: Iterable[dict[str, Any]]) -> int:
    """Keeps those of the suite's results that can be replayed; how many."""
    kept = [each for result in results if (each := _conversation(result)) is not None]
    lines = [json.dumps({**asdict(each), "steps": _packed(each.steps)}) for each in kept]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    return len(kept)


def _conversation(result: dict[str, Any]) -> Conversation | None:
    case, steps = result["id"], result["steps"]
    correct = result["behavior"] in ("OK", "NON-STRICT") and result["close"] == "OK"
    if case.startswith(_COMPRESSED):
        if not correct or case.split(".")[2] not in ("1", "11"):
            return None
        answers = [at for at, step in enumerate(steps) if step[0] == "r"][:20]
        steps = steps[: answers[-1] + 1] + _GOODBYE
    elif not correct or not result["is_whole"] or case.startswith(("9.7", "9.8")):
        return None
    return Conversation(
        case=case,
        failed_with=result["code"] if result["code"] in _FAILURES else 0,
        extensions=result["extensions"],
        ended_by_server=result["ended_by_server"],
        steps=steps,
    )


async def replay(peer: Peer, conversation: Conversation) -> None:
    """Says the server's part, and checks the client's."""
    extensions = conversation.extensions
    peer.send(peer.accept(*([f"Sec-WebSocket-Extensions: {extensions}"] if extensions else [])))
    inflate = _Inflating(extensions)
    heard: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
    listening = asyncio.create_task(_listen(peer, heard))
    try:
        for at, (who, *said) in enumerate(conversation.steps):
            if who == "s":
                if not peer.writer.is_closing():
                    peer.send(bytes.fromhex(said[0]))
                await asyncio.sleep(0)
                continue
            opcode, payload = said[0], bytes.fromhex(said[1])
            if conversation.failed_with and opcode != CLOSE:
                continue
            frame = await heard.get()
            while conversation.failed_with and frame and frame[0] & 0x0F != CLOSE:
                frame = await heard.get()
            where = f"{conversation.case}, step {at}"
            assert frame is not None, f"{where}: the client is gone"
            first, got = frame
            if first & _RSV1:
                got = inflate(got)
            if opcode == CLOSE:
                got, payload = got[:2], payload[:2]  # the reason is nobody's business
            assert (first & 0x0F, got) == (opcode, payload), where
        if not conversation.ended_by_server:
            await listening
    finally:
        listening.cancel()


async def _listen(peer: Peer, heard: asyncio.Queue[tuple[int, bytes] | None]) -> None:
    """What the client says, up to its end: bytes that it sent before a reset would else be lost."""
    try:
        while True:
            heard.put_nowait(await peer.masked())
    except (ConnectionError, asyncio.IncompleteReadError):
        heard.put_nowait(None)


class _Inflating:
    """What the client has compressed."""

    def __init__(self, extensions: str) -> None:
        self._forgets = "client_no_context_takeover" in extensions
        self._codec = zlib.decompressobj(-15)

    def __call__(self, packed: bytes) -> bytes:
        payload = self._codec.decompress(packed + b"\x00\x00\xff\xff")
        if self._forgets:
            self._codec = zlib.decompressobj(-15)
        return payload


def _packed(steps: list[Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(steps).encode(), 9)).decode()


def _unpacked(text: str) -> list[Any]:
    steps: list[Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return steps

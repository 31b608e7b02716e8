"""What the Autobahn test suite said in its cases for clients, and what it had to hear."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from chaperon_engine import Session
from tests.session.family import scenario
from tests.session.harness import Bench, load_test, population
from tests.ws.autobahn.conversations import Conversation, load, replay
from tests.ws.autobahn.run import echo
from tests.ws.harness import Peer, RawServer, ran_to_the_end

SECTIONS: dict[str, list[Conversation]] = defaultdict(list)
for _each in load():
    SECTIONS[_each.case.split(".")[0]].append(_each)


def test_every_section_of_the_suite_is_replayed() -> None:
    counts = {int(section): len(kept) for section, kept in SECTIONS.items()}
    assert counts == {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 34, 9: 4, 10: 1, 12: 10, 13: 14}


@pytest.mark.parametrize("section", SECTIONS)
async def test_the_client_says_what_the_suite_found_correct(section: str) -> None:
    kept = {f"/{each.case}": each for each in SECTIONS[section]}
    replayed: set[str] = set()
    over = asyncio.Event()

    async def behave(peer: Peer) -> None:
        path = peer.head.split()[1].decode()
        try:
            await replay(peer, kept[path])
        except BaseException:
            over.set()
            raise
        replayed.add(path)
        if len(replayed) == len(kept):
            over.set()

    async def walk(session: Session) -> None:
        for path, each in kept.items():
            await asyncio.wait_for(echo(session, path, each.case), 10)

    async with RawServer(behave) as server:
        ran = await ran_to_the_end(Bench(load_test(population(scenario(walk), url=server.url))))
        await asyncio.wait_for(over.wait(), 10)
    assert ran.iterations.completed == 1
    assert replayed == set(kept)

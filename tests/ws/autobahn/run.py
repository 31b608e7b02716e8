"""Runs the suite's server and drives a session's WebSocket through its cases."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chaperon_engine import ActionError, Session
from chaperon_engine.net.url import Fields
from tests.session.family import scenario
from tests.session.harness import Bench, load_test, population

LARGEST_MESSAGE = 64 * 1024 * 1024
_CASE_S = 900.0
_START_S = 60.0

Result = dict[str, Any]
"""What `suite` tells of a case."""


async def echo(session: Session, path: str, case: str, params: Fields | None = None) -> None:
    """What a client does in every case: sends back what it gets until the socket has ended."""
    compression = case.split(".")[0] in ("12", "13")
    await session.ws_connect(
        path,
        params=params,
        compression=compression,
        max_message_bytes=LARGEST_MESSAGE,
        timeout="30s",
        retries=0,
    )
    try:
        while True:
            await session.ws_send(await session.ws_recv(timeout=_CASE_S))
    except ActionError:
        session.ws_reset()


async def run_suite(python: str, site: str, port: int, results: Path, wanted: str) -> list[Result]:
    """The results of the cases whose names match `wanted` as a whole."""
    async with _serving(python, site, port, results):
        names: list[str] = _lines(results)[0]["cases"]
        cases = [each for each in enumerate(names, 1) if re.fullmatch(wanted, each[1])]

        async def walk(session: Session) -> None:
            for done, (number, name) in enumerate(cases, 1):
                params = {"case": str(number), "agent": "chaperon"}
                await asyncio.wait_for(echo(session, "/runCase", name, params), _CASE_S)
                await _until_told(results, 1 + done)

        bench = Bench(load_test(population(scenario(walk), url=f"ws://127.0.0.1:{port}")))
        await bench.run()
        return _lines(results)[1:]


def table(results: Collection[Result]) -> str:
    """How many of each section ended how, and what was not simply correct."""
    counts: dict[int, Counter[str]] = {}
    others = []
    for result in sorted(results, key=lambda each: [int(part) for part in each["id"].split(".")]):
        verdict = result["behavior"] if result["close"] in ("OK", "INFORMATIONAL") else "FAILED"
        counts.setdefault(int(result["id"].split(".")[0]), Counter())[verdict] += 1
        if verdict != "OK":
            others.append(f"{result['id']} {verdict}, code {result['code']}: {result['result']}")
    columns = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED")
    lines = [f"{'section':>8}" + "".join(f"{column:>15}" for column in columns)]
    for section, of in sorted(counts.items()):
        lines.append(f"{section:>8}" + "".join(f"{of[column]:>15}" for column in columns))
    return "\n".join([*lines, "", *others])


@asynccontextmanager
async def _serving(python: str, site: str, port: int, results: Path) -> AsyncIterator[None]:
    server = await asyncio.create_subprocess_exec(
        python,
        str(Path(__file__).with_name("suite.py")),
        site,
        str(port),
        str(results),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_START_S):
            await _until_told(results, 1)
        yield
    finally:
        server.terminate()
        await server.wait()


async def _until_told(results: Path, lines: int) -> None:
    # Another process writes it.
    while not results.exists() or results.read_bytes().count(b"\n") < lines:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


def _lines(results: Path) -> list[Result]:
    return [json.loads(line) for line in results.read_text().splitlines()]

"""A fleet during a run: when agents are placed, and what their ends mean. The fleet is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.fleet import placing as module
from chaperon_engine.fleet.order import Order, order_of
from chaperon_engine.fleet.placing import Placing
from chaperon_engine.fleet.protocol import Ended, Happening, Note
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.protocol.token import RunSecret

TOKEN = RunSecret(bytes(32)).token("agent")


class FakeFleet:
    """Places nothing; the test says what happens."""

    agents = 2
    is_watched = True
    start_timeout_s = None

    def __init__(self, problem: Exception | None = None):
        self.problem = problem
        self.orders: list[Order] = []
        self.placed = asyncio.Event()
        self.patience_s: float | None = None
        self.report: Callable[[Happening], None] = lambda happening: None

    def plan(self, order: Order) -> str:
        return ""

    async def prepare(self) -> None: ...

    async def place(self, order: Order, report: Callable[[Happening], None]) -> None:
        self.orders.append(order)
        self.report = report
        self.placed.set()
        if self.problem is not None:
            raise self.problem

    async def close(self, patience_s: float) -> None:
        self.patience_s = patience_s


@pytest.fixture
def gathering(tmp_path: Path) -> Gathering:
    path = tmp_path / "agent.token"
    path.write_text(TOKEN.text)
    path.chmod(0o600)
    line = f"chaperon worker join [::1]:7700 --run r --pin sha256:ab --token-file '{path}'"
    return Gathering(join=line, token_file=str(path), expected=2)


async def never() -> str:
    await asyncio.get_running_loop().create_future()
    return "unreachable"


def test_the_join_line_is_read_back(gathering: Gathering) -> None:
    order = order_of(gathering.join, gathering.token_file)
    assert (order.host, order.port, order.run_id, order.pin) == ("::1", 7700, "r", "sha256:ab")
    assert order.words("a") == [
        "worker", "join", "[::1]:7700", "--run", "r", "--pin", "sha256:ab", "--name", "a",
        "--token-file", "-",
    ]  # fmt: skip
    assert order.secret("a") == TOKEN.of_agent("a").text
    assert TOKEN.text not in repr(order)


@pytest.mark.parametrize("line", ["", "chaperon worker join", "rm -rf /", "chaperon worker join a"])
def test_a_line_that_joins_nothing_is_no_order(line: str, gathering: Gathering) -> None:
    with pytest.raises(EngineError, match="join line"):
        order_of(line, gathering.token_file)


async def test_agents_are_placed_once(gathering: Gathering) -> None:
    fleet = FakeFleet()
    placing = Placing(fleet, lambda text: None)
    for _ in range(3):
        placing.gathering(gathering)
    await fleet.placed.wait()
    await placing.close()
    assert len(fleet.orders) == 1
    assert fleet.patience_s == module.REFUSED_S


async def test_a_fleet_that_cannot_place_ends_the_launch(
    gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = FakeFleet(UserError("no room"))
    placing = Placing(fleet, lambda text: None)
    placing.gathering(gathering)
    monkeypatch.setattr(module, "TELLING_S", 0.0)
    with pytest.raises(UserError, match="no room"):
        await placing.guard(never())
    await placing.close()


async def test_an_agent_that_ends_before_the_load_ends_the_launch(
    gathering: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = FakeFleet()
    placing = Placing(fleet, lambda text: None)
    placing.gathering(gathering)
    await fleet.placed.wait()
    fleet.report(Ended("a", "no such\x1b command", False))
    monkeypatch.setattr(module, "TELLING_S", 0.0)
    with pytest.raises(UserError, match=r"agent a ended: no such\\x1b command"):
        await placing.guard(never())
    await placing.close()


async def test_the_reason_that_the_run_gives_is_better_than_the_end_of_an_agent(
    gathering: Gathering,
) -> None:
    async def refused() -> str:
        await fleet.placed.wait()
        fleet.report(Ended("a", "exit status 104", False))
        await asyncio.sleep(0.05)
        raise UserError("the module shop is missing there")

    fleet = FakeFleet()
    placing = Placing(fleet, lambda text: None)
    placing.gathering(gathering)
    with pytest.raises(UserError, match="shop is missing"):
        await placing.guard(refused())
    await placing.close()


async def test_with_fewer_ok_the_launch_goes_on_and_the_end_is_told(gathering: Gathering) -> None:
    async def begins() -> str:
        await fleet.placed.wait()
        fleet.report(Ended("a", "gone", False))
        await asyncio.sleep(0.02)
        return "begun"

    said: list[str] = []
    fleet = FakeFleet()
    placing = Placing(fleet, said.append, fewer_ok=True)
    placing.gathering(gathering)
    assert await placing.guard(begins()) == "begun"
    assert said == ["agent a ended: gone"]
    await placing.close()


async def test_in_the_load_an_end_is_a_hint_and_a_good_end_is_none(gathering: Gathering) -> None:
    hints: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def hint(name: str, reason: str) -> None:
        hints.put_nowait((name, reason))

    said: list[str] = []
    fleet = FakeFleet()
    placing = Placing(fleet, said.append)
    placing.gathering(gathering)
    await fleet.placed.wait()
    placing.begun(hint)
    fleet.report(Note("hello"))
    fleet.report(Ended("a", "done", True))
    fleet.report(Ended("b", "dask lost it", False))
    assert await asyncio.wait_for(hints.get(), 5) == ("b", "dask lost it")
    assert said == ["hello", "agent b ended: dask lost it"]
    await placing.close()
    assert hints.empty()
    assert fleet.patience_s == module.END_S


async def test_a_launch_that_is_given_up_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def launching() -> str:
        try:
            return await never()
        finally:
            cancelled.set()

    placing = Placing(FakeFleet(), lambda text: None)
    task = asyncio.ensure_future(placing.guard(launching()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
    await placing.close()

"""Assigned values, config, random numbers, durations: the parts of a session without a server."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.actions.delay import random_wait_s, wait_s
from chaperon_engine.definition.resolved import Interval, SessionSettings
from chaperon_engine.errors import InvalidRequest, MissingConfig
from chaperon_engine.session.assigned import Assigned, below, copied
from chaperon_engine.session.config import has_functions, lookup, replaced
from tests.session.harness import population, run


class Drawing:
    def __init__(self) -> None:
        self.random = Random(1)


CONFIG = {"a": {"b": {"c": 1}}, "flat.key": 2, "none": None}


def test_assigned_values_are_attributes_and_items() -> None:
    assigned = Assigned()
    assigned["cart"] = [1]
    assert assigned.cart == [1]
    assert "cart" in assigned
    assert dict(assigned) == {"cart": [1]}
    assert assigned.get("other", 7) == 7


@pytest.mark.parametrize("how", ["attribute", "item", "deletion"])
def test_a_missing_assigned_value_is_named(how: str) -> None:
    shop = below(Assigned(), "shop")
    shop["cart"] = 1
    look = {"attribute": shop.__getattr__, "item": shop.__getitem__, "deletion": shop.__delitem__}
    with pytest.raises(MissingConfig, match=r"'shop\.basket' is missing; there is cart"):
        look[how]("basket")


def test_hasattr_answers_for_assigned_values() -> None:
    assert not hasattr(Assigned(), "cart")


def test_a_copy_shares_only_what_cannot_be_copied() -> None:
    assigned = Assigned()
    lock = threading.Lock()
    assigned["lock"] = lock
    below(assigned, "shop")["cart"] = [1]
    twin = copied(assigned)
    twin.shop.cart.append(2)
    assert assigned.shop.cart == [1]
    assert twin.lock is lock


@pytest.mark.parametrize(
    ("key", "value"),
    [("a.b.c", 1), (["a", "b", "c"], 1), ("flat.key", 2), ("none", None), ("a.b", {"c": 1})],
)
def test_config_is_found_by_key_dotted_key_and_list(key: Any, value: object) -> None:
    assert lookup(CONFIG, key) == value


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("a.x", "config value 'a.x' is missing; there is b below 'a'"),
        (["a", "x"], "config value 'a.x' is missing; there is b below 'a'"),
        ("a.b.x.y", "config value 'a.b.x.y' is missing; there is c below 'a.b'"),
        ("a.b.c.d", "config value 'a.b.c.d' is missing; 'a.b.c' is no table"),
        ("nope", "config value 'nope' is missing; there is a, flat.key and none"),
    ],
)
def test_a_missing_config_value_is_named_with_what_is_there_unless_there_is_a_default(
    key: Any, sentence: str
) -> None:
    with pytest.raises(MissingConfig) as caught:
        lookup(CONFIG, key)
    assert str(caught.value) == sentence
    assert lookup(CONFIG, key, None) is None


def test_changing_config_copies_only_the_way_to_the_value() -> None:
    changed = replaced(CONFIG, "a.b.d", 5)
    assert changed["a"]["b"] == {"c": 1, "d": 5}
    assert CONFIG["a"] == {"b": {"c": 1}}
    assert replaced({}, "x.y", 1) == {"x": {"y": 1}}


def test_functions_are_found_at_any_depth() -> None:
    assert has_functions({"a": {"b": len}})
    assert not has_functions({**CONFIG, "model": dict})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0.5, 0.5), (2, 2.0), ("1m30s", 90.0), (timedelta(milliseconds=5), 0.005)],
)
def test_delays_are_durations_in_every_form(value: Any, seconds: float) -> None:
    assert wait_s(value, Drawing()) == seconds


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(("random", "10s"), 0, 10), ((1, "2s"), 1, 2), (range(3, 6), 3, 5)],
)
def test_random_delays_stay_within_their_range(value: Any, low: float, high: float) -> None:
    source = Drawing()
    drawn = [wait_s(value, source) for _ in range(200)]
    assert low <= min(drawn) < max(drawn) <= high
    assert min(drawn) < low + (high - low) / 10
    assert max(drawn) > high - (high - low) / 10


def test_a_random_delay_lies_between_zero_and_its_duration() -> None:
    source = Drawing()
    assert all(0 <= random_wait_s("1s", source) <= 1 for _ in range(50))


@pytest.mark.parametrize("value", [-1, "soon", (2, 1), (1, 2, 3), range(0), True, float("nan")])
def test_a_bad_delay_is_refused_and_named(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="delay"):
        wait_s(value, Drawing())


class Drawer(Scenario):
    drawn: ClassVar[list[tuple[int, float]]] = []

    async def run(self, session: Session) -> None:
        type(self).drawn.append((session.index, session.random.random()))


async def test_random_numbers_are_the_same_for_the_same_seed_and_index() -> None:
    draws = []
    for seed in (1, 1, 2):
        Drawer.drawn = []
        await run(population(Drawer, sessions=3), seed=seed)
        draws.append(sorted(Drawer.drawn))
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert len({number for _, number in draws[0]}) == 3


class Configured(Scenario):
    seen: ClassVar[dict[str, Any]] = {}

    async def init(self, session: Session) -> None:
        session.set_config({"shop.currency": "EUR"}, extra=1)
        session.update_config(limit=lambda limit: limit * 2)

    async def run(self, session: Session) -> None:
        type(self).seen[session.id] = {
            "user": session.config("user"),
            "late": session.config("nested.late"),
            "limit": session.config("limit"),
            "currency": session.config("shop.currency"),
            "rate": session.config(["shop", "rate"]),
            "default": session.config("nope", default="d"),
        }


async def late(session: Session) -> str:
    return f"late {session.name}"


async def test_config_functions_are_computed_when_a_session_starts() -> None:
    Configured.seen = {}
    config = {
        "user": lambda session: f"user{session.index}",
        "nested": {"late": late},
        "limit": 5,
        "shop": {"rate": 2},
    }
    ran = await run(population(Configured, sessions=2, name="c", config=config))
    assert ran.sessions.finished == 2
    assert Configured.seen["c-1"] == {
        "user": "user1",
        "late": "late c",
        "limit": 10,
        "currency": "EUR",
        "rate": 2,
        "default": "d",
    }
    assert Configured.seen["c-0"]["user"] == "user0"
    assert config["shop"] == {"rate": 2}


async def test_a_config_function_that_raises_fails_the_session() -> None:
    ran = await run(population(Configured, config={"user": lambda session: 1 / 0, "limit": 1}))
    assert ran.sessions.failed == 1
    assert ran.passed_init == 0
    assert ran.exceptions[0].type == "ZeroDivisionError"


class Assigning(Scenario):
    async def init(self, session: Session) -> None:
        session.assign(count=1)
        session.assign({"cart": []}, namespace="shop")

    async def run(self, session: Session) -> None:
        session.update_assign(count=lambda count: count + 1)
        session.assigned.shop.cart.append("x")
        session.check("counted", session.assigned.count == 2)
        session.delete_assign("count")
        session.check("deleted", lambda: "count" not in session.assigned)
        session.check("item", session.assigned["shop"]["cart"] == ["x"])
        with pytest.raises(MissingConfig, match="'count'"):
            session.update_assign(count=lambda count: count)
        _ = session.assigned.gone


async def test_a_session_keeps_updates_and_deletes_values() -> None:
    ran = await run(population(Assigning))
    assert {name for name, check in ran.checks.items() if check.passed} == {
        "counted",
        "deleted",
        "item",
    }
    assert ran.iterations.failed == 1
    assert "'gone'" in ran.exceptions[0].message


class Pinging(Scenario):
    async def init(self, session: Session) -> None:
        session.assign(pings=[])

    async def run(self, session: Session) -> None:
        session.every("20ms", self.ping, "own")
        session.every("20ms", self.ping, "own")
        with pytest.raises(InvalidRequest, match="period must be more than zero"):
            session.every(0, self.ping)
        await asyncio.sleep(0.05)  # Not a wait of the session.
        assert session.assigned.pings == []
        begin = asyncio.get_running_loop().time()
        while session.assigned.pings.count("own") < 3 or "config" not in session.assigned.pings:
            await session.delay(0.05)
        waited_s = asyncio.get_running_loop().time() - begin
        assert session.assigned.pings.count("own") <= waited_s / 0.02
        await asyncio.gather(session.random_delay("30ms"), session.delay("30ms"))

    async def ping(self, session: Session, what: str) -> None:
        await session.delay(0.03)  # Longer than its period: it does not call itself.
        session.assigned.pings.append(what)


async def test_periodic_functions_are_called_while_the_session_waits() -> None:
    interval = Interval(
        period_s=0.03, function=lambda session: session.assigned.pings.append("config")
    )
    ran = await run(population(Pinging, settings=SessionSettings(interval=interval)))
    assert not ran.exceptions, ran.exceptions[0].traceback
    assert ran.iterations.completed == 1

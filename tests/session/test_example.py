"""The example of the documentation runs as it is written."""

from __future__ import annotations

from chaperon_engine import Scenario, Session
from chaperon_engine.target import RunningTarget
from tests.session.harness import population, run


class Checkout(Scenario):
    """One customer who signs in and buys."""

    async def init(self, session: Session) -> None:
        session.assign(cart=[])

    async def run(self, session: Session) -> None:
        await session.post("/login", json={"user": "ann"})
        page = await session.get("/json", params={"page": 1}, name="/json?page")
        session.check("page is json", lambda: page.json()["ok"])
        await session.repeat(self.browse, 3)
        await session.call_traced(self.pay)

    async def browse(self, session: Session) -> None:
        await session.get("/")
        await session.delay(0.01, random=0.02)

    async def pay(self, session: Session) -> None:
        await session.post("/echo", json={"total": 12.5})


async def test_the_documented_example_runs_as_written(target: RunningTarget) -> None:
    ran = await run(population(Checkout, url=target.url, sessions=5, name="buyers"))
    assert ran.sessions.finished == 5
    assert ran.iterations.completed == 5
    assert ran.requests("GET /").ok == 15
    assert ran.requests("GET /json?page").ok == 5
    assert ran.requests("POST /login").ok == 5
    assert ran.requests("POST /echo").ok == 5
    assert ran.checks["page is json"].passed == 5
    assert ran.of_kind("call")["Checkout.pay"].ok == 5
    assert not ran.exceptions

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


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

class CheckoutTest(LoadTest):
    services = {"shop": Service("http://127.0.0.1:7070", headers={"X-Test": "1"})}
    scenarios = [Population(Checkout, sessions=50, duration="10s", name="buyers")]

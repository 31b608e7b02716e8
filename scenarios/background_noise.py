"""Requests spread evenly over each second, a few more of them every time."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Noise(Scenario):
    """Two searches at the same time, then posts at an exact rate; the rate grows by 2.5 %."""

    async def init(self, session: Session) -> None:
        session.assign(rate=session.config("rate"))

    async def run(self, session: Session) -> None:
        session.spawn(self.search, "tea")
        session.spawn(self.search, "coffee")
        await session.join("search")
        await session.cc_spread(self.post, rate=round(session.assigned.rate), interval="1s")
        session.update_assign(rate=lambda rate: rate * 1.025)

    async def search(self, session: Session, word: str) -> None:
        await session.get("/json", params={"q": word}, name="search")

    async def post(self, session: Session) -> None:
        await session.post("/data", json={"message": "hello, world!"})


class BackgroundNoiseTest(LoadTest):
    """Two sources of noise, a quiet one and a loud one, that grow louder for 20 seconds."""

    services = {"target": Service("http://127.0.0.1:7070")}
    scenarios = [
        Population(Noise, duration="20s", name="quiet", config={"config": {"rate": 25}}),
        Population(Noise, duration="20s", name="loud", config={"config": {"rate": 250}}),
    ]
